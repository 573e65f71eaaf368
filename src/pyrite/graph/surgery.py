"""Surgery on ONNX graphs."""

import itertools
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime

from pyrite.errors import ExportError, in_one_line
from pyrite.runtime import FEATURES

CUT = 1e-6
"""What probabilities are cut off at, on either side, before they become logits."""
_OLDEST, _CONVERTED = 8, 12  # opsets: before it, Min and Max take no shapes that differ
_IMAGE, _LOGIT = "image", "logit"  # of the input and output of a bundle's model
VIEWED = "views"
"""The views of images, where a network has some: what the rest of it sees."""
LARGE = 1_500_000_000
"""Bytes of a model beyond which its weights lie beside its graph: one file of ONNX holds 2 GiB at most."""


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
    """Give the first convolution the image's bytes as they are: quantised already, in the steps of their scaling.

    Bytes x scaled to a·x + b are integers of scale a and zero point −b/a, where that is one of 0 to 255.
    """
    import onnx

    graph = model.graph
    users: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    image = VIEWED if any(VIEWED in node.output for node in graph.node) else graph.input[0].name
    name, chain = image, {}
    for kind in ("Cast", "Mul", "Add", "Transpose", "QuantizeLinear", "DequantizeLinear"):
        found: list[Any] = users.get(name, [])
        if [node.op_type for node in found] == [kind]:
            chain[kind] = found[0]
            name = found[0].output[0]
        elif kind != "Add":  # Scaling without an offset.
            return model  # Of another network, which computes the same without this.
    constants = {value.name: value for value in graph.initializer}

    def constant(kind: str) -> float:
        values = [onnx.numpy_helper.to_array(constants[each]) for each in chain[kind].input if each in constants]
        return values[0].item() if len(values) == values[0].size == 1 else np.nan

    scale, offset = constant("Mul"), constant("Add") if "Add" in chain else 0.0
    zero = -offset / scale if scale else np.nan
    if not (0 <= zero <= 255 and abs(zero - round(zero)) < 1e-3):
        return model
    dequantise = chain["DequantizeLinear"]
    chain["Transpose"].input[0] = image
    dequantise.input[0] = chain["Transpose"].output[0]
    for place, value in ((1, np.array(scale, np.float32)), (2, np.array(round(zero), np.uint8))):
        constants[dequantise.input[place]].CopyFrom(onnx.numpy_helper.from_array(value, dequantise.input[place]))
    for kind in chain.keys() - {"Transpose", "DequantizeLinear"}:
        graph.node.remove(chain[kind])
    del graph.value_info[:]  # They tell of types that changed.
    return model


def expose_features(model: bytes) -> bytes:
    """Return a model that gives what its last layer sees as well; see `add_features`.

    Args:
        model: The content of an ONNX file with one output.
    """
    import onnx

    loaded = onnx.load_model_from_string(model)
    if not add_features(loaded):
        return model
    content: bytes = loaded.SerializeToString()
    return content


def add_features(model: Any) -> bool:
    """Give a model a second output with what its last layer sees, named `features`, float32 (N, d).

    The last layer is the matrix product that gives the first output, also where it quantises its input by itself. Where
    there is none, as in a network that ends in a mean, and in a model beyond `LARGE`, nothing is changed.

    Args:
        model: An `onnx.ModelProto`. It is changed.

    Returns:
        Whether it was.
    """
    import onnx

    graph = model.graph
    if any(output.name == FEATURES for output in graph.output) or model.ByteSize() > LARGE:
        return False
    found = last_product(graph)
    if found is None:
        return False
    seen, count = found
    flattened = any(node.op_type == "Flatten" and seen in node.output for node in graph.node)
    inferred = onnx.shape_inference.infer_shapes(model).graph.value_info
    if not flattened and [len(one.type.tensor_type.shape.dim) for one in inferred if one.name == seen] != [2]:
        return False
    graph.node.append(onnx.helper.make_node("Cast", [seen], [FEATURES], to=onnx.TensorProto.FLOAT))
    graph.output.append(onnx.helper.make_tensor_value_info(FEATURES, onnx.TensorProto.FLOAT, ("N", count)))
    return True


def last_product(graph: Any) -> tuple[str, int] | None:
    """Return what the matrix product behind the first output takes, and how many values of an image that is."""
    makers = {name: node for node in graph.node for name in node.output}
    weights = {value.name: value for value in graph.initializer}
    node = makers.get(graph.output[0].name)
    # What follows a matrix product: a bias, a scale, and what changes only the shape or the type.
    while node is not None and node.op_type in ("Add", "Reshape", "Squeeze", "Identity", "Cast", "Mul"):
        before = [makers[name] for name in node.input if name in makers]
        if node.op_type == "Mul":  # Of a product of integers by its scale, which is computed too.
            before = [maker for maker in before if maker.op_type == "Cast"]
        if len(before) != 1:
            return None
        (node,) = before
    if node is None or node.op_type not in ("Gemm", "MatMul", "MatMulInteger") or node.input[1] not in weights:
        return None
    transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    count = weights[node.input[1]].dims[1 if transposed else 0]
    if node.op_type != "MatMulInteger":
        return node.input[0], count
    quantiser = makers.get(node.input[0])
    return (
        (quantiser.input[0], count) if quantiser is not None and quantiser.op_type == "DynamicQuantizeLinear" else None
    )


