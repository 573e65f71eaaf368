"""CLIP's vision encoder from ONNX, held to the paper's formulas in NumPy."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from pyrite.converting.clip import CLIP_MEAN, CLIP_STD, load_clip
from pyrite.errors import ExportError, RecipeError
from pyrite.keras_backend import load_keras
from pyrite.recipe import Recipe, load_recipe

WIDTH, MLP, PATCH, SIDE, LAYERS = 128, 256, 8, 16, 2
LINEAR = {
    "self_attn.q_proj": (WIDTH, WIDTH),
    "self_attn.k_proj": (WIDTH, WIDTH),
    "self_attn.v_proj": (WIDTH, WIDTH),
    "self_attn.out_proj": (WIDTH, WIDTH),
    "mlp.fc1": (WIDTH, MLP),
    "mlp.fc2": (MLP, WIDTH),
}
pytestmark = pytest.mark.skipif(
    not find_spec("keras_hub") or not find_spec("onnx"), reason="The extras keras-hub and train are not both installed."
)


def make_weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {
        "vision_model.embeddings.class_embedding": (WIDTH,),
        "vision_model.embeddings.patch_embedding.weight": (WIDTH, 3, PATCH, PATCH),
        "vision_model.embeddings.position_embedding.weight": ((SIDE // PATCH) ** 2 + 1, WIDTH),
    }
    norms = ["vision_model.pre_layrnorm", "vision_model.post_layernorm"]
    for number in range(LAYERS):
        layer = f"vision_model.encoder.layers.{number}"
        norms += [f"{layer}.layer_norm1", f"{layer}.layer_norm2"]
        for name, shape in LINEAR.items():
            shapes |= {f"{layer}.{name}": shape, f"{layer}.{name}.bias": shape[1:]}
    for name in norms:
        shapes |= {f"{name}.weight": (WIDTH,), f"{name}.bias": (WIDTH,)}
    return {name: rng.normal(scale=0.2, size=shape).astype(np.float32) for name, shape in shapes.items()}


def write_clip(path: Path, weights: dict[str, np.ndarray], *, quantised: bool) -> dict[str, np.ndarray]:
    """Write what of an exported encoder is read: its weights, and each product. Return the weights that it has."""
    import onnx
    from onnx import helper, numpy_helper

    nodes, values, has = [], {}, dict(weights)
    for name, value in weights.items():
        inner = name.removeprefix("vision_model.encoder.")
        if name.endswith((".bias", ".weight")) or not inner.startswith("layers"):
            values[name] = value
            continue
        _, number, *rest = inner.split(".")
        place = f"/vision_model/encoder/layers.{number}/{'/'.join(rest)}"
        if not quantised:
            values[f"onnx::{name}"] = value
            nodes.append(helper.make_node("MatMul", ["x", f"onnx::{name}"], [f"{place}/MatMul_output_0"]))
            continue
        step = (np.abs(value).max(0) / 127).astype(np.float32)
        zero = (np.arange(value.shape[1]) % 3 - 1).astype(np.int8)
        whole = np.clip(np.round(value / step) + zero, -128, 127).astype(np.int8)
        has[name] = (whole.astype(np.float32) - zero) * step
        values |= {f"{name}_scale": step, f"{name}_zero_point": zero, f"{name}_quantized": whole}
        made = [f"{place}/{part}" for part in ("q", "s", "z", "product", "cast", "scales")]
        nodes += [
            helper.make_node("DynamicQuantizeLinear", ["x"], made[:3]),
            helper.make_node("Mul", [made[1], f"{name}_scale"], [made[5]]),
            helper.make_node("MatMulInteger", [made[0], f"{name}_quantized", made[2], f"{name}_zero_point"], [made[3]]),
            helper.make_node("Cast", [made[3]], [made[4]], to=onnx.TensorProto.FLOAT),
            helper.make_node("Mul", [made[4], made[5]], [f"{place}/MatMul_output_0"]),
        ]
    graph = helper.make_graph(nodes, "clip", [], [], [numpy_helper.from_array(v, n) for n, v in values.items()])
    onnx.save(helper.make_model(graph), path)
    return has


def tokens_of(images: np.ndarray, weights: dict[str, np.ndarray], layers: int = LAYERS) -> np.ndarray:
    """Return the tokens (n, t, d) after so many layers, without the last normalisation."""
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
    return norm(x, f"{top}.post_layernorm") if layers == LAYERS else x


@pytest.mark.parametrize("quantised", [False, True])
def test_the_encoder_computes_what_the_paper_says(quantised: bool, tmp_path: Path) -> None:
    weights = write_clip(tmp_path / "encoder.onnx", make_weights(), quantised=quantised)
    images = np.random.default_rng(1).normal(size=(2, SIDE, SIDE, 3)).astype(np.float32)
    encoder = load_clip(tmp_path / "encoder.onnx")
    assert np.asarray(encoder({"images": images})) == pytest.approx(tokens_of(images, weights), abs=1e-4)


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


def test_other_files_are_refused(tmp_path: Path) -> None:
    from pyrite.training.architectures import build_model

    (tmp_path / "wrong.onnx").write_bytes(b"no model")
    with pytest.raises(ExportError, match="cannot be read as ONNX"):
        load_clip(tmp_path / "wrong.onnx")
    weights = make_weights()
    write_clip(tmp_path / "other.onnx", {"vision_model.x": weights["vision_model.pre_layrnorm.bias"]}, quantised=False)
    with pytest.raises(ExportError, match="is not a vision encoder of CLIP"):
        load_clip(tmp_path / "other.onnx")
    del weights["vision_model.encoder.layers.1.mlp.fc2"]
    write_clip(tmp_path / "less.onnx", weights, quantised=False)
    with pytest.raises(ExportError, match=r"no linear layer at vision_model/encoder/layers\.1/mlp/fc2"):
        load_clip(tmp_path / "less.onnx")
    with pytest.raises(RecipeError, match="There is no model at"):
        build_model(recipe_for(tmp_path / "none.onnx"))
