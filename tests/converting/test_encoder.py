"""A head upon a published encoder: what the graph computes, and what does not go together."""

from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import helper
from test_clip import tokens_of

from clip_files import LAYERS, SIDE, WIDTH, make_weights, write_clip
from pyrite.converting.clip import CLIP_MEAN, CLIP_STD
from pyrite.converting.encoder import EncoderHead, compose, read_head, write_head
from pyrite.errors import BundleError, ExportError
from pyrite.runtime import Session


def make_head(layers: int = 1, width: int = WIDTH) -> EncoderHead:
    weights = tuple(np.random.default_rng(2).normal(size=width).tolist())
    return EncoderHead(encoder="encoder.onnx", sha256="0" * 64, layers=layers, weights=weights, bias=0.25)


@pytest.mark.parametrize("quantised", [False, True])
@pytest.mark.parametrize("layers", [1, LAYERS])
def test_a_head_is_put_upon_a_layer_in_floats(quantised: bool, layers: int, tmp_path: Path) -> None:
    weights = write_clip(tmp_path / "encoder.onnx", make_weights(), quantised=quantised)
    head = make_head(layers)
    content = compose(tmp_path / "encoder.onnx", head)
    assert content == compose(tmp_path / "encoder.onnx", read_head(write_head(head)))
    pixels = np.random.default_rng(1).integers(0, 256, (5, SIDE, SIDE, 3), np.uint8)
    images = ((pixels / 255 - CLIP_MEAN) / CLIP_STD).astype(np.float32)
    tokens = tokens_of(images, weights, layers)[:, 0]
    session = Session(content)
    logits, features = session.score(pixels)
    assert logits == pytest.approx(tokens @ np.array(head.weights) + head.bias, rel=1e-4, abs=1e-4)
    assert features == pytest.approx(tokens, abs=1e-4)
    # A product of quantised inputs would answer by what else is in the batch.
    alone = np.concatenate([session.logits(pixels[i : i + 1]) for i in range(len(pixels))])
    assert alone == pytest.approx(logits, abs=1e-4)


def test_an_encoder_of_any_side_takes_what_its_positions_are_for(tmp_path: Path) -> None:
    write_clip(tmp_path / "encoder.onnx", make_weights(), quantised=False)
    model = onnx.load(tmp_path / "encoder.onnx")
    for size in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        size.dim_param = "side"
    onnx.save(model, tmp_path / "any.onnx")
    pixels = np.random.default_rng(1).integers(0, 256, (2, SIDE, SIDE, 3), np.uint8)
    whole, anyside = (Session(compose(tmp_path / name, make_head())) for name in ("encoder.onnx", "any.onnx"))
    assert anyside.logits(pixels) == pytest.approx(whole.logits(pixels), abs=1e-5)


def test_weights_of_8_bits_stay_so_in_the_file(tmp_path: Path) -> None:
    sizes = []
    for quantised in (False, True):
        write_clip(tmp_path / "encoder.onnx", make_weights(), quantised=quantised)
        sizes.append(len(compose(tmp_path / "encoder.onnx", make_head(LAYERS))))
    assert sizes[1] < 0.4 * sizes[0]


def test_what_does_not_go_together_is_refused(tmp_path: Path) -> None:
    write_clip(tmp_path / "encoder.onnx", make_weights(), quantised=True)
    with pytest.raises(
        ExportError, match="is not a CLIP vision encoder as transformers exports it, of 3 layers or more"
    ):
        compose(tmp_path / "encoder.onnx", make_head(LAYERS + 1))
    with pytest.raises(ExportError, match=r"128 values.*7 weights"):
        compose(tmp_path / "encoder.onnx", make_head(width=7))
    (tmp_path / "wrong.onnx").write_bytes(b"no model")
    with pytest.raises(ExportError, match=r"wrong\.onnx cannot be read as ONNX"):
        compose(tmp_path / "wrong.onnx", make_head())
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "flat",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ("batch", 3))],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ("batch", 3))],
    )
    onnx.save(helper.make_model(graph), tmp_path / "flat.onnx")
    with pytest.raises(ExportError, match="is not a vision encoder of CLIP"):
        compose(tmp_path / "flat.onnx", make_head())
    with pytest.raises(BundleError, match=r"head\.json is damaged"):
        read_head(msgspec.json.encode({"layers": 8}))
    with pytest.raises(BundleError, match=r"head\.json is damaged"):
        read_head(b'{"encoder": "\xff"}')
