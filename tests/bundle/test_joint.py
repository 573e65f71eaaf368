from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from pyrite.bundle.calibration import ALL
from pyrite.bundle.joint import JointCalibration, fit_joint
from pyrite.decision import Policy
from pyrite.errors import EvaluationError

Rows = np.ndarray
Draw = Callable[[np.random.Generator, int], Rows]
DRAWS, CALIBRATION, JUDGED = 200, 60, 50
WAYS = {
    "one set": {},
    "halves": {"halves": True},
    "bonferroni": {"merge": "bonferroni"},
}


def columns(rows: Rows) -> dict[str, Rows]:
    return {f"m{i}": column for i, column in enumerate(rows.T)}


def gaussian(correlation: float, members: int = 4) -> Draw:
    def draw(random: np.random.Generator, count: int) -> Rows:
        common = random.normal(size=(count, 1))
        return np.sqrt(correlation) * common + np.sqrt(1 - correlation) * random.normal(size=(count, members))

    return draw


def copied(random: np.random.Generator, count: int) -> Rows:
    rows = random.normal(size=(count, 2))
    return rows[:, [0, 0, 0, 1]]


def opposed(random: np.random.Generator, count: int) -> Rows:
    rows = random.standard_t(2, (count, 2))
    return np.column_stack([rows, -rows])


def tied(random: np.random.Generator, count: int) -> Rows:
    return np.round(gaussian(0.5)(random, count))


def missing_where_high(random: np.random.Generator, count: int) -> Rows:
    """Images that alarm two members most are those that the others never judge."""
    rows = gaussian(0.5)(random, count)
    rows[rows[:, 0] > 0.7, 2:] = np.nan
    rows[random.random(count) < 0.2, 1] = np.nan
    return rows


