"""What the figures are: pure functions from scores to plain values.

Class 0 is real and class 1 is AI, the positive class. An image counts as called AI where its
probability is above 0.5, but for the figures that say that they are of the verdict. Scores that are no probabilities
have no such figures.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from pyrite.evaluation.curves import BINS, bin_of
from pyrite.evaluation.scores import Floats, Scores
from pyrite.results import Verdict

RESAMPLES = 1000
MAX_SLICES = 50
PREVALENCES = (0.5, 0.1, 0.02, 0.001)
"""The shares of AI among a user's images that the worth of a verdict is told for."""
_RANKS = 2000
_CHUNK = 2_000_000  # weights held at a time, so that memory does not grow with the data


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure with its 95% interval: by bootstrap, but where another is named."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """The figures that a reader looks for first; `None` where the classes at hand do not define one.

    Those of the probability are `None` where there is none.
    """

    images: int
    real: int
    ai: int
    accuracy: Metric | None = None
    auroc: Metric | None = None
    average_precision: Metric | None = None
    f1: Metric | None = None
    """Of AI."""
    ece: Metric | None = None
    """Σ over 15 equal bins of the probability of AI, each (low, high] and the first with its 0, of
    n_bin/n · |share of AI − mean probability| (after Guo et al. 2017, who bin the top class's). A resample's is
    higher by nature, since it adds noise of its own: its interval is shifted down by that (the bootstrap's
    estimate of bias, Efron 1979)."""
    brier: Metric | None = None
    """Mean squared difference of probability and label (Brier 1950)."""
    tpr_at_fpr_1: Metric | None = None
    """The highest TPR of all thresholds whose FPR is at most 1%."""
    tpr_at_fpr_5: Metric | None = None
    fpr: Metric | None = None
    """The share of real images with the verdict `ai`."""
    tpr: Metric | None = None
    """The share of AI images with the verdict `ai`."""
    fnr: Metric | None = None
    """The share of AI images with the verdict `real`."""
    uncertain: Metric
    """The share of images with the verdict `uncertain`."""


@dataclass(frozen=True, slots=True)
class ClassRow:
    """Figures with one class as the positive, or their average; `None` where undefined."""

    name: str
    precision: Metric | None
    recall: Metric | None
    f1: Metric | None
    support: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictRow:
    """How many images of one class got which verdict."""

    ai: int
    real: int
    uncertain: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PrevalenceRow:
    """What the verdict `ai` is worth where a share of all images is AI; shares are of all images unless told."""

    prevalence: float
    found: float
    """AI images that get the verdict."""
    alarms: float
    """Real images that get it."""
    real_share: Metric | None
    """Of the images that get it, those that are real; `None` where none gets it."""


@dataclass(frozen=True, slots=True)
class Slice:
    """One value of a slice column; `fpr` and `tpr` are at probability 0.5, `None` without images of the class."""

    value: str
    real: int
    ai: int
    accuracy: Metric
    """With Wilson's interval (1927)."""
    fpr: float | None
    tpr: float | None
    verdicts: tuple[VerdictRow, VerdictRow]
    """On real and on AI images."""


@dataclass(frozen=True, slots=True)
class GeneratorRow:
    """One generator's AI images against all real ones."""

    generator: str
    images: int
    """By this generator."""
    auroc: Metric
    average_precision: Metric
    """Hangs on how many images there are of each class."""


@dataclass(frozen=True, slots=True)
class SliceTable:
    """A column of the data and how each of its values fares."""

    column: str
    worst: str
    """The value of the lowest accuracy."""
    rows: tuple[Slice, ...]


def headline(scores: Scores, *, seed: int = 0) -> Headline:
    """Measure every headline figure.

    Intervals are the 2.5% and 97.5% quantiles over 1,000 resamples, each drawn with replacement within
    each class (percentile bootstrap, Efron 1979). Those of verdicts are Wilson's (1927).
    """
    order = np.argsort(-scores.values, kind="stable")
    ranked = scores.select(order)
    values = ranked_figures(ranked, np.ones((1, len(order))))
    drawn = [ranked_figures(ranked, weights) for weights in resamples(ranked.labels, np.random.default_rng(seed))]
    metrics = {
        name: (_unbiased if name == "ece" else interval_of)(
            float(value[0]), np.concatenate([chunk[name] for chunk in drawn])
        )
        for name, value in values.items()
    }
    real, ai = (int(np.sum(scores.labels == label)) for label in (0, 1))
    return Headline(images=len(order), real=real, ai=ai, **metrics | _shares(scores))


def _shares(scores: Scores) -> dict[str, Metric]:
    """Return the shares of verdicts, with Wilson's intervals: of none in 30, a bootstrap would say that it is sure."""
    ofs = {"fpr": (Verdict.AI, 0), "tpr": (Verdict.AI, 1), "fnr": (Verdict.REAL, 1)}
    shares = {
        name: share(
            int(np.sum((scores.verdicts == verdict) & (scores.labels == label))), int(np.sum(scores.labels == label))
        )
        for name, (verdict, label) in ofs.items()
    }
    shares["uncertain"] = share(int(np.sum(scores.verdicts == Verdict.UNCERTAIN)), len(scores.labels))
    return {name: found for name, found in shares.items() if found}


def ranking(labels: NDArray[np.int8], values: Floats, *, seed: int = 0) -> Metric:
    """Return the AUROC of any values, (n,), the higher the more like AI; there must be images of both classes.

    The interval is that of `headline`, for any number of images in no time: to draw images with replacement is to
    draw how many of them have each value, and 2,000 ranks are as many values as it takes.
    """
    return _auroc(labels, values, *_ranks(labels, values, seed))


def _auroc(labels: NDArray[np.int8], values: Floats, real: NDArray[np.int64], ai: NDArray[np.int64]) -> Metric:
    """Return the AUROC of values, with its interval by what `_ranks` drew."""
    below = np.cumsum(real, axis=1) - real / 2
    # Mann & Whitney 1947: the share of pairs in which the AI image ranks higher, where a tie is half a pair.
    lower = np.sort(values[labels == 0])
    wins = sum(np.searchsorted(lower, values[labels == 1], side).sum() for side in ("left", "right")) / 2
    pairs = real[0].sum() * ai[0].sum()
    return interval_of(float(wins / pairs), (ai * below).sum(axis=1) / pairs)


def generator_rows(names: Sequence[str], scores: Scores, *, seed: int = 0) -> tuple[GeneratorRow, ...]:
    """Measure each generator's AI images against all real images, with the intervals of `ranking`.

    Args:
        names: (n,), the generator of each image; those of real images mean nothing.
        scores: of the same images.
        seed: of the bootstrap.

    Returns:
        A row for each, by name; nothing without real images, with one generator only, or with more than 50.
    """
    from sklearn.metrics import average_precision_score

    real = scores.labels == 0
    if not real.any():
        return ()
    ai = np.flatnonzero(~real)
    rows = []
    for name, found in slices([names[i] for i in ai.tolist()]):
        own = np.zeros(len(real), np.bool_)
        own[ai[found]] = True
        labels, values = scores.labels[real | own], scores.values[real | own]
        ranks = _ranks(labels, values, seed)
        alarms, hits = (count[:, ::-1] for count in ranks)
        passed = np.cumsum(hits + alarms, axis=1)
        drawn = (hits * np.cumsum(hits, axis=1) / np.maximum(passed, 1)).sum(axis=1) / own.sum()
        average = interval_of(float(average_precision_score(labels, values)), drawn)
        rows.append(GeneratorRow(name, int(own.sum()), _auroc(labels, values, *ranks), average))
    return tuple(rows)


def _ranks(labels: NDArray[np.int8], values: Floats, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw how many real and how many AI images have each of 2,000 rising ranks, (resamples, ranks) each."""
    place = np.searchsorted(np.sort(values), values) * _RANKS // len(values)
    generator = np.random.default_rng(seed)
    counts = [np.bincount(place[labels == label], minlength=_RANKS) for label in (0, 1)]
    real, ai = (generator.multinomial(count.sum(), count / count.sum(), RESAMPLES) for count in counts)
    return real, ai


def accuracy(labels: NDArray[np.int8], called_ai: NDArray[np.bool_], *, seed: int = 0) -> Metric:
    """Return the share of images (n,) that were called rightly, with the interval of `headline`."""
    generator = np.random.default_rng(seed)
    right = [int(np.sum(called_ai[labels == label] == label)) for label in (0, 1)]
    counts = [int(np.sum(labels == label)) for label in (0, 1)]
    drawn = _binomial(generator, right[0], counts[0]) + _binomial(generator, right[1], counts[1])
    return interval_of(sum(right) / len(labels), drawn / len(labels))


def confusion(scores: Scores) -> tuple[tuple[int, int], tuple[int, int]]:
    """Count images by truth (rows: real, AI) and by what they were called (columns: real, AI)."""
    counts = np.bincount(2 * scores.labels.astype(np.intp) + scores.called_ai, minlength=4).tolist()
    return (counts[0], counts[1]), (counts[2], counts[3])


def class_rows(scores: Scores, *, seed: int = 0) -> tuple[ClassRow, ...]:
    """Return precision, recall and F1 with real and with AI as the positive class, and both averages."""
    (kept, false), (missed, found) = confusion(scores)
    generator = np.random.default_rng(seed)
    # A resample's right answers in a class are binomial, so no resample need be drawn image by image.
    drawn_kept = np.append(kept, _binomial(generator, kept, kept + false))
    drawn_found = np.append(found, _binomial(generator, found, found + missed))
    real = _class_figures(drawn_kept, kept + false, found + missed - drawn_found)
    ai = _class_figures(drawn_found, found + missed, kept + false - drawn_kept)
    supports = (kept + false, found + missed)
    mean, weighted = (np.average([real, ai], axis=0, weights=w) for w in ((1, 1), supports))
    rows = (("real", real, supports[0]), ("ai", ai, supports[1]), ("mean", mean, sum(supports)))
    return tuple(_class_row(*row) for row in (*rows, ("weighted mean", weighted, sum(supports))))


def _class_figures(hits: NDArray[np.int64], support: int, alarms: NDArray[np.int64]) -> Floats:
    """Return precision, recall and F1, (3, k), NaN where undefined."""
    with np.errstate(invalid="ignore"):
        called = np.array(hits + alarms, np.float64)
        return np.stack([hits / called, hits / np.full(len(hits), float(support)), 2 * hits / (called + support)])


def _class_row(name: str, figures: Floats, support: int) -> ClassRow:
    """Turn figures, (3, 1 + resamples), the first of them as measured, into a row."""
    precision, recall, f1 = (
        None if np.isnan(row[0]) else interval_of(float(row[0]), row[1:][~np.isnan(row[1:])]) for row in figures
    )
    return ClassRow(name, precision, recall, f1, support)


def _binomial(generator: np.random.Generator, hits: int, count: int) -> NDArray[np.int64]:
    return generator.binomial(count, hits / max(1, count), RESAMPLES)


def verdict_rows(scores: Scores) -> tuple[VerdictRow, VerdictRow]:
    """Count the verdicts on real and on AI images."""
    real, ai = (
        VerdictRow(
            **{str(verdict): int(np.sum(scores.verdicts[scores.labels == label] == verdict)) for verdict in Verdict}
        )
        for label in (0, 1)
    )
    return real, ai


def prevalence_rows(verdicts: tuple[VerdictRow, VerdictRow]) -> tuple[PrevalenceRow, ...]:
    """Return what the verdict `ai` is worth at each of `PREVALENCES` (Bayes' rule); nothing with one class only.

    The interval takes the rates of both classes at those ends of their Wilson intervals that are best and worst for it,
    so it is somewhat wide. Where no image was called wrongly, its upper end is not 0.

    Args:
        verdicts: on real and on AI images.
    """
    fpr, tpr = (share(row.ai, row.ai + row.real + row.uncertain) for row in verdicts)
    if fpr is None or tpr is None:
        return ()

    def real_share(fpr: float, tpr: float, prevalence: float) -> float:
        alarms = fpr * (1 - prevalence)
        return alarms / (alarms + tpr * prevalence)

    return tuple(
        PrevalenceRow(
            prevalence=prevalence,
            found=tpr.value * prevalence,
            alarms=fpr.value * (1 - prevalence),
            real_share=Metric(
                real_share(fpr.value, tpr.value, prevalence),
                real_share(fpr.low, tpr.high, prevalence),
                real_share(fpr.high, tpr.low, prevalence),
            )
            if fpr.value or tpr.value
            else None,
        )
        for prevalence in PREVALENCES
    )


def share(hits: int, count: int) -> Metric | None:
    """Return the share of `hits` with its score interval (Wilson 1927), or `None` of nothing."""
    if not count:
        return None
    value, z = hits / count, NormalDist().inv_cdf(0.975)
    centre = (value + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * (value * (1 - value) / count + z**2 / (4 * count**2)) ** 0.5
    # At either end the interval touches it, but for rounding.
    low, high = centre - half if hits else 0.0, centre + half if hits < count else 1.0
    return Metric(value, low, high)


def slices(values: Sequence[str]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield each value of a column, sorted, and which images have it, (n,); nothing of one value or more than 50."""
    names = sorted(set(values))
    if 1 < len(names) <= MAX_SLICES:
        place = {name: i for i, name in enumerate(names)}
        places = np.array([place[value] for value in values])
        for i, name in enumerate(names):
            yield name, places == i


def slice_table(column: str, values: Sequence[str], scores: Scores) -> SliceTable | None:
    """Break the scores down by a column.

    Args:
        column: its name.
        values: (n,), one for each score.
        scores: of the same images.

    Returns:
        The table, sorted by value, or `None` where there is one value only or more than 50.
    """
    rows = tuple(_slice(name, scores.select(own)) for name, own in slices(values))
    if not rows:
        return None
    return SliceTable(column, min(rows, key=lambda row: row.accuracy.value).value, rows)


def _slice(value: str, scores: Scores) -> Slice:
    (kept, false), (missed, found) = confusion(scores)
    real, ai = kept + false, missed + found
    right = share(kept + found, real + ai)
    assert right
    return Slice(
        value,
        real,
        ai,
        right,
        false / real if real else None,
        found / ai if ai else None,
        verdict_rows(scores),
    )


def resamples(labels: NDArray[np.int8], generator: np.random.Generator) -> Iterator[Floats]:
    """Yield (rows, n) weights: how often each image was drawn, class by class."""
    rows = max(1, _CHUNK // len(labels))
    members = [found for label in (0, 1) if len(found := np.flatnonzero(labels == label))]
    for start in range(0, RESAMPLES, rows):
        weights = np.empty((min(rows, RESAMPLES - start), len(labels)))
        for found in members:
            count = len(found)
            weights[:, found] = generator.multinomial(count, np.full(count, 1 / count), len(weights))
        yield weights


def ranked_figures(ranked: Scores, weights: Floats) -> dict[str, Floats]:
    """Return each defined figure, (rows,), of images ranked by falling value, under (rows, n) weights.

    Most figures are functions of weighted sums over the images, so one matrix product serves all
    resamples; the rest come from running sums down the ranking.
    """
    positive = ranked.labels == 1
    negative = ~positive
    n, real, ai = len(positive), int(negative.sum()), int(positive.sum())
    value, called = ranked.values, ranked.called_ai
    verdict_ai = ranked.verdicts == Verdict.AI
    of_verdicts = [
        ranked.verdicts == Verdict.UNCERTAIN,
        verdict_ai & negative,
        verdict_ai & positive,
        (ranked.verdicts == Verdict.REAL) & positive,
    ]
    figures = {}
    if ranked.calibrated:
        residual = np.zeros((n, BINS))
        residual[np.arange(n), bin_of(value)] = positive - value
        of_probability = [called == positive, called & positive, called & negative, np.square(value - positive)]
        sums = weights @ np.column_stack([*of_probability, *of_verdicts, residual])
        right, hits, alarms, squares, unsure, fell, found, missed = sums[:, :8].T
        figures = {"accuracy": right / n, "ece": np.abs(sums[:, 8:]).sum(axis=1) / n, "brier": squares / n}
        if real and ai:
            figures["f1"] = 2 * hits / (hits + alarms + ai)
    else:
        unsure, fell, found, missed = (weights @ np.column_stack(of_verdicts)).T
    figures["uncertain"] = unsure / n
    if real:
        figures["fpr"] = fell / real
    if ai:
        figures["tpr"] = found / ai
        figures["fnr"] = missed / ai
    if not real or not ai:
        return figures
    # Images of equal value stand or fall together: only the last of each group is a threshold.
    thresholds = np.flatnonzero(np.append(np.diff(value) != 0, True))
    passed = np.cumsum(weights, axis=1)[:, thresholds]
    tp = np.cumsum(weights * positive, axis=1)[:, thresholds]
    fp = passed - tp
    gained, erred = np.diff(tp, prepend=0), np.diff(fp, prepend=0)
    figures["auroc"] = (erred * (tp - gained / 2)).sum(axis=1) / (real * ai)
    figures["average_precision"] = (gained * tp / np.maximum(passed, 1)).sum(axis=1) / ai
    for percent in (1, 5):
        best = np.where(100 * fp <= percent * real, tp, 0).max(axis=1)
        figures[f"tpr_at_fpr_{percent}"] = best / ai
    return figures


def interval_of(value: float, drawn: Floats) -> Metric:
    """Return a figure with the 2.5% and 97.5% quantiles of its resamples."""
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Metric(value, float(low), float(high))


def _unbiased(value: float, drawn: Floats) -> Metric:
    shifted = interval_of(value, drawn - max(0.0, float(drawn.mean()) - value))
    return Metric(value, max(0.0, shifted.low), shifted.high)
