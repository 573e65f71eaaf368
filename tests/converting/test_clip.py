"""CLIP's vision encoder from ONNX, held to the paper's formulas in NumPy."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from clip_files import LAYERS, PATCH, SIDE, WIDTH, make_weights, write_clip
from pyrite.converting.clip import CLIP_MEAN, CLIP_STD, load_clip
from pyrite.errors import ExportError, RecipeError
from pyrite.keras_backend import load_keras
from pyrite.recipe import Recipe, load_recipe

pytestmark = pytest.mark.skipif(
    not find_spec("keras_hub") or not find_spec("onnx"), reason="The extras keras-hub and train are not both installed."
)


def tokens_of(
    images: np.ndarray, weights: dict[str, np.ndarray], layers: int = LAYERS, *, normalised: bool = False
) -> np.ndarray:
    """Return the tokens (n, t, d) after so many layers, perhaps with the last normalisation."""
    top = "vision_model"

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ weights[name] + weights[f"{name}.bias"]

    def heads(x: np.ndarray) -> np.ndarray:
        return x.reshape(*x.shape[:2], WIDTH // 64, 64).transpose(0, 2, 1, 3)

    n, across = len(images), SIDE // PATCH
    cut = images.reshape(n, across, PATCH, across, PATCH, 3).transpose(0, 1, 3, 5, 2, 4).reshape(n, across**2, -1)
    x = cut @ weights[f"{top}.embeddings.patch_embedding.weight"].reshape(WIDTH, -1).T
    first = np.broadcast_to(weights[f"{top}.embeddings.class_embedding"], (n, 1, WIDTH))
    x = np.concatenate([first, x], 1) + weights[f"{top}.embeddings.position_embedding.weight"]
    x = norm(x, f"{top}.pre_layrnorm")
    for number in range(layers):
        layer = f"{top}.encoder.layers.{number}"
        h = norm(x, f"{layer}.layer_norm1")
        q, k, v = (heads(linear(h, f"{layer}.self_attn.{name}_proj")) for name in "qkv")
        scores = np.exp(q @ k.transpose(0, 1, 3, 2) / 8)
        mixed = (scores / scores.sum(-1, keepdims=True)) @ v
        x = x + linear(mixed.transpose(0, 2, 1, 3).reshape(x.shape), f"{layer}.self_attn.out_proj")
        h = linear(norm(x, f"{layer}.layer_norm2"), f"{layer}.mlp.fc1")
        x = x + linear(h / (1 + np.exp(-1.702 * h)), f"{layer}.mlp.fc2")
    return norm(x, f"{top}.post_layernorm") if normalised else x


@pytest.mark.parametrize("quantised", [False, True])
def test_the_encoder_computes_what_the_paper_says(quantised: bool, tmp_path: Path) -> None:
    weights = write_clip(tmp_path / "encoder.onnx", make_weights(), quantised=quantised)
    images = np.random.default_rng(1).normal(size=(2, SIDE, SIDE, 3)).astype(np.float32)
    encoder = load_clip(tmp_path / "encoder.onnx")
    assert np.asarray(encoder({"images": images})) == pytest.approx(
        tokens_of(images, weights, normalised=True), abs=1e-4
    )


def recipe_for(path: Path, *settings: str) -> Recipe:
    given = ("architecture=backbone", f"backbone={path}", "weights=preset", "pooling=token")
    return load_recipe("tiny", [*given, f"height={SIDE}", f"width={SIDE}", *settings])


def test_a_recipe_takes_its_features_from_a_layer(tmp_path: Path) -> None:
    from pyrite.training.architectures import build_model

    weights = write_clip(tmp_path / "encoder.onnx", make_weights(), quantised=True)
    model = build_model(recipe_for(tmp_path / "encoder.onnx", "backbone_layer=encoder_block_0", "trainable=head"))
    pixels = np.random.default_rng(1).integers(0, 256, (2, SIDE, SIDE, 3), np.uint8)
    features = np.asarray(load_keras().Model(model.input, model.get_layer("logit").input)(pixels))
    images = ((pixels / 255 - CLIP_MEAN) / CLIP_STD).astype(np.float32)
    assert features == pytest.approx(tokens_of(images, weights, 1)[:, 0], abs=1e-4)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            ("backbone_layer=encoder_block_9",),
            r"has no layers named 'encoder_block_9': did you mean '\S*encoder_block_",
        ),
        (("height=32", "width=32"), r"takes images of 16×16 pixels\. Use --set height=16 --set width=16"),
        (("weights=none",), "comes with its weights"),
    ],
)
def test_what_does_not_fit_the_encoder_is_refused(settings: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    from pyrite.training.architectures import build_model

    write_clip(tmp_path / "encoder.onnx", make_weights(), quantised=False)
    with pytest.raises(RecipeError, match=sentence):
        build_model(recipe_for(tmp_path / "encoder.onnx", *settings))


def without(path: Path, out: Path, name: str) -> None:
    """Write an encoder again without one of its values."""
    import onnx

    model = onnx.load(path)
    kept = [value for value in model.graph.initializer if value.name != name]
    assert len(kept) == len(model.graph.initializer) - 1
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    onnx.save(model, out)


def test_other_files_are_refused(tmp_path: Path) -> None:
    from pyrite.training.architectures import build_model

    (tmp_path / "wrong.onnx").write_bytes(b"no model")
    with pytest.raises(ExportError, match="cannot be read as ONNX"):
        load_clip(tmp_path / "wrong.onnx")
    write_clip(tmp_path / "whole.onnx", make_weights(), quantised=False)
    without(tmp_path / "whole.onnx", tmp_path / "other.onnx", "vision_model.embeddings.class_embedding")
    with pytest.raises(ExportError, match="is not a vision encoder of CLIP"):
        load_clip(tmp_path / "other.onnx")
    without(tmp_path / "whole.onnx", tmp_path / "less.onnx", "onnx::vision_model.encoder.layers.1.mlp.fc2")
    with pytest.raises(ExportError, match=r"no linear layer at vision_model/encoder/layers\.1/mlp/fc2"):
        load_clip(tmp_path / "less.onnx")
    with pytest.raises(RecipeError, match="There is no model at"):
        build_model(recipe_for(tmp_path / "none.onnx"))
