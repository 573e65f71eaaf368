import base64
import hashlib
import json

import numpy as np
import onnxruntime
import pytest
from msgspec.structs import replace
from onnx.numpy_helper import from_array

from pyrite.bundle import Bundle, Crops, ShorterSide, save_bundle
from pyrite.cli.bundle import verify
from pyrite.detector import Detector
from pyrite.errors import BundleError, ExportError, PyriteError
from pyrite.golden import check_device, make_golden, replay_golden, settle_batching, write_golden


def grey(value, side=32):
    return np.full((side, side, 3), value, np.uint8)


def test_golden_vectors_pass_where_nothing_changed(bundle):
    check = replay_golden(bundle)
    assert check.passed
    assert check.vectors == 8
    assert check.max_difference < 1e-5


def batch_dependent_model(scale=3.0):
    """Return an ONNX model that quantises activations by the range they have in each batch, as dynamic int8 does.

    Its logit is (the mean of the root of brightness - 8) * scale, but for that.
    """
    from onnx import TensorProto, helper

    names = {"axes": np.array([1, 2, 3]), "centre": np.float32(8), "scale": np.float32(scale)}
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("Sqrt", ["float"], ["root"]),
            helper.make_node("DynamicQuantizeLinear", ["root"], ["quantised", "step", "zero"]),
            helper.make_node("DequantizeLinear", ["quantised", "step", "zero"], ["again"]),
            helper.make_node("ReduceMean", ["again", "axes"], ["mean"], keepdims=0),
            helper.make_node("Sub", ["mean", "centre"], ["centred"]),
            helper.make_node("Mul", ["centred", "scale"], ["logit"]),
        ],
        "dynamic",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 32, 32, 3])],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["N"])],
        [from_array(value, name) for name, value in names.items()],
    )
    opsets = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()


IMAGES = [grey(value) for value in (3, 5, 20, 45, 60, 111, 150, 255)]


def made(folder, info, model):
    return save_bundle(folder, info, {"model.onnx": model, "golden.json": make_golden(info, model, IMAGES)})


def test_a_model_whose_answer_depends_on_its_batch_is_told_and_marked(info, tmp_path):
    model = batch_dependent_model()
    marked = settle_batching(Bundle(info, {"model.onnx": model}), IMAGES)
    assert marked == replace(info, one_by_one=True)
    check = replay_golden(made(tmp_path / "marked", marked, model))
    assert (check.passed, check.one_by_one, check.depends_on_batch) == (True, True, True)
    # By hand: alone, a grey image is its own range and comes back exactly; with 255, in steps of root(255) / 255.
    step = np.sqrt(255) / 255
    rounded = [3 * abs(round(np.sqrt(v) / step) * step - np.sqrt(v)) / max(1, 3 * abs(np.sqrt(v) - 8)) for v in (3, 5)]
    assert check.batch_difference >= max(rounded) > 1e-3
    unmarked = replay_golden(made(tmp_path / "unmarked", info, model))
    assert not unmarked.passed
    assert unmarked.batch_difference == pytest.approx(check.batch_difference)


def test_verify_says_what_a_batch_does(info, bundle, tmp_path, capsys):
    model = batch_dependent_model()
    made(tmp_path / "marked", replace(info, one_by_one=True), model)
    made(tmp_path / "unmarked", info, model)
    verify(tmp_path / "marked")
    told = " ".join(capsys.readouterr().out.split())
    assert "Its model gets one input at a time. Other images in a batch change a logit of its model by up to" in told
    with pytest.raises(
        PyriteError, match="unmarked depend on the other images in a batch, and it does not set one_by_one"
    ):
        verify(tmp_path / "unmarked")
    capsys.readouterr()
    verify(bundle.path)
    assert "batch" not in capsys.readouterr().out


def test_a_model_that_takes_one_input_at_a_time_depends_on_no_batch(info, build_model, tmp_path):
    model = build_model(shape=(1, 32, 32, 3))
    assert settle_batching(Bundle(info, {"model.onnx": model}), IMAGES) == info
    check = replay_golden(made(tmp_path / "one", info, model))
    assert check.passed
    assert check.batch_difference == 0


def test_golden_images_of_crops_and_of_the_shorter_side(info, model, tmp_path):
    rng = np.random.default_rng(0)
    sizes = [(40, 40), (32, 50), (20, 90), (64, 64), (33, 32), (32, 32), (60, 41), (48, 48)]
    images = [rng.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    for name, geometry in (
        ("crops", Crops(height=32, width=32, most=5, top_share=0.5)),
        ("side", ShorterSide(height=32, width=32, shorter_side=36, filter="bicubic")),
    ):
        own = replace(info, preprocess=geometry)
        golden = make_golden(own, model, images)
        for vector, pixels in zip(json.loads(golden)["vectors"], images, strict=True):
            inputs = geometry.apply(pixels)
            assert vector["sha256"] == hashlib.sha256(inputs.tobytes()).hexdigest()
            logits = (inputs.mean((1, 2, 3)) - 127.5) * 0.1
            assert vector["logit"] == pytest.approx(geometry.merge(logits), abs=1e-4)
        check = replay_golden(save_bundle(tmp_path / name, own, {"model.onnx": model, "golden.json": golden}))
        assert check.passed


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
    with pytest.raises(BundleError, match="golden already exists"):
        write_golden(bundle, tmp_path / "new" / "golden")


def other_device(monkeypatch, model):
    """Pretend that OpenVINO is here, and computes as another model does."""

    def start(_, options, device):
        return device, onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr("pyrite.runtime._open", start)


def test_another_device_may_round_otherwise(bundle, build_model, monkeypatch):
    other_device(monkeypatch, build_model(scale=0.102))
    check = replay_golden(bundle, "openvino")
    assert check.device == "openvino"
    assert 0.001 < check.max_difference < 0.05
    assert check.passed
    check_device(Detector(bundle, device="openvino"))


def test_another_device_that_says_something_else_is_refused(bundle, build_model, monkeypatch):
    other_device(monkeypatch, build_model(scale=0.2))
    assert not replay_golden(bundle, "openvino").passed
    with pytest.raises(BundleError, match=r"On openvino, brightness gives other results .* Use --device cpu"):
        check_device(Detector(bundle, device="openvino"))


def test_on_the_cpu_nothing_is_replayed_at_the_start(bundle, monkeypatch):
    detector = Detector(bundle)
    monkeypatch.setattr("pyrite.golden.replay_golden", None)
    check_device(detector)
