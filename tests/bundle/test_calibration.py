import msgspec
import numpy as np
import pytest

from pyrite.bundle.calibration import Calibration, calibrated_loss, fit_calibration
from pyrite.errors import EvaluationError

KEPT = Calibration(slope=2.0, intercept=-1.0, real_logits=(-3.0, -1.0, -1.0, 2.0), ai_logits=(0.0, 1.0, 5.0))


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
    for kept, label in ((fitted.real_logits, 0), (fitted.ai_logits, 1)):
        assert len(kept) == 50
        assert list(kept) == sorted(kept)
        assert set(kept) <= {round(x, 4) for x in logits[labels == label].astype(float).tolist()}
    everything = fit_calibration(logits, labels)
    assert len(everything.real_logits) == int((labels == 0).sum())


def test_seed_chooses_what_is_kept_and_nothing_else():
    logits, labels = drawn()
    a, b, c = (fit_calibration(logits, labels, keep=50, seed=seed) for seed in (0, 0, 1))
    assert a == b
    assert a.real_logits != c.real_logits
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
        ([1, 2], [1, 1], "both classes"),
        ([], [], "both classes"),
        ([1, 2], [0, 2], "both classes"),
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


@pytest.mark.parametrize(("kept", "message"), [("[]", "at least one"), ("[2, 1]", "ascending")])
def test_json_without_usable_logits_is_refused(kept, message):
    text = f'{{"slope": 1, "intercept": 0, "real_logits": {kept}, "ai_logits": [1]}}'
    with pytest.raises(msgspec.ValidationError, match=f"real_logits.*{message}"):
        msgspec.json.decode(text, type=Calibration)


def test_epochs_are_compared_by_what_calibration_leaves() -> None:
    labels = np.array([0, 1] * 50, np.int8)
    random = np.random.default_rng(0)
    good = 3.0 * (2 * labels - 1) + random.normal(0, 2, 100)
    # Far too sure of itself, or shifted, a ranking is as good as before: what is left is the same.
    assert calibrated_loss(20 * good + 7, labels) == pytest.approx(calibrated_loss(good, labels), rel=0.02)
    assert calibrated_loss(good, labels) < calibrated_loss(good + random.normal(0, 4, 100), labels)
