"""Where a dataset's files lie: a folder, a zip or a tar, all read by name and none of them unpacked."""

import hashlib
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Protocol

from pyrite.errors import DatasetError
from pyrite.image import Limits

_JUNK = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
_MEMBER_ERRORS = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, KeyError, RuntimeError, ValueError,
)  # fmt: skip
_READ_AT_MOST = Limits().max_bytes + 1  # One byte more, so that whoever decodes it sees that it is too large.


class Storage(Protocol):
    """A set of named files. Instances cross process borders, so they hold a path and open it late."""

    names: tuple[str, ...]
    """POSIX paths, sorted; hidden files and what operating systems leave behind are not among them."""
    fingerprint: str
    """SHA-256 of the listing: it changes when a file is added, removed or altered."""

    def read(self, name: str) -> bytes:
        """Return one file's bytes.

        Raises:
            OSError: it cannot be read.
        """
        ...


def open_storage(path: Path) -> Storage:
    """Open a folder, a zip or a tar (plain or compressed), told apart by content.

    Raises:
        DatasetError: there is nothing at `path`, or it is none of these, or it is damaged.
    """
    if path.is_dir():
        return FolderStorage(path)
    if not path.exists():
        raise DatasetError(f"There is no dataset at {path}.")
    try:
        if zipfile.is_zipfile(path):
            return ZipStorage(path)
        if tarfile.is_tarfile(path):
            return TarStorage(path)
    except (OSError, zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise DatasetError(f"{path} cannot be read: {error}") from error
    raise DatasetError(f"{path} is neither a folder nor a zip or tar archive nor a manifest (.csv, .parquet).")


class FolderStorage:
    """The files below a folder, or those of them that are asked for; links to folders are not followed."""

    def __init__(self, root: Path, names: Sequence[str] | None = None) -> None:
        self._root = root
        self.names, self.fingerprint = _listing(
            (name, *_size_and_time(root / name)) for name in (_walk(root) if names is None else names)
        )

    def read(self, name: str) -> bytes:
        """Return one file's bytes."""
        with (self._root / name).open("rb") as stream:
            return stream.read(_READ_AT_MOST)


class ZipStorage:
    """The files of a zip archive."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._archive: zipfile.ZipFile | None = None
        with zipfile.ZipFile(path) as archive:
            self.names, self.fingerprint = _listing(
                (i.filename, i.file_size, i.CRC) for i in archive.infolist() if not i.is_dir()
            )

    def read(self, name: str) -> bytes:
        """Return one file's bytes."""
        if self._archive is None:
            self._archive = zipfile.ZipFile(self._path)
        with _as_os_error(), self._archive.open(name) as stream:
            return stream.read(_READ_AT_MOST)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_archive": None}


class TarStorage:
    """The files of a tar archive; reading a compressed one out of order is slow."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._archive: tarfile.TarFile | None = None
        with tarfile.open(path) as archive:
            self.names, self.fingerprint = _listing((m.name, m.size, int(m.mtime)) for m in archive if m.isfile())

    def read(self, name: str) -> bytes:
        """Return one file's bytes."""
        if self._archive is None:
            self._archive = tarfile.open(self._path)  # noqa: SIM115 - stays open for the next read
        with _as_os_error():
            stream = self._archive.extractfile(name)
            if stream is None:
                raise OSError(f"{name} is not a regular file")
            return stream.read(_READ_AT_MOST)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_archive": None}


def _walk(root: Path) -> Iterator[str]:
    for directory, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not _is_junk(name)]
        for name in files:
            yield (Path(directory) / name).relative_to(root).as_posix()


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return -1, -1  # Reading it says why.
    return status.st_size, status.st_mtime_ns


def _is_junk(name: str) -> bool:
    return name.startswith(".") or name.lower() in _JUNK


def _listing(found: Iterable[tuple[str, int, int]]) -> tuple[tuple[str, ...], str]:
    kept = sorted(entry for entry in found if not any(map(_is_junk, PurePosixPath(entry[0]).parts)))
    digest = hashlib.sha256()
    for entry in kept:
        digest.update(repr(entry).encode("utf-8", "surrogatepass"))
    return tuple(name for name, _, _ in kept), digest.hexdigest()


@contextmanager
def _as_os_error() -> Iterator[None]:
    """Raise `OSError` for the many ways in which reading from an archive fails."""
    try:
        yield
    except _MEMBER_ERRORS as error:
        raise OSError(str(error)) from error