KINDS: dict[str, Draw] = {
    "independent": gaussian(0), "dependent": gaussian(0.8), "copied": copied, "opposed": opposed, "tied": tied,
    "missing": missing_where_high,
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_budget_holds_however_dependent_the_members_are(kind: str, way: str) -> None:
    random = np.random.default_rng(7)
    budgets = np.array([0.02, 0.05, 0.1, 0.2])
    alarms = []
    for draw in range(DRAWS):
        fitted = fit_joint(columns(KINDS[kind](random, CALIBRATION)), np.zeros(CALIBRATION), seed=draw, **WAYS[way])
        found = fitted.p_real(columns(KINDS[kind](random, JUDGED)))
        alarms.append((found[:, None] <= budgets).mean(axis=0))
    rates, error = np.mean(alarms, axis=0), np.std(alarms, axis=0) / np.sqrt(DRAWS)
    # Draws are independent, images of one draw are not. A normal variable exceeds 4 of these in 1 of 30,000 cases.
    assert (rates <= budgets + 4 * np.maximum(error, np.sqrt(budgets * (1 - budgets) / (DRAWS * JUDGED)))).all(), rates
    if way == "halves" and kind in ("independent", "dependent"):
        # Exact, and not only safe: the p-value takes the values 1/31 to 1.
        assert rates[2] == pytest.approx(3 / 31, abs=4 * error[2])


def test_one_set_without_the_correction_would_exceed_the_budget() -> None:
    """What the test above would not find, it could not defend: the naive count of calibration images fails it."""
    random = np.random.default_rng(0)
    alarms = []
    for _ in range(DRAWS):
        rows = gaussian(0)(random, CALIBRATION)
        group = fit_joint(columns(rows), np.zeros(CALIBRATION)).real[ALL]
        without = msgspec.structs.replace(group, statistics=())
        alone = JointCalibration(members=tuple(group.scores), merge="bonferroni", real={ALL: without})
        shares = np.stack(list(alone.single_p_real(columns(rows)).values()))
        naive = np.sort(np.round(-np.log(shares).mean(axis=0), 6))
        fitted = JointCalibration(
            members=tuple(group.scores),
            merge="fisher",
            real={ALL: msgspec.structs.replace(group, statistics=tuple(naive))},
        )
        alarms.append(np.mean(fitted.p_real(columns(gaussian(0)(random, JUDGED))) <= 0.05))
    assert np.mean(alarms) > 0.05 + 4 * np.std(alarms) / np.sqrt(DRAWS)


def test_p_values_by_hand() -> None:
    scores = {"a": [1.0, 2.0, 3.0, 4.0], "b": [4.0, 3.0, 2.0, 1.0]}
    fitted = fit_joint(scores, [0, 0, 0, 0])
    group = fitted.real[ALL]
    assert group.scores == {"a": (1, 2, 3, 4), "b": (1, 2, 3, 4)}
    # Their own p-values are 4/5, 3/5, 2/5, 1/5 and the other way round.
    outer, inner = -np.log(4 / 25) / 2, -np.log(6 / 25) / 2
    assert group.statistics == pytest.approx((inner, inner, outer, outer), abs=1e-6)
    # p-values of a and b: 1/5 and 1/5; 2/5 and 2/5; 3/5 and 3/5; 1 and 1.
    found = fitted.p_real({"a": [5.0, 3.5, 2.5, 0.0], "b": [5.0, 3.5, 2.5, 0.0]})
    assert found.tolist() == [1 / 5, 3 / 5, 1, 1]
    assert fitted.smallest_p_real == 1 / 5
    single = fitted.single_p_real({"a": [5.0, 3.5], "b": [np.nan, 0.0]})
    assert single["a"].tolist() == [1 / 5, 2 / 5]
    assert np.isnan(single["b"][0])
    assert single["b"][1] == 1


def test_bonferroni_by_hand() -> None:
    fitted = fit_joint({"a": range(9), "b": range(9)}, [0] * 9, merge="bonferroni")
    assert fitted.p_real({"a": [9.0, 8.0, 0.0], "b": [0.0, 8.0, 0.0]}).tolist() == pytest.approx([0.2, 0.4, 1])
    # A member that did not judge still counts as one of two.
    assert fitted.p_real({"a": 9.0, "b": None}) == pytest.approx(0.2)
    assert fitted.smallest_p_real == pytest.approx(0.2)


def test_halves_share_no_image() -> None:
    scores = np.arange(11.0)
    fitted = fit_joint({"a": scores}, np.zeros(11), halves=True, seed=3)
    [group] = fitted.real.values()
    assert (group.images, len(group.scores["a"]), len(group.statistics)) == (11, 5, 6)
    other = np.setdiff1d(scores, group.scores["a"])
    expected = [-np.log((1 + sum(s >= score for s in group.scores["a"])) / 6) for score in other]
    assert group.statistics == pytest.approx(sorted(expected), abs=1e-6)
    assert fitted == fit_joint({"a": scores}, np.zeros(11), halves=True, seed=3)
    assert fitted != fit_joint({"a": scores}, np.zeros(11), halves=True, seed=4)


@pytest.mark.parametrize("way", WAYS)
def test_ai_images_are_treated_as_real_ones_are(way: str) -> None:
    rows = gaussian(0.5)(np.random.default_rng(0), 50)
    mirrored = fit_joint(columns(np.vstack([rows, -rows])), [0] * 50 + [1] * 50, **WAYS[way])
    alone = fit_joint(columns(rows), [0] * 50, **WAYS[way])
    new = gaussian(0.5)(np.random.default_rng(1), 40)
    assert mirrored.p_real(columns(new)).tolist() == alone.p_real(columns(new)).tolist()
    if way != "halves":  # Which draws other halves for the second class.
        assert mirrored.p_ai(columns(-new)).tolist() == alone.p_real(columns(new)).tolist()
    assert alone.p_ai(columns(new)) is None
    assert alone.single_p_ai(columns(new)) is None


@pytest.mark.parametrize("way", WAYS)
def test_the_p_value_of_several_groups_is_the_largest(way: str) -> None:
    random = np.random.default_rng(0)
    a, b = gaussian(0.5)(random, 80), gaussian(0.5)(random, 80) + 2
    both = fit_joint(columns(np.vstack([a, b])), np.zeros(160), ["a"] * 80 + ["b"] * 80, **WAYS[way])
    new = columns(gaussian(0.5)(random, 500) + 1)
    alone = [
        JointCalibration(members=both.members, merge=both.merge, halves=both.halves, real={name: group})
        for name, group in both.real.items()
    ]
    assert both.p_real(new).tolist() == np.maximum(*(one.p_real(new) for one in alone)).tolist()
    shifted = columns(gaussian(0.5)(random, 2000) + 2)
    assert np.mean(both.p_real(shifted) <= 0.1) <= 0.13
    pooled = fit_joint(columns(np.vstack([a, b])), np.zeros(160), **WAYS[way])
    if way != "bonferroni":
        assert np.mean(pooled.p_real(shifted) <= 0.1) > 0.15


@pytest.mark.parametrize("way", WAYS)
def test_losing_a_member_never_makes_an_image_more_unusual(way: str) -> None:
    random = np.random.default_rng(0)
    rows = gaussian(0.3)(random, 150)
    rows[random.random(rows.shape) < 0.1] = np.nan
    fitted = fit_joint(columns(rows), np.zeros(150), **WAYS[way])
    new = gaussian(0.3)(random, 100) + 1
    before = fitted.p_real(columns(new))
    for i in range(4):
        less = new.copy()
        less[:, i] = np.nan
        assert (fitted.p_real(columns(less)) >= before).all()
    assert np.isnan(fitted.p_real(columns(np.full((2, 4), np.nan)))).all()


def test_methods_keep_the_shape_and_take_single_scores() -> None:
    fitted = fit_joint({"a": [1, 2, 3], "b": [1, 2, 3]}, [0, 0, 0])
    assert fitted.p_real({"a": np.zeros((2, 3)), "b": np.zeros((2, 3))}).shape == (2, 3)
    assert fitted.p_real({"a": [], "b": []}).shape == (0,)
    assert fitted.p_real({"a": 9, "b": 9}).shape == ()
    assert np.isnan(fitted.p_real({"a": None, "b": None}))


def test_a_budget_that_the_images_cannot_resolve_is_told() -> None:
    def told(images: int, budget: float, **way: object) -> tuple[str, ...]:
        rows = np.random.default_rng(1).normal(size=(images, 2))
        fitted = fit_joint(columns(rows), np.zeros(images), **way)
        sentences = fitted.too_few(Policy(max_fpr=budget))
        assert bool(sentences) == (fitted.smallest_p_real > budget)
        return sentences

    for way, enough in (({}, 19), ({"halves": True}, 37), ({"merge": "bonferroni"}, 39)):
        assert told(enough, 0.05, **way) == ()
        [sentence] = told(enough - 1, 0.05, **way)
        assert f"5% needs at least {enough} real calibration images, and there are {enough - 1}" in sentence
        assert "no image can be called AI" in sentence
    # One member alone: the image of the highest score is level with any new one.
    [sentence] = fit_joint({"a": np.arange(38.0)}, np.zeros(38)).too_few(Policy())
    assert "at least 39 real" in sentence
    assert fit_joint({"a": np.arange(39.0)}, np.zeros(39)).too_few(Policy()) == ()


def test_groups_that_are_too_small_are_named() -> None:
    rows = np.random.default_rng(0).normal(size=(130, 2))
    fitted = fit_joint(columns(rows), [0] * 120 + [1] * 10, ["many"] * 100 + ["few"] * 20 + ["x"] * 10)
    real, ai = fitted.too_few(Policy(max_fpr=0.02))
    assert "real calibration images in each group, and few has 20: no image can be called AI" in real
    assert "AI calibration images in each group, and x has 10: no image can be called real" in ai


def test_images_that_nobody_judged_do_not_count() -> None:
    scores = {"a": [1.0, 2.0, np.nan, 3.0], "b": [1.0, np.nan, np.nan, 3.0]}
    fitted = fit_joint(scores, [0] * 4)
    assert fitted.real[ALL].images == 3
    assert fitted.real[ALL].scores == {"a": (1, 2, 3), "b": (1, 3)}


def test_no_more_images_are_kept_than_asked_for() -> None:
    rows = columns(np.random.default_rng(0).normal(size=(100, 2)))
    fitted = fit_joint(rows, np.zeros(100), ["a"] * 70 + ["b"] * 30, keep=40)
    assert [group.images for group in fitted.real.values()] == [40, 30]
    assert fitted == fit_joint(rows, np.zeros(100), ["a"] * 70 + ["b"] * 30, keep=40)


@pytest.mark.parametrize(
    ("scores", "labels", "more", "message"),
    [
        ({}, [0], {}, "at least one detector"),
        ({"a": [1, 2], "b": [1]}, [0, 0], {}, r"one shape, and have: a \(2,\), b \(1,\)"),
        ({"a": [1, 2]}, [0], {}, "shapes"),
        ({"a": [[1], [2]]}, [[0], [0]], {}, "shapes"),
        ({"a": [1, 2]}, [0, 0], {"groups": ["x"]}, "shapes"),
        ({"a": [1, np.inf]}, [0, 0], {}, "infinite"),
        ({"a": [1, 2]}, [1, 1], {}, "real images"),
        ({"a": [1, 2]}, [0, 2], {}, "real images"),
        ({"a": [np.nan, 2]}, [0, 1], {}, "real images"),
        ({"a": [1, 2], "b": [np.nan, np.nan]}, [0, 0], {}, "b judged none of the 2 real images of the group 'all'"),
        ({"a": [1, 2]}, [0, 0], {"keep": 0}, "at least one image"),
        ({"a": [1, 2]}, [0, 0], {"halves": True, "merge": "bonferroni"}, "Bonferroni has none"),
        ({"a": [1]}, [0], {"halves": True}, "at least 2 real images of the group 'all', and there is 1"),
    ],
)
def test_bad_input_is_refused(scores: dict, labels: list, more: dict, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        fit_joint(scores, labels, **more)


def test_scores_of_a_member_must_be_there() -> None:
    fitted = fit_joint({"a": [1, 2], "b": [1, 2]}, [0, 0])
    with pytest.raises(EvaluationError, match="no scores of b"):
        fitted.p_real({"a": [1.0]})


@pytest.mark.parametrize("way", WAYS)
def test_json_round_trip(way: str) -> None:
    rows = np.vstack([gaussian(0.5)(np.random.default_rng(0), 30)] * 2)
    fitted = fit_joint(columns(rows), [0, 1] * 30, ["a", "b", "b"] * 20, **WAYS[way])
    assert msgspec.json.decode(msgspec.json.encode(fitted), type=JointCalibration) == fitted


GROUP = '{"x": {"images": 2, "scores": {"a": [1, 2]}, "statistics": [1, 2]}}'


@pytest.mark.parametrize(
    ("members", "more", "message"),
    [
        ("[]", '"merge": "fisher"', "members must be at least one"),
        ('["a", "a"]', '"merge": "fisher"', "each of them once"),
        ('["a"]', '"merge": "mean"', "merge"),
        ('["a"]', '"merge": "bonferroni", "halves": true', "halves are for fisher"),
        ('["a"]', '"merge": "fisher", "else": 1', "else"),
        ('["b"]', f'"merge": "fisher", "real": {GROUP}', "of each member.*'x'"),
        ('["a"]', f'"merge": "bonferroni", "real": {GROUP}', "must have 0 statistics.*'x', not 2"),
        ('["a"]', f'"merge": "fisher", "halves": true, "real": {GROUP}', "must have 1 statistics"),
        ('["a"]', f'"merge": "fisher", "ai": {GROUP.replace("[1, 2]}}", "[2, 1]}}")}', "statistics.*ascending"),
        ('["a"]', f'"merge": "fisher", "ai": {GROUP.replace("[1, 2]}", "[2, 1]}", 1)}', "a must.*ascending"),
        ('["a"]', f'"merge": "fisher", "ai": {GROUP.replace("[1, 2]}", "[]}", 1)}', "at least one score"),
    ],
)
def test_json_that_calibrates_nothing_is_refused(members: str, more: str, message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.json.decode(f'{{"members": {members}, {more}}}', type=JointCalibration)
