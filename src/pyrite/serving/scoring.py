"""Scoring in batches: whatever has come while the model was at work is its next batch."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pyrite.decision import Policy
from pyrite.detector import Detector, Prepared, Unreadable
from pyrite.errors import PyriteError
from pyrite.results import Detection
from pyrite.serving.fair import Asker, FairQueue


@dataclass(slots=True, eq=False)
class _Decoded:
    asker: Asker
    found: Prepared | Unreadable
    policy: Policy
    result: asyncio.Future[Detection]
    weight: float = 1.0

    @property
    def gone(self) -> bool:
        return self.result.done()


class Scorer:
    """One thread for the model. An image never waits for more to come, and those of all clients take turns."""

    def __init__(self, detector: Detector, *, size: int, seen: Callable[[int], None]) -> None:
        """Take what scores.

        Args:
            detector: Shared with nobody else.
            size: Images in a batch, at most.
            seen: Called with the size of each batch.
        """
        self._detector, self._size, self._seen = detector, size, seen
        self._queue: FairQueue[_Decoded] = FairQueue()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pyrite-score")

    def submit(self, found: Prepared | Unreadable, policy: Policy, asker: Asker) -> asyncio.Future[Detection]:
        """Take a decoded image in; cancelling what is returned gives it up."""
        result: asyncio.Future[Detection] = asyncio.get_running_loop().create_future()
        self._queue.put(_Decoded(asker, found, policy, result))
        return result

    async def work(self) -> None:
        """Go on until cancelled."""
        while True:
            batch = [await self._queue.get()]
            while len(batch) < self._size and (item := self._queue.pop()):
                batch.append(item)
            self._seen(len(batch))
            await self._score(batch)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    async def _score(self, batch: Sequence[_Decoded]) -> None:
        found, policies = [item.found for item in batch], [item.policy for item in batch]
        loop = asyncio.get_running_loop()
        try:
            detections = await loop.run_in_executor(self._thread, self._detector.score, found, policies)
        except PyriteError as error:
            if len(batch) == 1:
                _settle(batch[0], error)
                return
            # One that the model fails on must not fail the others.
            for item in batch:
                await self._score([item])
            return
        except Exception as error:
            for item in batch:
                _settle(item, error)
            return
        for item, detection in zip(batch, detections, strict=True):
            _settle(item, detection)


def _settle(item: _Decoded, what: Detection | Exception) -> None:
    if item.result.done():
        return
    if isinstance(what, Exception):
        item.result.set_exception(what)
    else:
        item.result.set_result(what)
