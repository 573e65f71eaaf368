"""What a server does with images: places for them, decoding, scoring and explaining, each within its bounds."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from pyrite.decision import Policy
from pyrite.detector import Detector, Prepared, Unreadable
from pyrite.errors import PyriteError, SettingsError
from pyrite.evidence import Trust, load_trust
from pyrite.golden import check_device
from pyrite.rendering.text import outcome
from pyrite.results import Detection
from pyrite.runtime import available_cpus
from pyrite.serving.decoders import Decoders, Lost, Pool
from pyrite.serving.explaining import Asked, Explained, explain, trace
from pyrite.serving.metrics import Metrics
from pyrite.serving.refusal import Refusal, busy
from pyrite.serving.scoring import Scorer
from pyrite.serving.settings import ServerSettings, limits_of
from pyrite.serving.uploads import Coming, Upload, find_slowest, give_way, upload_folder

_Result = TypeVar("_Result")


class Places:
    """Room for so many; who finds none is told at once instead of waiting."""

    def __init__(self, number: int, code: str, what: str, *, make_room: Callable[[], bool] = lambda: False) -> None:
        """Take how many there are, what to answer when they are taken, and what may get one back in a moment."""
        self.taken, self._number, self._make_room = 0, number, make_room
        self._code, self._sentence = code, f"The server has no room for more {what} now. Try again in a second."

    def full(self, coming: int = 0) -> bool:
        """Say whether all are taken, or will be in a moment by so many, with those that have one already."""
        return max(self.taken, coming) >= self._number

    @property
    def refusal(self) -> Refusal:
        """What to answer when they are."""
        return busy(self._code, self._sentence)

    def check(self, wanted: int = 1) -> None:
        """Refuse where there is no room.

        Raises:
            Refusal: 503, with when to come again.
        """
        if self.taken + wanted > self._number and not self._make_room():
            raise self.refusal

    @contextmanager
    def take(self, wanted: int = 1) -> Iterator[None]:
        """Hold places for a while.

        Raises:
            Refusal: As `check` does.
        """
        self.check(wanted)
        self.taken += wanted
        try:
            yield
        finally:
            self.taken -= wanted


class Service:
    """A detector with everything around it that a server needs; made outside of the event loop, used within."""

    def __init__(self, settings: ServerSettings) -> None:
        """Load the bundle.

        Raises:
            PyriteError: The bundle, the error budget or the trust anchors cannot be used.
        """
        self.settings = settings
        self.limits = limits_of(settings)
        self.detector = Detector(
            settings.bundle,
            bundles=settings.bundles,
            max_fpr=settings.max_fpr,
            allow_real=settings.allow_real,
            trust=_load_trust(settings),
            limits=self.limits,
            threads=settings.threads,
            device=settings.device,
        )
        check_device(self.detector)
        self.places = Places(settings.queue, "queue_full", "images")
        self.receiving: set[Coming] = set()
        self.uploads = Places(settings.uploads, "uploads_full", "uploads", make_room=lambda: give_way(self.receiving))
        self.explanations = Places(settings.explanations, "explanations_full", "explanations")
        self.metrics = Metrics(lambda: self.places.taken)
        self._work: list[asyncio.Task[None]] = []
        self.folder = Path()
        """For uploads that are not kept in memory."""

    def lacking(self, requests: int) -> Places | None:
        """Return what has no room for one more request than these, nor can make any."""
        if self.places.full():
            return self.places
        return self.uploads if self.uploads.full(requests) and not find_slowest(self.receiving) else None

    @property
    def ready(self) -> bool:
        """Whether images can be taken: it runs, and nothing that it needs has failed."""
        return bool(self._work) and not any(task.done() for task in self._work)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start the processes, and end them afterwards."""
        settings = self.settings
        reader = self.detector.reader
        workers = settings.decoders or math.ceil(available_cpus() / 2)
        self._scorer = Scorer(self.detector, size=settings.batch, seen=self.metrics.batch)
        with upload_folder() as self.folder:
            self._decoders = Decoders(
                reader,
                workers=workers,
                seconds=settings.decode_seconds,
                killed=self.metrics.killed,
                readable=[self.folder],
            )
            bundles = [Path(bundle.path) for bundle in self.detector.bundles if bundle.path]
            # The drivers of accelerators use what the sandbox has not.
            confined = self.detector.device == "cpu"
            self._explainer = Pool(1, reader, [self.folder, *bundles], confined=confined)
            work = [asyncio.create_task(self._decoders.work()), asyncio.create_task(self._scorer.work())]
            try:
                await self._decoders.warm()
                self._work = work
                yield
            finally:
                self._work = []
                for task in work:
                    task.cancel()
                await asyncio.gather(*work, return_exceptions=True)
                self._decoders.close()
                self._explainer.close()
                self._scorer.close()

    async def detect(self, uploads: Sequence[Upload], policy: Policy) -> list[Detection]:
        """Judge images, in their order.

        Raises:
            Refusal: There is no room for so many now, or they take too long.
            PyriteError: The model fails.
        """
        with self.places.take(len(uploads)):
            work = [asyncio.ensure_future(self._detect(upload, policy)) for upload in uploads]
            try:
                async with asyncio.timeout(self.settings.request_seconds):
                    return await asyncio.gather(*work)
            except TimeoutError:
                sentence = f"This took more than the {self.settings.request_seconds:g} seconds that a request may take."
                raise Refusal(504, "timed_out", sentence) from None
            finally:
                for task in work:
                    task.cancel()

    async def explain(self, upload: Upload, policy: Policy) -> Explained:
        """Explain the score of one image.

        Raises:
            Refusal: The image cannot be read, there is no room for it now, or it takes too long.
            PyriteError: The model fails.
        """
        bundles = tuple((str(bundle.path), bundle.model_sha256) for bundle in self.detector.bundles)
        joint = self.detector.panel.calibration
        calibration = None if joint is None else msgspec.json.encode(joint, order="sorted")
        asked = Asked(bundles, calibration, self.detector.device, upload.source, upload.name, policy)
        return await self._in_explainer(upload, explain, asked)

    async def trace(self, upload: Upload) -> bytes:
        """Return the history of one image, as JSON.

        Raises:
            Refusal: The image cannot be read, there is no room for it now, or it takes too long.
        """
        return await self._in_explainer(upload, trace, upload.source, upload.name)

    async def _in_explainer(
        self, upload: Upload, function: Callable[..., _Result | Unreadable], *arguments: object
    ) -> _Result:
        """Call a function in the process for explanations, which no image may hold that takes long to decode."""
        with self.explanations.take():
            found: Prepared | _Result | Unreadable
            try:
                async with asyncio.timeout(self.settings.request_seconds):
                    found = await self._decode(upload)
                    if not isinstance(found, Unreadable):
                        found = await self._explainer.run(function, *arguments, seconds=self.settings.request_seconds)
            except (TimeoutError, Lost) as error:
                if isinstance(error, Lost):
                    self.metrics.killed()
                    if not error.slow:
                        failure = error.failure(0)
                        raise Refusal(422, failure.code, failure.message) from None
                sentence = f"This took more than the {self.settings.request_seconds:g} seconds that a request may take."
                raise Refusal(504, "timed_out", sentence) from None
        if isinstance(found, Unreadable):
            raise Refusal(422, found.error.code, found.error.message)
        return found

    async def _decode(self, upload: Upload) -> Prepared | Unreadable:
        job = self._decoders.submit(upload.source, upload.name)
        try:
            return await job.found
        finally:
            job.cancel()

    async def _detect(self, upload: Upload, policy: Policy) -> Detection:
        detection = await self._scorer.submit(await self._decode(upload), policy)
        self.metrics.image(outcome(detection))
        return detection


def _load_trust(settings: ServerSettings) -> Trust:
    try:
        return load_trust(settings.trust, settings.trust_anchors)
    except PyriteError as error:
        raise SettingsError(f"The trust lists cannot be used: {error}") from error
