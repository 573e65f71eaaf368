import math

import msgspec
import numpy as np
import pytest

from pyrite.bundle.calibration import ALL, Calibration, calibrated_loss, fit_calibration, images_needed
from pyrite.decision import Policy
from pyrite.errors import EvaluationError

REAL, AI = (-3.0, -1.0, -1.0, 2.0), (0.0, 1.0, 5.0)
KEPT = Calibration(slope=2.0, intercept=-1.0, real={ALL: REAL}, ai={ALL: AI})


def drawn(n=400, seed=1):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, n)
    return random.normal(3 * labels - 1, 2).astype(np.float32), labels


@pytest.mark.parametrize(
    ("logit", "expected"),
    [(-4, 5 / 5), (-3, 5 / 5), (-2.9, 4 / 5), (-1, 4 / 5), (0, 2 / 5), (2, 2 / 5), (2.1, 1 / 5), (99, 1 / 5)],
)
def test_p_real_counts_real_logits_at_least_as_high(logit, expected):
    assert KEPT.p_real(logit) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("logit", "expected"), [(-99, 1 / 4), (0, 2 / 4), (0.5, 2 / 4), (1, 3 / 4), (5, 4 / 4), (9, 4 / 4)]
)
def test_p_ai_counts_ai_logits_at_most_as_high(logit, expected):
    assert KEPT.p_ai(logit) == pytest.approx(expected)


def test_methods_keep_the_shape():
    logits = np.zeros((2, 3), np.float32)
    for method in (KEPT.probability, KEPT.p_real, KEPT.p_ai):
        assert method(logits).shape == (2, 3)
        assert method(logits[:0]).shape == (0, 3)


def test_probability_is_a_sigmoid_and_does_not_overflow():
    assert KEPT.probability([0.5, 1.0]).tolist() == pytest.approx([0.5, 0.7310585786300049])
    assert KEPT.probability([-1e6, 1e6]).tolist() == [0, 1]


def test_smallest_p_real_is_reached_and_not_undercut():
    assert KEPT.p_real(1e9) == KEPT.smallest_p_real == 1 / 5


def test_fit_matches_golden_values():
    # From scikit-learn 1.9's own implementation of Platt's method, on the same data.
    fitted = fit_calibration(*drawn())
    assert fitted.slope == pytest.approx(0.6960774628, abs=1e-6)
    assert fitted.intercept == pytest.approx(-0.2743192785, abs=1e-6)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_fit_does_not_depend_on_the_scale_of_logits(scale):
    logits, labels = drawn()
    logits = logits.astype(np.float64)
    expected = fit_calibration(logits, labels).probability(logits)
    found = fit_calibration(logits * scale, labels).probability(logits * scale)
    assert found == pytest.approx(expected, abs=1e-3)


def test_separable_classes_give_a_finite_fit():
    fitted = fit_calibration([-2, -1, 1, 2], [0, 0, 1, 1])
    assert 0 < fitted.slope < 20
    assert fitted.probability(2) == pytest.approx(0.75, abs=0.05)


def test_constant_logits_give_the_share_of_ai():
    fitted = fit_calibration(np.full(30, 4.0), np.arange(30) < 10)
    assert fitted.probability(4.0) == pytest.approx(1 / 3, abs=0.03)


def test_kept_logits_are_sorted_rounded_and_at_most_keep():
    logits, labels = drawn()
    fitted = fit_calibration(logits, labels, keep=50)
    for kept, label, outward in ((fitted.real[ALL], 0, math.ceil), (fitted.ai[ALL], 1, math.floor)):
        assert len(kept) == 50
        assert list(kept) == sorted(kept)
        assert set(kept) <= {outward(x * 1e4) / 1e4 for x in logits[labels == label].astype(float).tolist()}
    everything = fit_calibration(logits, labels)
    assert len(everything.real[ALL]) == int((labels == 0).sum())


def test_a_logit_that_many_images_have_is_no_more_unusual_for_being_rounded():
    """Such as where a model's probabilities of 0 and 1 are cut."""
    for cut in (13.815509796142578, 13.80231762, 0.12341, 0.5, 7.0):
        logits = np.concatenate([np.linspace(-5, -1, 95), np.full(5, cut), np.linspace(1, 5, 95), np.full(5, -cut)])
        fitted = fit_calibration(logits, np.repeat([0, 1], 100))
        assert fitted.p_real(cut) == 6 / 101
        assert fitted.p_ai(-cut) == 6 / 101
        assert abs(max(fitted.real[ALL]) - cut) < 1e-4
    assert fitted.real[ALL][-1] == 7.0  # What has four decimals stays as it is.


def test_seed_chooses_what_is_kept_and_nothing_else():
    logits, labels = drawn()
    a, b, c = (fit_calibration(logits, labels, keep=50, seed=seed) for seed in (0, 0, 1))
    assert a == b
    assert a.real != c.real
    assert (a.slope, a.intercept) == (c.slope, c.intercept)


def test_p_values_keep_their_promise_on_new_images():
    fitted = fit_calibration(*drawn(4000, seed=2), keep=500)
    logits, labels = drawn(4000, seed=3)
    for rate in (0.05, 0.2):
        assert np.mean(fitted.p_real(logits[labels == 0]) <= rate) == pytest.approx(rate, abs=0.03)
        assert np.mean(fitted.p_ai(logits[labels == 1]) <= rate) == pytest.approx(rate, abs=0.03)


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        ([1, 2], [1, 1], "real images"),
        ([], [], "real images"),
        ([1, 2], [0, 2], "real images"),
        ([1, np.nan], [0, 1], "finite"),
        ([1, np.inf], [0, 1], "finite"),
        ([1, 2, 3], [0, 1], "shapes"),
        ([[1], [2]], [[0], [1]], "shapes"),
    ],
)
def test_bad_input_is_refused(logits, labels, message):
    with pytest.raises(EvaluationError, match=message):
        fit_calibration(logits, labels)


