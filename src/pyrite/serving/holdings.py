"""How much the workers of one server hold, in memory that all of them see."""

import os
from collections.abc import MutableSequence
from multiprocessing import get_context

WHAT = ("uploads", "images", "explanations")
"""What is held, within the settings `uploads`, `queue` and `explanations`."""


class Held:
    """How many of something this worker holds, and all workers together."""

    def __init__(self, cells: MutableSequence[int] | None = None, own: int = 0) -> None:
        """Take a number for each worker, and which of them is this one's; a server of one worker needs neither."""
        self._cells = [0] if cells is None else cells
        self._own = own

    @property
    def mine(self) -> int:
        """What this worker holds."""
        return self._cells[self._own]

    @mine.setter
    def mine(self, number: int) -> None:
        # Only this worker writes here, so nothing has to be locked.
        self._cells[self._own] = number

    @property
    def all(self) -> int:
        """What all workers hold."""
        return sum(self._cells)


class Holdings:
    """The holdings of a server of several workers; made by the process that starts them, and handed to each."""

    def __init__(self, workers: int) -> None:
        """Take how many workers there are."""
        context = get_context("spawn")
        self._lock = context.Lock()
        self._pids = context.RawArray("q", workers)
        self._cells = {what: context.RawArray("q", workers) for what in WHAT}

    def release(self, pid: int | None) -> None:
        """Take a worker that has ended for gone, with all that it held."""
        with self._lock:
            for own, other in enumerate(self._pids):
                if other == pid:
                    self._pids[own] = 0
                    for cells in self._cells.values():
                        cells[own] = 0

    def claim(self) -> dict[str, Held]:
        """Return the holdings for this process, in the place of a worker that has ended.

        Raises:
            RuntimeError: All workers live.
        """
        import psutil

        with self._lock:
            own = next((i for i, pid in enumerate(self._pids) if not pid or not psutil.pid_exists(pid)), None)
            if own is None:
                raise RuntimeError("There are as many workers as there can be.")
            self._pids[own] = os.getpid()
            for cells in self._cells.values():
                cells[own] = 0
        return {what: Held(cells, own) for what, cells in self._cells.items()}
