"""Detectors on the same images: tests and intervals of what sets them apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from pyrite.evaluation.metrics import Metric, VerdictRow, interval_of, ranked_figures, resamples, verdict_rows
from pyrite.evaluation.scores import Floats, Scores
from pyrite.results import Verdict

PAIRED = ("auroc", "accuracy", "tpr_at_fpr_1", "tpr_at_fpr_5")
"""The figures that differences are told of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """The first detector's figures less the second's, with paired bootstrap intervals; `None` where one has none."""

    auroc: Metric | None = None
    accuracy: Metric | None = None
    tpr_at_fpr_1: Metric | None = None
    tpr_at_fpr_5: Metric | None = None


@dataclass(frozen=True, slots=True)
class DeLong:
    """Whether two AUROCs on the same images differ by more than chance."""

    difference: Metric
    """The first less the second, with the interval of the normal distribution."""
    p_value: float | None
    """Two-sided; `None` where they differ, but nothing varies."""


@dataclass(frozen=True, slots=True)
class McNemar:
    """Whether one detector is right more often than the other."""

    only_first: int
    """Images that the first alone is right about."""
    only_second: int
    p_value: float
    """Exact and two-sided."""


def resample_together(scores: Sequence[Scores], *, seed: int = 0) -> list[dict[str, Floats]]:
    """Return each detector's `PAIRED` figures as measured and then of 1,000 resamples, the same images drawn for all.

    Args:
        scores: Of the same images, by each detector.
        seed: Of the bootstrap.
    """
    orders = [np.argsort(-one.values, kind="stable") for one in scores]
    ranked = [one.select(order) for one, order in zip(scores, orders, strict=True)]
    drawn: list[list[dict[str, Floats]]] = [[] for _ in scores]
    labels = scores[0].labels
    for weights in chain([np.ones((1, len(labels)))], resamples(labels, np.random.default_rng(seed))):
        for found, one, order in zip(drawn, ranked, orders, strict=True):
            found.append(ranked_figures(one, weights[:, order]))
    return [
        {name: np.concatenate([chunk[name] for chunk in found]) for name in PAIRED if name in found[0]}
        for found in drawn
    ]


def differences(first: dict[str, Floats], second: dict[str, Floats]) -> Differences:
    """Return how two detectors' figures differ, by what `resample_together` gave."""
    apart = {name: first[name] - second[name] for name in PAIRED if name in first and name in second}
    return Differences(**{name: interval_of(float(values[0]), values[1:]) for name, values in apart.items()})


def delong(labels: NDArray[np.int8], first: Floats, second: Floats) -> DeLong | None:
    """Test the difference of two AUROCs on the same images; `None` without two images of each class.

    DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating
    characteristic curves: a nonparametric approach", Biometrics 44 (1988), by the midranks of Sun and Xu, "Fast
    implementation of DeLong's algorithm for comparing the areas under correlated receiver operating characteristic
    curves", IEEE Signal Processing Letters 21 (2014).

    Args:
        labels: (n,), 0 for real and 1 for AI.
        first: (n,) of one detector, the higher, the more like AI.
        second: Of the other.
    """
    counts = [int(np.sum(labels == label)) for label in (1, 0)]
    if min(counts) < 2:
        return None
    found = [_beaten(labels == 1, values) for values in (first, second)]
    apart = [one - other for one, other in zip(*found, strict=True)]  # Exact, so what does not vary has no variance.
    value = float(apart[0].mean()) / counts[1]
    variances = (float(part.var(ddof=1)) / len(part) for part in apart)
    error = sum(variance / other**2 for variance, other in zip(variances, counts[::-1], strict=True)) ** 0.5
    if error:
        p_value: float | None = 2 * NormalDist().cdf(-abs(value) / error)
    else:
        p_value = None if value else 1.0
    half = NormalDist().inv_cdf(0.975) * error
    return DeLong(Metric(value, value - half, value + half), p_value)


def _beaten(ai: NDArray[np.bool_], values: Floats) -> tuple[Floats, Floats]:
    """Return for each AI image how many real ones lie below it, and for each real one how many AI ones lie above.

    One at the same place is half a one.
    """
    from scipy.stats import rankdata

    ranks = rankdata(values)
    return ranks[ai] - rankdata(values[ai]), np.sum(ai) - (ranks[~ai] - rankdata(values[~ai]))


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> McNemar:
    """Test whether two detectors are right equally often (McNemar 1947; exact, by the binomial distribution).

    Args:
        first: (n,), where one is right.
        second: Where the other is.
    """
    from scipy.stats import binomtest

    only = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    return McNemar(*only, float(binomtest(only[0], sum(only)).pvalue) if any(only) else 1.0)


def agreement(first: Scores, second: Scores) -> tuple[dict[str, VerdictRow], dict[str, VerdictRow]]:
    """Count on real and on AI images, for each verdict of the first, those of the second."""
    rows = {str(verdict): first.verdicts == verdict for verdict in Verdict}
    none = VerdictRow(ai=0, real=0, uncertain=0)
    counted = {name: verdict_rows(second.select(own)) if own.any() else (none, none) for name, own in rows.items()}
    return {name: row[0] for name, row in counted.items()}, {name: row[1] for name, row in counted.items()}


def kappa(first: Scores, second: Scores) -> float | None:
    """Return Cohen's kappa (1960) of the verdicts; `None` where there is one verdict only."""
    from sklearn.metrics import cohen_kappa_score

    if len(np.union1d(first.verdicts, second.verdicts)) < 2:
        return None
    return float(cohen_kappa_score(first.verdicts, second.verdicts))
