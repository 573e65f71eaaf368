"""Which files a user's paths stand for, and what to call them."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path


def find_files(paths: Iterable[Path], *, recursive: bool = False) -> Iterator[Path]:
    """Yield each path, and with `recursive` the files below each folder instead of it.

    Nothing is left out for what it is called, but for hidden files and folders inside a folder.
    Links to folders are not followed, so there are no endless loops.
    """
    for path in paths:
        if not (recursive and path.is_dir()):
            yield path
            continue
        for directory, folders, files in os.walk(path):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            yield from (Path(directory) / name for name in sorted(files) if not name.startswith("."))


def read_list(stream: Iterable[bytes]) -> Iterator[Path]:
    """Yield the path on each line of a stream, as the lines come; empty lines are left out."""
    for line in stream:
        if name := line.rstrip(b"\r\n"):
            yield Path(os.fsdecode(name))


def encodable(name: str) -> str:
    """Return a file's name as text for JSON, reports and terminals, also where its bytes are no UTF-8."""
    return name.encode("utf-8", "backslashreplace").decode()