def renew_opset(model: Any) -> Any:
    """Return a model whose operators are new enough to have others added: opset 8 or later.

    Args:
        model: An `onnx.ModelProto`.

    Raises:
        ExportError: It is older, and cannot be converted.
    """
    import onnx

    opset = next((one.version for one in model.opset_import if not one.domain), 1)
    if opset >= _OLDEST:
        return model
    try:
        return onnx.version_converter.convert_version(model, _CONVERTED)
    except Exception as error:  # The converter's own, of several kinds.
        raise ExportError(
            f"The model has opset {opset}, and cannot be converted to a later one: {in_one_line(error, 300)}"
        ) from error


def keep_first_output(model: Any) -> None:
    """Leave a model its first output alone, and the names free that a bundle's model has for its own.

    Args:
        model: An `onnx.ModelProto`. It is changed.
    """
    del model.graph.output[1:]
    _free_names(model.graph)


def _free_names(graph: Any) -> None:
    for value in (*graph.output, *graph.value_info, *graph.initializer, *graph.input):
        value.name = _freed(value.name)
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [_freed(name) for name in names]
        for attribute in node.attribute:  # Branches and loops have graphs of their own, and see the names outside.
            for inner in (attribute.g, *attribute.graphs):
                _free_names(inner)


def _freed(name: str) -> str:
    return f"{name}/original" if name in (_IMAGE, _LOGIT, FEATURES) else name


def store(model: Any, folder: Path) -> dict[str, bytes | Path]:
    """Return a model as the files of a bundle; one beyond `LARGE` is written to disk, its weights beside its graph.

    Args:
        model: An `onnx.ModelProto`, with its weights. It is changed.
        folder: Where files go, if any are written.
    """
    import onnx

    if model.ByteSize() <= LARGE:
        return {"model.onnx": model.SerializeToString()}
    path, beside = folder / "model.onnx", "model.onnx.data"
    onnx.save_model(model, path, save_as_external_data=True, location=beside)
    return {path.name: path, beside: folder / beside}


def split_at(model: bytes, value: str) -> tuple[bytes, bytes]:
    """Return what a model does up to one of its values, and what it does from there on, as two models.

    Args:
        model: The content of an ONNX file of one input and one output.
        value: The value's name.

    Raises:
        ExportError: There is no such value, or the output does not come from it alone.
    """
    import onnx

    loaded = onnx.load_model_from_string(model)
    first, last = loaded.graph.input[0].name, loaded.graph.output[0].name
    if not any(value in node.output for node in loaded.graph.node):
        raise ExportError(f"The model has no value that is called {value!r}.")
    try:
        extractor = onnx.utils.Extractor(onnx.shape_inference.infer_shapes(loaded))
        before, after = (extractor.extract_model(*ends) for ends in (([first], [value]), ([value], [last])))
        onnx.checker.check_model(after)
    except Exception as error:  # Its errors share no base.
        raise ExportError(f"The model cannot be divided at {value!r}: {error}.") from error
    return before.SerializeToString(), after.SerializeToString()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapping:
    """What lies between an image's bytes and a published model, and between its output and one logit."""

    height: int
    width: int
    mean: tuple[float, float, float]
    """Of values from 0 to 1, in the order of `channels`."""
    std: tuple[float, float, float]
    layout: Literal["nchw", "nhwc"] = "nchw"
    channels: Literal["rgb", "bgr"] = "rgb"
    output: Literal["logits", "probability"]
    """Whether the output comes before a softmax or sigmoid, or after it."""
    classes: int
    """How many numbers the output has for an image."""
    ai: tuple[int, ...]
    """Which of them speak for AI."""
    real: tuple[int, ...] = ()
    """Which speak for real. A single number speaks for one class alone."""
    bias: float = 0.0
    """What the authors add to the logit."""
    head: tuple[tuple[float, ...], float] | None = None
    """Weights (d,) and bias of a linear layer upon the output, which is brought to length 1 first; it speaks for AI."""


