"""Several processes that answer requests at one socket, with uvicorn's supervisor, and what they share."""

import logging
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

from pyrite.errors import PyriteError, SettingsError
from pyrite.serving.holdings import Holdings
from pyrite.serving.logs import set_up_logging
from pyrite.serving.middleware import Frame
from pyrite.serving.process import begin, configure
from pyrite.serving.service import Reload, Shared
from pyrite.serving.settings import ServerSettings, reload_keys
from pyrite.serving.shared_rates import keep_rates
from pyrite.serving.uploads import upload_folder

if TYPE_CHECKING:
    from uvicorn.supervisors.multiprocess import Process

_PING_SECONDS = 60  # until a worker is taken for dead that does not say that it lives
_STARTUP_FAILURE = 3  # uvicorn's exit code of what must not be tried again
_COUNTERS = "PROMETHEUS_MULTIPROC_DIR"
_log = logging.getLogger("pyrite.serving")


def supervise(settings: ServerSettings, listener: socket.socket, *, ready: Callable[[], None], reload: Reload) -> None:
    """Start workers, put others in the place of those that end, and stop all of them when told to stop.

    Args:
        settings: How to serve, and with how many workers.
        listener: A socket that is bound and at which nobody listens yet.
        ready: Called when the first worker does.
        reload: Reads the settings again at SIGHUP; picklable.

    Raises:
        PyriteError: A worker does not start.
    """
    from uvicorn.supervisors import Multiprocess

    class Supervisor(Multiprocess):
        def init_processes(self) -> None:
            with _no_interrupts():
                super().init_processes()
            _leave_ends(self.processes)
            while any(process.process.is_alive() for process in self.processes):
                self.handle_signals()
                if self.should_exit.is_set():
                    return
                if any(process.wait_until_ready(1, self.should_exit) for process in self.processes):
                    ready()
                    return

        def keep_subprocess_alive(self) -> None:
            before = list(self.processes)
            with _no_interrupts():
                super().keep_subprocess_alive()
            _leave_ends(self.processes)
            for old, new in zip(before, self.processes, strict=True):
                if old is not new:
                    shared.holdings.release(old.pid)
                    fields = {"pid": old.pid, "exit_code": old.exitcode, "new_pid": new.pid}
                    _log.warning("a worker ended, and another takes its place", extra={"fields": fields})

        def handle_hup(self) -> None:
            nonlocal settings
            try:
                settings = reload_keys(settings, reload)
            except SettingsError as error:
                _log.error("the keys were not read again", extra={"fields": {"error": str(error)}})
                return
            # Those that take others' places later know them as well.
            self.config.app = partial(_begin_worker, settings, shared, reload)
            _signal(self.processes, signal.SIGHUP)

        def handle_ttin(self) -> None:
            _log.warning("how many workers there are is the setting workers")

        handle_ttou = handle_ttin

        def terminate_all(self) -> None:
            def pass_on(_: int, __: FrameType | None) -> None:
                _signal(self.processes, signal.SIGTERM)

            # While this one held it, the socket would take connections that nobody answers.
            listener.close()
            super().terminate_all()
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, pass_on)

    with upload_folder() as folder:
        # Read by the client library of Prometheus as soon as a worker imports it.
        os.environ[_COUNTERS] = str(folder)
        shared = Shared(Holdings(settings.workers), keep_rates(), folder)
        config = configure(
            settings,
            partial(_begin_worker, settings, shared, reload),
            factory=True,
            workers=settings.workers,
            timeout_worker_healthcheck=_PING_SECONDS,
        )
        supervisor = Supervisor(config, [listener])
        supervisor.run()
    if any(process.exitcode == _STARTUP_FAILURE for process in supervisor.processes):
        raise PyriteError("A worker could not start. The log says why.")


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """Keep SIGINT, which goes to all processes of a terminal, for this one: what it starts meanwhile never gets any."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _leave_ends(processes: "Sequence[Process]") -> None:
    """Close the workers' ends of their pipes here.

    While they are open, a worker that dies as it is asked whether it lives is waited for until that takes too long.
    """
    for process in processes:
        process.child_conn.close()


def _signal(processes: "Sequence[Process]", number: int) -> None:
    for process in processes:
        if process.process.is_alive() and process.pid:
            os.kill(process.pid, number)


def _begin_worker(settings: ServerSettings, shared: Shared, reload: Reload) -> Frame:
    """Return the application in a worker, which ends as one that must not be tried again where that fails."""
    set_up_logging(settings.log_format, settings.log_level)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        return begin(settings, shared=shared, reload=reload)
    except PyriteError as error:
        _log.error("a worker could not start", extra={"fields": {"error": str(error)}})
    except Exception:
        _log.exception("a worker could not start")
    raise SystemExit(_STARTUP_FAILURE)


def _end_with_parent() -> None:
    """Stop this worker as soon as the process that started it was killed, and has nobody to tell it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
