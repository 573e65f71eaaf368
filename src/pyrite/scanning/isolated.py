"""Judging in a process of its own, which may hang, crash or run out of memory: that costs an image and no more.

The process is this module, run as a program. It reads batches of sources from standard input and writes detections to
standard output, and the kernel ends it where an image takes too long, even in a decoder that never returns.
"""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pyrite.bundle import JointCalibration, Panel
from pyrite.detector import Detector, crashed, timed_out
from pyrite.errors import ScanError
from pyrite.image import Image
from pyrite.results import Detection, Failure
from pyrite.scanning.near_duplicates import perceptual_hash
from pyrite.scanning.shipping import Parcel, receive
from pyrite.scanning.task import ScanSettings

_START = 300  # seconds to load a bundle
_ATTEMPTS = 2  # at an image by itself: the first may have been ended for what others did


Judged = tuple[Detection, int | None]
"""An image, and its perceptual hash if that is wanted."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """The process ended over a batch."""

    failure: Failure
    late: bool


class IsolatedDetector:
    """A process that judges batches, and is started again whenever one ends it."""

    def __init__(
        self, bundles: Sequence[Parcel], settings: ScanSettings, calibration: JointCalibration | None = None
    ) -> None:
        """Remember what to start; that is done with the first batch."""
        self._bundles, self._settings, self._calibration = tuple(bundles), settings, calibration
        self._process: subprocess.Popen[bytes] | None = None

    def judge(self, sources: Sequence[str | bytes]) -> list[Judged | Failure]:
        """Judge a batch; an image that ends the process by itself gives a failure.

        What the others get does not depend on when the process was ended: they are scored as one batch in any case.

        Raises:
            ScanError: The process cannot even be started.
        """
        if not sources:
            return []
        found = self._ask(sources)
        if not isinstance(found, _Ended):
            return list(found)
        alone = [self._alone(source) for source in sources]
        good = [source for source, result in zip(sources, alone, strict=True) if not isinstance(result, Failure)]
        together = self._ask(good) if good else []
        if isinstance(together, _Ended):
            return alone
        rest = iter(together)
        return [result if isinstance(result, Failure) else next(rest) for result in alone]

    def close(self) -> None:
        """End the process."""
        if self._process:
            self._process.kill()
            self._reap()

    def _alone(self, source: str | bytes) -> Judged | Failure:
        for attempt in range(1, _ATTEMPTS + 1):
            found = self._ask([source])
            if not isinstance(found, _Ended):
                return found[0]
            if found.late or attempt == _ATTEMPTS:
                return found.failure
        raise AssertionError

    def _ask(self, sources: Sequence[str | bytes]) -> list[Judged] | _Ended:
        process = self._process or self._start()
        try:
            found: list[Judged] = self._exchange(process, list(sources))
        except (OSError, EOFError, pickle.UnpicklingError):
            code = self._reap()
            if code == -signal.SIGALRM:
                return _Ended(timed_out(self._settings.timeout), late=True)
            return _Ended(crashed(signal.Signals(-code).name if code < 0 else f"code {code}"), late=False)
        return found

    def _start(self) -> subprocess.Popen[bytes]:
        self._bundles = tuple(map(receive, self._bundles))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pyrite.scanning.isolated"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            ready = self._exchange(self._process, (self._bundles, self._settings, self._calibration))
        except (OSError, EOFError, pickle.UnpicklingError):
            raise ScanError(f"The process that decodes ended as it was started, with {self._reap()}.") from None
        if isinstance(ready, Exception):
            self.close()
            raise ready
        return self._process

    def _exchange(self, process: subprocess.Popen[bytes], request: object) -> Any:
        assert process.stdin
        assert process.stdout
        process.stdin.write(pickle.dumps(request))
        process.stdin.flush()
        return pickle.load(process.stdout)

    def _reap(self) -> int:
        process, self._process = self._process, None
        assert process
        assert process.stdin
        assert process.stdout
        # What it was not sent any more cannot be flushed.
        with contextlib.suppress(OSError):
            process.stdin.close()
        process.stdout.close()
        return process.wait()


def _serve() -> None:
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # What a decoder prints is no answer.
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # It ends with whoever feeds it.
    signal.alarm(_START)
    bundles, settings, calibration = pickle.load(requests)
    detector: Detector | Exception
    try:
        _limit_memory(settings.memory + sum(bundle.size for bundle in bundles))
        detector = Detector(
            Panel(tuple(bundle.open() for bundle in bundles), calibration),
            max_fpr=settings.max_fpr,
            allow_real=settings.allow_real,
            evidence=settings.evidence,
            trust=settings.trust,
            limits=settings.limits,
            device=settings.device,
            threads=1,
        )
    except Exception as error:
        detector = error
    signal.alarm(0)
    _answer(answers, detector if isinstance(detector, Exception) else None)
    while isinstance(detector, Detector):
        try:
            sources = pickle.load(requests)
        except EOFError:
            return
        found = _judge(detector, sources, settings)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _answer(answers, found)


def _judge(detector: Detector, sources: Sequence[str | bytes], settings: ScanSettings) -> list[Judged]:
    """Judge a batch. What is scored together is left to no clock, so that its figures are the same each time."""
    hashes: list[int | None] = []

    def look(image: Image) -> None:
        if settings.near_duplicates:
            hashes[-1] = perceptual_hash(image)

    prepared = []
    for source in sources:
        hashes.append(None)
        signal.setitimer(signal.ITIMER_REAL, settings.timeout)
        prepared.append(detector.reader.read(source, look=look))
    signal.setitimer(signal.ITIMER_REAL, settings.timeout)
    return list(zip(detector.score(prepared, [detector.policy] * len(prepared)), hashes, strict=True))


def _answer(answers: Any, value: object) -> None:
    pickle.dump(value, answers)
    answers.flush()


def _limit_memory(size: int) -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):  # Where the system knows no such limit.
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (size, size))


if __name__ == "__main__":
    _serve()
