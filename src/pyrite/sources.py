"""Which files a user's paths stand for, and what to call them."""

import os
from collections.abc import Iterable, Iterator

_Identity = tuple[int, int]  # of a folder: its device and its number there


def find_files(paths: Iterable[str], *, recursive: bool = False) -> Iterator[str]:
    """Yield each path as it was given, and with `recursive` the files below each folder instead of it.

    Nothing is left out for what it is called, but for hidden files and folders inside a folder. A folder that
    cannot be listed is yielded itself, so that whoever reads it says why. Links are followed, unless back up.
    """
    for path in paths:
        if recursive and os.path.isdir(path):
            for _, names, _ in walk_folders(path):
                yield from names
        else:
            yield path


def walk_folders(root: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield each folder with the paths of its files and of the folders in it, sorted, before those below it.

    One that cannot be listed is yielded as a file of its own. Links are followed, unless back up.
    """
    # A stack of its own, since a tree may be deeper than Python lets a function call itself.
    waiting: list[tuple[str, frozenset[_Identity]]] = [(root, frozenset())]
    while waiting:
        folder, above = waiting.pop()
        try:
            status = os.stat(folder)
            names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
        except OSError:
            yield folder, [folder], []
            continue
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            continue
        files: list[str] = []
        below: list[str] = []
        for name in names:
            path = os.path.join(folder, name)
            (below if os.path.isdir(path) else files).append(path)
        yield folder, files, below
        waiting += [(path, above | {identity}) for path in reversed(below)]


def read_list(stream: Iterable[bytes]) -> Iterator[str]:
    """Yield the path on each line of a stream, as the lines come; empty lines are left out."""
    for line in stream:
        if name := line.rstrip(b"\r\n"):
            yield os.fsdecode(name)


def encodable(name: str) -> str:
    """Return a file's name as text for JSON, reports and terminals, also where its bytes are no UTF-8."""
    return name.encode("utf-8", "backslashreplace").decode()
