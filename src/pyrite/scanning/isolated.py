"""Judging in a sandbox, where files may hang, crash or take over a decoder: that costs images and no more.

The kernel ends the process where an image takes too long, even in a decoder that never returns.
"""

import contextlib
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from pyrite.bundle import JointCalibration, Panel
from pyrite.detector import Detector, crashed, timed_out
from pyrite.errors import ScanError
from pyrite.image import Image
from pyrite.results import Detection, Failure
from pyrite.sandbox import Ended, Process, confine
from pyrite.scanning.near_duplicates import perceptual_hash
from pyrite.scanning.shipping import Parcel, receive
from pyrite.scanning.task import ScanSettings

_START = 300.0  # seconds to load a bundle
_SPARE = 30.0  # seconds beside those of each image, before a batch's process is killed from outside
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
        self._process: Process | None = None

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
            self._process.close()
            self._process = None

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
        seconds = (len(sources) + 1) * self._settings.timeout + _SPARE
        try:
            return list(process.call(_judge, list(sources), seconds=seconds))
        except Ended as ended:
            self._process = None
            return _Ended(timed_out(self._settings.timeout) if ended.late else crashed(ended.how), late=ended.late)

    def _start(self) -> Process:
        self._bundles = tuple(map(receive, self._bundles))
        # The drivers of accelerators use what the sandbox has not, until the model is loaded.
        self._process = process = Process(confined=self._settings.device == "cpu")
        try:
            process.call(_begin, self._bundles, self._settings, self._calibration, seconds=_START)
        except Ended as ended:
            self._process = None
            raise ScanError(f"The process that reads images could not start: it ended with {ended.how}.") from None
        except Exception:
            self.close()
            raise
        return process


_begun: list[tuple[Detector, ScanSettings]] = []  # One, in such a process; none elsewhere.


def _begin(bundles: Sequence[Parcel], settings: ScanSettings, calibration: JointCalibration | None) -> None:
    """Load what judges, in a process that has been started for it."""
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
    if settings.device != "cpu":
        confine()
    _begun.append((detector, settings))


def _judge(sources: Sequence[str | bytes]) -> list[Judged]:
    """Judge a batch, in such a process.

    What is scored together is left to no clock, so that its figures are the same each time.
    """
    detector, settings = _begun[-1]
    hashes: list[int | None] = []

    def look(image: Image) -> None:
        if settings.near_duplicates:
            hashes[-1] = perceptual_hash(image)

    prepared = []
    for source in sources:
        hashes.append(None)
        signal.setitimer(signal.ITIMER_REAL, settings.timeout)
        prepared.append(detector.reader.read(source, look=look))
    signal.setitimer(signal.ITIMER_REAL, settings.timeout)  # And the process itself ends that one.
    return list(zip(detector.score(prepared, [detector.policy] * len(prepared)), hashes, strict=True))


def _limit_memory(size: int) -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):  # Where the system knows no such limit.
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (size, size))
