"""How a bundle fares on images that were saved again, blurred, resized and so on: the grid of `datasets.degrade`."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from statistics import fmean

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyrite.datasets import Dataset, Progress
from pyrite.datasets.degrade import DEGRADATIONS
from pyrite.decision import Policy, decide
from pyrite.detector import Detector
from pyrite.errors import EvaluationError
from pyrite.evaluation import metrics
from pyrite.evaluation.judge import Judged, judge_changed, values_of
from pyrite.evaluation.metrics import Headline, Metric
from pyrite.evaluation.scores import Scores
from pyrite.results import Detection, Failure, Reason, Verdict
from pyrite.runtime import available_cpus
from pyrite.sources import encodable

MILD = "jpeg 90"
"""The re-save that the stability of verdicts is measured by."""
_BUDGET = 0.01  # of the false positive rate that each row states, whatever the verdicts' own is
_THREADS = 4  # at most, for the intervals: each takes some hundred megabytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Figures under one degradation, or under none."""

    name: str
    """`clean` for none."""
    family: str | None
    strength: float | None
    headline: Headline
    fpr_at_budget_1: Metric | None
    """The share of real images with the verdict `ai` at an error budget of 1%, with Wilson's interval; `None` without
    real images, or where the bundle's calibration cannot resolve 1%."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overall:
    """Each figure over all degradations, as a mean or at its worst; `None` where undefined."""

    accuracy: float | None
    auroc: float | None
    ece: float | None
    fpr: float | None
    tpr: float | None
    fnr: float | None
    uncertain: float
    fpr_at_budget_1: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flips:
    """What a mild re-save does to the verdicts on one class: shares of its images, with Wilson's intervals."""

    images: int
    changed: Metric
    """Whose verdict is another than before."""
    real_to_ai: Metric
    ai_to_real: Metric


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An image that is in no row, since a degradation of it could not be judged."""

    path: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Robustness:
    """The whole grid; all rows are of the same images."""

    clean: Condition
    """The images as they are."""
    grid: tuple[Condition, ...]
    mean: Overall
    worst: Overall
    """Each figure by itself: the lowest accuracy, AUROC and TPR, the highest of the others."""
    lowest: str | None
    """The degradation of the lowest accuracy, or without a probability, AUROC; `None` where there is neither."""
    resave: str
    """The degradation that the next two are of."""
    flips_real: Flips | None
    flips_ai: Flips | None
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True, slots=True)
class _Said:
    """What was said of n images under k conditions."""

    values: NDArray[np.float64]
    """(k, n), as `values_of` gives them."""
    verdicts: NDArray[np.str_]
    """(k, n)."""
    flagged: NDArray[np.bool_]
    """(k, n), whether the verdict is `ai` at an error budget of 1%."""


def measure_robustness(
    detector: Detector,
    dataset: Dataset,
    judged: Judged,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> Robustness:
    """Judge every image under every degradation of the grid, each at the image's own size.

    Args:
        detector: what judges; without evidence, since degraded pixels come without a file.
        dataset: the images.
        judged: which images, and what the detector said of them as they are.
        seed: of the noise and of the intervals.
        progress: called with how many degraded images are judged and how many there are.

    Raises:
        EvaluationError: no image could be judged under all degradations.
    """
    indices = judged.indices.tolist()
    shape = (1 + len(DEGRADATIONS), len(indices))
    said = _Said(np.zeros(shape), np.zeros(shape, "U9"), np.zeros(shape, np.bool_))
    strict = msgspec.structs.replace(detector.policy, max_fpr=_BUDGET)
    for column, detection in enumerate(judged.detections):
        _note(said, (0, column), detector, detection, strict)
    lost: dict[int, str] = {}
    total = len(DEGRADATIONS) * len(indices)
    changed = judge_changed(detector, dataset, indices, DEGRADATIONS, seed=seed)
    for done, (row, column, found) in enumerate(changed, start=1):
        if isinstance(found, Failure):
            lost.setdefault(column, found.message)
        else:
            _note(said, (1 + row, column), detector, found, strict)
        if progress:
            progress(done, total)
    kept = np.array([column not in lost for column in range(len(indices))], np.bool_)
    left_out = tuple(
        LeftOut(encodable(dataset.paths[indices[column]]), encodable(message))
        for column, message in sorted(lost.items())
    )
    if not kept.any():
        why = f" The first: {left_out[0].path}: {left_out[0].message}" if left_out else ""
        raise EvaluationError(f"None of the {len(indices):,} images could be judged under all degradations.{why}")
    if progress:
        progress(total, total)
    labels = dataset.labels[np.array(indices, np.intp)[kept]]
    resolved = detector.smallest_max_fpr <= _BUDGET
    clean, *grid = _conditions(
        labels,
        _Said(said.values[:, kept], said.verdicts[:, kept], said.flagged[:, kept]),
        resolved=resolved,
        calibrated=detector.gives_probability,
        seed=seed,
    )
    mild = 1 + [degradation.name for degradation in DEGRADATIONS].index(MILD)
    flips_real, flips_ai = (
        _flips(said.verdicts[0, kept][labels == label], said.verdicts[mild, kept][labels == label]) for label in (0, 1)
    )
    mean, worst = _overall(grid)
    return Robustness(
        clean=clean,
        grid=tuple(grid),
        mean=mean,
        worst=worst,
        lowest=_lowest(grid),
        resave=MILD,
        flips_real=flips_real,
        flips_ai=flips_ai,
        left_out=left_out,
    )


def _note(said: _Said, place: tuple[int, int], detector: Detector, detection: Detection, strict: Policy) -> None:
    in_scope = detection.reason is not Reason.OUT_OF_SCOPE
    (said.values[place],) = values_of(detector, [detection])
    said.verdicts[place] = str(detection.verdict)
    said.flagged[place] = decide(detection.p_real, detection.p_ai, in_scope, strict)[0] is Verdict.AI


def _conditions(
    labels: NDArray[np.int8], said: _Said, *, resolved: bool, calibrated: bool, seed: int
) -> list[Condition]:
    real = labels == 0

    def measure(row: int) -> Condition:
        degradation = DEGRADATIONS[row - 1] if row else None
        flagged = said.flagged[row, real]
        return Condition(
            name=degradation.name if degradation else "clean",
            family=degradation.family if degradation else None,
            strength=degradation.strength if degradation else None,
            headline=metrics.headline(Scores(labels, said.values[row], said.verdicts[row], calibrated), seed=seed),
            fpr_at_budget_1=metrics.share(int(flagged.sum()), len(flagged)) if resolved else None,
        )

    with ThreadPoolExecutor(min(_THREADS, available_cpus()), thread_name_prefix="pyrite-intervals") as pool:
        return list(pool.map(measure, range(len(said.verdicts))))


def _lowest(grid: Sequence[Condition]) -> str | None:
    known = [(found.value, row.name) for row in grid if (found := row.headline.accuracy or row.headline.auroc)]
    return min(known, key=lambda pair: pair[0])[1] if known else None


def _flips(before: NDArray[np.str_], after: NDArray[np.str_]) -> Flips | None:
    def share(changed: NDArray[np.bool_]) -> Metric | None:
        return metrics.share(int(changed.sum()), len(changed))

    changed = share(before != after)
    real_to_ai = share((before == Verdict.REAL) & (after == Verdict.AI))
    ai_to_real = share((before == Verdict.AI) & (after == Verdict.REAL))
    if changed is None or real_to_ai is None or ai_to_real is None:
        return None
    return Flips(images=len(before), changed=changed, real_to_ai=real_to_ai, ai_to_real=ai_to_real)


def _overall(grid: Sequence[Condition]) -> tuple[Overall, Overall]:
    mean: dict[str, float | None] = {}
    worst: dict[str, float | None] = {}
    for name in (field.name for field in fields(Overall)):
        found = [getattr(row if name == "fpr_at_budget_1" else row.headline, name) for row in grid]
        values = [metric.value for metric in found if metric is not None]
        extreme = min if name in ("accuracy", "auroc", "tpr") else max
        mean[name], worst[name] = (fmean(values), extreme(values)) if values else (None, None)
    return Overall(**mean), Overall(**worst)  # type: ignore[arg-type]
