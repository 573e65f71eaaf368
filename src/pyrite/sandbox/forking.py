"""Loaded by the process that others are forked off, and by no other: it cleans up after whoever started it."""

import atexit
from contextlib import suppress
from multiprocessing import forkserver
from pathlib import Path


@atexit.register
def _remove_socket() -> None:
    """Remove the socket over which it was asked: whoever made that may have been killed. Forked processes skip this."""
    address = forkserver._forkserver._forkserver_address  # type: ignore[attr-defined]
    if address:
        with suppress(OSError):
            Path(address).unlink()
            Path(address).parent.rmdir()  # Where nothing else is in it.
