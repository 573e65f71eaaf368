"""Several bundles: who judges what, and one error budget for all."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from pyrite.bundle import Bundle, Calibration, Crops, ModelOrigin, Panel, fit_joint
from pyrite.decision import Policy, Scope, decide
from pyrite.detector import Detector
from pyrite.detector.panel import bonferroni
from pyrite.errors import PyriteError
from pyrite.results import Model, Reason, Strength, Verdict

SMALL = Scope(min_side=16, max_side=64, description="small images")
ALL = Scope(min_side=32, max_side=None, description="images")


def changed(bundle: Bundle, **changes: object) -> Bundle:
    return replace(bundle, info=msgspec.structs.replace(bundle.info, **changes))


def grey(value: int, side: int = 32) -> np.ndarray:
    return np.full((side, side, 3), value, np.uint8)


@pytest.fixture(scope="module")
def pair(bundle: Bundle) -> tuple[Bundle, Bundle]:
    """Of the same model, with 99 and 19 real calibration images, for small images and for all from 32 pixels."""
    kept = bundle.info.calibration
    few = msgspec.structs.replace(kept, real={"all": kept.real["all"][4::5]})
    photos = changed(
        bundle, name="photos", version="2", scope=ALL, calibration=few, preprocess=Crops(height=32, width=32)
    )
    return changed(bundle, scope=SMALL), photos


def test_each_opinion_is_evidence_that_names_its_bundle(pair: tuple[Bundle, Bundle]) -> None:
    found = Detector(bundles=pair).detect(grey(210))
    assert found.model == Model("brightness+photos", "1+2")
    said = [item for item in found.evidence if item.kind == "pixels"]
    assert [(item.data["bundle"], item.data["version"]) for item in said] == [("brightness", "1"), ("photos", "2")]
    assert {item.strength for item in said} == {Strength.INFERRED}
    assert [item.data["logit"] for item in said] == [pytest.approx(8.25)] * 2
    assert [item.data["p_real"] for item in said] == [pytest.approx(1 / 100), pytest.approx(1 / 20)]
    assert found.p_real == pytest.approx(2 / 100)
    assert (found.verdict, found.reason) == (Verdict.AI, Reason.PIXELS)
    assert found.probability is found.logit is None


def test_the_budget_is_shared(pair: tuple[Bundle, Bundle]) -> None:
    one, both = Detector(pair[0], max_fpr=0.01), Detector(bundles=(pair[0], pair[0]), max_fpr=0.02)
    assert one.detect(grey(210)).verdict is Verdict.AI
    assert both.detect(grey(210)).p_real == pytest.approx(0.02)
    with pytest.raises(PyriteError, match=r"199 real calibration images, and there are 99.*at least 0\.02"):
        Detector(bundles=(pair[0], pair[0]), max_fpr=0.01)


@pytest.mark.parametrize(("side", "judging"), [(20, ["brightness"]), (48, ["brightness", "photos"]), (80, ["photos"])])
def test_a_bundle_judges_what_it_has_in_scope(pair: tuple[Bundle, Bundle], side: int, judging: list[str]) -> None:
    found = Detector(bundles=pair).detect(grey(210, side))
    said = {item.data["bundle"]: item.data for item in found.evidence}
    assert [name for name, data in said.items() if data["logit"] is not None] == judging
    assert all(said[name]["reason"] == "out_of_scope" for name in set(said) - set(judging))
    if len(judging) == 1:
        alone = Detector(pair[judging == ["photos"]]).detect(grey(210, side))
        assert (found.probability, found.logit) == (alone.probability, alone.logit)
        # Others share the budget all the same: which of them judge depends on the image.
        assert found.p_real == pytest.approx(2 * alone.p_real)


def test_bundles_for_images_of_different_sizes_share_no_budget(pair: tuple[Bundle, Bundle]) -> None:
    large = changed(pair[1], scope=Scope(min_side=65, max_side=None, description="large"))
    detector = Detector(bundles=(pair[0], large))
    for side, one in ((32, pair[0]), (80, large)):
        found, alone = detector.detect(grey(210, side)), Detector(one).detect(grey(210, side))
        for name in ("verdict", "reason", "probability", "logit", "p_real", "p_ai"):
            assert getattr(found, name) == getattr(alone, name), name


def test_each_image_gets_the_budget_of_the_bundles_for_its_size(pair: tuple[Bundle, Bundle]) -> None:
    strict, loose = Policy(max_fpr=0.01), Policy(max_fpr=0.2)
    small = changed(pair[0], policy=strict)
    large = changed(pair[1], scope=Scope(min_side=65, max_side=None, description="large"), policy=loose)
    detector = Detector(bundles=(small, large))
    assert [detector.detect(grey(210, side)).max_fpr for side in (32, 80)] == [0.01, 0.2]
    assert detector.detect(b"no image").max_fpr == 0.01
    # 19 images can keep 20% and not 1%, which is the other bundle's.
    assert detector.warnings == ()
    assert [Detector(bundles=(small, large), max_fpr=0.1).detect(grey(210, s)).max_fpr for s in (32, 80)] == [0.1] * 2
    both = changed(pair[1], policy=loose)
    assert [Detector(bundles=(small, both)).detect(grey(210, side)).max_fpr for side in (20, 48, 80)] == [
        0.01,
        0.01,
        0.2,
    ]


def test_what_nobody_has_in_scope_is_uncertain(pair: tuple[Bundle, Bundle]) -> None:
    found = Detector(bundles=pair).detect(grey(210, 8))
    assert (found.verdict, found.reason) == (Verdict.UNCERTAIN, Reason.OUT_OF_SCOPE)
    assert found.explanation == (
        "The models were made for images of 16 to 64 pixels a side, or of 32 or more pixels a side and this one has "
        "8 × 8, so their scores decide nothing."
    )
    assert found.logit is found.probability is found.p_real is found.p_ai is None


def test_batches_mix_images_that_different_bundles_judge(pair: tuple[Bundle, Bundle]) -> None:
    detector = Detector(bundles=pair)
    images = [grey(value, side) for value in (0, 90, 160, 255) for side in (8, 20, 48, 80, 200)]
    together = list(detector.detect_many([*images, b"no image"], batch_size=7))
    assert together[:-1] == [detector.detect(image) for image in images]
    assert together[-1].model == detector.model
    assert together[-1].error


def test_a_single_bundle_scores_what_is_out_of_its_scope_and_decides_nothing_by_it(bundle: Bundle) -> None:
    found = Detector(bundle).detect(grey(210, 200))
    assert found.logit == pytest.approx(8.25)
    assert found.probability is found.p_real is found.p_ai is None
    assert found.reason is Reason.OUT_OF_SCOPE


def test_crops_are_judged_one_by_one_and_become_one(bundle: Bundle) -> None:
    pixels = np.concatenate([grey(0), grey(255)], axis=1)
    logits = {}
    for share in (0.0, 1.0):
        geometry = Crops(height=32, width=32, top_share=share)
        logits[share] = Detector(changed(bundle, preprocess=geometry)).detect(pixels).logit
    assert logits[0.0] == pytest.approx(12.75)
    assert logits[1.0] == pytest.approx(0, abs=1e-5)


def test_without_ai_images_there_is_ai_or_uncertain(bundle: Bundle) -> None:
    real_only = changed(bundle, calibration=Calibration(real=bundle.info.calibration.real))
    detector = Detector(real_only)
    for value, verdict in ((255, Verdict.AI), (120, Verdict.UNCERTAIN), (0, Verdict.UNCERTAIN)):
        found = detector.detect(grey(value))
        assert found.verdict is verdict
        assert found.probability is found.p_ai is None
    assert "knows only real images" in found.explanation


def test_without_calibration_everything_is_uncertain(bundle: Bundle) -> None:
    detector = Detector(changed(bundle, calibration=Calibration()))
    found = detector.detect(grey(255))
    assert (found.verdict, found.reason) == (Verdict.UNCERTAIN, Reason.UNCALIBRATED)
    assert found.logit == pytest.approx(12.75)
    assert found.probability is found.p_real is found.p_ai is None
    with pytest.raises(PyriteError, match="no real images have calibrated brightness"):
        detector.policy_for(0.05)


def test_an_uncalibrated_bundle_takes_nothing_from_the_others_budget(bundle: Bundle) -> None:
    other = changed(bundle, name="other", calibration=Calibration())
    found = Detector(bundles=(bundle, other), max_fpr=0.01).detect(grey(210))
    assert (found.verdict, found.p_real) == (Verdict.AI, pytest.approx(0.01))


def test_one_bundle_or_several_but_not_both(bundle: Bundle) -> None:
    with pytest.raises(PyriteError, match="not both"):
        Detector(bundle, bundles=[bundle])
    with pytest.raises(PyriteError, match="single bundle"):
        _ = Detector(bundles=[bundle, bundle]).bundle


@pytest.mark.parametrize(
    ("p_values", "counts", "merged"),
    [
        ([0.2], [1], 0.2),
        ([0.02, 0.5], [2, 2], 0.04),
        ([0.9, 0.8], [2, 2], 1.0),
        ([None, 0.3], [0, 1], 0.3),
        ([None, 0.25], [3, 3], 0.75),
        ([None], [1], None),
    ],
)
def test_bonferroni_is_k_times_the_smallest(
    p_values: list[float | None], counts: list[int], merged: float | None
) -> None:
    assert bonferroni(p_values, counts) == merged


@pytest.mark.parametrize(
    ("sizes", "counts"),
    [
        ([(16, 64), (32, None)], (2, 2)),
        ([(16, 64), (65, None)], (1, 1)),
        ([(16, 64), (100, None), (60, 100)], (3, 3, 3)),
        ([(32, 32), (96, None), (32, 32)], (2, 1, 2)),
    ],
)
def test_bundles_share_a_budget_where_their_scopes_meet(
    bundle: Bundle, sizes: list[tuple[int, int | None]], counts: tuple[int, ...]
) -> None:
    scopes = [Scope(min_side=low, max_side=high, description="") for low, high in sizes]
    assert Panel(tuple(changed(bundle, scope=scope) for scope in scopes)).share_counts(ai=False) == counts


def test_each_budget_is_short_by_those_that_share_it(bundle: Bundle) -> None:
    """Real images alone cannot share the budget of AI images."""
    calibration = bundle.info.calibration
    few = changed(bundle, calibration=msgspec.structs.replace(calibration, ai={"all": calibration.ai["all"][:25]}))
    alone = changed(bundle, calibration=Calibration(real=calibration.real))
    assert not [told for told in Panel((few, alone)).too_few() if "25" in told]
    assert len([told for told in Panel((few, few)).too_few() if "at least 39 AI calibration images" in told]) == 2


def test_a_budget_is_kept_where_the_scopes_meet_in_part(bundle: Bundle) -> None:
    """The unusual images of one bundle are all of those that it judges alone: the worst case for the budget."""
    rng = np.random.default_rng(0)
    scores, alone = rng.normal(size=(40_000, 2)), np.arange(40_000) % 2 == 0
    scores[:, 0] += 5 * alone  # All false alarms of the first come from images that only it judges.
    kept, new = scores[:20_000], scores[20_000:]
    first = Calibration(real={"all": tuple(np.sort(kept[:, 0]))}).p_real(new[:, 0])
    second = Calibration(real={"all": tuple(np.sort(kept[~alone[:20_000], 1]))}).p_real(new[:, 1])
    assert first is not None
    assert second is not None
    for budget in (0.05, 0.2):
        pairs = zip(first, np.where(alone[20_000:], None, second), strict=True)
        merged = np.array([bonferroni(pair, (2, 2)) for pair in pairs], np.float64)
        assert np.mean(merged <= budget) <= budget * 1.05


def test_the_merged_budget_holds_for_dependent_models() -> None:
    rng = np.random.default_rng(0)
    common = rng.normal(size=(20_000, 1))
    for weight in (0.0, 0.5, 0.95):
        scores = np.sqrt(weight) * common + np.sqrt(1 - weight) * rng.normal(size=(20_000, 3))
        kept, new = scores[:2000], scores[2000:]
        p_values = [Calibration(real={"all": tuple(np.sort(kept[:, i]))}).p_real(new[:, i]) for i in range(3)]
        merged = np.minimum(1, 3 * np.min(p_values, axis=0))
        for budget in (0.01, 0.05, 0.2):
            assert np.mean(merged <= budget) <= budget * 1.1, (weight, budget)


@pytest.fixture(scope="module")
def joint(pair: tuple[Bundle, Bundle]) -> Panel:
    """The pair, calibrated together by 200 real and 200 AI images; the second has no score of half of them."""
    rng = np.random.default_rng(0)
    scores = {name: rng.normal(np.repeat([-5, 5], 200), 2) for name in ("brightness", "photos")}
    scores["photos"][::2] = np.nan
    return Panel(pair, fit_joint(scores, np.repeat([0, 1], 200)))


def test_bundles_that_were_calibrated_together_are_judged_by_that(joint: Panel) -> None:
    detector = Detector(joint)
    images = [grey(value, side) for value in (0, 60, 90, 160, 255) for side in (20, 48, 80)]
    for found, image in zip(detector.detect_many(images), images, strict=True):
        logits = [item.data["logit"] for item in found.evidence]
        scores = {
            name: np.array([np.nan if logit is None else logit])
            for name, logit in zip(("brightness", "photos"), logits, strict=True)
        }
        assert joint.calibration
        p_real, p_ai = joint.calibration.p_real(scores), joint.calibration.p_ai(scores)
        single = joint.calibration.single_p_real(scores)
        assert p_real is not None
        assert p_ai is not None
        assert single is not None
        assert (found.p_real, found.p_ai) == (p_real[0], p_ai[0])
        for item in found.evidence:
            own = single[item.data["bundle"]][0]
            assert item.data["p_real"] == (None if np.isnan(own) else own)
        assert found.probability is None
        assert (found.verdict, found.reason) == decide(found.p_real, found.p_ai, True, detector.policy)
        assert detector.detect(image) == found
    assert detector.smallest_max_fpr == joint.calibration.smallest_p_real
    with pytest.raises(PyriteError, match="real calibration images"):
        detector.policy_for(0.001)


def test_what_no_bundle_of_a_panel_has_in_scope_is_uncertain(joint: Panel) -> None:
    found = Detector(joint).detect(grey(210, 8))
    assert (found.verdict, found.reason, found.p_real) == (Verdict.UNCERTAIN, Reason.OUT_OF_SCOPE, None)
    assert Detector(joint).detect(b"no image").error
    assert Detector(joint).score([]) == []


def test_authors_score_and_threshold_are_told_as_what_they_are(bundle: Bundle) -> None:
    origin = ModelOrigin(source="https://example.org/model", sha256="0", threshold=0.4)
    raw = changed(bundle, calibration=Calibration(), origin=origin)
    found = Detector(raw).detect(grey(255))
    sentence = (
        "No images have calibrated this model, so its score decides nothing. "
        "Its authors call an image AI above a score of 0.4; this one has 12.75."
    )
    assert found.explanation == found.evidence[0].detail == sentence
    assert found.verdict is Verdict.UNCERTAIN
