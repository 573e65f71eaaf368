"""Decoding in processes that can be killed, so that one bad image neither slows nor fails its neighbours."""

import asyncio
import logging
import pickle
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pyrite.detector import Prepared, Reader, Unreadable, crashed, timed_out
from pyrite.detector.reading import begin, decode
from pyrite.image import Header
from pyrite.results import Failure
from pyrite.sandbox import AnswersContext, begin_confined, begin_from, begin_telling
from pyrite.serving.fair import SHARE, Asker, FairQueue, Turns
from pyrite.serving.uploads import upload_folder

if TYPE_CHECKING:
    from pebble import ProcessFuture, ProcessPool

_NANOSECONDS = {"JPEG": 8.0, "PNG": 25.0, "WEBP": 65.0, "BMP": 12.0}
"""What reading a pixel takes at most, about, on one CPU of 2023: of noise. Of the other formats, what their first
bytes say of their size need not be that of what is decoded."""
_SCAN = 2.0  # nanoseconds for a pixel in each further scan of a JPEG
_BYTE = 10.0  # nanoseconds for one of the file

LIGHT = 30e6
"""Nanoseconds that reading a file takes, about, that goes to the fast lane: 32 pixels a side take 0.2 million."""

_GROUP = 16  # Light files that go to a process at once, at most: the way there costs more than decoding them.
_CPU_SECONDS = 0.4  # that light files may take before they are called heavy, however much else the machine has to do
_PATIENCE = 4.0  # seconds likewise
_SUSPICION = 600.0  # seconds in which all files are called heavy of a client of which one was not what it looked like
_NICE = 5  # which leaves the fast lane and the server three quarters of a CPU that the slow lane wants as well

_TRIES = 3
"""Where somebody ends all processes at once, the one at work is the first to be missed, and then its pool is given up
for one in reserve."""
_GONE = 255  # The exit code that `multiprocessing` makes up where what forks processes off was ended as well.
_OUT_OF_TIME = getattr(signal, "SIGPROF", 0)
"""What ends a process that takes more CPU time than light files may."""

Found = Prepared | Unreadable
_LOOK = 0.1  # seconds after which it is seen how far a process is
_WATCH = 1.0  # seconds after which it is seen whether a pool still works

_Result = TypeVar("_Result")
Tell = Callable[[int, int], None]
"""Called with how much is done, and how much there is to do."""
_log = logging.getLogger("pyrite.serving")


def weigh(header: Header | None, size: int) -> float:
    """Return about how many nanoseconds reading a file takes at most; infinite where it cannot be told.

    Args:
        header: What the file says of itself.
        size: Of the file, in bytes.
    """
    if header is None or header.format not in _NANOSECONDS:
        return float("inf")
    each = _NANOSECONDS[header.format] + _SCAN * (header.passes - 1)
    return header.pixels * each + size * _BYTE


@dataclass(slots=True, eq=False)
class _Light:
    """A light file on its way."""

    asker: Asker
    weight: float
    source: bytes | Path
    path: str | None
    found: asyncio.Future[Found | None]
    """`None` for a file that is not as light as it looks."""

    @property
    def gone(self) -> bool:
        return self.found.done()


