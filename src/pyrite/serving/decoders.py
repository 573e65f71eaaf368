"""Decoding in processes that can be killed, so that one bad image neither slows nor fails its neighbours."""

import asyncio
import logging
import multiprocessing
import pickle
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pyrite.detector import Prepared, Reader, Unreadable, crashed, timed_out
from pyrite.detector.reading import begin_from, decode
from pyrite.results import Failure
from pyrite.serving.uploads import upload_folder

if TYPE_CHECKING:
    from pebble import ProcessPool

SMALL = 64_000
"""Bytes of a file that is decoded together with others, at most."""

_GROUP = 16  # Small files that go to a process at once, at most: the way there costs more than decoding them.
_PATIENCE = 0.5  # seconds that small files may take before they are tried one by one, and then among the large ones

Found = Prepared | Unreadable
_Result = TypeVar("_Result")
_log = logging.getLogger("pyrite.serving")


@dataclass(slots=True, eq=False)
class Job:
    """One image on its way."""

    source: bytes | Path
    path: str | None
    found: asyncio.Future[Found]

    def cancel(self) -> None:
        """Give it up, and its bytes at once."""
        self.found.cancel()
        self.source = b""


class Decoders:
    """Processes for small files, which decode them in groups, and others for large and slow ones."""

    def __init__(self, reader: Reader, *, workers: int, seconds: float, killed: Callable[[], None]) -> None:
        """Start them.

        Args:
            reader: What each decodes by.
            workers: Processes of each kind.
            seconds: What one image may take.
            killed: Called when a process did not survive an image.
        """
        self._seconds, self._killed = seconds, killed
        self._workers = workers
        self._pools = [Pool(workers, reader) for _ in range(2)]
        self._small: asyncio.Queue[Job] = asyncio.Queue()
        self._large: asyncio.Queue[Job] = asyncio.Queue()

    async def warm(self) -> None:
        """Begin the processes, and wait until every kind has one that is ready."""
        await asyncio.gather(*(pool.run(decode, [], seconds=60) for pool in self._pools))

    def submit(self, source: bytes | Path, path: str | None) -> Job:
        """Take an image in; what comes of it is the job's `found`."""
        job = Job(source, path, asyncio.get_running_loop().create_future())
        small = isinstance(source, bytes) and len(source) <= SMALL
        (self._small if small else self._large).put_nowait(job)
        return job

    async def work(self) -> None:
        """Go on until cancelled."""
        async with asyncio.TaskGroup() as lanes:
            for _ in range(self._workers):
                lanes.create_task(self._decode_small())
                lanes.create_task(self._decode_large())

    def close(self) -> None:
        """End the processes, whatever they are at."""
        for pool in self._pools:
            pool.close()

    async def _decode_small(self) -> None:
        rest: list[Job] = []
        while True:
            group = rest or [await self._small.get()]
            while len(group) < _GROUP and not self._small.empty():
                group.append(self._small.get_nowait())
            group = [job for job in group if not job.found.done()]
            rest = group[await self._decode(group) :] if group else []

    async def _decode(self, group: Sequence[Job]) -> int:
        """Decode as many of these as the process comes to, and tell how many."""
        try:
            found = await self._pools[0].run(decode, [(job.source, job.path) for job in group], seconds=_PATIENCE)
        except Lost:
            self._killed()
            if len(group) == 1:
                self._large.put_nowait(group[0])
            else:
                for job in group:
                    await self._decode([job])
            return len(group)
        except Exception as error:
            for job in group:
                _fail(job, error)
            return len(group)
        for job, one in zip(group, found, strict=False):
            _finish(job, one)
        return len(found)

    async def _decode_large(self) -> None:
        while True:
            job = await self._large.get()
            if job.found.done():
                continue
            decoding = asyncio.create_task(self._pools[1].run(decode, [(job.source, job.path)], seconds=self._seconds))
            # Whoever waited has gone: the process is killed, and another begins.
            job.found.add_done_callback(partial(_end, decoding))
            await asyncio.wait([decoding])
            if decoding.cancelled():
                continue
            try:
                [found] = decoding.result()
            except Lost as lost:
                self._killed()
                found = Unreadable(job.path, lost.failure(self._seconds))
            except Exception as error:
                _fail(job, error)
                continue
            _finish(job, found)


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
    """Processes that have a reader, each of which can be killed; what they write to stderr is dropped."""

    def __init__(self, workers: int, reader: Reader) -> None:
        """Take how many there are to be; they begin with the first call."""
        self._stack = ExitStack()
        # Larger than what a pipe holds, in which it would keep whoever begins a process waiting until that reads it.
        file = self._stack.enter_context(upload_folder()) / "reader"
        file.write_bytes(pickle.dumps(reader))
        self._make = partial(_make, workers, file)
        self._pool = self._make()
        self._begun: ProcessPool | None = None
        self._beginning = threading.Lock()

    async def run(self, function: Callable[..., _Result], *arguments: object, seconds: float) -> _Result:
        """Call a function in a process, which is killed when it takes longer or nobody waits any more.

        Raises:
            Lost: The process was killed, or ended by itself.
        """
        from pebble import ProcessExpired

        for _ in range(2):
            pool = self._pool
            if pool is not self._begun:
                # Aside: others are answered meanwhile.
                await asyncio.to_thread(self._begin, pool)
            try:
                return await asyncio.wrap_future(pool.schedule(function, args=arguments, timeout=seconds))
            except TimeoutError:
                _tell_killed("timed_out", seconds=seconds)
                raise Lost(slow=True) from None
            except ProcessExpired as error:
                # A service manager that stops the server may tell all its processes at once. Another finishes this.
                _tell_killed("crashed", exit_code=error.exitcode)
                if abs(error.exitcode) != signal.SIGTERM:
                    raise Lost(slow=False) from None
            except Exception:
                if pool.active:
                    raise
                # A pool is given up when a process ends that was at nothing yet, as one does that the kernel picks
                # when memory is short.
                if pool is self._pool:
                    self._pool = self._make()
                    await asyncio.to_thread(_end_pool, pool)
        raise Lost(slow=False)

    def close(self) -> None:
        """End the processes, whatever they are at."""
        with self._beginning:
            _end_pool(self._pool)
        self._stack.close()

    def _begin(self, pool: "ProcessPool") -> None:
        with self._beginning:
            if pool.active:
                self._begun = pool


def _tell_killed(reason: str, **fields: object) -> None:
    _log.warning("a decoder was killed", extra={"fields": {"reason": reason, **fields}})


def _make(workers: int, reader: Path) -> "ProcessPool":
    from pebble import ProcessPool

    # Not forked: this process has threads.
    context = multiprocessing.get_context("spawn")
    return ProcessPool(max_workers=workers, initializer=begin_from, initargs=[reader], context=context)


def _end_pool(pool: "ProcessPool") -> None:
    pool.stop()  # type: ignore[no-untyped-call]
    pool.join()


def _end(decoding: asyncio.Task[list[Found]], _: asyncio.Future[Found]) -> None:
    decoding.cancel()


def _finish(job: Job, found: Found) -> None:
    if not job.found.done():
        job.found.set_result(found)


def _fail(job: Job, error: Exception) -> None:
    if not job.found.done():
        job.found.set_exception(error)
