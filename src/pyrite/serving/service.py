"""What a server does with images: places for them, decoding, scoring and explaining, each within its bounds."""

import asyncio
import logging
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from pyrite.bundle import Panel
from pyrite.decision import Policy
from pyrite.detector import Detector, Prepared, Unreadable
from pyrite.errors import PyriteError, SettingsError
from pyrite.evidence import Trust, load_trust
from pyrite.evidence.watermarks import weights_folders
from pyrite.golden import check_device
from pyrite.image import Header, read_header
from pyrite.rendering.text import outcome
from pyrite.results import Detection
from pyrite.runtime import available_cpus
from pyrite.serving.decoders import Decoders, Lost, Pool, Tell, weigh
from pyrite.serving.explaining import Asked, Explained, draw_small, explain, trace
from pyrite.serving.fair import SHARE, Asker, Turns
from pyrite.serving.holdings import WHAT, Held, Holdings
from pyrite.serving.keys import read_keys
from pyrite.serving.metrics import Metrics
from pyrite.serving.rates import RateLimits
from pyrite.serving.record import Record
from pyrite.serving.refusal import Refusal, busy
from pyrite.serving.scoring import Scorer
from pyrite.serving.settings import ServerSettings, limits_of, reload_keys
from pyrite.serving.shared_rates import RemoteRates
from pyrite.serving.uploads import HEAD, Coming, Upload, find_slowest, give_way, upload_folder

_Result = TypeVar("_Result")
Reload = Callable[[], ServerSettings] | None
_log = logging.getLogger("pyrite.serving")


@dataclass(frozen=True)
class Shared:
    """What the workers of one server share."""

    holdings: Holdings
    rates: RemoteRates
    """Counts for the rate limits."""
    folder: Path
    """Where they leave their counters for Prometheus."""


class Places:
    """Room for so many, of which one client has a share; who finds none is told at once instead of waiting.

    A client that has places gets more as long as it then has no more than `SHARE` for each that is left free: three
    quarters where it is alone, three sevenths where there are two. (Choudhury and Hahne, 1998: dynamic thresholds.)
    Each of several workers knows what a client has of it alone.
    """

    def __init__(
        self,
        number: int,
        code: str,
        what: str,
        held: Held,
        *,
        make_room: Callable[[str | None], bool] = lambda client: False,
    ) -> None:
        """Take how many there are.

        Args:
            number: For all workers.
            code: What to answer when they are taken.
            what: They are for.
            held: How many are taken.
            make_room: What may get one back in a moment; it takes the client of whose places one is wanted, or `None`
                where any will do.
        """
        self._held, self._number, self._make_room = held, number, make_room
        self._of: Counter[str] = Counter()
        self._code, self._what = code, what

    def full(self, client: str | None = None, coming: int = 0) -> bool:
        """Say whether a client would get none, or anybody.

        Args:
            client: Who; by default, anybody.
            coming: How many will be taken of this worker in a moment, with those that are.
        """
        taken = self._held.all + max(0, coming - self._held.mine)
        return taken >= self._number or (client is not None and self._has_its_share(client, 1))

    def refusal(self, client: str | None = None) -> Refusal:
        """Return what to answer then."""
        of_yours = " of yours" if client is not None and self._of[client] else ""
        return busy(self._code, f"The server has no room for more {self._what}{of_yours} now. Try again in a second.")

    def check(self, client: str, wanted: int = 1) -> None:
        """Refuse where there is no room.

        Raises:
            Refusal: 503, with when to come again.
        """
        full = self._held.all + wanted > self._number
        if (full or self._has_its_share(client, wanted)) and not self._make_room(None if full else client):
            raise self.refusal(client)

    @contextmanager
    def take(self, client: str, wanted: int = 1) -> Iterator[None]:
        """Hold places for a while.

        Raises:
            Refusal: As `check` does.
        """
        self.check(client, wanted)
        self._held.mine += wanted
        self._of[client] += wanted
        try:
            yield
        finally:
            self._held.mine -= wanted
            self._of[client] -= wanted
            if not self._of[client]:
                del self._of[client]

    def _has_its_share(self, client: str, wanted: int) -> bool:
        has = self._of[client]
        return has > 0 and has + wanted > SHARE * (self._number - self._held.all - wanted)


