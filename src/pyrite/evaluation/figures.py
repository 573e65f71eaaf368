"""All figures of one set of scores, in one value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyrite.evaluation import curves, metrics
from pyrite.evaluation.curves import Bin, Curve, Histogram
from pyrite.evaluation.metrics import ClassRow, GeneratorRow, Headline, PrevalenceRow, SliceTable, VerdictRow
from pyrite.evaluation.scores import Scores

GENERATOR = "generator"
"""The column of the generators that made AI images."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What was measured; plots and tables are drawn from it. What needs a probability is empty where there is none."""

    headline: Headline
    confusion: tuple[tuple[int, int], tuple[int, int]] | None
    """Rows: truth (real, AI); columns: called at probability 0.5 (real, AI). `None` without a probability."""
    classes: tuple[ClassRow, ...]
    """Empty without a probability."""
    verdicts: tuple[VerdictRow, VerdictRow]
    """On real and on AI images."""
    prevalence: tuple[PrevalenceRow, ...]
    """Empty with one class only."""
    slices: tuple[SliceTable, ...]
    """Empty without a probability."""
    generators: tuple[GeneratorRow, ...] = ()
    """Empty without a column `generator`."""
    roc: Curve | None
    precision_recall: Curve | None
    reliability: tuple[Bin, ...]
    """Empty without a probability."""
    histogram: Histogram | None
    """`None` without a probability."""


def measure_figures(scores: Scores, columns: Mapping[str, Sequence[str]], *, seed: int = 0) -> Figures:
    """Measure everything.

    Args:
        scores: of (n,) images.
        columns: slice columns, (n,) values each.
        seed: of the bootstrap.
    """
    known = scores.calibrated
    tables = (metrics.slice_table(name, values, scores) for name, values in columns.items() if known)
    verdicts = metrics.verdict_rows(scores)
    return Figures(
        headline=metrics.headline(scores, seed=seed),
        confusion=metrics.confusion(scores) if known else None,
        classes=metrics.class_rows(scores, seed=seed) if known else (),
        verdicts=verdicts,
        prevalence=metrics.prevalence_rows(verdicts),
        slices=tuple(table for table in tables if table),
        generators=metrics.generator_rows(columns[GENERATOR], scores, seed=seed) if GENERATOR in columns else (),
        roc=curves.roc(scores),
        precision_recall=curves.precision_recall(scores),
        reliability=curves.reliability(scores) if known else (),
        histogram=curves.histogram(scores) if known else None,
    )
