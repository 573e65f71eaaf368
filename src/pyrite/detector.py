"""From images to detections, with a bundle's model."""

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Full, Queue
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyrite.bundle import DEFAULT, Bundle, BundleInfo, load_bundle
from pyrite.decision import Policy, decide, explain
from pyrite.errors import BundleError, ImageError, PyriteError
from pyrite.evidence import Trust, read_evidence
from pyrite.image import Image, Limits, Source, open_image
from pyrite.preprocess import Pixels, Preprocess
from pyrite.results import Detection, Evidence, Failure, Model, Reason, Strength, Verdict
from pyrite.runtime import Session, available_cpus

_Result = TypeVar("_Result")
_PATIENCE = 0.1  # seconds that a judged image may wait for others to be judged with it


@dataclass(frozen=True, slots=True)
class Prepared:
    """A decoded image that waits for its score, without its full pixels."""

    path: str | None
    sha256: str | None
    format: str | None
    width: int
    height: int
    frames: int
    frame: int
    evidence: tuple[Evidence, ...]
    model_input: Pixels


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What could not be decoded, and why."""

    path: str | None
    error: Failure


def unreadable(found: Unreadable, model: Model, max_fpr: float) -> Detection:
    """Return the detection of what never came to be judged, by a model at an error budget."""
    return Detection(
        path=found.path,
        sha256=None,
        format=None,
        width=None,
        height=None,
        frames=None,
        verdict=Verdict.UNCERTAIN,
        probability=None,
        logit=None,
        reason=Reason.UNREADABLE,
        explanation=found.error.message,
        p_real=None,
        p_ai=None,
        max_fpr=max_fpr,
        model=model,
        error=found.error,
    )


def prepare(
    source: Source,
    preprocess: Preprocess,
    *,
    path: str | None = None,
    evidence: bool = True,
    trust: Trust | None = None,
    limits: Limits = Limits(),
    look: Callable[[Image], None] = lambda image: None,
) -> Prepared | Unreadable:
    """Decode one image for `Detector.score`; needs no model, so that other processes can do it.

    Args:
        source: The image.
        preprocess: The bundle's.
        path: What to call it in the result; by default, the source where that is a path.
        evidence: As `Detector` has it.
        trust: As `Detector` has it.
        limits: As `Detector` has it.
        look: Called with the image, unless it cannot be read.
    """
    if path is None and isinstance(source, str | Path):
        path = str(source)
    try:
        image = open_image(source, limits, at_least=preprocess.size)
    except ImageError as error:
        return Unreadable(path, Failure(error.code, str(error)))
    look(image)
    return Prepared(
        path=path,
        sha256=image.sha256,
        format=image.format,
        width=image.width,
        height=image.height,
        frames=image.frames,
        frame=image.frame,
        evidence=tuple(read_evidence(image, trust)) if evidence else (),
        model_input=preprocess.apply(image.pixels, image.box),
    )


class Detector:
    """A bundle's model, ready to judge images; safe to share between threads."""

    def __init__(
        self,
        bundle: Bundle | str | Path = DEFAULT,
        *,
        max_fpr: float | None = None,
        evidence: bool = True,
        trust: Trust | None = None,
        limits: Limits = Limits(),
        threads: int | None = None,
    ) -> None:
        """Load a bundle.

        Args:
            bundle: A loaded bundle, or the path of one; by default, the one that comes with Pyrite.
            max_fpr: The share of real images that may be called AI; by default, the bundle's own.
            evidence: Whether to read what files say of themselves; without it, the pixels decide alone.
            trust: Whose signatures count as verified; by default, the lists that come with Pyrite.
            limits: What one image may cost.
            threads: For the model; by default, as many as there are CPUs for this process.

        Raises:
            BundleError: The bundle cannot be used.
            PyriteError: `max_fpr` is out of range, or smaller than the bundle's calibration can resolve.
        """
        self.bundle = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
        info = self.bundle.info
        self.policy = self.policy_for(max_fpr)
        self.limits = limits
        self._evidence = evidence
        self._trust = trust
        self._model = Model(info.name, info.version)
        self._session = Session(self.bundle.read("model.onnx"), threads)
        wanted = (info.preprocess.height, info.preprocess.width)
        if any(side not in (None, ours) for side, ours in zip(self._session.size, wanted, strict=True)):
            raise BundleError(
                f"The model takes images of {self._session.size} (height, width), "
                f"but the bundle's preprocess makes them {wanted}."
            )

    def detect(self, source: Source, *, path: str | None = None) -> Detection:
        """Judge one image; an unreadable one gives a detection with its `error` set.

        Args:
            source: The image.
            path: What to call it in the result; by default, the source where that is a path.
        """
        return self.score([self._prepare(source, path)])[0]

    def detect_many(self, sources: Iterable[Source], *, batch_size: int = 64) -> Iterator[Detection]:
        """Judge images as a stream: one detection each, in the order of `sources`.

        About two batches of sources are read ahead, so memory does not grow with their number. The
        next batch is decoded while the model scores one. Where sources come slowly, what is there is judged
        within a tenth of a second. Closing the iterator early ends the work.

        Args:
            sources: Read as needed, in a thread of its own; a source must not change before its detection is out.
            batch_size: Images that the model scores at a time, at most.

        Raises:
            PyriteError: `sources` is one image, or `batch_size` is less than 1.
        """
        if isinstance(sources, str | bytes | Path):
            raise PyriteError("detect_many takes a collection of images. Use detect for one.")
        if batch_size < 1:
            raise PyriteError(f"batch_size must be at least 1, not {batch_size}.")
        return self._stream(iter(sources), batch_size)

    def logits(self, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the model's raw scores (n,) of model inputs (n, height, width, 3), as `Preprocess.apply` gives them.

        Raises:
            BundleError: The model fails.
        """
        return self._session.logits(inputs)

    def policy_for(self, max_fpr: float | None) -> Policy:
        """Return the bundle's policy with this share of real images that may be called AI, or the bundle's own.

        Raises:
            PyriteError: `max_fpr` is out of range, or smaller than the bundle's calibration can resolve.
        """
        info = self.bundle.info
        return info.policy if max_fpr is None else _with_max_fpr(info, max_fpr)

    def score(
        self, batch: Sequence[Prepared | Unreadable], policies: Sequence[Policy] | None = None
    ) -> list[Detection]:
        """Judge what `prepare` gave, in one batch for the model.

        Args:
            batch: In any number.
            policies: One for each; by default, this detector's for all.

        Raises:
            BundleError: The model fails.
        """
        inputs = [item.model_input for item in batch if isinstance(item, Prepared)]
        logits = self._session.logits(np.stack(inputs)) if inputs else np.empty(0, np.float32)
        calibration = self.bundle.info.calibration
        scores = zip(
            logits.tolist(),
            calibration.probability(logits).tolist(),
            calibration.p_real(logits).tolist(),
            calibration.p_ai(logits).tolist(),
            strict=True,
        )
        return [
            self._judge(item, policy, *next(scores))
            if isinstance(item, Prepared)
            else unreadable(item, self._model, policy.max_fpr)
            for item, policy in zip(batch, policies or [self.policy] * len(batch), strict=True)
        ]

    def _stream(self, sources: Iterator[Source], batch_size: int) -> Iterator[Detection]:
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
                    put(pool.submit(self._prepare, source, None))
            except BaseException as error:  # The caller's own, of any kind: it is raised where the caller sees it.
                failed: Future[Prepared | Unreadable] = Future()
                failed.set_exception(error)
                put(failed)
            put(None)

        # A daemon, since it may wait for a line on standard input that never comes.
        threading.Thread(target=feed, name="pyrite-feed", daemon=True).start()
        try:
            for batch in _gather(pending, batch_size):
                yield from self.score(batch)
        finally:
            closed.set()
            pool.shutdown(cancel_futures=True)

    def _prepare(self, source: Source, path: str | None) -> Prepared | Unreadable:
        return prepare(
            source,
            self.bundle.info.preprocess,
            path=path,
            evidence=self._evidence,
            trust=self._trust,
            limits=self.limits,
        )

    def _judge(
        self, image: Prepared, policy: Policy, logit: float, probability: float, p_real: float, p_ai: float
    ) -> Detection:
        scope, size = self.bundle.info.scope, (image.width, image.height)
        in_scope = scope.contains(*size)
        seen, why = decide(p_real, p_ai, in_scope, policy)
        pixels = Evidence(
            kind="pixels",
            strength=Strength.INFERRED,
            says=None if seen is Verdict.UNCERTAIN else seen,
            detail=explain(seen, why, p_real, p_ai, scope, size),
        )
        evidence = (*image.evidence, *_frame_note(image), pixels)
        verdict, reason = decide(p_real, p_ai, in_scope, policy, evidence)
        explanation = explain(verdict, reason, p_real, p_ai, scope, size, evidence)
        return Detection(
            path=image.path,
            sha256=image.sha256,
            format=image.format,
            width=image.width,
            height=image.height,
            frames=image.frames,
            verdict=verdict,
            probability=probability,
            logit=logit,
            reason=reason,
            explanation=explanation,
            p_real=p_real,
            p_ai=p_ai,
            max_fpr=policy.max_fpr,
            evidence=evidence,
            model=self._model,
        )


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


def _frame_note(image: Prepared) -> tuple[Evidence, ...]:
    if image.frames < 2:
        return ()
    detail = f"Of its {image.frames:,} frames, only number {image.frame + 1:,} was judged."
    return (Evidence(kind="frames", strength=Strength.INFERRED, says=None, detail=detail),)


def _with_max_fpr(info: BundleInfo, max_fpr: float) -> Policy:
    smallest = info.calibration.smallest_p_real
    if not smallest <= max_fpr < 1:
        raise PyriteError(
            f"max_fpr must be below 1 and at least {math.ceil(smallest * 1e6) / 1e6:g}, not {max_fpr:g}: "
            f"with {len(info.calibration.real_logits):,} real calibration images, "
            f"the bundle {info.name} cannot tell smaller rates apart."
        )
    return msgspec.structs.replace(info.policy, max_fpr=max_fpr)
