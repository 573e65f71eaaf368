from itertools import product

import msgspec
import pytest

from pyrite.decision import Outside, Policy, Scope, decide, explain
from pyrite.results import Evidence, Reason, Strength, Verdict

POLICY = Policy(max_fpr=0.05, max_fnr=0.1)
LOW, HIGH = 0.01, 0.5
P_VALUES = list(product((LOW, HIGH), repeat=2))
GRID = [i / 20 for i in range(1, 21)]
FINDINGS = [None, *product(Strength, (Verdict.AI, Verdict.REAL, None))]


def evidence(*findings):
    return [Evidence("test", *finding, "A finding.") for finding in findings if finding]


def by_pixels(p_real, p_ai, policy):
    if p_real <= policy.max_fpr and (p_ai > policy.max_fnr or p_ai > p_real):
        return Verdict.AI, Reason.PIXELS
    if p_ai <= policy.max_fnr:
        return Verdict.REAL, Reason.PIXELS
    return Verdict.UNCERTAIN, Reason.BORDERLINE


def expected(findings, in_scope, seen):
    if (Strength.VERIFIED, Verdict.AI) in findings:
        return Verdict.AI, Reason.VERIFIED
    if (Strength.VERIFIED, Verdict.REAL) in findings:
        return Verdict.REAL, Reason.VERIFIED
    if (Strength.ASSERTED, Verdict.AI) in findings:
        return Verdict.AI, Reason.ASSERTED
    return seen if in_scope else (Verdict.UNCERTAIN, Reason.OUT_OF_SCOPE)


@pytest.mark.parametrize("p_values", P_VALUES)
@pytest.mark.parametrize("in_scope", [True, False])
@pytest.mark.parametrize("max_fpr", [LOW / 2, 0.05, HIGH])
@pytest.mark.parametrize("max_fnr", [LOW / 2, 0.1, HIGH])
def test_every_combination(max_fnr, max_fpr, in_scope, p_values):
    policy = Policy(max_fpr=max_fpr, max_fnr=max_fnr)
    p_real, p_ai = p_values
    seen = by_pixels(p_real, p_ai, policy)
    for pair in product(FINDINGS, FINDINGS):
        assert decide(p_real, p_ai, in_scope, policy, evidence(*pair)) == expected(pair, in_scope, seen), pair


def test_what_the_rules_come_to():
    real_signature = (Strength.VERIFIED, Verdict.REAL)
    ai_signature = (Strength.VERIFIED, Verdict.AI)
    camera_tag = (Strength.ASSERTED, Verdict.REAL)
    prompt = (Strength.ASSERTED, Verdict.AI)
    like_ai = (LOW, HIGH, True, POLICY)
    like_real = (HIGH, LOW, True, POLICY)
    assert decide(*like_ai, evidence(real_signature, prompt)) == (Verdict.REAL, Reason.VERIFIED)
    assert decide(*like_real, evidence(real_signature, ai_signature)) == (Verdict.AI, Reason.VERIFIED)
    assert decide(*like_real, evidence(camera_tag, prompt)) == (Verdict.AI, Reason.ASSERTED)
    assert decide(*like_ai, evidence(camera_tag)) == (Verdict.AI, Reason.PIXELS)
    assert decide(HIGH, HIGH, True, POLICY, evidence(camera_tag)) == (Verdict.UNCERTAIN, Reason.BORDERLINE)


def test_budgets_are_inclusive_and_each_for_its_own_class():
    assert decide(0.05, 0.11, True, POLICY) == (Verdict.AI, Reason.PIXELS)
    assert decide(0.051, 0.1, True, POLICY) == (Verdict.REAL, Reason.PIXELS)
    assert decide(0.05, 0.1, True, POLICY) == (Verdict.AI, Reason.PIXELS)
    assert decide(0.05, 0.04, True, POLICY) == (Verdict.REAL, Reason.PIXELS)
    assert decide(0.05, 0.05, True, POLICY) == (Verdict.REAL, Reason.PIXELS)
    assert decide(0.051, 0.11, True, POLICY) == (Verdict.UNCERTAIN, Reason.BORDERLINE)


