"""Content credentials in a browser: the C2PA project's library for it, as a package of npm."""

from collections.abc import Callable
from pathlib import Path

from pyrite.serving.npm import NpmPackage, read_package

PACKAGE = NpmPackage(
    name="@contentauth/c2pa-wasm",
    version="0.13.3",  # The same c2pa-rs (0.91.3) as in c2pa-python.
    sha512="9c05d1b8e67e238fa8fa6ebd648e3daf5daaa1d6b90319732f6bc200926e55d9"
    "326de6d04d48544f7aeeca184835a7212ad3fe9e743e889e342899e38d94b09c",
    home="pkg",
    option="--credentials",
)

_FILES = {
    "c2pa.js": "1d98e170931617bc051899a20b33f349005df5091919459df095bd3836429da5",
    "c2pa_bg.wasm": "01b8e25f637aaa3fe197bc5646ce114810db4789db19af7e1f6bfebe9e9858df",
}


def read_library(
    source: Path | None = None, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, bytes]:
    """Return the files that a page needs to read content credentials, by their names; see `read_package`.

    Args:
        source: The package, where it is not to be fetched.
        progress: Told how many bytes of a download are here, and how many there are.

    Raises:
        PyriteError: It cannot be had or read, or is another than the one that is known.
    """
    return read_package(PACKAGE, _FILES, source, progress)
