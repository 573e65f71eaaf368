"""Where a dataset's files lie: a folder, a zip or a tar, all read by name and none of them unpacked."""

import hashlib
import lzma
import os
import posixpath
import stat
import struct
import tarfile
import weakref
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Protocol

from pyrite.datasets.tar import StrictTarInfo
from pyrite.errors import DatasetError
from pyrite.image import Limits

_JUNK = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
_ARCHIVE_ERRORS = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error,
    EOFError, LookupError, RuntimeError, ValueError,
)  # fmt: skip
_READ_AT_MOST = Limits().max_bytes + 1  # One byte more, so that whoever decodes it sees that it is too large.


class Storage(Protocol):
    """A set of named files. Instances cross process borders, so they hold a path and open it late."""

    names: tuple[str, ...]
    """POSIX paths, sorted (those of a tar in its own order); hidden files and what operating systems leave
    behind are not among them."""
    fingerprint: str
    """SHA-256 of the listing: it changes when a file is added, removed or altered."""

    def read(self, name: str) -> bytes:
        """Return one file's bytes.

        Raises:
            OSError: it cannot be read.
        """
        ...

    def size(self, name: str) -> int | None:
        """Return how many bytes one file has, where that is known without reading it."""
        ...


def open_storage(path: Path) -> Storage:
    """Open a folder, a zip or a tar (plain or compressed), told apart by content.

    Where an archive holds a name more than once, the last one counts, as when unpacking.

    Raises:
        DatasetError: there is nothing at `path`, or it is none of these, or it is damaged or encrypted.
    """
    try:
        if path.is_dir():
            return FolderStorage(path)
        if not path.exists():
            raise DatasetError(f"There is no dataset at {path}.")
        if zipfile.is_zipfile(path):
            return ZipStorage(path)
        if tarfile.is_tarfile(path):
            return TarStorage(path)
    except (OSError, *_ARCHIVE_ERRORS) as error:
        raise DatasetError(f"{path} cannot be read: {error}") from error
    raise DatasetError(
        f"{path} is neither a folder nor a zip or tar archive nor a manifest (.csv, .parquet). "
        "If it should be an archive, it is damaged or incomplete: fetch it again."
    )


class FolderStorage:
    """The files below a folder, or those of them that are asked for.

    Links to folders are followed, unless they lead back up.
    """

    def __init__(self, root: Path, names: Sequence[str] | None = None) -> None:
        self._root = root.absolute()
        entries = [(name, *size_and_time(root / name)) for name in (walk(root) if names is None else names)]
        self.names, self.fingerprint = listing(entries)
        self.missing = tuple(name for name, size, _ in entries if size < 0)
        """Those that were asked for, and are not there."""

    def read(self, name: str) -> bytes:
        """Return one file's bytes."""
        path = self._root / name
        with as_os_error():
            if not stat.S_ISREG(path.stat().st_mode):  # A pipe would never end.
                raise OSError(f"{name!r} is not a regular file")
            with path.open("rb") as stream:
                return stream.read(_READ_AT_MOST)

    def size(self, name: str) -> int | None:
        """Return how many bytes one file has."""
        size, _ = size_and_time(self._root / name)
        return size if size >= 0 else None


class ZipStorage:
    """The files of a zip archive."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._size_and_time = size_and_time(path)
        with zipfile.ZipFile(path) as archive:
            # Some programs on Windows write backslashes, against the standard.
            members = {_plain(i.filename.replace("\\", "/")): i for i in archive.infolist() if not _is_folder(i)}
        if members and all(i.flag_bits & 1 for i in members.values()):
            raise DatasetError(f"{path} is encrypted. Unpack it, and open the folder.")
        self._written = {name: i.filename for name, i in members.items() if name != i.filename}
        self.names, self.fingerprint = listing(
            (name, i.file_size, i.CRC) for name, i in members.items() if not _is_hidden(name)
        )

    def read(self, name: str) -> bytes:
        """Return one file's bytes."""
        with as_os_error():
            archive = _opened(self._path, self._size_and_time)
            with archive.open(self._written.get(name, name)) as stream:
                return stream.read(_READ_AT_MOST)

    def size(self, name: str) -> int | None:
        """Return how many bytes one file has."""
        with as_os_error():
            return _opened(self._path, self._size_and_time).getinfo(self._written.get(name, name)).file_size


