"""Surgery on ONNX graphs."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from pyrite.runtime import FEATURES


def fold_constants(model: bytes) -> bytes:
    """Return a model with everything computed that hangs on its weights alone, for any machine.

    Args:
        model: The content of an ONNX file.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(path)
        options.log_severity_level = 4
        onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return path.read_bytes()


def feed_bytes(model: Any) -> Any:
    """Give the first convolution the image's bytes as they are: quantised already, in steps of 1/255."""
    import onnx

    graph = model.graph
    users: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    name, chain = graph.input[0].name, []
    for kind in ("Cast", "Mul", "Transpose", "QuantizeLinear", "DequantizeLinear"):
        if [node.op_type for node in users.get(name, ())] != [kind]:
            return model  # Of another network, which computes the same without this.
        chain += users[name]
        name = chain[-1].output[0]
    cast, multiply, transpose, quantise, dequantise = chain
    transpose.input[0] = graph.input[0].name
    dequantise.input[0] = transpose.output[0]
    for value in graph.initializer:
        if value.name == dequantise.input[1]:
            value.CopyFrom(onnx.numpy_helper.from_array(np.array(1 / 255, np.float32), value.name))
        if value.name == dequantise.input[2]:
            value.CopyFrom(onnx.numpy_helper.from_array(np.array(0, np.uint8), value.name))
    for node in (cast, multiply, quantise):
        graph.node.remove(node)
    del graph.value_info[:]  # They tell of types that changed.
    return model


def expose_features(model: bytes) -> bytes:
    """Return a model that gives what its last layer sees as well, in an output named `features`, float32 (N, d).

    The last layer is the matrix product that gives the logit. Where there is none, as in a network that ends in a mean,
    the model stays as it is.

    Args:
        model: The content of an ONNX file with one output.
    """
    import onnx

    loaded = onnx.load_model_from_string(model)
    graph = loaded.graph
    makers = {name: node for node in graph.node for name in node.output}
    weights = {value.name: value for value in graph.initializer}
    node = makers.get(graph.output[0].name)
    # What follows a matrix product: a bias, and what changes only the shape.
    while node is not None and node.op_type in ("Add", "Reshape", "Squeeze", "Identity"):
        (node, *others) = [makers[name] for name in node.input if name in makers] or [None]
        if others:
            return model
    if len(graph.output) > 1 or node is None or node.op_type not in ("Gemm", "MatMul") or node.input[1] not in weights:
        return model
    inferred = onnx.shape_inference.infer_shapes(loaded).graph.value_info
    if [len(value.type.tensor_type.shape.dim) for value in inferred if value.name == node.input[0]] != [2]:
        return model
    transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    count = weights[node.input[1]].dims[1 if transposed else 0]
    graph.node.append(onnx.helper.make_node("Identity", [node.input[0]], [FEATURES]))
    graph.output.append(onnx.helper.make_tensor_value_info(FEATURES, onnx.TensorProto.FLOAT, ("N", count)))
    content: bytes = loaded.SerializeToString()
    return content
