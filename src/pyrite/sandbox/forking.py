"""Loaded last by the process that others are forked off, and by no other: it is silent, and removes its socket.

Whoever started it may end, or be killed, as a process begins, which would then say what it misses.
"""

import atexit
import os
from contextlib import suppress
from multiprocessing import forkserver
from pathlib import Path

with Path(os.devnull).open("wb") as _nowhere:
    os.dup2(_nowhere.fileno(), 2)


@atexit.register
def _remove_socket() -> None:
    """Remove the socket over which it was asked: whoever made that may have been killed. Forked processes skip this."""
    address = forkserver._forkserver._forkserver_address  # type: ignore[attr-defined]
    if address:
        with suppress(OSError):
            Path(address).unlink()
            Path(address).parent.rmdir()  # Where nothing else is in it.