@lru_cache(maxsize=2)
def _opened(path: Path, size_and_time: tuple[int, int]) -> zipfile.ZipFile:
    """Open a zip once in every process: it takes a second for a hundred thousand files.

    `size_and_time` is there to tell it from an earlier file of that name.
    """
    return zipfile.ZipFile(path)


class TarStorage:
    """The files of a tar archive, in its order: a compressed one is slow to read in any other."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._archive: tarfile.TarFile | None = None
        places: dict[str, tuple[int, int] | None] = {}
        times: dict[str, int] = {}
        links: dict[str, str] = {}
        with tarfile.open(path, tarinfo=StrictTarInfo) as archive:
            for member in archive:
                name = _plain(member.name)
                if not (member.isfile() or member.islnk() or member.issym()):
                    continue
                places.pop(name, None)
                links.pop(name, None)
                places[name] = (member.offset_data, member.size) if member.isfile() else None
                times[name] = int(member.mtime)
                if member.issparse():
                    places[name] = None
                elif not member.isfile():
                    # A hard link names its target from the root, a symbolic one from where it lies.
                    start = posixpath.dirname(name) if member.issym() else ""
                    links[name] = posixpath.normpath(posixpath.join(start, member.linkname))
        places |= {name: places.get(target) for name, target in links.items()}
        self._places = places
        """Where each file's bytes begin and how many there are; `None` where that cannot be told."""
        self.names = tuple(name for name in places if not _is_hidden(name))
        # Times in a tar are coarse, and often all alike, so the archive's own size and time count as well.
        entries = [(name, (places[name] or (0, -1))[1], times[name]) for name in self.names]
        self.fingerprint = listing([*entries, ("", *size_and_time(path))])[1]

    def read(self, name: str) -> bytes:
        """Return one file's bytes."""
        with as_os_error():
            place = self._places.get(name)
            if place is None:
                raise OSError(f"{name!r} is not in the archive, or a link to what is not, or a sparse file")
            if self._archive is None:
                self._archive = tarfile.open(self._path)  # noqa: SIM115 - stays open for the next read
                weakref.finalize(self, self._archive.close)
            stream = self._archive.fileobj
            assert stream is not None
            stream.seek(place[0])
            size = min(place[1], _READ_AT_MOST)
            data = stream.read(size)
            if len(data) < size:
                raise OSError(f"{name!r} is cut short")
            return bytes(data)

    def size(self, name: str) -> int | None:
        """Return how many bytes one file has."""
        place = self._places.get(name)
        return place[1] if place else None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_archive": None}


def walk(folder: Path, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[str]:
    """Yield the files below a folder, as `FolderStorage` has them, in no order."""
    status = folder.stat()
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if _is_junk(entry.name):
                continue
            path = folder / entry.name
            if path.is_dir() if entry.is_symlink() else entry.is_dir():
                yield from (f"{entry.name}/{name}" for name in walk(path, above | {here}))
            else:
                yield entry.name


def size_and_time(path: Path) -> tuple[int, int]:
    """Return what tells a file from a later one of its name; -1 twice where it cannot be told."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return -1, -1  # Reading it says why.
    return status.st_size, status.st_mtime_ns


def _plain(name: str) -> str:
    return str(PurePosixPath(name))


def _is_folder(member: zipfile.ZipInfo) -> bool:
    return member.filename.endswith(("/", "\\"))


def _is_hidden(name: str) -> bool:
    return any(map(_is_junk, PurePosixPath(name).parts))


def _is_junk(name: str) -> bool:
    return (name.startswith(".") and name != "..") or name.lower() in _JUNK


def listing(entries: Iterable[tuple[str, int, int]]) -> tuple[tuple[str, ...], str]:
    """Return the names, sorted, and the SHA-256 of names, sizes and times."""
    found = sorted(entries)
    digest = hashlib.sha256()
    for entry in found:
        digest.update(repr(entry).encode("utf-8", "surrogatepass"))
    return tuple(name for name, _, _ in found), digest.hexdigest()


@contextmanager
def as_os_error() -> Iterator[None]:
    """Raise `OSError` for the many ways in which reading fails."""
    try:
        yield
    except _ARCHIVE_ERRORS as error:
        raise OSError(str(error)) from error
