"""The vision encoder of CLIP (Radford et al. 2021), from an ONNX file of it to Keras.

The file is as transformers exports its `CLIPVisionModelWithProjection`, whose names tell which weights are whose. Where
ONNX Runtime has quantised its matrices, they are brought back to float32: what was rounded stays rounded, but the
encoder's answer no longer hangs on what else is in a batch.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrite.errors import ExportError, require
from pyrite.keras_backend import load_keras

Weights = NDArray[np.float32]

_PATCHES = "vision_model.embeddings.patch_embedding.weight"
_PLACES = "vision_model.embeddings.position_embedding.weight"
_OTHER = "The model is not a vision encoder of CLIP as transformers exports it."
_HEAD = 64  # values of an attention head, in every CLIP encoder that OpenAI published


CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
"""What it was trained with, of values from 0 to 1."""


def load_clip(model: Path) -> Any:
    """Return the encoder as a `keras.Model`: normalised images (n, height, width, 3) in, tokens (n, t, d) out.

    Args:
        model: The ONNX file.

    Raises:
        ExportError: The file is no such encoder.
        MissingExtraError: Keras Hub or onnx is not installed.
    """
    require("keras-hub", "keras_hub")
    require("train", "keras", "onnx")
    import onnx

    try:
        graph = onnx.load(model).graph
    except Exception as error:  # Protobuf's and onnx's own, of several kinds.
        raise ExportError(f"{model} cannot be read as ONNX: {error}") from error
    reader = _Reader(graph)
    encoder = _build(reader, image_side(graph))
    _fill(encoder, reader)
    return encoder


def image_side(graph: Any) -> int:
    """Return how many pixels a side an encoder takes, by how many places of patches it knows.

    Args:
        graph: An `onnx.GraphProto`.

    Raises:
        ExportError: It is no such encoder.
    """
    shapes = {value.name: tuple(value.dims) for value in graph.initializer}
    if _PATCHES not in shapes or _PLACES not in shapes:
        raise ExportError(_OTHER)
    return int(shapes[_PATCHES][2] * round((shapes[_PLACES][0] - 1) ** 0.5))


class _Reader:
    """The weights of a graph, by the names that transformers has for them."""

    def __init__(self, graph: Any) -> None:
        from onnx import numpy_helper

        self._values = {value.name: numpy_helper.to_array(value) for value in graph.initializer}
        self._makers = {name: node for node in graph.node for name in node.output}
        numbers = [re.match(r"/vision_model/encoder/layers\.(\d+)/", name) for name in self._makers]
        self.layers = 1 + max((int(number[1]) for number in numbers if number), default=-1)
        if not self.layers or "vision_model.embeddings.class_embedding" not in self._values:
            raise ExportError(_OTHER)

    def value(self, name: str) -> Weights:
        """Return a vector or table that no product takes."""
        if name not in self._values:
            raise ExportError(f"The encoder has no {name}.")
        return np.asarray(self._values[name], np.float32)

    def matrix(self, place: str) -> Weights:
        """Return the matrix (d, k) that the linear layer at a place in the network multiplies by."""
        node = self._makers.get(f"/{place}/MatMul_output_0")
        if node is not None and node.op_type == "Mul":  # Of a product of integers by its scale.
            scale = next(self._makers[name] for name in node.input if self._makers[name].op_type == "Mul")
            cast = next(self._makers[name] for name in node.input if self._makers[name].op_type == "Cast")
            product = self._makers[cast.input[0]]
            step = next(self._values[name] for name in scale.input if name in self._values)
            whole, zero = (self._values[product.input[i]].astype(np.float32) for i in (1, 3))
            return np.asarray((whole - zero) * step, np.float32)
        if node is not None and node.op_type == "MatMul" and node.input[1] in self._values:
            return np.asarray(self._values[node.input[1]], np.float32)
        raise ExportError(f"The encoder has no linear layer at {place}.")


def _build(reader: _Reader, side: int) -> Any:
    """Return an encoder of the same shape, whose weights are random."""
    load_keras()
    import keras_hub

    patches = reader.value(_PATCHES)
    width, patch = patches.shape[0], patches.shape[2]
    return keras_hub.models.CLIPVisionEncoder(
        patch_size=patch,
        hidden_dim=width,
        num_layers=reader.layers,
        num_heads=width // _HEAD,
        intermediate_dim=len(reader.value("vision_model.encoder.layers.0.mlp.fc1.bias")),
        image_shape=(side, side, 3),
    )


def _fill(encoder: Any, reader: _Reader) -> None:
    top = "vision_model"
    embedding = encoder.embedding
    patches = reader.value(_PATCHES)
    embedding.patch_embedding.kernel.assign(patches.transpose(2, 3, 1, 0))
    embedding.class_embedding.assign(reader.value(f"{top}.embeddings.class_embedding"))
    embedding.position_embedding.embeddings.assign(reader.value(_PLACES))
    places = embedding.position_ids.shape[1]
    embedding.position_ids.assign(np.arange(places)[None])
    _fill_norm(encoder.pre_layer_norm, reader, f"{top}.pre_layrnorm")
    _fill_norm(encoder.layer_norm, reader, f"{top}.post_layernorm")
    for number, block in enumerate(encoder.encoder_layers):
        place = f"{top}/encoder/layers.{number}"
        named = place.replace("/", ".")
        _fill_norm(block.layer_norm_1, reader, f"{named}.layer_norm1")
        _fill_norm(block.layer_norm_2, reader, f"{named}.layer_norm2")
        attention = block.attention
        for dense, name in (
            (attention.query_dense, "q_proj"),
            (attention.key_dense, "k_proj"),
            (attention.value_dense, "v_proj"),
            (attention.output_dense, "out_proj"),
        ):
            _fill_dense(dense, reader, f"{place}/self_attn/{name}", f"{named}.self_attn.{name}")
        for dense, name in ((block.dense_1, "fc1"), (block.dense_2, "fc2")):
            _fill_dense(dense, reader, f"{place}/mlp/{name}", f"{named}.mlp.{name}")


def _fill_norm(norm: Any, reader: _Reader, name: str) -> None:
    norm.gamma.assign(reader.value(f"{name}.weight"))
    norm.beta.assign(reader.value(f"{name}.bias"))


def _fill_dense(dense: Any, reader: _Reader, place: str, name: str) -> None:
    dense.kernel.assign(reader.matrix(place).reshape(dense.kernel.shape))
    dense.bias.assign(reader.value(f"{name}.bias").reshape(dense.bias.shape))
