"""A published vision encoder, cut after one of its layers, with a linear head upon its class token: as one graph.

The head is small, and can be shipped where the encoder's weights are not: they are fetched, and both become a bundle's
model. The same graph comes of the same two on any machine.
"""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from pyrite.converting.clip import CLIP_MEAN, CLIP_STD, image_side
from pyrite.errors import BundleError, ExportError, require
from pyrite.graph import Parts, Wrapping, add_features, wrap


class EncoderHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`head.json`: a linear layer, and the encoder that it is for."""

    encoder: str
    """Where the encoder comes from, as `obtain` takes it."""
    sha256: str
    """Of the encoder's file, in hexadecimal."""
    layers: int
    """How many of the encoder's layers come before the head."""
    weights: tuple[float, ...]
    """Of the class token's values after the last of these layers."""
    bias: float


def read_head(content: bytes) -> EncoderHead:
    """Read `head.json`.

    Raises:
        BundleError: It is damaged.
    """
    try:
        return msgspec.json.decode(content, type=EncoderHead)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"head.json is damaged: {error}.") from error


def write_head(head: EncoderHead) -> bytes:
    """Return the content of `head.json`."""
    return msgspec.json.encode(head)


def compose(encoder: Path, head: EncoderHead) -> bytes:
    """Return the ONNX model of an encoder and a head: uint8 (N, height, width, 3) in, float32 logits (N, 1) out.

    Its second output is what the head sees; see `graph.add_features`.

    Args:
        encoder: The vision encoder of CLIP as transformers exports it, perhaps quantised dynamically; see `dequantise`.
        head: The layer upon it.

    Raises:
        ExportError: The file is no such encoder, or has fewer layers, or is of another width.
        MissingExtraError: onnx is not installed.
    """
    require("import", "onnx")
    import onnx
    from onnx import helper

    try:
        model = onnx.load(encoder)
        taken = model.graph.input[0]
        sides = [size.dim_value for size in taken.type.tensor_type.shape.dim[2:]]
    except Exception as error:  # Protobuf's and onnx's own, of several kinds.
        raise ExportError(f"{encoder.name} cannot be read as ONNX: {error}") from error
    height, width = sides if len(sides) == 2 and all(sides) else [image_side(model.graph)] * 2
    dequantise(model)
    tokens = f"/vision_model/encoder/layers.{head.layers - 1}/Add_1_output_0"
    if not any(tokens in node.output for node in model.graph.node):
        raise ExportError(
            f"{encoder.name} is not a CLIP vision encoder as transformers exports it, of {head.layers} layers or more."
        )
    model = onnx.utils.Extractor(onnx.shape_inference.infer_shapes(model)).extract_model([taken.name], [tokens])
    values = model.graph.output[0].type.tensor_type.shape.dim[-1].dim_value
    if values != len(head.weights):
        raise ExportError(f"The encoder gives {values} values, and the head has {len(head.weights)} weights.")
    parts = Parts(model)
    token = parts.add("Gather", tokens, parts.constant(0, np.int64), axis=1)
    weights = parts.constant(np.array(head.weights)[:, None], np.float32)
    logit = parts.add("Gemm", token, weights, parts.constant([head.bias], np.float32))
    model.graph.node.extend(parts.take())
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info(logit, onnx.TensorProto.FLOAT, ("N", 1)))
    add_features(model)
    how = Wrapping(height=height, width=width, mean=CLIP_MEAN, std=CLIP_STD, output="logits", classes=1, ai=(0,))
    content: bytes = wrap(model, how).SerializeToString()
    return content


def dequantise(model: Any) -> None:
    """Let a model that ONNX Runtime quantised dynamically compute in float32, from weights that stay in 8 bits.

    A product whose input is quantised by the range that it has in a batch answers by what else is in that batch. So
    each becomes a product of floats; its weights are brought back to float32 as the model is loaded.

    Args:
        model: An `onnx.ModelProto`. It is changed.
    """
    from onnx import TensorProto

    graph = model.graph
    makers = {name: node for node in graph.node for name in node.output}
    fixed = {value.name for value in graph.initializer}
    users: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    parts, gone = Parts(model), list[Any]()
    replaced: dict[str, list[Any]] = {}
    for node in graph.node:
        if node.op_type != "MatMulInteger" or node.input[1] not in fixed:
            continue
        quantiser = makers[node.input[0]]
        (cast,) = users[node.output[0]]
        (product,) = users[cast.output[0]]
        scales = makers[next(name for name in product.input if name != cast.output[0])]
        scale = next(name for name in scales.input if name in fixed)
        weights = parts.add("Cast", node.input[1], to=TensorProto.FLOAT)
        zero = parts.add("Cast", node.input[3], to=TensorProto.FLOAT)
        weights = parts.add("Mul", parts.add("Sub", weights, zero), scale)
        parts.add("MatMul", quantiser.input[0], weights, out=product.output[0])
        replaced[product.output[0]] = parts.take()
        gone += [node, cast, scales, product]
    # The quantisers, whose values nothing takes any more.
    dropped = {id(node) for node in gone}
    left = [node for node in graph.node if id(node) not in dropped]
    needed = {name for node in left for name in node.input} | {value.name for value in graph.output}
    kept = []
    for node in graph.node:
        if node.op_type == "DynamicQuantizeLinear" and not needed.intersection(node.output):
            continue
        if id(node) not in dropped:
            kept.append(node)
        kept += replaced.get(node.output[0], [])
    nodes = [type(node).FromString(node.SerializeToString()) for node in kept]
    del graph.node[:]
    graph.node.extend(nodes)
