"""A sandbox for processes that `multiprocessing` starts."""

import multiprocessing.process
import os
import pickle
import sys
from collections.abc import Callable, Sequence
from multiprocessing import reduction
from multiprocessing.connection import Connection, reduce_connection  # type: ignore[attr-defined]
from pathlib import Path
from typing import Any

from pyrite.sandbox.answers import load_answer
from pyrite.sandbox.kernel import confine, stand_back

if sys.platform == "linux":
    from multiprocessing import forkserver
    from multiprocessing.context import ForkServerContext as _Context
else:  # On macOS its libraries do not outlive a fork; Windows has none.
    from multiprocessing.context import SpawnContext as _Context

_progress: list[Any] = []  # One, in a process that tells; none elsewhere.


class _PlainEnd(Connection):
    """The reading end of a pipe, in the process that made it: what comes out of it is plain values alone."""

    def recv(self) -> Any:
        try:
            return load_answer(self.recv_bytes())
        except pickle.UnpicklingError as error:
            # As where a process ends: what it was part of is given up.
            raise OSError(str(error)) from error


class AnswersContext(_Context):
    """Starts processes that share nothing with this one, and takes from them nothing but plain values.

    On Linux a process is forked, with one thread, off another that has loaded what they need. Elsewhere it is spawned,
    and loads that itself.
    """

    def __init__(self, loaded: Sequence[str] = ()) -> None:
        """Take the modules that processes need; the first context of this process decides which are loaded."""
        super().__init__()
        # The main module as well: each process imports it, as a spawned one does.
        self.set_forkserver_preload(["__main__", *loaded, "pyrite.sandbox.forking"])
        if sys.platform == "linux" and forkserver._forkserver._forkserver_pid is None:  # type: ignore[attr-defined]
            # A worker has the temporary folder of its supervisor. What forks removes that of its socket: a new one.
            multiprocessing.process.current_process()._config.pop("tempdir", None)  # type: ignore[attr-defined]

    def Pipe(self, duplex: bool = True) -> Any:  # noqa: N802 - overridden
        """Make a pipe; processes that get its ends use them as any."""
        reader, writer = super().Pipe(duplex)
        if duplex:
            return reader, writer
        with reader:
            return _PlainEnd(os.dup(reader.fileno()), writable=False), writer


# It is an end like any other wherever it is sent.
reduction.register(_PlainEnd, reduce_connection)


def begin_confined(file: Path, readable: Sequence[str | Path] | None, niceness: int = 0) -> None:
    """Confine and silence this process, and only then load anything large: no thread is there before.

    Args:
        file: As in `begin_from`; it need not be readable afterwards.
        readable: As in `confine`.
        niceness: How far it stands back, 0 to 19, for others that want the same CPU.
    """
    call = file.read_bytes()
    if niceness:
        stand_back(niceness)  # What this writes to is out of reach later.
    # Libraries say there what they miss of the system.
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    confine(readable)
    _call(call)


def begin_from(file: Path) -> None:
    """Begin with a call that whoever started this process has pickled.

    Args:
        file: With a function and its arguments, in a folder that nobody else may write to.
    """
    _call(file.read_bytes())


def begin_telling(progress: Any, begin: Callable[..., None], *arguments: object) -> None:
    """Begin, and keep what `tell` writes to: the kernel takes all other ways to say something from this process.

    Args:
        progress: Two integers in memory that is shared with whoever started this process.
        begin: `begin_confined` or `begin_from`.
        arguments: Of it.
    """
    _progress.append(progress)
    begin(*arguments)


def tell(done: int, total: int) -> None:
    """Tell whoever started this process how much of a call is done, where it wants to know."""
    for progress in _progress:
        progress[:] = [done, total]


def _leave() -> None:
    """Close what keeps alive the process that this one was forked off: only those who ask it for processes should."""
    if sys.platform == "linux":
        alive = forkserver._forkserver._forkserver_alive_fd  # type: ignore[attr-defined]
        if alive is not None:
            forkserver._forkserver._forkserver_alive_fd = None  # type: ignore[attr-defined]
            os.close(alive)


def _call(pickled: bytes) -> None:
    _leave()
    function, *arguments = pickle.loads(pickled)
    function(*arguments)