class Decoders:
    """A fast lane for light files, which are decoded in groups, and a slow one for all others.

    What a file weighs is told by its first bytes, which may lie: one that takes too long in the fast lane goes to the
    slow one, and from then on so do all files of its client. Processes of the slow lane get less of a CPU than others
    that want it too. In both lanes clients take turns, and each lane has a process more than it works with, so that
    one is ready when another was killed.
    """

    def __init__(
        self,
        reader: Reader,
        *,
        workers: int,
        seconds: float,
        killed: Callable[[], None],
        readable: Sequence[Path] = (),
    ) -> None:
        """Start them.

        Args:
            reader: What each decodes by.
            readable: Folders with images that are given as paths; nothing else is there for them to be read.
            workers: Processes at work in each lane.
            seconds: What one image may take.
            killed: Called when a process did not survive an image.
        """
        self._seconds, self._killed = seconds, killed
        self._workers = workers
        self._fast = Pool(workers + 1, reader, readable)
        self._slow = Pool(workers + 1, reader, readable, niceness=_NICE)
        self._light: FairQueue[_Light] = FairQueue()
        self._heavy = Turns(workers, most=max(1, workers * SHARE // (SHARE + 1)))
        self._suspects: dict[str, float] = {}
        """Clients, and until when they are."""

    async def warm(self) -> None:
        """Begin the processes, and wait until each lane has one that is ready."""
        await asyncio.gather(*(pool.run(decode, [], seconds=60) for pool in (self._fast, self._slow)))

    async def decode(self, source: bytes | Path, path: str | None, asker: Asker, weight: float) -> Found:
        """Decode an image. Whoever is cancelled in this has the process killed that is at it alone.

        Args:
            source: The image.
            path: What to call it in the result.
            asker: Who waits for it.
            weight: What `weigh` says of it.
        """
        if weight <= LIGHT and not self._is_suspect(asker):
            light = _Light(asker, weight, source, path, asyncio.get_running_loop().create_future())
            self._light.put(light)
            try:
                found = await light.found
            finally:
                light.source = b""
            if found is not None:
                return found
        try:
            async with self._heavy.take(asker):
                [found] = await self._slow.run(decode, [(source, path)], seconds=self._seconds)
        except Lost as lost:
            self._killed()
            return Unreadable(path, lost.failure(self._seconds))
        return found

    async def work(self) -> None:
        """Go on with the fast lane until cancelled."""
        async with asyncio.TaskGroup() as lane:
            for _ in range(self._workers):
                lane.create_task(self._decode_light())

    def close(self) -> None:
        """End the processes, whatever they are at."""
        for pool in (self._fast, self._slow):
            pool.close()

    async def _decode_light(self) -> None:
        rest: list[_Light] = []
        while True:
            group = rest or [await self._light.get()]
            while len(group) < _GROUP and sum(one.weight for one in group) < LIGHT and (one := self._light.pop()):
                group.append(one)
            group = self._without_suspects(group)
            rest = group[await self._decode_group(group) :] if group else []

    async def _decode_group(self, group: Sequence[_Light]) -> int:
        """Decode as many of these as the process comes to, and tell how many."""
        try:
            files = [(one.source, one.path) for one in group]
            found = await self._fast.run(decode, files, _CPU_SECONDS, seconds=_PATIENCE)
        except Lost:
            self._killed()
            await self._sort_out(group)
            return len(group)
        except Exception as error:
            for one in group:
                if not one.gone:
                    one.found.set_exception(error)
            return len(group)
        for one, result in zip(group, found, strict=False):
            _settle(one, result)
        return len(found)

    async def _sort_out(self, group: Sequence[_Light]) -> None:
        """Find out whose file of a group was not as light as it looked, and have all of that client decoded slowly.

        Files of others are decoded alone now, so that each client costs them one more process at most.
        """
        if len({one.asker.client for one in group}) == 1:
            now = time.monotonic()
            self._suspects = {client: until for client, until in self._suspects.items() if until > now}
            self._suspects[group[0].asker.client] = now + _SUSPICION
        for one in group:
            for alone in self._without_suspects([one]):
                await self._decode_group([alone])

    def _without_suspects(self, group: Sequence[_Light]) -> list[_Light]:
        """Return those that are still waited for here, and send those of suspects to the slow lane."""
        for one in group:
            if self._is_suspect(one.asker):
                _settle(one, None)
        return [one for one in group if not one.gone]

    def _is_suspect(self, asker: Asker) -> bool:
        return self._suspects.get(asker.client, 0.0) > time.monotonic()


class Lost(Exception):  # noqa: N818 - told by what came of it
    """A process that did not survive what it was given."""

    def __init__(self, *, slow: bool) -> None:
        """Take whether it was killed for its time, or ended by itself."""
        super().__init__()
        self.slow = slow

    def failure(self, seconds: float) -> Failure:
        """Return what to say of the image, which had so many seconds."""
        return timed_out(seconds) if self.slow else crashed()


class Pool:
    """Processes that have a reader, each of which can be killed; what they write to stderr is dropped.

    They are confined, and nothing but plain values is taken from them: see `pyrite.sandbox`.
    """

    def __init__(
        self,
        workers: int,
        reader: Reader,
        readable: Sequence[Path] = (),
        *,
        niceness: int = 0,
        confined: bool = True,
    ) -> None:
        """Take how many there are to be, which folders they may read, and how far they stand back.

        They begin with the first call.
        """
        self._stack = ExitStack()
        # Larger than what a pipe holds, in which it would keep whoever begins a process waiting until that reads it.
        file = self._stack.enter_context(upload_folder()) / "begin"
        file.write_bytes(pickle.dumps((begin, reader)))
        self._context = AnswersContext([begin.__module__])
        self._progress: Sequence[int] | None = self._context.RawArray("q", 2) if workers == 1 else None
        self._make = partial(_make, workers, file, readable, niceness, confined, self._context, self._progress)
        self._pool = self._make()
        self._begun: ProcessPool | None = None
        self._beginning = threading.Lock()

    async def run(self, function: Callable[..., _Result], *arguments: object, seconds: float) -> _Result:
        """Call a function in a process, which is killed when it takes longer or nobody waits any more.

        Raises:
            Lost: The process was killed, or ended by itself.
        """
        from pebble import ProcessExpired

        for _ in range(_TRIES):
            pool = self._pool
            if pool is not self._begun:
                # Aside: others are answered meanwhile.
                await asyncio.to_thread(self._begin, pool)
            try:
                return await _result_of(pool.schedule(function, args=arguments, timeout=seconds), pool)
            except TimeoutError:
                _tell_killed("timed_out", seconds=seconds)
                raise Lost(slow=True) from None
            except ProcessExpired as error:
                _tell_killed("too_heavy" if error.exitcode == -_OUT_OF_TIME else "crashed", exit_code=error.exitcode)
                # A service manager that stops the server may tell all its processes at once. Another finishes this.
                if abs(error.exitcode) not in (signal.SIGTERM, _GONE):
                    raise Lost(slow=False) from None
            except Exception:
                if pool.active:
                    raise
                # A pool is given up when a process ends that was at nothing yet, as one does that the kernel picks
                # when memory is short.
                if pool is self._pool:
                    self._pool = self._make()
                    # Aside: no image waits for what is left of it.
                    threading.Thread(target=_end_pool, args=[pool], name="pyrite-end-pool", daemon=True).start()
        raise Lost(slow=False)

    async def run_telling(
        self, tell: Tell, function: Callable[..., _Result], *arguments: object, seconds: float
    ) -> _Result:
        """Do as `run` does, of a pool with one process, and tell how far the function is whenever that has changed.

        The process may have been taken over: what it tells is a number of what it says there is, and no more.

        Raises:
            Lost: As `run` has it.
        """
        assert self._progress is not None
        self._progress[:] = [0, 0]  # type: ignore[index]
        before = (0, 0)
        work = asyncio.ensure_future(self.run(function, *arguments, seconds=seconds))
        try:
            while True:
                ended, _ = await asyncio.wait([work], timeout=_LOOK)
                done, total = self._progress
                if 0 < done <= total and (done, total) != before:
                    before = done, total
                    tell(done, total)
                if ended:
                    return work.result()
        finally:
            if not work.done():
                work.cancel()
                await asyncio.wait([work])

    def close(self) -> None:
        """End the processes, whatever they are at."""
        with self._beginning:
            _end_pool(self._pool)
        self._stack.close()

    def _begin(self, pool: "ProcessPool") -> None:
        with self._beginning:
            if pool.active:
                self._begun = pool


async def _result_of(call: "ProcessFuture[_Result]", pool: "ProcessPool") -> _Result:
    """Return what a call comes to. Whoever is cancelled in this has its process killed.

    A pool that gives up just as it takes a call forgets it, and tells nobody.

    Raises:
        BrokenProcessPool: The pool gave up.
    """
    work = asyncio.wrap_future(call)
    try:
        while not (await asyncio.wait([work], timeout=_WATCH))[0]:
            if not pool.active:
                raise BrokenProcessPool
        return work.result()
    finally:
        work.cancel()


def _tell_killed(reason: str, **fields: object) -> None:
    _log.warning("a decoder was killed", extra={"fields": {"reason": reason, **fields}})


def _make(
    workers: int,
    file: Path,
    readable: Sequence[Path],
    niceness: int,
    confined: bool,
    context: AnswersContext,
    progress: Sequence[int] | None,
) -> "ProcessPool":
    from pebble import ProcessPool

    initializer: Callable[..., None] = begin_confined if confined else begin_from
    arguments: list[object] = [file, tuple(readable), niceness] if confined else [file]
    if progress is not None:
        initializer, arguments = begin_telling, [progress, initializer, *arguments]
    return ProcessPool(max_workers=workers, initializer=initializer, initargs=arguments, context=context)


def _end_pool(pool: "ProcessPool") -> None:
    pool.stop()  # type: ignore[no-untyped-call]
    pool.join()


def _settle(one: _Light, found: Found | None) -> None:
    if not one.found.done():
        one.found.set_result(found)
