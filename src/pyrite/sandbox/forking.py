"""What the process that forks others off loads first, and no other does: it cleans up, however this one's end came."""

import atexit
from contextlib import suppress
from multiprocessing import forkserver
from pathlib import Path


@atexit.register
def _remove_socket() -> None:
    """Remove the socket that it was asked by: whoever made that may have been killed. Forked processes skip this."""
    address = forkserver._forkserver._forkserver_address  # type: ignore[attr-defined]
    if address:
        with suppress(OSError):
            Path(address).unlink()
            Path(address).parent.rmdir()  # Where nothing else is in it.
