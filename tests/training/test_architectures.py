import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pyrite.errors import RecipeError
from pyrite.keras_backend import export_onnx, load_keras
from pyrite.recipe import load_recipe
from pyrite.runtime import Session
from pyrite.training import backbones
from pyrite.training.architectures import build_model, in_float32
from runs import NEEDS_BFLOAT16

# Keras's own conversion of a variable, where it saves weights, which only these tests ask it to.
SAVES = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
PRETRAINED = ("architecture=backbone", "backbone=VGG16", "height=32", "width=32")
"""Of few layers, since it is their number that takes time to build."""


@pytest.fixture(scope="module")
def resnet50() -> Any:
    return build_model(load_recipe("resnet50"))


def test_resnet50_has_the_published_head(resnet50: Any) -> None:
    layers = resnet50.layers
    assert [type(layer).__name__ for layer in layers] == [
        "InputLayer", "Rescaling", "Functional", "Flatten", "Dense", "BatchNormalization", "Dense", "Dropout", "Dense",
    ]  # fmt: skip
    assert layers[2].name == "resnet50"
    assert [(layer.units, layer.activation.__name__) for layer in (layers[4], layers[6], layers[8])] == [
        (256, "relu"), (128, "relu"), (1, "linear"),
    ]  # fmt: skip
    assert layers[7].rate == 0.5
    assert resnet50.input_shape == (None, 32, 32, 3)
    assert resnet50.input.dtype == "uint8"
    assert resnet50.output_shape == (None, 1)


def test_resnet50_trains_every_layer(resnet50: Any) -> None:
    assert all(layer.trainable for layer in resnet50._flatten_layers())
    # 23,587,712 of the backbone, as Keras gives it without its top; then 2048 * 256 + 256, 4 * 256,
    # 256 * 128 + 128, and 128 + 1.
    assert resnet50.count_params() == 23_587_712 + 524_544 + 1024 + 32_896 + 129 == 24_146_305
    trainable = sum(int(np.prod(weight.shape)) for weight in resnet50.trainable_weights)
    assert trainable == 24_146_305 - 53_120 - 2 * 256  # The moving means and variances.


def test_tiny_is_tiny() -> None:
    assert build_model(load_recipe("tiny")).count_params() == 3849


@pytest.mark.parametrize("name", ["resnet50", "tiny"])
def test_pixels_are_scaled_inside(name: str, resnet50: Any) -> None:
    model = resnet50 if name == "resnet50" else build_model(load_recipe("tiny"))
    keras = load_keras()
    scaled = keras.Model(model.input, model.layers[1].output)
    pixels = np.array([0, 51, 255], np.uint8).reshape(1, 1, 1, 3).repeat(32, 1).repeat(32, 2)
    values = np.asarray(scaled(pixels))
    assert values.dtype == np.float32
    np.testing.assert_allclose(values[0, 0, 0], [0, 0.2, 1], rtol=1e-6)


def test_weights_hang_on_the_seed_alone() -> None:
    def weights(seed: int) -> list[np.ndarray]:
        return [np.asarray(v) for v in build_model(load_recipe("tiny", [f"seed={seed}"])).weights]

    first, second, other = weights(1), weights(1), weights(2)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


@SAVES
def test_weights_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "backbone.weights.h5"
    pretrained = build_model(load_recipe("tiny", PRETRAINED))
    pretrained.get_layer("vgg16").save_weights(path)
    model = build_model(load_recipe("tiny", [*PRETRAINED, f"weights={path}", "seed=1"]))
    for ours, theirs in zip(model.get_layer("vgg16").weights, pretrained.get_layer("vgg16").weights, strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
    assert not np.array_equal(*(np.asarray(each.get_layer("logit").kernel) for each in (model, pretrained)))


@SAVES
def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tiny.weights.h5"
    build_model(load_recipe("tiny")).save_weights(path)
    (tmp_path / "text.h5").write_text("not HDF5")
    for name in (path, tmp_path / "text.h5"):
        with pytest.raises(RecipeError) as caught:
            build_model(load_recipe("tiny", [*PRETRAINED, f"weights={name}"]))
        assert f"The weights in {name} do not fit keras.applications.VGG16 without its top" in str(caught.value)


def test_weights_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no weights file .*; use weights = 'none', 'imagenet' or a file that is"):
        build_model(load_recipe("resnet50", [f"weights={tmp_path / 'missing.h5'}"]))


def test_imagenet_without_an_answer_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    before = socket.getdefaulttimeout()
    with socket.create_server(("127.0.0.1", 0)) as silent:  # It takes connections, and never says a word.
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.setattr(backbones, "_TIMEOUT", 0.2)
        with pytest.raises(RecipeError) as caught:
            build_model(load_recipe("tiny", [*PRETRAINED, "weights=imagenet"]))
    assert "could not be downloaded" in str(caught.value)
    assert "notop.h5" in str(caught.value)
    assert "--set weights=none, or download them elsewhere and give the file: --set weights=PATH." in str(caught.value)
    assert socket.getdefaulttimeout() == before
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("settings", "weights", "millions"), [(["channels=16,48,96,192"], 1_089_905, 45), ([], 1_662_129, 54)]
)
def test_compact_is_as_large_as_it_says(settings: list[str], weights: int, millions: int) -> None:
    model = build_model(load_recipe("scratch", settings))
    assert model.count_params() == weights
    macs = sum(
        int(np.prod(layer.output.shape[1:3])) * int(np.prod(layer.kernel.shape))
        for layer in model.layers
        if type(layer).__name__ == "Conv2D"
    )
    assert round(macs / 1e6) == millions


def test_compact_takes_small_images_but_not_any() -> None:
    assert build_model(load_recipe("scratch", ["height=2", "width=3", "turn=0"])).output_shape == (None, 1)
    with pytest.raises(RecipeError, match="compact takes images of at least 2×2 pixels, not 32×1"):
        build_model(load_recipe("scratch", ["width=1", "turn=0"]))


@NEEDS_BFLOAT16
def test_bfloat16_keeps_its_weights_and_its_logit_in_float32() -> None:
    keras = load_keras()
    before = keras.config.dtype_policy()
    recipe = load_recipe("tiny", ["precision=bfloat16"])
    model = build_model(recipe)
    assert keras.config.dtype_policy() == before
    assert {str(variable.dtype) for variable in model.trainable_variables} == {"float32"}
    assert model.layers[2].compute_dtype == "bfloat16"
    pixels = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3), np.uint8)
    coarse, exact = (np.asarray(m(pixels)) for m in (model, in_float32(model, recipe)))
    assert coarse.dtype == exact.dtype == np.float32
    np.testing.assert_allclose(coarse, exact, atol=0.05)
    assert not np.array_equal(coarse, exact)
    float_model = build_model(load_recipe("tiny"))
    assert in_float32(float_model, load_recipe("tiny")) is float_model


def test_an_input_is_enlarged_inside_of_the_network() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    model = build_model(load_recipe("tiny", ["enlarge=3"]))
    assert model.input_shape == (None, 32, 32, 3)
    larger = build_model(load_recipe("tiny", ["height=96", "width=96"]))
    resized = np.stack([np.asarray(Image.fromarray(i).resize((96, 96), Image.Resampling.BILINEAR)) for i in images])
    seen = np.asarray(larger(resized))[:, 0]
    np.testing.assert_allclose(
        np.asarray(model(images))[:, 0], seen, atol=0.02 * np.abs(seen).max()
    )  # Of whole pixels.
    np.testing.assert_allclose(Session(export_onnx(model)).logits(images), np.asarray(model(images))[:, 0], atol=1e-4)
