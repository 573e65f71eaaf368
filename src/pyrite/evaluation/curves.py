"""Curves and histograms of one set of scores, as plain values to draw."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyrite.evaluation.scores import Floats, Scores

BINS = 15
"""Of the reliability diagram and the calibration error."""
_POINTS = 400


@dataclass(frozen=True, slots=True)
class Curve:
    """Points to join, thinned to what an eye can tell apart."""

    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Bin:
    """One bin of the reliability diagram: `low` < probability ≤ `high`."""

    low: float
    high: float
    images: int
    probability: float
    """The mean in this bin."""
    share: float
    """Of AI images in this bin."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many images of each class have which probability."""

    edges: tuple[float, ...]
    real: tuple[int, ...]
    ai: tuple[int, ...]


def roc(scores: Scores) -> Curve | None:
    """Return TPR (y) over FPR (x), or `None` with one class only."""
    from sklearn.metrics import roc_curve

    if len(np.unique(scores.labels)) < 2:
        return None
    x, y, _ = roc_curve(scores.labels, scores.values)
    return _thin(x, y)


def precision_recall(scores: Scores) -> Curve | None:
    """Return precision (y) over recall (x), AI as the positive class, or `None` with one class only."""
    from sklearn.metrics import precision_recall_curve

    if len(np.unique(scores.labels)) < 2:
        return None
    y, x, _ = precision_recall_curve(scores.labels, scores.values)
    return _thin(x[::-1], y[::-1])


def reliability(scores: Scores) -> tuple[Bin, ...]:
    """Return the bins of the calibration error that hold an image."""
    edges = np.linspace(0, 1, BINS + 1)
    place = bin_of(scores.values)
    return tuple(
        Bin(
            float(edges[i]),
            float(edges[i + 1]),
            int(np.sum(place == i)),
            float(scores.values[place == i].mean()),
            float(scores.labels[place == i].mean()),
        )
        for i in np.unique(place)
    )


def histogram(scores: Scores, bins: int = 40) -> Histogram:
    """Count the probabilities of each class in equal bins."""
    edges = np.linspace(0, 1, bins + 1)
    real, ai = (np.histogram(scores.values[scores.labels == label], edges)[0] for label in (0, 1))
    return Histogram(tuple(edges.tolist()), tuple(real.tolist()), tuple(ai.tolist()))


def bin_of(probabilities: Floats) -> NDArray[np.intp]:
    """Return the bin of each probability (n,), from 0."""
    return np.digitize(probabilities, np.linspace(0, 1, BINS + 1)[1:-1], right=True)


def _thin(x: Floats, y: Floats) -> Curve:
    """Keep the points that move the curve most: evenly spaced along its length, with both ends."""
    if len(x) > _POINTS:
        length = np.cumsum(np.abs(np.diff(x, prepend=x[0])) + np.abs(np.diff(y, prepend=y[0])))
        wanted = np.linspace(0, length[-1], _POINTS)
        keep = np.unique(np.append(np.searchsorted(length, wanted), (0, len(x) - 1)))
        x, y = x[keep], y[keep]
    return Curve(tuple(np.round(x, 6).tolist()), tuple(np.round(y, 6).tolist()))
