"""The detector: bundles with their models loaded, ready to judge images."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyrite.bundle import DEFAULT, Bundle, Pixels, load_bundle
from pyrite.decision import Policy
from pyrite.detector.panel import Opinion, judge, unreadable
from pyrite.detector.reader import Prepared, Reader, Unreadable
from pyrite.detector.stream import stream
from pyrite.errors import BundleError, PyriteError
from pyrite.evidence import Trust
from pyrite.image import Limits, Source
from pyrite.results import Detection, Model
from pyrite.runtime import AUTO, Session

_INPUT_BYTES = (
    16_000_000  # of model inputs that are scored at a time: a network's first layers make several times as many
)


class Detector:
    """Bundles' models, ready to judge images; safe to share between threads."""

    bundles: tuple[Bundle, ...]
    """At least one. Each judges the images that it has in scope."""
    policy: Policy
    """The error budgets, where a call names no others."""
    reader: Reader
    """What reads images for `score`, here or in another process."""
    model: Model
    """What its detections are made by: the bundle, or all of them by their names with `+` between."""

    def __init__(
        self,
        bundle: Bundle | str | Path | None = None,
        *,
        bundles: Sequence[Bundle | str | Path] = (),
        max_fpr: float | None = None,
        evidence: bool = True,
        trust: Trust | None = None,
        limits: Limits = Limits(),
        threads: int | None = None,
        device: str = AUTO,
        allow_real: bool = False,
    ) -> None:
        """Load one bundle, or several.

        Args:
            bundle: A loaded bundle, or the path of one; by default, the one that comes with Pyrite.
            bundles: Several of them instead, which keep one error budget together.
            max_fpr: The share of real images that may be called AI; by default, the bundle's own, or the smallest of
                several.
            evidence: Whether to read what files say of themselves; without it, the pixels decide alone.
            trust: Whose signatures count as verified; by default, the lists that come with Pyrite.
            limits: What one image may cost.
            threads: For the model; by default, as many as there are CPUs for this process.
            device: What the models run on: `auto`, or one of `runtime.DEVICES`.
            allow_real: Whether the pixels alone may make an image real, where a bundle's policy says otherwise.

        Raises:
            BundleError: A bundle cannot be used.
            PyriteError: `max_fpr` is out of range, or smaller than the calibration can resolve; or both `bundle` and
                `bundles` are given; or the device is not to be had.
        """
        if bundle is not None and bundles:
            raise PyriteError("Give a bundle or several bundles, not both.")
        chosen = bundles or (DEFAULT if bundle is None else bundle,)
        self.bundles = tuple(one if isinstance(one, Bundle) else load_bundle(one) for one in chosen)
        infos = [one.info for one in self.bundles]
        self.reader = Reader(Reader.views_of(infos), evidence, trust, limits)
        self.model = Model("+".join(info.name for info in infos), "+".join(info.version for info in infos))
        self._allow_real = allow_real
        self.policy = self.policy_for(max_fpr)
        self._members = [_Member(one, threads, device) for one in self.bundles]

    @property
    def bundle(self) -> Bundle:
        """The bundle, where there is one.

        Raises:
            PyriteError: There are several.
        """
        if len(self.bundles) > 1:
            raise PyriteError(f"This takes a single bundle, not the {len(self.bundles)} of {self.model.name}.")
        return self.bundles[0]

    @property
    def device(self) -> str:
        """What the models run on: one of `runtime.DEVICES`."""
        return self._members[0].device

    @property
    def gives_probability(self) -> bool:
        """Whether all that it judges gets a probability, as by one bundle that both classes have calibrated."""
        return len(self.bundles) == 1 and self.bundles[0].info.calibration.slope is not None

    @property
    def limits(self) -> Limits:
        """What one image may cost."""
        return self.reader.limits

    @property
    def smallest_max_fpr(self) -> float:
        """The smallest error budget that the calibration can resolve: with several bundles, a share of it for each."""
        calibrated = [b.info.calibration.smallest_p_real for b in self.bundles if b.info.calibration.real]
        return min(1.0, len(calibrated) * max(calibrated)) if calibrated else 1.0

    def detect(self, source: Source, *, path: str | None = None) -> Detection:
        """Judge one image; an unreadable one gives a detection with its `error` set.

        Args:
            source: The image.
            path: What to call it in the result; by default, the source where that is a path.
        """
        return self.score([self.reader.read(source, path=path)])[0]

    def detect_many(self, sources: Iterable[Source], *, batch_size: int = 64) -> Iterator[Detection]:
        """Judge images as a stream: one detection each, in the order of `sources`.

        About two batches of sources are read ahead, so memory does not grow with their number. The
        next batch is decoded while the model scores one. Where sources come slowly, what is there is judged
        within a tenth of a second. Closing the iterator early ends the work.

        Args:
            sources: Read as needed, in a thread of its own; a source must not change before its detection is out.
            batch_size: Images that are scored at a time, at most.

        Raises:
            PyriteError: `sources` is one image, or `batch_size` is less than 1.
        """
        if isinstance(sources, str | bytes | Path):
            raise PyriteError("detect_many takes a collection of images. Use detect for one.")
        if batch_size < 1:
            raise PyriteError(f"batch_size must be at least 1, not {batch_size}.")
        return stream(iter(sources), self.reader.read, self.score, batch_size)

    def logits(self, inputs: NDArray[np.uint8], bundle: int = 0) -> NDArray[np.float32]:
        """Return a model's raw scores (n,) of model inputs (n, height, width, 3), as its geometry gives them.

        Args:
            inputs: Of one image or several.
            bundle: Which bundle's, by its place.

        Raises:
            BundleError: The model fails.
        """
        return self._members[bundle].logits(inputs)

    def policy_for(self, max_fpr: float | None) -> Policy:
        """Return the policy with this share of real images that may be called AI, or the bundles' own.

        Raises:
            PyriteError: `max_fpr` is out of range, or smaller than the calibration can resolve.
        """
        policy = shared_policy(self.bundles)
        if self._allow_real:
            policy = msgspec.structs.replace(policy, real_needs_provenance=False)
        if max_fpr is None:
            return policy
        if not 0 < max_fpr < 1:
            raise PyriteError(f"max_fpr must be above 0 and below 1, not {max_fpr:g}.")
        chosen = msgspec.structs.replace(policy, max_fpr=max_fpr)
        smallest = self.smallest_max_fpr
        if smallest == 1:
            raise PyriteError(f"There is no error budget to set: no real images have calibrated {self.model.name}.")
        if max_fpr < smallest:
            told = " ".join(too_few(self.bundles, Policy(max_fpr=max_fpr, max_fnr=1 - 1e-9)))
            raise PyriteError(f"{told} Choose max_fpr of at least {math.ceil(smallest * 1e6) / 1e6:g}.")
        return chosen

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for each error budget that there are too few calibration images for: it decides nothing."""
        return too_few(self.bundles, self.policy)

    def score(
        self, batch: Sequence[Prepared | Unreadable], policies: Sequence[Policy] | None = None
    ) -> list[Detection]:
        """Judge what the `reader` gave, in one batch for each model.

        Args:
            batch: In any number.
            policies: One for each; by default, this detector's for all.

        Raises:
            BundleError: A model fails.
        """
        images = [item for item in batch if isinstance(item, Prepared)]
        opinions = zip(*(member.judge(images, i) for i, member in enumerate(self._members)), strict=True)
        return [
            judge(item, next(opinions), policy, self.model)
            if isinstance(item, Prepared)
            else unreadable(item, self.model, policy)
            for item, policy in zip(batch, policies or [self.policy] * len(batch), strict=True)
        ]


def shared_policy(bundles: Sequence[Bundle]) -> Policy:
    """Return the error budgets of several bundles together: the smallest of each kind."""
    own = [bundle.info.policy for bundle in bundles]
    return Policy(
        max_fpr=min(one.max_fpr for one in own),
        max_fnr=min(one.max_fnr for one in own),
        real_needs_provenance=any(one.real_needs_provenance for one in own),
    )


def too_few(bundles: Sequence[Bundle], policy: Policy) -> tuple[str, ...]:
    """Return a sentence for each error budget that there are too few calibration images for.

    Args:
        bundles: What judges; several share the budgets.
        policy: The budgets.
    """
    sharing = max(1, sum(bool(bundle.info.calibration.real) for bundle in bundles))
    return tuple(
        f"{bundle.info.name}: {sentence}"
        for bundle in bundles
        for sentence in bundle.info.calibration.too_few(policy, bundles=sharing)
    )


class _Member:
    """One bundle of a detector, with its model loaded."""

    def __init__(self, bundle: Bundle, threads: int | None, device: str) -> None:
        info = bundle.info
        self._info, self._model = info, Model(info.name, info.version)
        self._session = Session(bundle.model, threads, one_by_one=info.one_by_one, device=device)
        self.device = self._session.device
        wanted = info.preprocess.size
        if any(side not in (None, ours) for side, ours in zip(self._session.size, wanted, strict=True)):
            raise BundleError(
                f"The model takes images of {self._session.size} (height, width), "
                f"but the bundle's preprocess makes them {wanted}."
            )
        self._most = max(1, _INPUT_BYTES // (3 * wanted[0] * wanted[1]))

    def logits(self, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the logits (n,) of model inputs, in as many batches as their size asks for."""
        if len(inputs) <= self._most:
            return self._session.logits(inputs)
        starts = range(0, len(inputs), self._most)
        return np.concatenate([self._session.logits(inputs[i : i + self._most]) for i in starts])

    def judge(self, images: Sequence[Prepared], place: int) -> list[Opinion]:
        """Return what this bundle says of each image, given which of their inputs are its own."""
        taken = [inputs for image in images if (inputs := image.inputs[place]) is not None]
        logits = self._logits_of_images(taken)
        calibration = self._info.calibration
        columns = (calibration.probability(logits), calibration.p_real(logits), calibration.p_ai(logits))
        scores = zip(logits.tolist(), *([None] * len(taken) if c is None else c.tolist() for c in columns), strict=True)
        nothing = (None, None, None, None)
        return [
            Opinion(
                self._model,
                self._info.scope,
                self._info.knows,
                self._info.scope.contains(image.width, image.height),
                *(nothing if image.inputs[place] is None else next(scores)),
            )
            for image in images
        ]

    def _logits_of_images(self, inputs: Sequence[Pixels]) -> NDArray[np.float32]:
        """Return one logit for each image (n,), of the k inputs that it gives."""
        if not inputs:
            return np.empty(0, np.float32)
        found = self.logits(np.concatenate(inputs))
        if len(found) == len(inputs):
            return found
        ends = np.cumsum([len(each) for each in inputs])[:-1]
        return np.array([self._info.preprocess.merge(part) for part in np.split(found, ends)], np.float32)
