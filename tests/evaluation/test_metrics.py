import tracemalloc
from collections.abc import Sequence
from dataclasses import astuple, fields

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, roc_auc_score, roc_curve

from pyrite.errors import EvaluationError
from pyrite.evaluation.curves import histogram, precision_recall, reliability, roc
from pyrite.evaluation.metrics import (
    ClassRow,
    Metric,
    VerdictRow,
    accuracy,
    class_rows,
    confusion,
    headline,
    prevalence_rows,
    ranking,
    share,
    slice_table,
    verdict_rows,
)
from pyrite.evaluation.scores import Scores


def make(labels: Sequence[int], probabilities: Sequence[float], verdicts: Sequence[str] | None = None) -> Scores:
    said = verdicts or ["ai" if p > 0.5 else "real" for p in probabilities]
    return Scores(np.array(labels, np.int8), np.array(probabilities, np.float64), np.array(said, np.str_))


def draw(count: int, decimals: int, seed: int = 0) -> Scores:
    random = np.random.default_rng(seed)
    labels = np.repeat([0, 1], [count // 3, count - count // 3])
    probabilities = np.clip(random.normal(0.35 + 0.3 * labels, 0.2), 0, 1).round(decimals)
    return make(labels.tolist(), probabilities.tolist())


SIX = make(
    [0, 0, 0, 1, 1, 1],
    [0.1, 0.2, 0.7, 0.4, 0.8, 0.9],
    ["real", "uncertain", "ai", "uncertain", "ai", "ai"],
)


def test_six_images_by_hand() -> None:
    found = headline(SIX)
    expected = {
        "accuracy": 4 / 6,
        "auroc": 8 / 9,
        "average_precision": (1 + 1 + 3 / 4) / 3,
        "f1": 2 / 3,
        # Each image has a bin of its own.
        "ece": (0.1 + 0.2 + 0.7 + 0.6 + 0.2 + 0.1) / 6,
        "brier": (0.01 + 0.04 + 0.49 + 0.36 + 0.04 + 0.01) / 6,
        "tpr_at_fpr_1": 2 / 3,
        "tpr_at_fpr_5": 2 / 3,
        "fpr": 1 / 3,
        "tpr": 2 / 3,
        "fnr": 0,
        "uncertain": 2 / 6,
    }
    assert {name: getattr(found, name).value for name in expected} == pytest.approx(expected)
    assert (found.images, found.real, found.ai) == (6, 3, 3)


@pytest.mark.parametrize("decimals", [1, 2, 12])
def test_figures_agree_with_scikit_learn_with_and_without_ties(decimals: int) -> None:
    scores = draw(900, decimals)
    found = headline(scores)
    y, p = scores.labels, scores.values
    fpr, tpr, _ = roc_curve(y, p, drop_intermediate=False)
    expected = {
        "accuracy": np.mean((p > 0.5) == y),
        "auroc": roc_auc_score(y, p),
        "average_precision": average_precision_score(y, p),
        "f1": f1_score(y, p > 0.5),
        "brier": brier_score_loss(y, p),
        "tpr_at_fpr_1": tpr[fpr <= 0.01].max(),
        "tpr_at_fpr_5": tpr[fpr <= 0.05].max(),
    }
    assert {name: getattr(found, name).value for name in expected} == pytest.approx(expected)


def test_bins_are_open_below_and_closed_above() -> None:
    edge = 1 / 15
    bins = reliability(make([0, 1, 1, 1], [0.0, edge, np.nextafter(edge, 1), 1.0]))
    assert [(b.images, b.share) for b in bins] == [(2, 0.5), (1, 1.0), (1, 1.0)]
    assert headline(make([0, 1], [0.0, edge])).ece.value == pytest.approx(abs(1 - edge) / 2)


def test_the_interval_of_the_accuracy_is_the_binomial_one() -> None:
    labels = [0, 1] * 1000
    probabilities = [0.9 if i % 20 < 2 else float(label) for i, label in enumerate(labels)]
    accuracy = headline(make(labels, probabilities)).accuracy
    # 100 of 1000 real images are wrong and no AI one, so only half of the images vary.
    half = 1.96 * np.sqrt(0.1 * 0.9 / 1000) / 2
    assert accuracy.value == 0.95
    assert (accuracy.low, accuracy.high) == pytest.approx((0.95 - half, 0.95 + half), abs=0.0015)


def test_intervals_hold_the_value_and_hang_on_the_seed_alone() -> None:
    scores = draw(600, 3)
    first, again, other = headline(scores, seed=1), headline(scores, seed=1), headline(scores, seed=2)
    metrics = [getattr(first, field.name) for field in fields(first) if field.name not in ("images", "real", "ai")]
    assert len(metrics) == 12
    assert all(m.low <= m.value <= m.high for m in metrics)
    assert first == again
    assert first.auroc != other.auroc
    assert first.auroc is not None
    # Hanley & McNeil's standard error for this AUROC and these counts is 0.0151.
    assert first.auroc.high - first.auroc.low == pytest.approx(2 * 1.96 * 0.0151, rel=0.15)


@pytest.mark.parametrize("decimals", [1, 12])
def test_a_ranking_alone_has_the_interval_of_the_headline(decimals: int) -> None:
    scores = draw(6000, decimals)
    whole, found = headline(scores), ranking(scores.labels, scores.values)
    assert whole.auroc is not None
    assert found.value == pytest.approx(whole.auroc.value, abs=1e-9)
    assert (found.low, found.high) == pytest.approx((whole.auroc.low, whole.auroc.high), abs=0.002)
    called = accuracy(scores.labels, scores.called_ai)
    assert called.value == whole.accuracy.value
    assert (called.low, called.high) == pytest.approx((whole.accuracy.low, whole.accuracy.high), abs=0.002)


def test_the_calibration_error_lies_in_its_own_interval() -> None:
    random = np.random.default_rng(0)
    for seed in range(20):
        probabilities = random.random(500)
        ece = headline(make((random.random(500) < probabilities).astype(int).tolist(), probabilities.tolist())).ece
        assert ece.low <= ece.value <= ece.high, seed


def test_a_perfect_ranking_leaves_no_width() -> None:
    found = headline(make([0, 0, 1, 1], [0.0, 0.0, 1.0, 1.0]))
    assert found.accuracy == found.auroc == found.tpr_at_fpr_1 == Metric(1, 1, 1)
    assert found.ece == found.brier == Metric(0, 0, 0)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_alone_leaves_undefined_figures_out(label: int) -> None:
    scores = make([label] * 3, [0.2, 0.6, 0.9])
    found = headline(scores)
    assert found.accuracy.value == pytest.approx([1 / 3, 2 / 3][label])
    assert found.auroc is found.average_precision is found.f1 is found.tpr_at_fpr_1 is found.tpr_at_fpr_5 is None
    assert (found.fpr is None) == (label == 1)
    assert (found.tpr is None) == (found.fnr is None) == (label == 0)
    assert roc(scores) is precision_recall(scores) is None


@pytest.mark.parametrize(
    ("labels", "probabilities", "verdicts", "message"),
    [
        ([], [], [], "no images"),
        ([0], [0.1, 0.2], ["ai"], "Each image needs"),
        ([2], [0.1], ["ai"], "0 \\(real\\) or 1"),
        ([0], [np.nan], ["ai"], "from 0 to 1"),
        ([0], [1.5], ["ai"], "from 0 to 1"),
        ([0], [0.1], ["fake"], "ai, real, uncertain"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    labels: list[int], probabilities: list[float], verdicts: list[str], message: str
) -> None:
    with pytest.raises(EvaluationError, match=message):
        Scores(np.array(labels, np.int8), np.array(probabilities, np.float64), np.array(verdicts, np.str_))


def test_counts_by_hand() -> None:
    assert confusion(SIX) == ((2, 1), (1, 2))
    assert verdict_rows(SIX) == (VerdictRow(ai=1, real=1, uncertain=1), VerdictRow(ai=2, real=0, uncertain=1))
    counts = histogram(SIX, bins=2)
    assert (counts.edges, counts.real, counts.ai) == ((0.0, 0.5, 1.0), (2, 1), (1, 2))


def test_class_rows_read_both_ways() -> None:
    real, ai, mean, weighted = class_rows(make([0, 0, 0, 1, 1], [0.1, 0.2, 0.9, 0.8, 0.7]))
    assert [row.name for row in (real, ai, mean, weighted)] == ["real", "ai", "mean", "weighted mean"]
    assert [row.support for row in (real, ai, mean, weighted)] == [3, 2, 5, 5]
    assert values(real) == pytest.approx([1, 2 / 3, 0.8])
    assert values(ai) == pytest.approx([2 / 3, 1, 0.8])
    assert values(mean) == pytest.approx([5 / 6, 5 / 6, 0.8])
    assert values(weighted)[0] == pytest.approx((3 + 2 * 2 / 3) / 5)


def values(row: ClassRow) -> list[float | None]:
    return [metric.value if metric else None for metric in (row.precision, row.recall, row.f1)]


def test_the_intervals_of_a_class_are_those_of_resampled_images() -> None:
    scores = draw(900, 3)
    found = class_rows(scores)[1]
    random = np.random.default_rng(1)
    of_class = [np.flatnonzero(scores.labels == label) for label in (0, 1)]
    precisions, recalls = [], []
    for _ in range(2000):
        drawn = np.concatenate([random.choice(members, len(members)) for members in of_class])
        called, truth = scores.called_ai[drawn], scores.labels[drawn] == 1
        precisions.append(np.mean(truth[called]))
        recalls.append(np.mean(called[truth]))
    for metric, expected in ((found.precision, precisions), (found.recall, recalls)):
        assert metric is not None
        assert (metric.low, metric.high) == pytest.approx(tuple(np.quantile(expected, (0.025, 0.975))), abs=0.004)


def test_verdicts_without_an_error_are_not_certain() -> None:
    found = headline(make([0, 1] * 30, [0.0, 1.0] * 30))
    assert (found.fpr, found.tpr, found.fnr) == (share(0, 30), share(30, 30), share(0, 30))
    assert found.uncertain == share(0, 60)


def test_a_class_that_is_never_called_has_no_precision() -> None:
    rows = class_rows(make([0, 1], [0.1, 0.2]))
    assert values(rows[1]) == [None, 0.0, 0.0]
    assert rows[1].recall == Metric(0, 0, 0)


def test_curves_are_thinned_but_keep_both_ends() -> None:
    scores = draw(6000, 12)
    for curve in (roc(scores), precision_recall(scores)):
        assert curve is not None
        assert 100 < len(curve.x) <= 402
        assert (curve.x[0], curve.x[-1]) == (0.0, 1.0)
        assert list(curve.x) == sorted(curve.x)


def test_slices_name_the_worst() -> None:
    table = slice_table("object", ["cat", "cat", "dog", "dog", "cat", "cat"], SIX)
    assert table is not None
    assert (table.column, table.worst) == ("object", "dog")
    cat, dog = table.rows
    for mine, its, both in zip(cat.verdicts, dog.verdicts, verdict_rows(SIX), strict=True):
        assert [mine.ai + its.ai, mine.real + its.real, mine.uncertain + its.uncertain] == list(astuple(both))
    assert [sum(astuple(row)) for row in (*cat.verdicts, *dog.verdicts)] == [2, 2, 1, 1]
    assert (cat.value, cat.real, cat.ai, cat.accuracy.value, cat.fpr, cat.tpr) == ("cat", 2, 2, 1.0, 0.0, 1.0)
    assert (dog.value, dog.real, dog.ai, dog.accuracy, dog.fpr, dog.tpr) == ("dog", 1, 1, share(0, 2), 1.0, 0.0)


def test_a_slice_of_one_class_has_one_rate() -> None:
    table = slice_table("generator", ["none"] * 3 + ["flux"] * 3, SIX)
    assert table is not None
    flux, none = table.rows
    assert (flux.fpr, none.tpr) == (None, None)


def test_columns_with_one_value_or_too_many_make_no_table() -> None:
    scores = draw(51, 3)
    assert slice_table("a", ["x"] * 51, scores) is None
    assert slice_table("a", [str(i) for i in range(51)], scores) is None
    assert slice_table("a", [str(i % 50) for i in range(51)], scores) is not None


def test_a_long_text_in_a_column_takes_no_memory_for_every_image() -> None:
    scores = draw(2000, 3)
    tracemalloc.start()
    assert slice_table("prompt", ["x" * 1_000_000, *(["short"] * 1999)], scores) is not None
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


@pytest.mark.parametrize(("hits", "count"), [(0, 10), (10, 10), (1, 3), (7, 1000), (4975, 9881)])
def test_shares_have_wilsons_interval(hits: int, count: int) -> None:
    from scipy.stats import binomtest

    found = share(hits, count)
    expected = binomtest(hits, count).proportion_ci(0.95, "wilson")
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((hits / count, expected.low, expected.high), abs=1e-12)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_nothing_has_no_share() -> None:
    assert share(0, 0) is None


def judged(real: int, called: int, ai: int, found: int) -> tuple[VerdictRow, VerdictRow]:
    """Return the verdicts on so many real and AI images, of which so many were called AI."""
    return (
        VerdictRow(ai=called, real=(real - called) // 2, uncertain=real - called - (real - called) // 2),
        VerdictRow(ai=found, real=0, uncertain=ai - found),
    )


def test_what_a_verdict_is_worth_by_hand() -> None:
    half, tenth, fiftieth, thousandth = prevalence_rows(judged(1000, 20, 500, 450))
    assert [row.prevalence for row in (half, tenth, fiftieth, thousandth)] == [0.5, 0.1, 0.02, 0.001]
    # Of 10,000 images 200 are AI and 180 of these found; of 9,800 real ones 196 are called AI.
    assert (fiftieth.found, fiftieth.alarms) == pytest.approx((0.018, 0.0196))
    assert [row.real_share.value for row in (half, tenth, fiftieth, thousandth) if row.real_share] == pytest.approx(
        [0.02 / 0.92, 0.018 / 0.108, 0.0196 / 0.0376, 0.01998 / 0.02088]
    )
    # Wilson's intervals are 0.012988 to 0.030679 for 20 of 1,000, and 0.870626 to 0.923288 for 450 of 500.
    assert fiftieth.real_share is not None
    assert (fiftieth.real_share.low, fiftieth.real_share.high) == pytest.approx(
        (0.98 * 0.012988 / (0.98 * 0.012988 + 0.02 * 0.923288), 0.98 * 0.030679 / (0.98 * 0.030679 + 0.02 * 0.870626)),
        abs=1e-4,
    )


def test_no_false_alarm_seen_is_no_promise() -> None:
    row = prevalence_rows(judged(100, 0, 100, 90))[2]
    assert row.alarms == 0
    assert row.real_share is not None
    assert (row.real_share.value, row.real_share.low) == (0, 0)
    # No alarm in 100 allows for a rate of 3.70% (Wilson), and 90 found in 100 for one of 82.56%.
    assert row.real_share.high == pytest.approx(0.98 * 0.03699 / (0.98 * 0.03699 + 0.02 * 0.82563), abs=1e-3)


def test_where_no_ai_image_is_found_every_alarm_is_false() -> None:
    row = prevalence_rows(judged(100, 5, 100, 0))[0]
    assert row.found == 0
    assert row.real_share is not None
    assert (row.real_share.value, row.real_share.high) == (1, 1)
    assert 0 < row.real_share.low < 1


def test_where_nothing_is_called_ai_there_is_no_share_to_tell() -> None:
    assert [row.real_share for row in prevalence_rows(judged(100, 0, 100, 0))] == [None] * 4


def test_one_class_alone_says_nothing_of_the_worth() -> None:
    assert prevalence_rows(judged(0, 0, 100, 50)) == prevalence_rows(judged(100, 5, 0, 0)) == ()


def test_a_ranking_is_the_auroc_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 300).astype(np.int8)
    for values in (random.normal(labels, 1), np.round(random.normal(labels, 1)), np.zeros(300)):
        assert ranking(labels, values).value == pytest.approx(roc_auc_score(labels, values), abs=1e-12)
