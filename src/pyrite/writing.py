"""Files and folders that appear whole or not at all, and folders that one process has for itself."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

PARTIAL = ".partial-"
"""What the names begin with of what is not whole yet, and of what those left who were killed."""


def indented_json(value: object, indent: int = 2) -> bytes:
    """Return the content of a file of JSON that people may read, too."""
    return msgspec.json.format(msgspec.json.encode(value), indent=indent) + b"\n"


def whole_lines(path: Path) -> list[bytes]:
    """Return the lines of a file that grew line by line, and cut off a last one that was not written to its end.

    Raises:
        OSError: it cannot be read, or cut.
    """
    content = path.read_bytes() if path.exists() else b""
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        os.truncate(path, len(whole))
    return whole.splitlines()


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a place beside `path` for a file that takes its place once the block ends well; else nothing is left.

    Raises:
        OSError: it cannot be put there.
    """
    draft = _beside(path)
    try:
        yield draft
        draft.replace(path)
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give a new folder that takes the place of `path` once the block ends well; else nothing is left.

    Args:
        path: Must not be there, or be an empty folder.

    Raises:
        OSError: it cannot be made, or put there.
    """
    draft = _beside(path)
    try:
        draft.mkdir(parents=True)
        yield draft
        if path.exists():
            path.rmdir()
        draft.rename(path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_together(folder: Path, files: Mapping[str, bytes | None]) -> None:
    """Write files that belong together: if the last of them exists, all do, and all come from the same call.

    What was there stays until all are written beside it. A process that is killed while they change places leaves
    a folder without the last of them, and no file that is half written.

    Args:
        folder: Is created if it is missing.
        files: By their names in it, the one that shows that all are there last; `None` for a file to remove.

    Raises:
        OSError: One cannot be written, or put there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = {name: content for name, content in files.items() if content is not None}
    draft = _beside(folder / PARTIAL)
    try:
        for name, content in written.items():
            for place in (draft / name, folder / name):
                place.parent.mkdir(parents=True, exist_ok=True)
            (draft / name).write_bytes(content)
        for name in reversed([*files]):
            (folder / name).unlink(missing_ok=True)
        for name in written:
            (draft / name).replace(folder / name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def remove_drafts(folder: Path) -> None:
    """Remove the half-written files of killed processes from a folder that this process has locked."""
    for path in folder.glob(f"{PARTIAL}*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path, taken: Exception) -> Iterator[None]:
    """Hold `folder` for this process; the system lets go of it however the process ends.

    Args:
        folder: Is there already.
        taken: Raised where another process holds it.

    Raises:
        OSError: it cannot be opened.
    """
    try:
        import fcntl
    except ImportError:  # Windows has no such lock for a folder.
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise taken from None
        except OSError:
            pass  # Some network file systems cannot lock.
        yield
    finally:
        os.close(handle)


def _beside(path: Path) -> Path:
    if not path.name:  # The current folder, or the root.
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    # A random name, since one that follows from the path's could be another file's.
    return path.with_name(f"{PARTIAL}{secrets.token_hex(8)}")
