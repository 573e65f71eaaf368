"""The detector: bundles with their models loaded, ready to judge images."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyrite.bundle import DEFAULT, NOVELTY, Bundle, Panel, Pixels, read_novelty
from pyrite.bundle.novelty import Rows, measure_statistics
from pyrite.decision import Policy
from pyrite.detector.confined import ConfinedReader
from pyrite.detector.panel import Opinion, judge, merge, unreadable
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

_Found = TypeVar("_Found")
_NOTHING = (None,) * 5
"""What an opinion has of an image that its bundle does not judge."""


class Detector:
    """Bundles' models, ready to judge images; safe to share between threads."""

    panel: Panel
    """Its bundles, and what calibrated them together."""
    policy: Policy
    """The error budgets, where a call names no others."""
    reader: Reader
    """What reads images for `score`, here or in another process."""
    model: Model
    """What its detections are made by: the bundle, or all of them by their names with `+` between."""

    def __init__(
        self,
        bundle: Bundle | Panel | str | Path | None = None,
        *,
        bundles: Sequence[Bundle | str | Path] = (),
        max_fpr: float | None = None,
        evidence: bool = True,
        trust: Trust | None = None,
        limits: Limits = Limits(),
        threads: int | None = None,
        device: str = AUTO,
        allow_real: bool = False,
        confined: ConfinedReader | None = None,
    ) -> None:
        """Load one bundle, or several.

        Args:
            bundle: A loaded bundle or panel, or the path of one; by default, the bundle that comes with Pyrite.
            bundles: Several bundles instead, which keep one error budget together.
            max_fpr: The share of real images that may be called AI; by default, for each image, the smallest of the
                bundles that have it in scope.
            evidence: Whether to read what files say of themselves; without it, the pixels decide alone.
            trust: Whose signatures count as verified; by default, the lists that come with Pyrite.
            limits: What one image may cost.
            threads: For the model; by default, as many as there are CPUs for this process.
            device: What the models run on: `auto`, or one of `runtime.DEVICES`.
            allow_real: Whether the pixels alone may make an image real, where a bundle's policy says otherwise.
            confined: What opens images; by default, this process. Files of strangers should be opened by one.

        Raises:
            BundleError: A bundle or panel cannot be used.
            PyriteError: `max_fpr` is out of range, or smaller than the calibration can resolve; or both `bundle` and
                `bundles` are given; or the device is not available.
        """
        if bundle is not None and bundles:
            raise PyriteError("Give a bundle or several bundles, not both.")
        if isinstance(bundle, Panel):
            self.panel = bundle
        else:
            self.panel = Panel.open(bundles or (DEFAULT if bundle is None else bundle,))
        infos = [one.info for one in self.bundles]
        self.reader = Reader(Reader.views_of(infos), evidence, trust, limits)
        self.model = Model("+".join(info.name for info in infos), "+".join(info.version for info in infos))
        self._allow_real, self._confined = allow_real, confined
        self.policy = self.policy_for(max_fpr)
        self._own_budgets = max_fpr is None and len(self.bundles) > 1 and self.panel.calibration is None
        self._members = [_Member(one, threads, device) for one in self.bundles]

    @property
    def bundles(self) -> tuple[Bundle, ...]:
        """At least one. Each judges the images that it has in scope."""
        return self.panel.bundles

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
    def is_merged(self) -> bool:
        """Whether its p-values are those of a panel, rather than of a single bundle."""
        return len(self.bundles) > 1 or self.panel.calibration is not None

    @property
    def gives_probability(self) -> bool:
        """Whether all that it judges gets a probability, as by one bundle that both classes have calibrated."""
        return not self.is_merged and self.bundles[0].info.calibration.slope is not None

    @property
    def limits(self) -> Limits:
        """What one image may cost."""
        return self.reader.limits

    @property
    def smallest_max_fpr(self) -> float:
        """The smallest error budget that the calibration can resolve."""
        return self.panel.smallest_max_fpr

    def detect(self, source: Source, *, path: str | None = None) -> Detection:
        """Judge one image; an unreadable one gives a detection with its `error` set.

        Args:
            source: The image.
            path: What to call it in the result; by default, the source where that is a path.
        """
        found = self.open(source, Reader.read)
        return self.score([found if path is None else replace(found, path=path)])[0]

    def open(self, source: Source, function: Callable[..., _Found], *arguments: object) -> _Found | Unreadable:
        """Return what a function makes of an image, in the sandbox if this detector has one.

        Args:
            source: The image; the function's second argument, after the `reader`.
            function: At the top of a module. What it returns is sent: plain values.
            arguments: More of them.
        """
        if self._confined is None:
            return function(self.reader, source, *arguments)
        return self._confined.call(self.reader, function, source, *arguments)

    def detect_many(
        self,
        sources: Iterable[Source],
        *,
        batch_size: int = 64,
    ) -> Iterator[Detection]:
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
        return stream(iter(sources), self._read, self.score, batch_size)

    def _read(self, source: Source) -> Prepared | Unreadable:
        return self.open(source, Reader.read)

    def logits(self, inputs: NDArray[np.uint8], bundle: int = 0) -> NDArray[np.float32]:
        """Return a model's raw scores (n,) of model inputs (n, height, width, 3), as its geometry gives them.

        Args:
            inputs: Of one image or several.
            bundle: Which bundle's, by its place.

        Raises:
            BundleError: The model fails.
        """
        return self._members[bundle].logits(inputs)

    def look(self, images: Sequence[Pixels], bundle: int = 0) -> tuple[Rows, Rows | None]:
        """Return what tells how typical images are: statistics of their inputs (n, s), and features (n, d).

        The features are what the last layer of the model sees; `None` where the model does not give them, and then it
        is not run.

        Args:
            images: Of each image its model inputs (k, height, width, 3); at least one image.
            bundle: Which bundle's, by its place.

        Raises:
            BundleError: The model fails.
        """
        return self._members[bundle].look(images)

    def policy_for(self, max_fpr: float | None) -> Policy:
        """Return the policy with this share of real images that may be called AI, or the bundles' own.

        Raises:
            PyriteError: `max_fpr` is out of range, or smaller than the calibration can resolve.
        """
        policy = self._allowing(self.panel.policy)
        if max_fpr is None:
            return policy
        if not 0 < max_fpr < 1:
            raise PyriteError(f"max_fpr must be above 0 and below 1, not {max_fpr:g}.")
        chosen = msgspec.structs.replace(policy, max_fpr=max_fpr)
        smallest = self.smallest_max_fpr
        if smallest == 1:
            raise PyriteError(f"There is no error budget to set: no real images have calibrated {self.model.name}.")
        if max_fpr < smallest:
            told = " ".join(self.panel.too_few(Policy(max_fpr=max_fpr, max_fnr=1 - 1e-9)))
            raise PyriteError(f"{told} Choose max_fpr of at least {math.ceil(smallest * 1e6) / 1e6:g}.")
        return chosen

    def policy_of(self, width: int, height: int) -> Policy:
        """Return the policy for an image of this size: as asked for, or that of the bundles that have it in scope."""
        if not self._own_budgets:
            return self.policy
        inside = tuple(bundle for bundle in self.bundles if bundle.info.scope.contains(width, height))
        return self._allowing(Panel(inside).policy) if inside else self.policy

    def _allowing(self, policy: Policy) -> Policy:
        return msgspec.structs.replace(policy, real_needs_provenance=False) if self._allow_real else policy

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for each error budget that there are too few calibration images for: it decides nothing."""
        return self.panel.too_few(None if self._own_budgets else self.policy)

    def score(
        self, batch: Sequence[Prepared | Unreadable], policies: Sequence[Policy] | None = None
    ) -> list[Detection]:
        """Judge what the `reader` gave, in one batch for each model.

        Args:
            batch: In any number.
            policies: One for each; by default, as `policy_of` says.

        Raises:
            BundleError: A model fails.
        """
        images = [item for item in batch if isinstance(item, Prepared)]
        opinions = [member.judge(images, place) for place, member in enumerate(self._members)]
        merged = iter(merge(opinions, self.panel))
        if policies is None:
            policies = [
                self.policy_of(item.width, item.height) if isinstance(item, Prepared) else self.policy for item in batch
            ]
        return [
            judge(item, next(merged), policy, self.model)
            if isinstance(item, Prepared)
            else unreadable(item, self.model, policy)
            for item, policy in zip(batch, policies, strict=True)
        ]


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
        self._novelty = read_novelty(bundle.files[NOVELTY], info.name) if NOVELTY in bundle.files else None
        if self._novelty and self._novelty.features and not self._session.has_features:
            raise BundleError(f"{NOVELTY} in the bundle {info.name} is of features that its model does not give.")

    def logits(self, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the logits (n,) of model inputs, in as many batches as their size asks for."""
        return np.concatenate([self._session.logits(batch) for batch in self._batches(inputs)])

    def measure(self, images: Sequence[Pixels]) -> tuple[NDArray[np.float32], Rows, Rows | None]:
        """Return each image's logit (n,), statistics (n, s) and features (n, d), of the k inputs that it gives.

        Statistics and features of several inputs are their means. There are no features where the model gives none.
        """
        counts, batches = [len(inputs) for inputs in images], list(self._batches(np.concatenate(images)))
        scores = [self._session.score(batch) for batch in batches]
        features = [found for _, found in scores if found is not None]
        return (
            self._merge(np.concatenate([logits for logits, _ in scores]), counts),
            _mean(np.concatenate([measure_statistics(batch) for batch in batches]), counts),
            _mean(np.concatenate(features), counts) if features else None,
        )

    def look(self, images: Sequence[Pixels]) -> tuple[Rows, Rows | None]:
        """Return each image's statistics and features: see `measure`."""
        if self._session.has_features:
            return self.measure(images)[1:]
        inputs = np.concatenate(images)
        found = np.concatenate([measure_statistics(batch) for batch in self._batches(inputs)])
        return _mean(found, [len(each) for each in images]), None

    def judge(self, images: Sequence[Prepared], place: int) -> list[Opinion]:
        """Return what this bundle says of each image, given which of their inputs are its own."""
        taken = [inputs for image in images if (inputs := image.inputs[place]) is not None]
        found = iter(self._score(taken) if taken else ())
        return [
            Opinion(
                self._model,
                self._info.scope,
                self._info.knows,
                self._info.scope.contains(image.width, image.height),
                self._novelty.rate if self._novelty else 0.0,
                self._info.origin.threshold if self._info.origin else None,
                *(_NOTHING if image.inputs[place] is None else next(found)),
            )
            for image in images
        ]

    def _score(self, taken: Sequence[Pixels]) -> Iterator[tuple[float | None, ...]]:
        """Yield of each image what an opinion has of it: logit, probability, p-values."""
        calibration, p_typical = self._info.calibration, None
        if self._novelty is None:
            logits = self._merge(self.logits(np.concatenate(taken)), [len(inputs) for inputs in taken])
        else:
            logits, statistics, features = self.measure(taken)
            p_typical = self._novelty.p_typical(statistics, features)
        columns = (
            logits,
            calibration.probability(logits),
            calibration.p_real(logits),
            calibration.p_ai(logits),
            p_typical,
        )
        return zip(*([None] * len(taken) if c is None else c.tolist() for c in columns), strict=True)

    def _batches(self, inputs: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
        """Yield model inputs in as many batches as their size asks for, at least one."""
        for start in range(0, max(1, len(inputs)), self._most):
            yield inputs[start : start + self._most]

    def _merge(self, logits: NDArray[np.float32], counts: Sequence[int]) -> NDArray[np.float32]:
        """Return one logit for each image (n,), of the k inputs that it gives."""
        if len(logits) == len(counts):
            return logits
        parts = np.split(logits, np.cumsum(counts)[:-1])
        return np.array([self._info.preprocess.merge(part) for part in parts], np.float32)


def _mean(rows: Rows, counts: Sequence[int]) -> Rows:
    """Return the mean over each image's rows, (n, d), of the k that it has."""
    if len(rows) == len(counts):
        return rows
    return np.stack([part.mean(0) for part in np.split(rows, np.cumsum(counts)[:-1])])
