"""A bundle in int8: what it keeps, what it costs, and what is refused."""

import sys
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

from pyrite.bundle import Bundle, load_bundle
from pyrite.datasets import Dataset, content_hashes, make_toy, recognise
from pyrite.detector import Detector
from pyrite.errors import BundleError, TrainingError
from pyrite.golden import replay_golden
from pyrite.graph import average_views, measure_cost
from pyrite.keras_backend import export_onnx, load_keras
from pyrite.publishing import publish as publishing
from pyrite.publishing import quantize
from pyrite.publishing.quantize import _typical, quantize_onnx
from pyrite.recipe import load_recipe, make_recipe
from pyrite.runtime import Session
from pyrite.training import train
from pyrite.training.architectures import build_model
from runs import Run

IMAGES = np.random.default_rng(0).integers(0, 256, (256, 32, 32, 3), np.uint8)

pytestmark = [
    # ONNX Runtime's own tools, which only this uses.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:onnxruntime.*"),
]


@pytest.fixture(scope="module")
def more(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy dataset, with as many test images as it takes to measure what shortcuts reach."""
    folder = tmp_path_factory.mktemp("data") / "more"
    make_toy(folder, count=300)
    return folder


@pytest.fixture(scope="module")
def degraded(more: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on degraded images, so that its report has a table of them; tests must not write to its folder."""
    out = tmp_path_factory.mktemp("runs") / "degraded"
    recipe = load_recipe("tiny", ["epochs=3", "batch_size=8", "degrade=0.2", "protocol=official"])
    return Run(out, recipe, train(more, recipe, out), [])


@pytest.fixture(scope="module")
def quantised(degraded: Run, more: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("int8") / "run"
    report = quantize(degraded.out / "bundle", more, out)
    assert (out / "report" / "report.html").is_file()
    bundle = load_bundle(out / "bundle")
    assert bundle.files["report.json"] == report.to_json()
    return bundle


def test_the_bundle_says_what_was_done(quantised: Bundle, degraded: Run) -> None:
    before = load_bundle(degraded.out / "bundle")
    told = quantised.info.quantization
    assert told is not None
    assert told.images == before.info.training.data.train  # type: ignore[union-attr]
    assert abs(told.int8_accuracy - told.float_accuracy) <= 0.1
    assert quantised.info.training == before.info.training
    for name in ("recipe.toml", "trained_on.bin"):
        assert quantised.files[name] == before.files[name]
    assert quantised.info.calibration != before.info.calibration
    for bundle in (before, quantised):
        assert "half of which were degraded at random for the p-values" in bundle.read("card.md").decode()
    assert replay_golden(quantised).passed


def test_its_scores_are_near_those_of_the_float_bundle(quantised: Bundle, degraded: Run, more: Path) -> None:
    dataset = Dataset.open(more)
    images = [dataset.read(i) for i in range(0, len(dataset), 4)]
    before, after = (
        np.array([d.probability for d in Detector(bundle).detect_many(images)], np.float64)
        for bundle in (degraded.out / "bundle", quantised)
    )
    assert np.corrcoef(before, after)[0, 1] > 0.98


def test_a_quantised_bundle_is_not_quantised_again(quantised: Bundle, more: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="already quantised"):
        quantize(quantised, more, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_data_is_refused(unbroken: Run, tmp_path: Path) -> None:
    make_toy(tmp_path / "other", count=160, seed=7)
    with pytest.raises(TrainingError, match="was trained on other data than other"):
        quantize(unbroken.out / "bundle", tmp_path / "other", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_bundle_of_unknown_origin_is_refused(bundle: Bundle, toy: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="does not say what it was trained on"):
        quantize(bundle, toy, tmp_path / "out")


def test_a_folder_that_holds_something_is_left_alone(unbroken: Run, toy: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(TrainingError, match="already exists"):
        quantize(unbroken.out / "bundle", toy, tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine"]


def test_what_fails_leaves_nothing_and_can_be_done_again(
    unbroken: Run, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise BundleError("The disk is full.")

    out = tmp_path / "out"
    out.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(publishing, "save_bundle", full)
        with pytest.raises(BundleError, match="full"):
            quantize(unbroken.out / "bundle", toy, out)
    assert [*tmp_path.iterdir()] == [out]
    assert not any(out.iterdir())
    quantize(unbroken.out / "bundle", toy, out)
    assert [*tmp_path.iterdir()] == [out]
    assert {entry.name for entry in out.iterdir()} == {"bundle", "report"}


@pytest.mark.parametrize("content", [b"\xff", b"name =", b'name = "a"\narchitecture = "tiny"\nepoch = 3\n'])
def test_a_recipe_that_is_not_understood_is_told(content: bytes, unbroken: Run, toy: Path, tmp_path: Path) -> None:
    bundle = load_bundle(unbroken.out / "bundle")
    with pytest.raises(TrainingError, match=r"^recipe\.toml in the bundle tiny is not understood: "):
        quantize(Bundle(bundle.info, {**bundle.files, "recipe.toml": content}), toy, tmp_path / "out")


def test_the_compact_network_takes_bytes_and_keeps_its_last_layer_exact() -> None:
    onnx_model = export_onnx(build_model(make_recipe({"name": "a", "architecture": "compact"})))
    content = quantize_onnx(onnx_model, [IMAGES[:64]])
    assert len(content) < 0.3 * len(onnx_model)
    kinds = [node.op_type for node in onnx.load_from_string(content).graph.node if node.op_type != "DequantizeLinear"]
    # No cast, scaling or quantisation before the first convolution, and none after the last.
    assert kinds[:2] == ["Transpose", "Conv"]
    assert kinds[-3:] == ["AveragePool", "Reshape", "Gemm"]
    before, after = (Session(model).logits(IMAGES) for model in (onnx_model, content))
    assert np.abs(before - after).max() < 0.1
    assert len(np.unique(after)) > 200


def test_a_network_with_relu6_keeps_its_precision_and_takes_bytes() -> None:
    """What it cuts off at 6 may reach far beyond, and would take the steps from what is left."""
    keras = load_keras()
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 128, -127 / 128)(image)
    for filters in (8, 16):
        convolution = keras.layers.Conv2D(filters, 3, padding="same")
        x = keras.layers.ReLU(6.0)(convolution(x))
        kernel, bias = convolution.get_weights()
        kernel[..., 0] *= 200
        convolution.set_weights([kernel, bias])
        x = keras.layers.DepthwiseConv2D(3, padding="same")(x)
    x = keras.layers.Flatten()(keras.layers.AveragePooling2D(32)(x))
    model = export_onnx(keras.Model(image, keras.layers.Dense(1)(x)))
    content = quantize_onnx(model, np.split(IMAGES, 4))
    kinds = [node.op_type for node in onnx.load_from_string(content).graph.node if node.op_type != "DequantizeLinear"]
    assert kinds[:2] == ["Transpose", "Conv"]
    assert "Clip" not in kinds
    kernels = {
        value.dims[1]: np.abs(onnx.numpy_helper.to_array(value)).max()
        for value in onnx.load_from_string(content).graph.initializer
        if len(value.dims) == 4
    }
    # Inputs of each channel: a depthwise convolution has one, and all 8 bits.
    assert kernels == {3: 64, 8: 64, 1: 127}
    before, after = (Session(each).logits(IMAGES) for each in (model, content))
    assert after == pytest.approx(before, rel=0.05)


def test_ranges_are_of_training_images_in_batches_every_other_one_degraded() -> None:
    train = np.arange(0, 256, 2)
    batches = list(_typical(IMAGES, train, seed=0))
    assert [len(batch) for batch in batches] == [64, 64]
    changed = (np.concatenate(batches) != IMAGES[train]).any((1, 2, 3))
    assert not changed[1::2].any()
    assert changed[::2].sum() > 40  # The history of some is empty.
    large = np.zeros((5, 1200, 1200, 3), np.uint8)
    assert [len(batch) for batch in _typical(large, np.arange(5), seed=0)] == [1] * 5


def test_a_network_whose_answer_depends_on_its_batch_is_run_one_by_one(
    unbroken: Run, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dynamic(model: bytes, _batches: object) -> bytes:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        (tmp_path / "float.onnx").write_bytes(model)
        quantize_dynamic(tmp_path / "float.onnx", tmp_path / "int8.onnx", weight_type=QuantType.QUInt8)
        return (tmp_path / "int8.onnx").read_bytes()

    monkeypatch.setattr(sys.modules[quantize.__module__], "quantize_onnx", dynamic)
    quantize(unbroken.out / "bundle", toy, tmp_path / "out")
    bundle = load_bundle(tmp_path / "out" / "bundle")
    assert bundle.info.one_by_one
    check = replay_golden(bundle)
    assert check.passed
    assert check.depends_on_batch
    assert "a single model input at a time" in bundle.read("card.md").decode()
    # So was it calibrated: the logits that it keeps are those of images judged alone.
    dataset = Dataset.open(toy)
    validation = recognise(load_bundle(unbroken.out / "bundle").read("validated_on.bin"), content_hashes(dataset))
    real = np.flatnonzero(validation & (dataset.labels == 0))
    alone = sorted(Detector(bundle).detect(dataset.read(i)).logit or 0 for i in real)
    above = np.array(bundle.info.calibration.real["all"]) - alone
    assert (above >= 0).all()  # They are rounded up.
    assert (above <= 1e-4).all()


def test_another_first_layer_is_quantised_as_it_is(model: bytes) -> None:
    before, after = (Session(content).logits(IMAGES) for content in (model, quantize_onnx(model, np.split(IMAGES, 4))))
    np.testing.assert_allclose(after, before, atol=1e-5)


def test_the_card_tells_what_it_cost_and_how_it_fares_on_degraded_images(quantised: Bundle) -> None:
    report = msgspec.json.decode(quantised.read("report.json"))
    card = quantised.read("card.md").decode()
    for words in (
        "- Quantised to int8 by the value ranges of ",
        "Compare with the floor: shortcuts (",
        "## Verdicts at an error budget of 5%\n",
        "| 2% | ",
        f"| jpeg 90 | {report['robustness']['grid'][0]['headline']['accuracy']['value']:.4f} | ",
        f"| mean over degradations | {report['robustness']['mean']['accuracy']:.4f} | ",
        "Saved again (jpeg 90), the verdict changes for ",
        "% of AI images.\n",
    ):
        assert words in card, words
    assert "saved again, resized or edited" not in card
    # Every row of a table has as many cells as its head.
    for table in card.split("\n\n"):
        assert len({line.count("|") for line in table.splitlines() if line.startswith("|")}) <= 1, table


def test_a_network_of_views_is_quantised_as_one_without(tmp_path: Path) -> None:
    """Its convolutions take the bytes of the views as they are, and it costs as much more as there are views."""
    model = export_onnx(build_model(load_recipe("scratch", ["precision=float32", "channels=8,16,16,16"])))
    plain, viewed = (quantize_onnx(average_views(model, count), iter([IMAGES])) for count in (1, 2))
    mirrored = np.ascontiguousarray(IMAGES[:, :, ::-1])
    session = Session(plain)
    wanted = (session.logits(IMAGES) + session.logits(mirrored)) / 2
    np.testing.assert_allclose(Session(viewed).logits(IMAGES), wanted, atol=0.1 * np.ptp(wanted))
    kinds = [[node.op_type for node in onnx.load_model_from_string(each).graph.node] for each in (plain, viewed)]
    assert kinds[0].count("QuantizeLinear") == kinds[1].count("QuantizeLinear")
    costs = [measure_cost(each) for each in (plain, viewed)]
    assert costs[0] is not None
    assert costs[1] is not None
    assert costs[1].multiplications == pytest.approx(2 * costs[0].multiplications, rel=1e-4)
