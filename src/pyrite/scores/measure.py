"""How good a panel is at several error budgets, and each of its detectors by itself."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyrite.bundle import JointCalibration
from pyrite.bundle.calibration import ALL
from pyrite.decision import Policy
from pyrite.errors import EvaluationError
from pyrite.evaluation.metrics import Metric, ranking, share
from pyrite.evaluation.scores import Floats
from pyrite.results import Verdict
from pyrite.scores.judge import verdicts
from pyrite.scores.table import ScoreTable


@dataclass(frozen=True, slots=True)
class BudgetRates:
    """The shares of images with the verdict `ai` at an error budget; `None` without images of the class."""

    max_fpr: float
    false_alarms: Metric | None
    """Of real images; an image that was not judged is one that was not called AI."""
    found: Metric | None
    """Of AI images."""


@dataclass(frozen=True, slots=True)
class DetectorRates:
    """A panel, or one detector by itself, calibrated by the same images."""

    name: str
    auroc: Metric | None
    """Of its scores, and of a panel's 1 − p_real; `None` where it did not judge images of both classes."""
    budgets: tuple[BudgetRates, ...]


@dataclass(frozen=True, slots=True)
class GroupRates:
    """What share of a group's images the panel calls AI at each error budget."""

    kind: str
    """`real` or `AI`."""
    group: str
    images: int
    called_ai: tuple[Metric, ...]


@dataclass(frozen=True, slots=True)
class PanelRates:
    """Every figure of a panel on a table; intervals are Wilson's (1927), and the AUROC's by bootstrap."""

    images: int
    real: int
    ai: int
    panel: DetectorRates
    detectors: tuple[DetectorRates, ...]
    groups: tuple[GroupRates, ...]


def measure(table: ScoreTable, calibration: JointCalibration, budgets: Sequence[float]) -> PanelRates:
    """Measure a panel and each of its detectors on images that calibrated neither.

    Args:
        table: With labels.
        calibration: Of the detectors together.
        budgets: Each a `max_fpr`; `max_fnr` is the usual one.

    Raises:
        EvaluationError: There are no labels, a detector's scores are missing, or no real images calibrated the panel.
    """
    labels = table.labels
    if labels is None:
        raise EvaluationError(f"{table.name} has no labels, and an evaluation needs them.")
    p_real, single = calibration.p_real(table.scores), calibration.single_p_real(table.scores)
    if p_real is None or single is None:
        raise EvaluationError("No real images calibrated this panel, so there is nothing to measure.")
    p_ai, single_ai = calibration.p_ai(table.scores), calibration.single_p_ai(table.scores)
    called = [_called_ai(p_real, p_ai, budget) for budget in budgets]
    detectors = []
    for name, own in single.items():
        own_ai = single_ai[name] if single_ai else None
        alone = [_called_ai(own, own_ai, budget) for budget in budgets]
        detectors.append(_rates(name, labels, table.scores[name], budgets, alone))
    return PanelRates(
        images=len(labels),
        real=int(np.sum(labels == 0)),
        ai=int(np.sum(labels == 1)),
        panel=_rates("panel", labels, 1 - p_real, budgets, called),
        detectors=tuple(detectors),
        groups=_groups(labels, table.groups or (ALL,) * len(labels), called),
    )


def _called_ai(p_real: Floats, p_ai: Floats | None, budget: float) -> NDArray[np.bool_]:
    return np.array([verdict is Verdict.AI for verdict, _ in verdicts(p_real, p_ai, Policy(max_fpr=budget))], np.bool_)


def _rates(
    name: str, labels: NDArray[np.int8], values: Floats, budgets: Sequence[float], called: Sequence[NDArray[np.bool_]]
) -> DetectorRates:
    known = ~np.isnan(values)
    both = set(labels[known].tolist()) == {0, 1}
    rows = tuple(
        BudgetRates(
            budget, *(share(int(np.sum(ai[labels == label])), int(np.sum(labels == label))) for label in (0, 1))
        )
        for budget, ai in zip(budgets, called, strict=True)
    )
    return DetectorRates(name, ranking(labels[known], values[known]) if both else None, rows)


def _groups(
    labels: NDArray[np.int8], names: Sequence[str], called: Sequence[NDArray[np.bool_]]
) -> tuple[GroupRates, ...]:
    rows = []
    for label, kind in ((0, "real"), (1, "AI")):
        for name in sorted({name for name, own in zip(names, labels, strict=True) if own == label}):
            inside = (np.asarray(names) == name) & (labels == label)
            count = int(inside.sum())
            shares = (share(int(np.sum(ai & inside)), count) for ai in called)
            rows.append(GroupRates(kind, name, count, tuple(found for found in shares if found)))
    return tuple(rows)
