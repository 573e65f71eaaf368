import base64
import json

import numpy as np
import pytest

from pyrite.bundle import Bundle
from pyrite.detector import Detector
from pyrite.errors import BundleError, ExportError
from pyrite.publishing.golden import make_golden, replay_golden, write_golden


def grey(value, side=32):
    return np.full((side, side, 3), value, np.uint8)


def test_golden_vectors_pass_where_nothing_changed(bundle):
    check = replay_golden(bundle)
    assert check.passed
    assert check.vectors == 8
    assert check.max_difference < 1e-5


def with_golden(bundle, edit):
    content = json.loads(bundle.read("golden.json"))
    edit(content["vectors"])
    return Bundle(bundle.info, {**bundle.files, "golden.json": json.dumps(content).encode()})


def test_golden_vectors_tell_what_changed(bundle):
    def edit(vectors):
        vectors[1]["logit"] += 0.5
        vectors[2]["verdict"] = "ai"
        vectors[3]["sha256"] = "00"

    check = replay_golden(with_golden(bundle, edit))
    assert not check.passed
    assert check.max_difference == pytest.approx(0.5, abs=1e-5)
    assert (check.changed_inputs, check.changed_verdicts) == ((3,), (2,))


def test_golden_vectors_notice_another_model(bundle, build_model):
    other = Bundle(bundle.info, {**bundle.files, "model.onnx": build_model(scale=0.2)})
    assert not replay_golden(other).passed


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda vectors: vectors.clear(), "length"),
        (lambda vectors: vectors[0].pop("logit"), "logit"),
        (lambda vectors: vectors[0].update(png="?"), "png"),
        (lambda vectors: vectors[0].update(verdict="maybe"), "verdict"),
    ],
)
def test_golden_vectors_of_another_kind_are_refused(bundle, edit, message):
    with pytest.raises(BundleError, match=f"golden.json.*{message}"):
        replay_golden(with_golden(bundle, edit))


def test_golden_images_that_cannot_be_read_are_refused(bundle):
    broken = with_golden(bundle, lambda v: v[2].update(png=base64.b64encode(b"no image").decode()))
    with pytest.raises(BundleError, match=r"Image 2 of golden\.json"):
        replay_golden(broken)


def test_golden_images_are_kept_losslessly_at_their_own_size(info, model):
    images = [grey(i * 20, side) for i, side in enumerate((16, 20, 32, 40, 48, 50, 60, 64))]
    vectors = json.loads(make_golden(info, model, images))["vectors"]
    for vector, image in zip(vectors, images, strict=True):
        found = Detector(Bundle(info, {"model.onnx": model})).detect(base64.b64decode(vector["png"]))
        assert (found.width, found.logit, found.verdict) == (len(image), vector["logit"], vector["verdict"])


@pytest.mark.parametrize("count", [0, 7, 17])
def test_too_few_or_too_many_golden_images_are_refused(info, model, count):
    with pytest.raises(ExportError, match="8 to 16"):
        make_golden(info, model, [grey(0)] * count)


def test_golden_images_can_be_written_and_judged_as_recorded(bundle, tmp_path):
    paths = write_golden(bundle, tmp_path / "new" / "golden")
    recorded = [vector["verdict"] for vector in json.loads(bundle.read("golden.json"))["vectors"]]
    assert [path.name for path in paths] == [f"{i}-{verdict}.png" for i, verdict in enumerate(recorded)]
    assert [str(found.verdict) for found in Detector(bundle).detect_many(paths)] == recorded
    with pytest.raises(BundleError, match="golden cannot be written: File exists"):
        write_golden(bundle, tmp_path / "new" / "golden")
