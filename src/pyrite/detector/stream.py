"""Images as a stream: the next batch is read while the model scores one."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, Full, Queue
from typing import TypeVar

from pyrite.detector.reader import Prepared, Unreadable
from pyrite.image import Source
from pyrite.results import Detection
from pyrite.runtime import available_cpus

_Result = TypeVar("_Result")
_PATIENCE = 0.1  # seconds that a judged image may wait for others to be judged with it


def stream(
    sources: Iterator[Source],
    read: Callable[[Source], Prepared | Unreadable],
    score: Callable[[Sequence[Prepared | Unreadable]], list[Detection]],
    batch_size: int,
) -> Iterator[Detection]:
    """Yield a detection of each source, in order; see `Detector.detect_many`."""
    pool = ThreadPoolExecutor(min(4, available_cpus()), thread_name_prefix="pyrite-decode")
    pending: Queue[Future[Prepared | Unreadable] | None] = Queue(batch_size)
    closed = threading.Event()

    def put(item: Future[Prepared | Unreadable] | None) -> None:
        while not closed.is_set():
            with suppress(Full):
                pending.put(item, timeout=_PATIENCE)
                return

    def feed() -> None:
        try:
            for source in sources:
                if closed.is_set():
                    return
                put(pool.submit(read, source))
        except BaseException as error:  # The caller's own, of any kind: it is raised where the caller sees it.
            failed: Future[Prepared | Unreadable] = Future()
            failed.set_exception(error)
            put(failed)
        put(None)

    try:  # Ctrl-C may come as early as the first thread.
        # A daemon, since it may wait for a line on standard input that never comes.
        threading.Thread(target=feed, name="pyrite-feed", daemon=True).start()
        for batch in _gather(pending, batch_size):
            yield from score(batch)
    finally:
        closed.set()
        pool.shutdown(cancel_futures=True)


def _gather(pending: "Queue[Future[_Result] | None]", size: int) -> Iterator[list[_Result]]:
    """Yield the results in order until `None`, up to `size` at a time, and fewer where the next keeps one waiting."""
    batch: list[_Result] = []
    until = 0.0
    while True:
        try:
            item = pending.get(timeout=_left(until) if batch else None)
        except Empty:
            yield batch
            batch = []
            continue
        if item is None:
            break
        if batch and not _succeeds(item, until):
            yield batch
            batch = []
        batch.append(item.result())
        if len(batch) == 1:
            until = time.monotonic() + _PATIENCE
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _succeeds(item: "Future[_Result]", until: float) -> bool:
    try:
        return item.exception(timeout=_left(until)) is None
    except TimeoutError:
        return False


def _left(until: float) -> float:
    return max(0.0, until - time.monotonic())