def test_keep_must_be_positive():
    with pytest.raises(EvaluationError, match="at least one"):
        fit_calibration([0, 1], [0, 1], keep=0)


def test_json_round_trip():
    fitted = fit_calibration(*drawn())
    assert msgspec.json.decode(msgspec.json.encode(fitted), type=Calibration) == fitted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"slope": 1, "intercept": 0, "real": {"all": []}, "ai": {"all": [1]}}', "real.*at least one.*'all'"),
        ('{"slope": 1, "intercept": 0, "real": {"all": [2, 1]}, "ai": {"all": [1]}}', "real.*ascending.*'all'"),
        ('{"slope": 1, "real": {"all": [1]}, "ai": {"all": [1]}}', "go together"),
        ('{"slope": 1, "intercept": 0, "real": {"all": [1]}}', "both classes"),
    ],
)
def test_json_that_calibrates_nothing_is_refused(text, message):
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.json.decode(text, type=Calibration)


def test_the_p_value_of_several_groups_is_the_largest():
    both = Calibration(real={"film": REAL, "phone": (4.0, 6.0)}, ai={"a": AI, "b": (-2.0, -1.0)})
    logits = np.linspace(-9, 9, 37)
    alone = [Calibration(real={ALL: kept}) for kept in both.real.values()]
    assert both.p_real(logits).tolist() == np.maximum(*(one.p_real(logits) for one in alone)).tolist()
    assert both.p_real(5.0) == 2 / 3  # Of one in two phones, though of no film.
    assert both.p_ai(-1.5) == 2 / 3
    assert both.smallest_p_real == 1 / 3


def test_each_group_keeps_its_own_promise():
    rng = np.random.default_rng(0)
    groups = np.array(["a", "b"] * 500)
    shift = np.where(groups == "b", 3.0, 0.0)
    fitted = fit_calibration(rng.normal(shift, 1), np.zeros(1000), groups.tolist())
    for name, centre in (("a", 0.0), ("b", 3.0)):
        assert np.mean(fitted.p_real(rng.normal(centre, 1, 5000)) <= 0.05) <= 0.07, name
    pooled = fit_calibration(rng.normal(shift, 1), np.zeros(1000))
    assert np.mean(pooled.p_real(rng.normal(3.0, 1, 5000)) <= 0.05) > 0.09


def test_real_images_alone_give_p_real_and_nothing_else():
    fitted = fit_calibration([3.0, 1.0, 2.0], [0, 0, 0])
    assert (fitted.slope, fitted.intercept, fitted.ai) == (None, None, {})
    assert fitted.p_real(2.5) == 2 / 4
    assert fitted.p_ai(2.5) is None
    assert fitted.probability(2.5) is None


def test_nothing_is_known_without_images():
    empty = Calibration()
    assert empty.probability(0) is empty.p_real(0) is empty.p_ai(0) is None
    assert empty.smallest_p_real == 1


def test_epochs_are_compared_by_what_calibration_leaves() -> None:
    labels = np.array([0, 1] * 50, np.int8)
    random = np.random.default_rng(0)
    good = 3.0 * (2 * labels - 1) + random.normal(0, 2, 100)
    # Far too sure of itself, or shifted, a ranking is as good as before: what is left is the same.
    assert calibrated_loss(20 * good + 7, labels) == pytest.approx(calibrated_loss(good, labels), rel=0.02)
    assert calibrated_loss(good, labels) < calibrated_loss(good + random.normal(0, 4, 100), labels)


@pytest.mark.parametrize(("budget", "images"), [(0.05, 19), (0.01, 99), (0.5, 1), (0.3, 3), (0.0005, 1999)])
def test_a_budget_takes_so_many_images(budget: float, images: int) -> None:
    assert images_needed(budget) == images
    enough = Calibration(real={"all": tuple(range(images))})
    assert enough.smallest_p_real <= budget
    assert enough.too_few(Policy(max_fpr=budget)) == ()
    if images > 1:
        [told] = Calibration(real={"all": tuple(range(images - 1))}).too_few(Policy(max_fpr=budget))
        assert f"needs at least {images:,} real calibration images, and there are {images - 1:,}" in told


def test_what_each_group_shows_of_the_budget() -> None:
    groups = Calibration(real={"a": tuple(range(99)), "b": tuple(range(50, 149))}, ai={"all": tuple(range(140, 239))})
    kept = list(groups.kept(Policy(max_fpr=0.1, max_fnr=0.05)))
    assert [(one.kind, one.group, one.images, one.smallest) for one in kept] == [
        ("real", "a", 99, 0.01), ("real", "b", 99, 0.01), ("AI", "all", 99, 0.01),
    ]  # fmt: skip
    # What is usual in one group accuses nobody in another; what is in both budgets goes to the more usual class.
    assert [one.wrong for one in kept] == [0, 5 / 99, 4 / 99]
    assert all(one.wrong <= 0.1 for one in kept)


def test_no_budget_is_told_where_there_are_no_images() -> None:
    assert Calibration().too_few(Policy()) == ()
    assert list(Calibration().kept(Policy())) == []
