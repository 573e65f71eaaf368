"""Reading images in a process that does nothing else, and may be killed over any of them.

It stands apart from whoever started it, so that such a process begins after a few imports.
"""

import os
import pickle
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pyrite.detector.reader import Prepared, Reader, Unreadable

_SHARE = 0.05  # seconds after which it hands back the rest of a group
_PER_PIXEL = 20  # bytes of memory: the hungriest decoder takes 4 times 3.
_ROOM = 2_000_000_000  # bytes of address space beside that: what libraries reserve and never touch

_readers: list[Reader] = []  # One, in such a process; none elsewhere.


def begin(reader: Reader) -> None:
    """Make this process one that reads: quiet, bounded, and gone with the one that started it."""
    _readers.append(reader)
    # Ctrl-C goes to all processes of a terminal, and the server still has to finish what it accepted.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Decoders in C write what they think of a file.
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    if sys.platform == "linux":
        import ctypes
        import resource

        # Not even a server that was killed leaves a process behind: 1 is PR_SET_PDEATHSIG.
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + _ROOM + _PER_PIXEL * reader.limits.max_pixels + reader.limits.max_bytes
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def begin_from(file: Path) -> None:
    """Do as `begin` does, with a reader that whoever started this process has pickled.

    Args:
        file: In a folder that nobody else may write to.
    """
    begin(pickle.loads(file.read_bytes()))


def decode(files: Sequence[tuple[bytes | Path, str | None]]) -> list[Prepared | Unreadable]:
    """Decode files one after the other until they have taken their share of time."""
    reader, until = this_reader(), time.monotonic() + _SHARE
    found: list[Prepared | Unreadable] = []
    for source, path in files:
        # Not the name of the file that an upload was put into.
        found.append(replace(reader.read(source, path=path or ""), path=path))
        if time.monotonic() > until:
            break
    return found


def this_reader() -> Reader:
    """Return the reader that this process began with."""
    return _readers[-1]
