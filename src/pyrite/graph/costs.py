"""What a network costs."""

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one model input."""

    multiplications: int
    """Of convolutions and matrix products, which are as good as all of the work: multiply-accumulate operations."""
    weights: int
    """Numbers in the file."""


def measure_cost(model: bytes) -> Cost | None:
    """Return what a model costs; `None` where the shapes in it cannot be told.

    Args:
        model: The content of an ONNX file, with its weights.
    """
    import onnx

    loaded = onnx.load_model_from_string(model)
    graph = loaded.graph
    weights = {value.name: tuple(value.dims) for value in graph.initializer}
    if not graph.input[0].type.tensor_type.shape.dim:
        return None
    graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    for output in graph.output:  # Their batch follows from the input's.
        output.type.tensor_type.ClearField("shape")
    del graph.value_info[:]
    try:
        inferred = onnx.shape_inference.infer_shapes(loaded, data_prop=True).graph
    except Exception:  # Its errors share no base; of what it cannot follow, nothing is said.
        return None
    shapes: dict[str, tuple[int, ...]] = dict(weights)
    for value in (*inferred.value_info, *inferred.output, *inferred.input):
        dims = value.type.tensor_type.shape.dim
        if all(dim.HasField("dim_value") for dim in dims):
            shapes[value.name] = tuple(dim.dim_value for dim in dims)
    try:
        total = sum(_multiplications(node, shapes) for node in inferred.node)
    except KeyError:
        return None
    # Whole numbers of 64 bits are shapes and places, and no weights.
    kept = (value for value in graph.initializer if value.data_type != onnx.TensorProto.INT64)
    return Cost(total, sum(math.prod(value.dims) for value in kept))


def _multiplications(node: Any, shapes: dict[str, tuple[int, ...]]) -> int:
    """Return the multiplications of one node.

    Raises:
        KeyError: A shape that they hang on is not known.
    """
    if node.op_type in ("Conv", "ConvInteger"):
        return math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[1]][1:])
    if node.op_type in ("MatMul", "MatMulInteger", "Gemm"):
        turned = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
        return math.prod(shapes[node.output[0]]) * shapes[node.input[0]][0 if turned else -1]
    return 0
