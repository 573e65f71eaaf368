"""The shortcut floor: how well labels are told without a look at the picture.

A detector's figure should be read beside it. One near the floor may be no more than a shortcut, and goes with the
data instead of with generated images.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyrite.datasets.shortcuts import CONTAINER, STATISTICS, Facts
from pyrite.evaluation import metrics
from pyrite.evaluation.metrics import Metric
from pyrite.evaluation.scores import Floats
from pyrite.spectrum import BANDS

MAX_IMAGES = 100_000
"""Of more, so many are drawn at random: the figures would not change, and take longer."""
_FOLDS = 5
_LEAST = 20  # images of each class that are no copies of each other: fewer say nothing.

FAMILIES = {
    "container": "Facts of the file",
    "statistics": "Global statistics",
    "spectrum": "Radial spectrum",
    "all": "All together",
}
"""What each shortcut looks at, as a reader is told."""
SPECTRUM = tuple(f"power at {(i + 0.5) / (2 * BANDS):.3f} cycles per pixel" for i in range(BANDS))


@dataclass(frozen=True, slots=True)
class Shortcut:
    """How well one family of facts tells the label."""

    family: str
    """A key of `FAMILIES`."""
    auroc: Metric
    accuracy: Metric
    """At the classes' own shares, so that it is no less than that of always naming the commoner class, by and large."""


@dataclass(frozen=True, slots=True)
class Fact:
    """How well one fact alone ranks the images."""

    name: str
    family: str
    auroc: float
    """Below 0.5 where AI images have less of it."""

    @property
    def strength(self) -> float:
        """How far the AUROC is from chance, 0 to 0.5."""
        return abs(self.auroc - 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """What shortcuts reach."""

    images: int
    """How many it was measured on."""
    note: str
    """How it was measured, or why it was not."""
    shortcuts: tuple[Shortcut, ...] = ()
    """One for each of `FAMILIES`, or none."""
    facts: tuple[Fact, ...] = ()
    """Every single fact, the most telling first."""

    @property
    def best(self) -> Shortcut | None:
        """The shortcut of the highest AUROC: the floor."""
        return max(self.shortcuts, key=lambda shortcut: shortcut.auroc.value, default=None)


def measure_floor(
    facts: Facts, labels: NDArray[np.int8], groups: NDArray[np.intp] | Sequence[str], *, seed: int = 0
) -> Floor:
    """Measure how well the label is told by each family of facts and by all of them.

    By a logistic regression of the facts and their squares, standardised, with the classes weighed alike, and fitted
    to the other four of five folds.

    Args:
        facts: of (n,) images.
        labels: (n,), 0 for real and 1 for AI.
        groups: (n,), the same for copies of the same image, which then share a fold.
        seed: of the folds, the bootstrap, and the draw of 100,000 images where there are more.
    """
    chosen = np.flatnonzero(facts.readable)
    drawn = ""
    if len(chosen) > MAX_IMAGES:
        drawn = f", drawn at random (seed {seed}) from {len(chosen):,}"
        chosen = np.sort(np.random.default_rng(seed).choice(chosen, MAX_IMAGES, replace=False))
    labels = labels[chosen]
    _, first, group = np.unique(np.asarray(groups)[chosen], return_index=True, return_inverse=True)
    counts = [int(np.sum(labels[first] == label)) for label in (0, 1)]
    if min(counts) < _LEAST:
        note = f"Not measured: it takes {_LEAST} different images of each class, and here are {counts[0]:,} real and "
        return Floor(images=len(chosen), note=f"{note}{counts[1]:,} AI.")
    fold = _fold(labels[first], seed)[group]
    families = {name: getattr(facts, name)[chosen] for name in ("container", "statistics", "spectrum")}
    families["all"] = np.hstack(list(families.values()))
    shortcuts = []
    for name, features in families.items():
        probabilities = _cross_validate(features, labels, fold)
        shortcuts.append(
            Shortcut(
                name,
                metrics.ranking(labels, probabilities, seed=seed),
                # The classes weighed alike: a probability above the share of real images is one above 0.5 at theirs.
                metrics.accuracy(labels, probabilities > np.mean(labels == 0), seed=seed),
            )
        )
    note = f"Cross-validated in {_FOLDS} folds on {len(chosen):,} images{drawn}."
    return Floor(images=len(chosen), note=note, shortcuts=tuple(shortcuts), facts=_single(families, labels))


def _fold(labels: NDArray[np.int8], seed: int) -> NDArray[np.intp]:
    from sklearn.model_selection import StratifiedKFold

    fold = np.empty(len(labels), np.intp)
    for number, (_, held_out) in enumerate(
        StratifiedKFold(_FOLDS, shuffle=True, random_state=seed).split(labels, labels)
    ):
        fold[held_out] = number
    return fold


def _cross_validate(features: Floats, labels: NDArray[np.int8], fold: NDArray[np.intp]) -> Floats:
    """Return each image's probability of AI, (n,), from (n, k) features."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import PredefinedSplit, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features = features[:, np.ptp(features, axis=0) > 0]
    if not features.shape[1]:
        return np.full(len(labels), 0.5)
    # Standardised before squaring as well, so that squares are of differences from the mean.
    scaled = StandardScaler().fit_transform(features)
    # Classes weigh alike, or each fold's own share of AI would show in what is said of it.
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # What was reached by then is a floor as well.
        found = cross_val_predict(
            model, np.hstack([scaled, scaled**2]), labels, cv=PredefinedSplit(fold), method="predict_proba"
        )
    return np.asarray(found[:, 1], np.float64).round(9)


def _single(families: dict[str, Floats], labels: NDArray[np.int8]) -> tuple[Fact, ...]:
    from sklearn.metrics import roc_auc_score

    names = {"container": CONTAINER, "statistics": STATISTICS, "spectrum": SPECTRUM}
    facts = [
        Fact(name, family, float(roc_auc_score(labels, column)))
        for family in names
        for name, column in zip(names[family], families[family].T, strict=True)
        if np.ptp(column) > 0
    ]
    return tuple(sorted(facts, key=lambda fact: -fact.strength))
