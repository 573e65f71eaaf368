"""What a server does with images: places for them, decoding, scoring and explaining, each within its bounds."""

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from pyrite.decision import Policy
from pyrite.detector import Detector, Prepared, Unreadable
from pyrite.errors import PyriteError, SettingsError
from pyrite.evidence import Trust, load_trust
from pyrite.golden import check_device
from pyrite.image import Header, read_header
from pyrite.rendering.text import outcome
from pyrite.results import Detection
from pyrite.runtime import available_cpus
from pyrite.serving.decoders import Decoders, Lost, Pool, weigh
from pyrite.serving.explaining import Asked, Explained, draw_small, explain, trace
from pyrite.serving.fair import SHARE, Asker, Turns
from pyrite.serving.metrics import Metrics
from pyrite.serving.rates import RateLimits
from pyrite.serving.refusal import Refusal, busy
from pyrite.serving.scoring import Scorer
from pyrite.serving.settings import ServerSettings, limits_of
from pyrite.serving.uploads import HEAD, Coming, Upload, find_slowest, give_way, upload_folder

_Result = TypeVar("_Result")


class Places:
    """Room for so many, of which one client has a share; who finds none is told at once instead of waiting.

    A client that has places gets more as long as it then has no more than `SHARE` for each that is left free: three
    quarters where it is alone, three sevenths where there are two. (Choudhury and Hahne, 1998: dynamic thresholds.)
    """

    def __init__(
        self, number: int, code: str, what: str, *, make_room: Callable[[str | None], bool] = lambda client: False
    ) -> None:
        """Take how many there are, what to answer when they are taken, and what may get one back in a moment.

        That takes the client of whose places one is wanted, or `None` where any will do.
        """
        self.taken, self._number, self._make_room = 0, number, make_room
        self._of: Counter[str] = Counter()
        self._code, self._what = code, what

    def full(self, client: str | None = None, coming: int = 0) -> bool:
        """Say whether a client would get none, or anybody.

        Args:
            client: Who; by default, anybody.
            coming: How many will be taken in a moment, with those that are.
        """
        return max(self.taken, coming) >= self._number or (client is not None and self._has_its_share(client, 1))

    def refusal(self, client: str | None = None) -> Refusal:
        """Return what to answer then."""
        of_yours = " of yours" if client is not None and self._of[client] else ""
        return busy(self._code, f"The server has no room for more {self._what}{of_yours} now. Try again in a second.")

    def check(self, client: str, wanted: int = 1) -> None:
        """Refuse where there is no room.

        Raises:
            Refusal: 503, with when to come again.
        """
        full = self.taken + wanted > self._number
        if (full or self._has_its_share(client, wanted)) and not self._make_room(None if full else client):
            raise self.refusal(client)

    @contextmanager
    def take(self, client: str, wanted: int = 1) -> Iterator[None]:
        """Hold places for a while.

        Raises:
            Refusal: As `check` does.
        """
        self.check(client, wanted)
        self.taken += wanted
        self._of[client] += wanted
        try:
            yield
        finally:
            self.taken -= wanted
            self._of[client] -= wanted
            if not self._of[client]:
                del self._of[client]

    def _has_its_share(self, client: str, wanted: int) -> bool:
        has = self._of[client]
        return has > 0 and has + wanted > SHARE * (self._number - self.taken - wanted)


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
        self.uploads = Places(settings.uploads, "uploads_full", "uploads", make_room=partial(give_way, self.receiving))
        self.explanations = Places(settings.explanations, "explanations_full", "explanations")
        self.rates = RateLimits(settings)
        self.metrics = Metrics(lambda: self.places.taken)
        self._work: list[asyncio.Task[None]] = []
        self.folder = Path()
        """For uploads that are not kept in memory."""

    def lacking(self, client: str | None, requests: int) -> Places | None:
        """Return what has no room for one more request than these, nor can make any.

        Args:
            client: Whose request; `None` for anybody's.
            requests: How many are in already.
        """
        if self.places.full(client):
            return self.places
        return self.uploads if self.uploads.full(client, requests) and not find_slowest(self.receiving) else None

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
        self._explaining = Turns(1)
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

    async def detect(self, uploads: Sequence[Upload], policy: Policy, asker: Asker) -> list[Detection]:
        """Judge images, in their order.

        Raises:
            Refusal: There is no room for so many now, they are more than a rate limit allows, or take too long.
            PyriteError: The model fails.
        """
        with self.places.take(asker.client, len(uploads)):
            headers = self._look(uploads, asker)
            work = [
                asyncio.ensure_future(self._detect(upload, header, policy, asker))
                for upload, header in zip(uploads, headers, strict=True)
            ]
            try:
                async with asyncio.timeout(self.settings.request_seconds):
                    return await asyncio.gather(*work)
            except TimeoutError:
                sentence = f"This took more than the {self.settings.request_seconds:g} seconds that a request may take."
                raise Refusal(504, "timed_out", sentence) from None
            finally:
                for task in work:
                    task.cancel()

    async def explain(self, upload: Upload, policy: Policy, asker: Asker) -> Explained:
        """Explain the score of one image.

        Raises:
            Refusal: The image cannot be read, there is no room for it now, or it takes too long.
            PyriteError: The model fails.
        """
        bundles = tuple((str(bundle.path), bundle.model_sha256) for bundle in self.detector.bundles)
        joint = self.detector.panel.calibration
        calibration = None if joint is None else msgspec.json.encode(joint, order="sorted")
        asked = Asked(bundles, calibration, self.detector.device, upload.source, upload.name, policy)
        return await self._in_explainer(upload, asker, explain, asked)

    async def trace(self, upload: Upload, asker: Asker) -> bytes:
        """Return the history of one image, as JSON.

        Raises:
            Refusal: The image cannot be read, there is no room for it now, or it takes too long.
        """
        return await self._in_explainer(upload, asker, trace, upload.source, upload.name)

    async def draw_small(self, upload: Upload, asker: Asker) -> bytes:
        """Return one image as a small picture, as JSON.

        Raises:
            Refusal: As `trace` does.
        """
        return await self._in_explainer(upload, asker, draw_small, upload.source, upload.name)

    async def _in_explainer(
        self, upload: Upload, asker: Asker, function: Callable[..., _Result | Unreadable], *arguments: object
    ) -> _Result:
        """Call a function in the process for explanations, which no image may hold that takes long to decode."""
        with self.explanations.take(asker.client):
            [header] = self._look([upload], asker)
            found: Prepared | _Result | Unreadable
            try:
                async with asyncio.timeout(self.settings.request_seconds):
                    found = await self._decode(upload, header, asker)
                    if not isinstance(found, Unreadable):
                        async with self._explaining.take(asker):
                            seconds = self.settings.request_seconds
                            found = await self._explainer.run(function, *arguments, seconds=seconds)
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

    def _look(self, uploads: Sequence[Upload], asker: Asker) -> list[Header | None]:
        """Return what files say of themselves, and count them as that."""
        headers = [read_header(upload.head()) for upload in uploads]
        # What cannot be told is as much as it can be.
        most = self.limits.max_pixels
        pixels = sum(most if header is None else min(header.pixels, most) for header in headers)
        self.rates.count(asker.client, images=len(uploads), pixels=pixels)
        return headers

    async def _decode(self, upload: Upload, header: Header | None, asker: Asker) -> Prepared | Unreadable:
        weight = weigh(header if upload.size <= HEAD else None, upload.size)
        return await self._decoders.decode(upload.source, upload.name, asker, weight)

    async def _detect(self, upload: Upload, header: Header | None, policy: Policy, asker: Asker) -> Detection:
        detection = await self._scorer.submit(await self._decode(upload, header, asker), policy, asker)
        self.metrics.image(outcome(detection))
        return detection


def _load_trust(settings: ServerSettings) -> Trust:
    try:
        return load_trust(settings.trust, settings.trust_anchors)
    except PyriteError as error:
        raise SettingsError(f"The trust lists cannot be used: {error}") from error
