"""The weights that a graph holds, layer by layer."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def read_layers(content: bytes) -> list[tuple[Floats, Floats]]:
    """Return the weights of each convolution and dense layer of an ONNX model, in its order, in float32.

    Those of 8 bits are brought back from them.

    Returns:
        Kernels, of convolutions (height, width, inputs, outputs) and of dense layers (inputs, outputs), each with its
        bias (outputs,), which is 0 where there is none.
    """
    import onnx

    layers: list[tuple[Floats, Floats]] = []
    graph = onnx.load_model_from_string(content).graph
    known = {value.name: onnx.numpy_helper.to_array(value) for value in graph.initializer}
    for node in graph.node:
        fields = {field.name: onnx.helper.get_attribute_value(field) for field in node.attribute}
        given: list[Any] = [known.get(name) for name in node.input]
        if node.op_type == "DequantizeLinear" and given[0] is not None:
            known[node.output[0]] = _dequantised(*given, axis=fields.get("axis", 1))
        elif node.op_type in ("Conv", "Gemm") and (kernel := given[1]) is not None:
            if node.op_type == "Conv":
                kernel = kernel.transpose(2, 3, 1, 0)
            elif fields.get("transB"):
                kernel = kernel.T
            bias = given[2] if len(given) > 2 else None
            layers.append((kernel, np.zeros(kernel.shape[-1], np.float32) if bias is None else bias))
    return layers


def _dequantised(values: NDArray[Any], scale: Floats, zero: NDArray[Any] | None = None, *, axis: int) -> Floats:
    """Return what integers stand for, with one scale for all or one for each place along an axis."""
    shape = [-1 if i == axis else 1 for i in range(values.ndim)] if scale.ndim else []
    offset = 0 if zero is None else zero.astype(np.float32).reshape(shape)
    floats: Floats = (values.astype(np.float32) - offset) * scale.reshape(shape)
    return floats