def test_a_larger_budget_never_backfires():
    """With more real images that may be called AI, no verdict moves towards real; and the other way round."""
    order = [Verdict.REAL, Verdict.UNCERTAIN, Verdict.AI]
    rates = [rate for rate in GRID if rate < 1]
    for p_real, p_ai, strict in product([None, *GRID], [None, *GRID], [False, True]):
        policies = {
            (fpr, fnr): Policy(max_fpr=fpr, max_fnr=fnr, real_needs_provenance=strict)
            for fpr, fnr in product(rates, repeat=2)
        }
        found = {rate: order.index(decide(p_real, p_ai, True, policy)[0]) for rate, policy in policies.items()}
        for rate in rates:
            assert sorted(found[fpr, rate] for fpr in rates) == [found[fpr, rate] for fpr in rates]
            assert sorted((found[rate, fnr] for fnr in rates), reverse=True) == [found[rate, fnr] for fnr in rates]
        for (fpr, fnr), verdict in found.items():
            assert order[verdict] is not Verdict.AI or (p_real is not None and p_real <= fpr)
            assert order[verdict] is not Verdict.REAL or (p_ai is not None and p_ai <= fnr)


@pytest.mark.parametrize("key", ["max_fpr", "max_fnr"])
@pytest.mark.parametrize("rate", ["0", "1", "-0.1", "1.5", '"0.1"', "null"])
def test_a_policy_needs_rates_between_0_and_1(key, rate):
    with pytest.raises(msgspec.ValidationError, match=key):
        msgspec.json.decode(f'{{"{key}": {rate}}}', type=Policy)


@pytest.mark.parametrize(
    ("size", "inside"),
    [
        ((32, 64), True),
        ((64, 32), True),
        ((31, 64), False),
        ((64, 31), False),
        ((32, 65), False),
        ((65, 32), False),
    ],
)
def test_scope_holds_both_sides_against_both_bounds(size, inside):
    assert Scope(min_side=32, max_side=64, description="").contains(*size) is inside


@pytest.mark.parametrize("sides", ['"min_side": 2, "max_side": 1', '"min_side": 0, "max_side": 1'])
def test_a_scope_that_holds_nothing_is_refused(sides):
    with pytest.raises(msgspec.ValidationError, match="min_side"):
        msgspec.json.decode(f'{{{sides}, "description": ""}}', type=Scope)


def test_what_only_a_large_budget_allows_is_a_hint() -> None:
    hint = explain(Verdict.AI, Reason.PIXELS, 0.04, None)
    assert hint == "The pixels lean towards AI: at most 40 in 1,000 real images score as high."


SCOPE = Scope(min_side=32, max_side=32, description="Images of 32 pixels a side.")
CLAIM = Evidence("generator", Strength.ASSERTED, Verdict.AI, "The file says that ComfyUI made it.")
SIGNED = Evidence("credentials", Strength.VERIFIED, Verdict.REAL, "A camera signed it.")


@pytest.mark.parametrize(
    ("verdict", "reason", "evidence", "sentence"),
    [
        (Verdict.AI, Reason.PIXELS, (), "The pixels look AI-generated: at most 5 in 1,000 real images score as high."),
        (
            Verdict.REAL,
            Reason.PIXELS,
            (),
            "No trace of the AI images that calibrated this model: at most 21 in 1,000 of them score as low.",
        ),
        (
            Verdict.UNCERTAIN,
            Reason.OUT_OF_SCOPE,
            (),
            "The model was made for images of 32 pixels a side and this one has 4,000 × 30, so its score decides "
            "nothing.",
        ),
        (Verdict.AI, Reason.ASSERTED, (SIGNED, CLAIM), CLAIM.detail),
        (Verdict.REAL, Reason.VERIFIED, (CLAIM, SIGNED), SIGNED.detail),
    ],
)
def test_the_explanation_names_what_decided(
    verdict: Verdict, reason: Reason, evidence: tuple[Evidence, ...], sentence: str
) -> None:
    outside = Outside((SCOPE,), (4000, 30))
    assert explain(verdict, reason, 0.0042, 0.021, outside, evidence) == sentence


@pytest.mark.parametrize(
    ("knows", "words"),
    [
        (["SD 1.4"], "SD 1.4, the only generator known here: at most 21 in 1,000 of its images score as low."),
        (["SD 1.4", "FLUX"], "SD 1.4, FLUX, the generators known here: at most 21 in 1,000 of their images score"),
        ([*"ABCDE"], "A, B, C and 2 others, the generators known here: at most 21 in 1,000 of their images"),
    ],
)
def test_real_means_no_trace_of_the_generators_that_are_known(knows: list[str], words: str) -> None:
    told = explain(Verdict.REAL, Reason.PIXELS, 0.5, 0.021, knows=knows)
    assert told.startswith(f"No trace of {words}")
    withheld = explain(Verdict.UNCERTAIN, Reason.UNPROVEN, 0.5, 0.021, knows=knows)
    assert withheld == f"{told} Other generators leave other traces, so this does not prove it real."


