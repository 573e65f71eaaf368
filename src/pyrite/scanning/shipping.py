"""Bundles on their way to workers: by their place on this machine, and once for each machine of a cluster."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pyrite.bundle import MANIFEST, Bundle, load_bundle, read_info, save_bundle
from pyrite.errors import BundleError, ScanError
from pyrite.writing import whole_folder

if TYPE_CHECKING:
    from ray import ObjectRef

_PREFIX = "pyrite-bundle-"


@dataclass(frozen=True, slots=True)
class Parcel:
    """A bundle as it is told to a worker: small, however large its model is."""

    folder: str
    """Where it lies on the machine that scans."""
    sha256: str
    """`Bundle.sha256`."""
    files: "Mapping[str, ObjectRef] | None" = None
    """For machines that do not have it: the content of its files in Ray's object store."""

    @property
    def size(self) -> int:
        """Bytes that its files take, which is about what its model takes of the memory."""
        return sum(path.stat().st_size for path in Path(self.folder).iterdir())

    def open(self) -> Bundle:
        """Load it from its folder.

        Raises:
            BundleError: It cannot be used.
            ScanError: It is not what it was when the scan was started.
        """
        bundle = load_bundle(self.folder)
        if bundle.sha256 != self.sha256:
            raise ScanError(f"The bundle {self.folder} has changed since the scan was started. Start it again.")
        return bundle


@contextmanager
def as_folders(bundles: Sequence[Bundle]) -> Iterator[tuple[Bundle, ...]]:
    """Give these bundles as folders, from which any process can map a large model.

    A zip, and what was made in memory, is written to a temporary folder, which is gone afterwards.

    Raises:
        BundleError: One that was made in memory could not be saved as a bundle.
    """
    with ExitStack() as stack:

        def save(bundle: Bundle) -> Bundle:
            return _save(bundle, Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=_PREFIX)), "bundle"))

        yield tuple(bundle if _is_folder(bundle) else save(bundle) for bundle in bundles)


def send(bundles: Sequence[Bundle]) -> tuple[Parcel, ...]:
    """Return what tells a worker on this machine of these bundles, all of them folders."""
    return tuple(Parcel(str(Path(bundle.path or "").absolute()), bundle.sha256) for bundle in bundles)


def put(parcel: Parcel) -> Parcel:
    """Put the files of a bundle into Ray's object store, for workers on other machines."""
    import ray

    names = (MANIFEST, *read_info(Path(parcel.folder)).files)
    return replace(parcel, files={name: ray.put(_mapped(Path(parcel.folder, name))) for name in names})


def receive(parcel: Parcel) -> Parcel:
    """Return where a bundle lies on this machine: where it lay at the start, or where its files are written now.

    They go to a folder of the temporary directory that is named by the bundle's hash, and stay there for the next scan.

    Raises:
        ScanError: They cannot be written.
    """
    folder = Path(parcel.folder)
    if parcel.files is None or _has(folder, parcel.sha256):
        return parcel
    import ray

    folder = Path(tempfile.gettempdir(), f"{_PREFIX}{_user()}-{parcel.sha256}")
    placed = replace(parcel, folder=str(folder), files=None)
    try:
        if folder.exists():
            # Whoever made it could change it at any time.
            if folder.stat().st_uid != _user():
                raise ScanError(f"{folder} belongs to someone else. Remove it, or set TMPDIR to another folder.")
            with suppress(BundleError, ScanError):
                placed.open()
                return placed
            shutil.rmtree(folder)  # Something has cleaned up a part of it.
        with whole_folder(folder) as draft:
            draft.chmod(0o700)
            for name, content in parcel.files.items():
                ray.get(content).tofile(draft / name)
    except OSError as error:
        # Unless another worker was faster.
        if not _has(folder, parcel.sha256):
            raise ScanError(f"The bundle cannot be written to {folder}: {error.strerror or error}.") from error
    return placed


def _is_folder(bundle: Bundle) -> bool:
    """Say whether a bundle is what lies in its folder, rather than one that was made of it in memory."""
    if bundle.path is None or not _has(bundle.path, bundle.sha256):
        return False
    return all(
        hashlib.sha256(content).hexdigest() == bundle.info.files.get(name) for name, content in bundle.files.items()
    )


def _save(bundle: Bundle, folder: Path) -> Bundle:
    names = sorted({*bundle.info.files, *bundle.files})
    return save_bundle(folder, bundle.info, {name: bundle.content(name) for name in names})


def _has(folder: Path, sha256: str) -> bool:
    """Say whether a bundle's manifest lies in a folder; that its files are as it says is checked by `Parcel.open`."""
    try:
        return Bundle(read_info(folder), {}).sha256 == sha256
    except BundleError:
        return False


def _mapped(path: Path) -> NDArray[np.uint8]:
    """Return a file's bytes (n,), without a copy of them in memory."""
    # Nothing of no length can be mapped. A plain array, since Ray copies what only derives from one.
    return np.asarray(np.memmap(path, np.uint8, "r")) if path.stat().st_size else np.empty(0, np.uint8)


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0
