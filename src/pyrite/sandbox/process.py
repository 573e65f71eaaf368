"""A process that calls functions for us, and may hang, crash or be taken over."""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

from pyrite.sandbox.answers import load_answer

_LARGEST = 4_000_000_000  # bytes of an answer


class Ended(Exception):  # noqa: N818 - told by what came of it
    """A process ended over a call."""

    def __init__(self, code: int, *, late: bool) -> None:
        """Take its exit code, negative for a signal, and whether it had taken too long."""
        super().__init__()
        self.code, self.late = code, late

    @property
    def how(self) -> str:
        """The signal or exit code, in words."""
        return signal.Signals(-self.code).name if self.code < 0 else f"code {self.code}"


class Process:
    """A process in a sandbox; it starts at once, and ends with this one. For one thread at a time."""

    def __init__(self, *, confined: bool = True) -> None:
        """Start it.

        Args:
            confined: Whether it is confined from the beginning. Without that, what it calls first should do so.
        """
        # Without -P, a file in the current folder could pass for a module. It finds the modules that this process does.
        found = filter(None, (os.environ.get("PYTHONPATH"), *sys.path))
        command = [sys.executable, "-P", "-m", "pyrite.sandbox", *(["--confined"] if confined else [])]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(found)},
        )

    def call(self, function: Callable[..., Any], *arguments: object, seconds: float) -> Any:
        """Call a function there and return what it does: plain values, as `load_answer` takes them.

        Args:
            function: At the top of a module, like all that is sent.
            arguments: Of it.
            seconds: What it may take before the process is killed.

        Raises:
            Ended: The process ended over it, as it does over any error that is none of Pyrite's own.
            PyriteError: What the function raised.
        """
        late = threading.Event()

        def stop() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(seconds, stop)
        timer.daemon = True
        timer.start()
        try:
            good, answer = load_answer(self._exchange(pickle.dumps((function, arguments, seconds))))
        except (OSError, EOFError, pickle.UnpicklingError):
            self._process.kill()
            code = self._reap()
            raise Ended(code, late=late.is_set() or code == -signal.SIGALRM) from None
        finally:
            timer.cancel()
        if not good:
            raise answer
        return answer

    @property
    def is_alive(self) -> bool:
        """Whether it can be called: something else may have ended it."""
        return self._process.poll() is None

    def close(self) -> None:
        """End it, whatever it is at."""
        self._process.kill()
        self._reap()

    def _exchange(self, request: bytes) -> bytes:
        requests, answers = self._process.stdin, self._process.stdout
        assert requests
        assert answers
        requests.write(len(request).to_bytes(8) + request)
        requests.flush()
        size = int.from_bytes(answers.read(8))
        answer = answers.read(size) if 0 < size <= _LARGEST else b""
        if not answer or len(answer) < size:
            raise EOFError
        return answer

    def _reap(self) -> int:
        assert self._process.stdin
        assert self._process.stdout
        # What it was not sent any more cannot be flushed.
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.stdout.close()
        return self._process.wait()
