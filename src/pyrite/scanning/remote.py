"""Files anywhere that fsspec reaches: read with patience, and written whole or not at all."""

import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pyrite.errors import ScanError
from pyrite.writing import remove_drafts, whole_file

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_Result = TypeVar("_Result")
WAITS = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each further attempt at what storage refused."""
_LASTING = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
_EXTRAS = {"hf": "hub", "s3": "s3"}
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def is_url(name: str) -> bool:
    """Say whether a name is a URL rather than a local path."""
    return _URL.match(name) is not None


def locate(name: str) -> "tuple[AbstractFileSystem, str]":
    """Return the file system of a path or URL, and the path within it; absolute, if local.

    Raises:
        ScanError: There is no such kind of storage, or what reads it is not installed.
    """
    import fsspec

    if not is_url(name):
        return fsspec.filesystem("file"), os.path.abspath(name)  # noqa: PTH100 - not resolved
    protocol = name.partition("://")[0]
    try:
        # What was listed once may have changed since, and a listing of millions is not to stay in memory.
        files = fsspec.filesystem(protocol, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        extra = _EXTRAS.get(protocol)
        install = f" Install it with: pip install 'pyrite[{extra}]'" if extra else ""
        raise ScanError(f"{name} cannot be opened: {error}{install}") from error
    return files, files._strip_protocol(name)


def full_name(files: "AbstractFileSystem", path: str) -> str:
    """Return what `locate` takes: a local path as it is, any other as a URL."""
    from fsspec.implementations.local import LocalFileSystem

    return path if isinstance(files, LocalFileSystem) else str(files.unstrip_protocol(path))


def join(folder: str, *names: str) -> str:
    """Return the path or URL of something below a folder."""
    return "/".join([folder.rstrip("/"), *names])


def patiently(work: Callable[[], _Result], *lasting: type[Exception]) -> _Result:
    """Return what `work` gives, tried five times within eight seconds, unless its failure is sure to last."""
    sure: tuple[type[Exception], ...] = (*_LASTING, *lasting)
    for wait in WAITS:
        try:
            return work()
        except sure:
            raise
        except Exception:  # Every store has errors of its own.
            time.sleep(wait)
    return work()


def exists(name: str) -> bool:
    """Say whether there is such a file or folder."""
    files, path = locate(name)
    return bool(patiently(lambda: files.exists(path)))


def read(name: str) -> bytes:
    """Return a file's bytes."""
    files, path = locate(name)
    return bytes(patiently(lambda: files.cat_file(path)))


def list_names(folder: str) -> list[str]:
    """Return the names of what lies in a folder; none, if there is no folder."""
    files, path = locate(folder)
    try:
        return [name.rstrip("/").rpartition("/")[2] for name in patiently(lambda: files.ls(path, detail=False))]
    except FileNotFoundError:
        return []


@contextmanager
def writing(name: str) -> Iterator[Path]:
    """Give the local path to write a file to, which is at `name` once the block has ended well.

    On a local disk it is renamed when all of it is there, even if the machine fails; a store gets all of it at once.
    """
    files, path = locate(name)
    if is_url(name):
        with tempfile.TemporaryDirectory() as folder:
            draft = Path(folder) / "whole"
            yield draft
            patiently(lambda: files.put_file(str(draft), path))
        return
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(place) as draft:
        yield draft
        _sync(draft)
    _sync(place.parent)


def write(name: str, data: bytes) -> None:
    """Write a file, whole or not at all."""
    with writing(name) as path:
        path.write_bytes(data)


def remove_partial(folder: str) -> None:
    """Remove what was being written to a local folder by those that were killed outright."""
    if not is_url(folder):
        remove_drafts(Path(folder))


def touch(name: str) -> None:
    """Make an empty file."""
    files, path = locate(name)
    files.makedirs(path.rpartition("/")[0], exist_ok=True)
    patiently(lambda: files.pipe_file(path, b""))


def remove(folder: str) -> None:
    """Remove a folder and all in it, if it is there."""
    files, path = locate(folder)
    with suppress(FileNotFoundError):
        patiently(lambda: files.rm(path, recursive=True))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