def test_a_policy_may_leave_real_to_provenance() -> None:
    strict = Policy(max_fpr=0.05, max_fnr=0.1, real_needs_provenance=True)
    assert decide(HIGH, LOW, True, strict) == (Verdict.UNCERTAIN, Reason.UNPROVEN)
    assert decide(LOW, LOW, True, strict) == (Verdict.UNCERTAIN, Reason.UNPROVEN)
    assert decide(LOW, HIGH, True, strict) == (Verdict.AI, Reason.PIXELS)
    assert decide(HIGH, HIGH, True, strict) == (Verdict.UNCERTAIN, Reason.BORDERLINE)
    signed = evidence((Strength.VERIFIED, Verdict.REAL))
    assert decide(HIGH, LOW, True, strict, signed) == (Verdict.REAL, Reason.VERIFIED)


@pytest.mark.parametrize(("side", "photographs"), [(None, True), (256, True), (255, False), (64, False)])
def test_photographs_are_told_by_their_size(side: int | None, photographs: bool) -> None:
    assert Scope(min_side=32, max_side=side, description="").is_photographs is photographs


def test_an_undecided_score_is_explained() -> None:
    told = explain(Verdict.UNCERTAIN, Reason.BORDERLINE, 0.5, 0.5)
    assert told == "The model cannot tell: too many real and too many AI images score like this."


def outside(scopes: list[Scope], size: tuple[int, int], p_typical: float | None = None) -> str:
    why = Outside(tuple(scopes), size, p_typical)
    return explain(Verdict.UNCERTAIN, Reason.OUT_OF_SCOPE, None, None, why)


def test_an_image_unlike_the_calibration_images_is_told_so() -> None:
    assert outside([SCOPE], (32, 32), 0.003) == (
        "This image looks unlike those that calibrated the model: at most 3 in 1,000 of them are as unusual, so its "
        "score decides nothing."
    )
    assert "calibrated the models" in outside([SCOPE, SCOPE], (32, 32), 0.003)


def test_a_scope_of_several_sizes_is_told_in_full() -> None:
    told = outside([Scope(min_side=200, max_side=4000, description="")], (32, 32))
    assert "The model was made for images of 200 to 4,000 pixels a side and this one has 32 × 32" in told


@pytest.mark.parametrize(
    ("p", "words"), [(1 / 2001, "1"), (0.001, "1"), (0.00101, "2"), (0.0014993, "2"), (0.021, "21"), (1.0, "1,000")]
)
def test_a_share_is_rounded_up_since_it_is_at_most_that(p: float, words: str) -> None:
    assert f"at most {words} in 1,000 real" in explain(Verdict.AI, Reason.PIXELS, p, 0.5)


def test_the_scopes_of_several_models_are_told_once_each() -> None:
    scopes = [Scope(min_side=a, max_side=b, description="") for a, b in ((32, 32), (96, None), (32, 32))]
    assert outside(scopes, (64, 48)) == (
        "The models were made for images of 32 pixels a side, or of 96 or more pixels a side and this one has "
        "64 × 48, so their scores decide nothing."
    )


def test_a_scope_may_have_no_upper_bound() -> None:
    scope = Scope(min_side=96, max_side=None, description="")
    assert scope.contains(96, 1_000_000)
    assert not scope.contains(95, 1_000_000)


@pytest.mark.parametrize(
    ("p_real", "p_ai", "expected"),
    [
        (0.01, None, (Verdict.AI, Reason.PIXELS)),
        (0.5, None, (Verdict.UNCERTAIN, Reason.BORDERLINE)),
        (None, 0.01, (Verdict.REAL, Reason.PIXELS)),
        (None, None, (Verdict.UNCERTAIN, Reason.UNCALIBRATED)),
    ],
)
def test_without_images_of_a_class_nothing_is_unlike_it(p_real: float, p_ai: float, expected: object) -> None:
    verdict, reason = decide(p_real, p_ai, True, POLICY)
    assert (verdict, reason) == expected
    assert explain(verdict, reason, p_real, p_ai)
    assert decide(p_real, p_ai, False, POLICY)[1] is Reason.OUT_OF_SCOPE
