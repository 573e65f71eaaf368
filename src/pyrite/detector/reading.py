"""Reading images in a process that does nothing else, and may be killed over any of them.

It stands apart from whoever started it, so that such a process begins after a few imports.
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pyrite.detector.reader import Prepared, Reader, Unreadable
from pyrite.image import use_one_thread

_SHARE = 0.05  # seconds after which it hands back the rest of a group
_PER_PIXEL = 20  # bytes of memory: the hungriest decoder takes 4 times 3.
_ROOM = 2_000_000_000  # bytes of address space beside that: what libraries reserve and never touch

_readers: list[Reader] = []  # Of which the last counts, in such a process; none elsewhere.


def begin(reader: Reader, *, bound: bool = True) -> None:
    """Make this process one that reads: quiet, bounded, and gone with the one that started it.

    Args:
        reader: What it reads by.
        bound: Whether the kernel ends it with the thread that started it; without that, something else must.
    """
    _readers.append(reader)
    if len(_readers) > 1:  # It began long ago, by another.
        return
    # There are as many such processes as are to be at work.
    use_one_thread()
    # Ctrl-C goes to all processes of a terminal, and the server still has to finish what it accepted.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Decoders in C write what they think of a file.
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    if sys.platform == "linux":
        import ctypes
        import resource

        # Not even a server that was killed leaves a process behind: 1 is PR_SET_PDEATHSIG.
        if bound:
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + _ROOM + _PER_PIXEL * reader.limits.max_pixels + reader.limits.max_bytes
        # No more than this process may have already, and than the call takes.
        allowed = resource.getrlimit(resource.RLIMIT_AS)[1]
        most = min(most, sys.maxsize if allowed == resource.RLIM_INFINITY else allowed)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def decode(files: Sequence[tuple[bytes | Path, str | None]], cpu_seconds: float = 0.0) -> list[Prepared | Unreadable]:
    """Decode files one after the other until they have taken their share of time.

    Args:
        files: The images, each with what to call it in the result.
        cpu_seconds: After which the system ends this process, if it is not done; 0 for never. What others have it wait
            for does not count.
    """
    reader, until = this_reader(), time.monotonic() + _SHARE
    found: list[Prepared | Unreadable] = []
    _end_after(cpu_seconds)
    for source, path in files:
        # Not the name of the file that an upload was put into.
        found.append(replace(reader.read(source, path=path or ""), path=path))
        if time.monotonic() > until:
            break
    _end_after(0.0)
    return found


def _end_after(cpu_seconds: float) -> None:
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)  # Nobody handles its signal, so it ends the process.


def this_reader() -> Reader:
    """Return the reader that this process began with."""
    return _readers[-1]
