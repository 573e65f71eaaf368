"""Sandboxes that last from one test to the next."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from pyrite.sandbox import Process


class LastingProcess(Process):
    """A process that the next reader takes over, where it would start one that is no different."""

    waiting: ClassVar[list["LastingProcess"]] = []
    """The one that was closed last, if that was idle."""

    @classmethod
    def take(cls) -> Process:
        """Return the one that waits, or start another."""
        with suppress(IndexError):  # Readers ask from several threads.
            waiting = cls.waiting.pop()
            if waiting.is_alive and waiting._start == cls._start_now():
                return waiting
            waiting._end()
        return cls()

    def __init__(self) -> None:
        self._start, self._busy = self._start_now(), False
        super().__init__()

    def call(self, *arguments: Any, **options: Any) -> Any:
        self._busy = True
        found = super().call(*arguments, **options)
        self._busy = False
        return found

    def close(self) -> None:
        if self._busy or not self.is_alive or self.waiting:
            self._end()
        else:
            self.waiting.append(self)

    def _end(self) -> None:
        super().close()

    @staticmethod
    def _start_now() -> object:
        environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
        return Path.cwd(), environment, list(sys.path)
