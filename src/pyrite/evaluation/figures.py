"""All figures of one set of scores, in one value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyrite.evaluation import curves, metrics
from pyrite.evaluation.curves import Bin, Curve, Histogram
from pyrite.evaluation.metrics import ClassRow, Headline, PrevalenceRow, SliceTable, VerdictRow
from pyrite.evaluation.scores import Scores


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What was measured; plots and tables are drawn from it."""

    headline: Headline
    confusion: tuple[tuple[int, int], tuple[int, int]]
    """Rows: truth (real, AI); columns: called at probability 0.5 (real, AI)."""
    classes: tuple[ClassRow, ...]
    verdicts: tuple[VerdictRow, VerdictRow]
    """On real and on AI images."""
    prevalence: tuple[PrevalenceRow, ...]
    """Empty with one class only."""
    slices: tuple[SliceTable, ...]
    roc: Curve | None
    precision_recall: Curve | None
    reliability: tuple[Bin, ...]
    histogram: Histogram


def measure_figures(scores: Scores, columns: Mapping[str, Sequence[str]], *, seed: int = 0) -> Figures:
    """Measure everything.

    Args:
        scores: of (n,) images.
        columns: slice columns, (n,) values each.
        seed: of the bootstrap.
    """
    tables = (metrics.slice_table(name, values, scores, seed=seed) for name, values in columns.items())
    verdicts = metrics.verdict_rows(scores)
    return Figures(
        headline=metrics.headline(scores, seed=seed),
        confusion=metrics.confusion(scores),
        classes=metrics.class_rows(scores, seed=seed),
        verdicts=verdicts,
        prevalence=metrics.prevalence_rows(verdicts),
        slices=tuple(table for table in tables if table),
        roc=curves.roc(scores),
        precision_recall=curves.precision_recall(scores),
        reliability=curves.reliability(scores),
        histogram=curves.histogram(scores),
    )