class Service:
    """A detector with everything around it that a server needs; made outside of the event loop, used within."""

    def __init__(
        self,
        settings: ServerSettings,
        *,
        panel: Panel | None = None,
        shared: Shared | None = None,
        reload: Reload = None,
    ) -> None:
        """Load the bundle.

        Args:
            settings: How to serve.
            panel: What judges, if it is loaded already.
            shared: What this worker shares with others, if there are any.
            reload: Reads the settings again, for their keys.

        Raises:
            PyriteError: The bundle, the error budget or the trust anchors cannot be used.
        """
        self.settings = settings
        self.limits = limits_of(settings)
        self.detector = Detector(
            panel or settings.bundle,
            bundles=() if panel else settings.bundles,
            max_fpr=settings.max_fpr,
            allow_real=settings.allow_real,
            trust=_load_trust(settings),
            limits=self.limits,
            threads=settings.threads or max(1, available_cpus() // settings.workers),
            device=settings.device,
        )
        check_device(self.detector)
        holdings = shared.holdings.claim() if shared else {what: Held() for what in WHAT}
        self.places = Places(settings.queue, "queue_full", "images", holdings["images"])
        self.receiving: set[Coming] = set()
        self.uploads = Places(
            settings.uploads,
            "uploads_full",
            "uploads",
            holdings["uploads"],
            make_room=partial(give_way, self.receiving),
        )
        self.explanations = Places(settings.explanations, "explanations_full", "explanations", holdings["explanations"])
        self.rates = RateLimits(settings, shared.rates.storage() if shared else None)
        self.metrics = Metrics(
            {what: lambda held=held: held.all for what, held in holdings.items()},  # type: ignore[misc]
            self.detector.bundles,
            self.detector.device,
            shared.folder if shared else None,
        )
        self.keys = read_keys(settings.api_keys)
        """Who may ask; anyone without any."""
        self.requests: set[asyncio.Task[Any]] = set()
        """That are being answered."""
        self.draining = False
        """Whether it was told to stop."""
        self._reload, self._warm = reload, False
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
        return self._warm and bool(self._work) and not self.draining and not any(task.done() for task in self._work)

    def note(self, code: str, record: Record) -> None:
        """Note the code of the error that a request is answered with."""
        record.code = code
        self.metrics.rejection(code)

    def drain(self) -> None:
        """Say that it is about to stop, and go on meanwhile."""
        self.draining = True
        _log.info("stopping", extra={"fields": {"drain_seconds": self.settings.drain_seconds}})

    def abandon(self) -> None:
        """Give up every request that is not answered yet."""
        _log.warning("stopped before all was answered", extra={"fields": {"requests": len(self.requests)}})
        for request in self.requests:
            request.cancel()

    def reload_keys(self) -> None:
        """Read the keys again, and go on with those that there were where that fails."""
        try:
            self.settings = reload_keys(self.settings, self._reload)
        except SettingsError as error:
            _log.error("the keys were not read again", extra={"fields": {"error": str(error)}})
            return
        self.keys = read_keys(self.settings.api_keys)
        _log.info("keys were read again", extra={"fields": {"keys": len(self.keys)}})

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start the processes, which takes a while longer than it takes to get in here, and end them afterwards."""
        settings = self.settings
        reader = self.detector.reader
        workers = settings.decoders or math.ceil(available_cpus() / 2)
        self._scorer = Scorer(self.detector, size=settings.batch, seen=self.metrics.batch)
        self._explaining = Turns(1)
        with upload_folder() as self.folder:
            self._decoders = Decoders(
                reader,
                workers=math.ceil(workers / settings.workers),
                seconds=settings.decode_seconds,
                killed=self.metrics.killed,
                readable=[self.folder, *weights_folders()],
            )
            bundles = [Path(bundle.path) for bundle in self.detector.bundles if bundle.path]
            # The drivers of accelerators use what the sandbox has not.
            confined = self.detector.device == "cpu"
            self._explainer = Pool(1, reader, [self.folder, *bundles], confined=confined)
            self._work = [asyncio.create_task(self._decoders.work()), asyncio.create_task(self._scorer.work())]
            starting = asyncio.create_task(self._start())
            try:
                yield
            finally:
                work, self._work = self._work, []
                for task in (starting, *work):
                    task.cancel()
                await asyncio.gather(starting, *work, return_exceptions=True)
                self._decoders.close()
                self._explainer.close()
                self._scorer.close()

    async def _start(self) -> None:
        try:
            await self._decoders.warm()
        except Exception:
            _log.exception("no decoder starts, so the server does not get ready")
            return
        self._warm = True
        _log.info("ready")

    async def detect(self, uploads: Sequence[Upload], policy: Policy, asker: Asker, record: Record) -> list[Detection]:
        """Judge images, in their order.

        Args:
            uploads: The images.
            policy: What decides.
            asker: Who waits for them.
            record: Notes how long they are decoded and scored, with what each waits for that.

        Raises:
            Refusal: There is no room for so many now, they are more than a rate limit allows, or take too long.
            PyriteError: The model fails.
        """
        with self.places.take(asker.client, len(uploads)):
            headers = self._look(uploads, asker)
            work = [
                asyncio.ensure_future(self._detect(upload, header, policy, asker, record))
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

    async def explain(
        self,
        upload: Upload,
        policy: Policy,
        asker: Asker,
        record: Record,
        tell: Tell = lambda done, total: None,
    ) -> Explained:
        """Explain the score of one image.

        Args:
            upload: The image.
            policy: What decides.
            asker: Who waits for it.
            record: Notes how long it takes.
            tell: Called with the number of model inputs scored so far, and the number in all.

        Raises:
            Refusal: The image cannot be read, there is no room for it now, or it takes too long.
            PyriteError: The model fails.
        """
        bundles = tuple((str(bundle.path), bundle.model_sha256) for bundle in self.detector.bundles)
        joint = self.detector.panel.calibration
        calibration = None if joint is None else msgspec.json.encode(joint, order="sorted")
        asked = Asked(bundles, calibration, self.detector.device, upload.source, upload.name, policy)
        return await self._in_explainer(upload, asker, record, explain, asked, tell=tell)

    async def trace(self, upload: Upload, asker: Asker, record: Record) -> bytes:
        """Return the history of one image, as JSON.

        Raises:
            Refusal: The image cannot be read, there is no room for it now, or it takes too long.
        """
        return await self._in_explainer(upload, asker, record, trace, upload.source, upload.name)

    async def draw_small(self, upload: Upload, asker: Asker, record: Record) -> bytes:
        """Return one image as a small picture, as JSON.

        Raises:
            Refusal: As `trace` does.
        """
        return await self._in_explainer(upload, asker, record, draw_small, upload.source, upload.name)

    async def _in_explainer(
        self,
        upload: Upload,
        asker: Asker,
        record: Record,
        function: Callable[..., _Result | Unreadable],
        *arguments: object,
        tell: Tell = lambda done, total: None,
    ) -> _Result:
        """Call a function in the process for explanations, which no image may hold that takes long to decode."""
        with self.explanations.take(asker.client):
            [header] = self._look([upload], asker)
            found: Prepared | _Result | Unreadable
            try:
                async with asyncio.timeout(self.settings.request_seconds):
                    with record.timing("decode"):
                        found = await self._decode(upload, header, asker)
                    if not isinstance(found, Unreadable):
                        with record.timing("explain"):
                            async with self._explaining.take(asker):
                                found = await self._explainer.run_telling(
                                    tell, function, *arguments, seconds=self.settings.request_seconds
                                )
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

    async def _detect(
        self, upload: Upload, header: Header | None, policy: Policy, asker: Asker, record: Record
    ) -> Detection:
        with record.timing("decode"):
            found = await self._decode(upload, header, asker)
        with record.timing("score"):
            detection = await self._scorer.submit(found, policy, asker)
        self.metrics.image(outcome(detection))
        return detection


def _load_trust(settings: ServerSettings) -> Trust:
    try:
        return load_trust(settings.trust, settings.trust_anchors)
    except PyriteError as error:
        raise SettingsError(f"The trust lists cannot be used: {error}") from error
