"""Surgery on ONNX graphs."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime


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