def wrap(model: Any, how: Wrapping) -> Any:
    """Return a published model as a bundle's: uint8 (N, height, width, 3) in, one float32 logit (N, 1) out.

    Of several classes, the logit is the logarithm of the odds of those for AI against those for real; others do not
    count. Probabilities are cut off at `CUT` first.

    Args:
        model: An `onnx.ModelProto` of one float input, of whose outputs the first counts, and `features` stays. It is
            changed.
        how: What its authors do around it.

    Raises:
        ExportError: It has several inputs, or an input or output of another type.
    """
    from onnx import TensorProto, helper

    graph, parts = model.graph, Parts(model)
    fixed = {value.name for value in graph.initializer}
    inputs = [value for value in graph.input if value.name not in fixed]
    if len(inputs) != 1:
        named = ", ".join(value.name for value in inputs)
        raise ExportError(f"The model takes {len(inputs)} inputs ({named}), and a bundle's model takes only an image.")
    taken, given = inputs[0], graph.output[0]
    kinds = [value.type.tensor_type.elem_type for value in (taken, given)]
    if not set(kinds) <= {TensorProto.FLOAT, TensorProto.FLOAT16}:
        raise ExportError("The model's input and output must be float32 or float16.")
    dims = taken.type.tensor_type.shape.dim
    count = dims[0].dim_value if dims and dims[0].HasField("dim_value") else "N"

    x = parts.add("Cast", _IMAGE, to=TensorProto.FLOAT)
    if how.channels == "bgr":
        x = parts.add("Gather", x, parts.constant([2, 1, 0], np.int64), axis=3)
    # The steps that authors take, each rounded as theirs: a network that quantises its input tells any others apart.
    x = parts.add("Div", x, parts.number(255))
    x = parts.add("Sub", x, parts.constant(how.mean, np.float32))
    x = parts.add("Div", x, parts.constant(how.std, np.float32))
    if how.layout == "nchw":
        x = parts.add("Transpose", x, perm=[0, 3, 1, 2])
    parts.add("Cast", x, out=taken.name, to=kinds[0])
    before = parts.take()

    y = parts.add("Cast", given.name, to=TensorProto.FLOAT)
    y = _to_logit(parts, y, how)
    parts.add("Add", y, parts.constant([how.bias], np.float32), out=_LOGIT)
    after = parts.take()

    graph.input.remove(taken)
    graph.input.append(helper.make_tensor_value_info(_IMAGE, TensorProto.UINT8, (count, how.height, how.width, 3)))
    features = [output for output in graph.output if output.name == FEATURES]
    del graph.output[:]
    graph.output.extend([helper.make_tensor_value_info(_LOGIT, TensorProto.FLOAT, (count, 1)), *features])
    nodes = [*before, *graph.node, *after]
    del graph.node[:]
    graph.node.extend(nodes)
    return model


def _to_logit(parts: "Parts", y: str, how: Wrapping) -> str:
    """Return the name of the logits (N, 1) that outputs come to."""
    if how.head:
        weights, bias = how.head
        y = parts.add("Reshape", y, parts.constant([-1, len(weights)], np.int64))
        y = parts.add("LpNormalization", y, axis=1, p=2)
        return parts.add(
            "Gemm", y, parts.constant(np.asarray(weights)[:, None], np.float32), parts.constant([bias], np.float32)
        )
    y = parts.add("Reshape", y, parts.constant([-1, how.classes], np.int64))
    if how.output == "probability":
        y = parts.add("Max", parts.add("Min", y, parts.number(1 - CUT)), parts.number(CUT))
    if how.classes == 1:
        if how.output == "probability":
            y = parts.add("Sub", parts.add("Log", y), parts.add("Log", parts.add("Sub", parts.number(1), y)))
        return y if how.ai else parts.add("Neg", y)
    summed = how.output == "probability"
    return parts.add("Sub", *(_of_classes(parts, y, chosen, summed=summed) for chosen in (how.ai, how.real)))


def _of_classes(parts: "Parts", y: str, chosen: Sequence[int], *, summed: bool) -> str:
    """Return the logarithm of the odds of some classes (N, 1): of their probabilities' sum, or of their logits."""
    y = parts.add("Gather", y, parts.constant(chosen, np.int64), axis=1)
    ones = parts.constant(np.ones((len(chosen), 1)), np.float32)
    if summed:
        return parts.add("Log", parts.add("MatMul", y, ones))
    if len(chosen) == 1:
        return y
    if parts.opset >= 18:
        return parts.add("ReduceLogSumExp", y, parts.constant([1], np.int64), keepdims=1)
    return parts.add("ReduceLogSumExp", y, axes=[1], keepdims=1)


class Parts:
    """Nodes and constants that are added to a model, under names that nothing in it has."""

    def __init__(self, model: Any) -> None:
        self.opset = next(one.version for one in model.opset_import if not one.domain)
        self._model, self._nodes = model, list[Any]()
        taken = {name for node in model.graph.node for name in node.output}
        taken |= {value.name for value in model.graph.initializer}
        self._names = (name for number in itertools.count() if (name := f"pyrite/{number}") not in taken)

    def add(self, kind: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        """Add a node, and return the name of its output."""
        from onnx import helper

        name = next(self._names) if out is None else out
        self._nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, value: Any, dtype: Any, name: str | None = None) -> str:
        """Add a constant, and return its name."""
        from onnx import numpy_helper

        name = name or next(self._names)
        self._model.graph.initializer.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def number(self, value: float) -> str:
        """Add a float32, and return its name."""
        return self.constant(value, np.float32)

    def take(self) -> list[Any]:
        """Return the nodes since the last time."""
        taken, self._nodes = self._nodes, []
        return taken
