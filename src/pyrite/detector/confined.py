"""Reading images in processes that can be killed and can do no harm."""

from collections.abc import Callable
from queue import Empty, LifoQueue
from types import TracebackType
from typing import Any, TypeVar

from pyrite.detector.lost import crashed, timed_out
from pyrite.detector.reader import Prepared, Reader, Unreadable
from pyrite.detector.reading import begin, this_reader
from pyrite.errors import PyriteError
from pyrite.image import Source
from pyrite.image.thumbnail import SIDE, thumbnail_url
from pyrite.sandbox import Ended, Process

_START = 120.0  # seconds for a process to load what it reads by

_Found = TypeVar("_Found")


class ConfinedReader:
    """Reads images as a `Reader` does, each in a process of a sandbox: as many as there are threads that ask at a time.

    A process that an image ends or holds up costs that image alone. Safe to share between threads.
    """

    def __init__(self, *, seconds: float = 60.0) -> None:
        """Start the first process, so that it is ready once the models are loaded.

        Args:
            seconds: What one image may take.
        """
        self._seconds = seconds
        self._fresh = [Process()]  # Which no reader was given to yet.
        self._idle: LifoQueue[tuple[Reader, Process]] = LifoQueue()

    def __enter__(self) -> "ConfinedReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self, reader: Reader, source: Source) -> Prepared | Unreadable:
        """Read an image.

        Args:
            reader: How.
            source: A path or bytes; anything else is read in this process, where it is already.
        """
        return self.call(reader, Reader.read, source)

    def call(
        self, reader: Reader, function: Callable[..., _Found], source: Source, *arguments: object
    ) -> _Found | Unreadable:
        """Return what a function makes of an image, or why it failed.

        Args:
            reader: As in `read`; the function's first argument.
            function: At the top of a module; it returns plain values.
            source: As in `read`; its second argument.
            arguments: More of them.
        """
        if not isinstance(source, str | bytes) and not hasattr(source, "__fspath__"):
            return function(reader, source, *arguments)
        name = None if isinstance(source, bytes) else str(source)
        try:
            found: _Found = self._call(reader, _with_reader, function, source, *arguments)
        except Ended as ended:
            return Unreadable(name, timed_out(self._seconds) if ended.late else crashed(ended.how))
        return found

    def draw(self, reader: Reader, source: Source, side: int = SIDE) -> str | None:
        """Return an image as a small picture in a data URL, or nothing where it cannot be had.

        Args:
            reader: As in `read`.
            source: As in `read`.
            side: Pixels of the picture, a side at most.
        """
        found = self.call(reader, _draw, source, side)
        return None if isinstance(found, Unreadable) else found

    def close(self) -> None:
        """End the processes."""
        for process in self._fresh:
            process.close()
        while True:
            try:
                self._idle.get_nowait()[1].close()
            except Empty:
                return

    def _call(self, reader: Reader, function: Callable[..., _Found], *arguments: object) -> Any:
        process = self._take(reader)
        try:
            found = process.call(function, *arguments, seconds=self._seconds)
        except Ended:
            raise
        except BaseException:
            process.close()
            raise
        self._idle.put((reader, process))
        return found

    def _take(self, reader: Reader) -> Process:
        try:
            before, process = self._idle.get_nowait()
            while not process.is_alive:  # Something else ended it, and no image is to blame.
                process.close()
                before, process = self._idle.get_nowait()
        except Empty:
            before, process = None, self._fresh.pop() if self._fresh else Process()
        if before is not reader:
            try:
                process.call(_begin, reader, seconds=_START)
            except Ended as ended:
                # No image is to blame: none was opened yet.
                raise PyriteError(f"A process that reads images could not start: it ended with {ended.how}.") from None
        return process


def _begin(reader: Reader) -> None:
    # A process of the sandbox ends by itself, and outlives the thread that happened to start it.
    begin(reader, bound=False)


def _with_reader(function: Callable[..., _Found], source: Source, *arguments: object) -> _Found:
    return function(this_reader(), source, *arguments)


def _draw(reader: Reader, source: Source, side: int) -> str | None:
    return thumbnail_url(source, reader.limits, side)
