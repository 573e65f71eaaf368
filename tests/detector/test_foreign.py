"""Images that are unlike those that calibrated a bundle."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from novelties import bordered, textures, wary
from pyrite.bundle import NOVELTY, Bundle, Crops, read_novelty, write_novelty
from pyrite.bundle.novelty import Gaussians
from pyrite.detector import Detector
from pyrite.errors import BundleError
from pyrite.results import Reason, Verdict

TEXTURES = textures(300, seed=1)


@pytest.fixture(scope="module")
def careful(bundle: Bundle) -> Bundle:
    pytest.importorskip("sklearn")
    return wary(bundle)


def test_a_foreign_image_is_out_of_scope_and_says_why(careful: Bundle) -> None:
    detector = Detector(careful)
    image = bordered(TEXTURES)[0]
    found = detector.detect(image)
    [said] = found.evidence
    assert (found.verdict, found.reason) == (Verdict.UNCERTAIN, Reason.OUT_OF_SCOPE)
    assert found.probability is found.p_real is found.p_ai is None
    assert found.explanation == said.detail
    assert found.explanation.startswith("This image looks unlike those that calibrated the model: at most ")
    assert said.data["reason"] == "out_of_scope"
    assert said.data["p_typical"] <= 0.01
    assert found.logit is not None


def test_hardly_any_image_like_those_of_the_calibration_is_foreign(careful: Bundle, bundle: Bundle) -> None:
    found, before = list(Detector(careful).detect_many(TEXTURES)), list(Detector(bundle).detect_many(TEXTURES))
    foreign = [one for one in found if one.reason is Reason.OUT_OF_SCOPE]
    assert len(foreign) <= 0.03 * len(found)
    # Nothing else has changed.
    for one, other in zip(found, before, strict=True):
        if one not in foreign:
            assert (one.verdict, one.reason, one.probability, one.p_real) == (
                other.verdict, other.reason, other.probability, other.p_real,
            )  # fmt: skip
            assert one.evidence[0].data["p_typical"] > 0.01


def test_an_image_out_of_size_is_told_by_its_size(careful: Bundle) -> None:
    found = Detector(careful).detect(bordered(textures(1, side=200))[0])
    assert "this one has 200 × 200" in found.explanation
    assert found.evidence[0].data["p_typical"] is None


def test_a_foreign_image_is_left_to_the_other_bundles(careful: Bundle, bundle: Bundle) -> None:
    other = replace(bundle, info=msgspec.structs.replace(bundle.info, name="other"))
    image = bordered(np.full((1, 32, 32, 3), 255, np.uint8))[0]
    found, alone = Detector(bundles=(careful, other)).detect(image), Detector(other).detect(image)
    assert [item.data["reason"] for item in found.evidence] == ["out_of_scope", alone.reason]
    assert found.p_real == pytest.approx(min(1, 2 * (alone.p_real or 0)))  # They share the budget all the same.


def test_several_inputs_of_an_image_are_looked_at_together(careful: Bundle) -> None:
    crops = replace(careful, info=msgspec.structs.replace(careful.info, preprocess=Crops(height=32, width=32)))
    image = np.concatenate(list(TEXTURES[:2]), axis=1)
    _, statistics, features = Detector(crops).measure([np.stack(TEXTURES[:2]), TEXTURES[2:3]])
    assert features is None
    assert statistics[0] == pytest.approx((Detector(crops).measure([TEXTURES[:1], TEXTURES[1:2]])[1]).mean(0))
    assert Detector(crops).detect(image).evidence[0].data["p_typical"] > 0.01


def test_novelty_of_features_needs_a_model_that_gives_them(careful: Bundle) -> None:
    novelty = read_novelty(careful.files[NOVELTY], "x")
    flat = Gaussians(np.zeros((1, 2), np.float32), np.eye(2, dtype=np.float32))
    groups = {
        name: replace(group, distances=np.repeat(group.distances, 3, axis=1)) for name, group in novelty.groups.items()
    }
    more = replace(novelty, features=flat, neighbours=np.ones((1, 2), np.float32), groups=groups)
    with pytest.raises(BundleError, match="features that its model does not give"):
        Detector(replace(careful, files={**careful.files, NOVELTY: write_novelty(more)}))
