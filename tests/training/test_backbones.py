"""Backbones that others trained: their scaling, what of them is trained, and what is refused."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyrite.errors import MissingExtraError, RecipeError
from pyrite.keras_backend import export_onnx, load_keras
from pyrite.recipe import Recipe, load_recipe
from pyrite.runtime import Session
from pyrite.training.architectures import build_model, in_float32
from pyrite.training.backbones import scale_for_weights
from pyrite.training.finetuning import freeze
from pyrite.training.normalisation import measure_statistics

# What Keras and Keras Hub do as they save, which only these tests ask of them.
SAVES = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 28, 28, 3), np.uint8)
SMALL = ("architecture=backbone", "backbone=VGG16", "height=32", "width=32")
"""Of few layers, since it is their number that takes time to build."""


def save_preset(folder: Path, *, blocks: int = 1, converter: bool = True) -> Any:
    """Save a vision transformer of so many blocks, and return it."""
    import keras_hub

    load_keras().utils.set_random_seed(0)
    vit = keras_hub.models.ViTBackbone(
        image_shape=(28, 28, 3), patch_size=14, num_layers=blocks, num_heads=2, hidden_dim=16, mlp_dim=32
    )
    vit.save_to_preset(folder)
    if converter:
        scale = [1 / 127.5, 1 / 100, 1 / 64]
        made = keras_hub.layers.ViTImageConverter(scale=scale, offset=-1.0, _allow_python_workflow=True)
        made.save_to_preset(folder)
    return vit


def recipe_for(folder: Path, *settings: str) -> Recipe:
    preset = ("architecture=backbone", f"backbone={folder}", "weights=preset", "height=28", "width=28")
    return load_recipe("tiny", [*preset, *settings])


def trainable(model: Any) -> list[str]:
    return [variable.path for variable in model.trainable_variables]


def test_every_network_of_keras_gets_what_its_preprocess_input_gives() -> None:
    keras = load_keras()
    names = [name for name in dir(keras.applications) if name[0].isupper()]
    modules = [module for name, module in vars(keras.applications).items() if name[0].islower()]
    pixels = PIXELS.astype(np.float32)
    kinds = set()
    for name in names:
        homes = [module.preprocess_input for module in modules if hasattr(module, name)]
        wanted = homes[0](pixels.copy()) if homes else pixels  # MobileNetV3 scales by itself.
        images = keras.Input((28, 28, 3), dtype="uint8")
        scaled = np.asarray(keras.Model(images, scale_for_weights(images, name))(PIXELS), np.float32)
        np.testing.assert_allclose(scaled, wanted, atol=2e-5, err_msg=name)
        kinds.add((float(wanted.min()), float(wanted.max())))
    assert len(names) > 30
    assert len(kinds) == 4  # As it is, to ±1, by channel, and by channel in the other order.


def test_the_published_detector_can_have_the_scaling_of_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    keras = load_keras()
    # What comes after the scaling is of no matter here, and takes seconds to build.
    inner = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.GlobalAveragePooling2D()], name="resnet50")
    monkeypatch.setattr("pyrite.training.architectures.load_application", lambda name, recipe: inner)
    model = build_model(load_recipe("resnet50", ["scaling=weights"]))
    backbone = model.get_layer("resnet50")
    seen = keras.Model(model.input, model.layers[model.layers.index(backbone) - 1].output)
    pixels = np.full((1, 32, 32, 3), (255, 128, 0), np.uint8)
    np.testing.assert_allclose(np.asarray(seen(pixels))[0, 0, 0], [-103.939, 128 - 116.779, 255 - 123.68], atol=1e-4)


def test_a_frozen_backbone_keeps_its_weights_and_its_statistics() -> None:
    model = build_model(load_recipe("tiny", [*SMALL, "backbone=MobileNet", "trainable=head"]))
    assert trainable(model) == ["logit/kernel", "logit/bias"]
    before = [np.asarray(variable) for variable in model.variables]
    measure_statistics(model, np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3), np.uint8), np.arange(64), 0)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(np.asarray(variable), value, err_msg=variable.path)


def test_the_last_blocks_are_counted_from_the_end_and_what_follows_them_is_theirs() -> None:
    settings = (*SMALL, "backbone=MobileNetV3Small", "trainable=last")
    model = build_model(load_recipe("tiny", settings))

    def blocks(count: int) -> list[str]:
        for layer in model._flatten_layers():
            layer.trainable = True
        freeze(model, load_recipe("tiny", [*settings, f"last_blocks={count}"]))
        names = trainable(model)
        return list(dict.fromkeys(name.partition("/")[0] for name in names if "conv" in name.partition("/")[0]))

    last = blocks(1)
    assert all(name.startswith(("expanded_conv_10", "conv_1")) for name in last)
    assert last[-1] == "conv_1_bn"
    assert {name[:16] for name in blocks(2)[: -len(last)]} == {"expanded_conv_9_"}
    with pytest.raises(RecipeError, match="MobileNetV3Small has 10 blocks that can be told apart by name"):
        blocks(12)


@SAVES
def test_a_preset_sees_pixels_as_its_converter_scales_them(tmp_path: Path) -> None:
    vit = save_preset(tmp_path)
    scaled = PIXELS / np.array([127.5, 100, 64]) - 1
    features = np.asarray(vit(scaled.astype(np.float32)))
    for pooling, pooled in (("avg", features.mean(1)), ("max", features.max(1)), ("token", features[:, 0])):
        model = build_model(recipe_for(tmp_path, f"pooling={pooling}"))
        head = model.get_layer("logit")
        wanted = pooled @ np.asarray(head.kernel) + np.asarray(head.bias)
        np.testing.assert_allclose(model.predict_on_batch(PIXELS), wanted, atol=1e-5, err_msg=pooling)


@SAVES
def test_low_rank_updates_are_all_that_is_trained_and_are_in_the_exported_network(tmp_path: Path) -> None:
    vit = save_preset(tmp_path, blocks=2)
    recipe = recipe_for(tmp_path, "trainable=lora", "lora_rank=2", "pooling=token", "seed=3")
    model = build_model(recipe)
    np.testing.assert_array_equal(
        model.predict_on_batch(PIXELS), build_model(recipe_for(tmp_path, "pooling=token", "seed=3"))(PIXELS)
    )
    kinds = {path.rpartition("/")[2] for path in trainable(model) if "logit" not in path}
    assert kinds == {"lora_kernel_a", "lora_kernel_b"}
    # Query, key, value, output and two of the perceptron, in each of two blocks.
    assert len(trainable(model)) == 2 * 2 * 6 + 2
    model.compile(load_keras().optimizers.SGD(0.5), load_keras().losses.BinaryCrossentropy(from_logits=True))
    before = model.predict_on_batch(PIXELS)
    for _ in range(3):
        model.train_on_batch(PIXELS, np.array([[0], [1]] * 3, np.float32))
    after = model.predict_on_batch(PIXELS)
    assert np.abs(after - before).max() > 0.01
    inner = next(layer for layer in model.layers if hasattr(layer, "layers"))
    kept = {variable.path: np.asarray(variable) for variable in inner.variables if "lora" not in variable.path}
    for variable in vit.variables:
        np.testing.assert_array_equal(kept[variable.path], np.asarray(variable))
    np.testing.assert_allclose(Session(export_onnx(model)).logits(PIXELS), after[:, 0], atol=1e-5)
    np.testing.assert_array_equal(in_float32(model, recipe).predict_on_batch(PIXELS), after)


@SAVES
def test_a_file_of_weights_takes_the_place_of_the_presets(tmp_path: Path) -> None:
    save_preset(tmp_path / "preset")
    other = build_model(recipe_for(tmp_path / "preset", "weights=none", "seed=9"))
    inner = next(layer for layer in other.layers if hasattr(layer, "layers"))
    for name in ("mine.weights.h5", "mine.keras"):
        (inner.save_weights if name.endswith("h5") else inner.save)(tmp_path / name)
        model = build_model(recipe_for(tmp_path / "preset", f"weights={tmp_path / name}", "seed=9"))
        np.testing.assert_array_equal(model.predict_on_batch(PIXELS), other.predict_on_batch(PIXELS))


@SAVES
def test_a_preset_that_interpolates_its_positions_takes_other_sizes(tmp_path: Path) -> None:
    import keras_hub

    shapes = {"position_embedding_shape": (28, 28), "image_shape": (28, 28, 3)}
    sizes = {"patch_size": 14, "num_layers": 1, "hidden_dim": 16, "num_heads": 2, "intermediate_dim": 32}
    keras_hub.models.DINOV2Backbone(num_register_tokens=0, **sizes, **shapes).save_to_preset(tmp_path)
    converter = keras_hub.layers.DINOV2ImageConverter(scale=1 / 255, _allow_python_workflow=True)
    converter.save_to_preset(tmp_path)
    model = build_model(recipe_for(tmp_path, "height=42", "width=42", "pooling=token"))
    pixels = np.random.default_rng(0).integers(0, 256, (3, 42, 42, 3), np.uint8)
    logits = model.predict_on_batch(pixels)
    assert np.isfinite(logits).all()
    np.testing.assert_allclose(Session(export_onnx(model)).logits(pixels), logits[:, 0], atol=1e-5)


@SAVES
def test_what_does_not_fit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_preset(tmp_path / "bare", converter=False)
    save_preset(tmp_path / "preset")
    preset, small = recipe_for(tmp_path / "preset"), load_recipe("tiny", SMALL)
    cases = [
        (load_recipe("tiny", [*SMALL, "backbone=EfficientNtV2B0"]), "did you mean 'EfficientNetV2B0'?"),
        (load_recipe("tiny", [*SMALL, "backbone=InceptionV3"]), "InceptionV3 does not take images of 32×32 pixels"),
        (load_recipe("tiny", [*SMALL, "backbone=ConvNeXtTiny"]), "ConvNeXtTiny takes images of at least 64×64 pixels"),
        (load_recipe("tiny", [*SMALL, "weights=preset"]), "Use 'imagenet', 'none' or a file."),
        (load_recipe("tiny", [*SMALL, "pooling=token"]), "features of VGG16 cannot be pooled by 'token'"),
        (load_recipe("tiny", [*SMALL, "trainable=lora"]), "has no dense layers, which LoRA"),
        (recipe_for(tmp_path / "preset", "weights=imagenet"), "Use 'preset', 'none' or a file."),
        (recipe_for(tmp_path / "preset", "height=32"), "takes images of 28×28 pixels, and cannot be brought to 32×28"),
        (recipe_for(tmp_path / "bare"), "Save its image converter beside it, with save_to_preset."),
        (recipe_for(tmp_path / "missing"), "missing' could not be loaded"),
    ]
    for recipe, words in cases:
        with pytest.raises(RecipeError) as caught:
            build_model(recipe)
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)
    assert build_model(small).output_shape == (None, 1)
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'pyrite\[keras-hub\]'"):
        build_model(preset)
