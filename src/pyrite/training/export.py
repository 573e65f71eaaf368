"""From a trained Keras model to ONNX, checked against what it came from."""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrite.datasets import in_chunks
from pyrite.errors import ExportError, RecipeError
from pyrite.graph import fold_constants
from pyrite.runtime import Session
from pyrite.training.backend import load_keras
from pyrite.training.loop import predict

MAX_DIFFERENCE = 1e-3
"""Of a logit, between the trained and the exported model; relative to those beyond 100, which float32 cannot
hold to a fixed place: a network that has hardly begun to train may give some of a million."""
_LARGE = 100
MAX_WEIGHTS = 1_900_000_000
"""Bytes of the weights in float32: a file of ONNX may have 2 GiB at most, the graph included."""
_OPSET = 18
_PARITY_IMAGES = 256


def check_size(model: Any) -> None:
    """Refuse a model that could be trained and not exported.

    Raises:
        RecipeError: it is too large.
    """
    size = 4 * model.count_params()
    if size > MAX_WEIGHTS:
        raise RecipeError(
            f"The network has {size / 1e9:.1f} GB of weights, more than the {MAX_WEIGHTS / 1e9:.1f} GB that a bundle's "
            "model can hold. Choose a smaller height and width, or another architecture."
        )


def export_onnx(model: Any) -> bytes:
    """Return `model` as ONNX: uint8 (n, height, width, 3) in, one logit (n, 1) out.

    Raises:
        ExportError: the model cannot be exported by this backend.
    """
    backend = load_keras().backend.backend()
    with warnings.catch_warnings():
        # The converters use NumPy and each other in ways that warn; none of it is a user's to mend.
        warnings.simplefilter("ignore")
        try:
            if backend != "tensorflow":
                return _convert(model)
            with _groups_convolved_apart(model):
                return _convert_tensorflow(model)
        except Exception as error:  # Three converters, each with errors of its own.
            raise ExportError(f"The {backend} backend could not export the model to ONNX: {error}") from error


def _convert(model: Any) -> bytes:
    """Convert by Keras's own means."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        model(np.zeros((1, *model.input_shape[1:]), np.uint8))  # Keras exports what it has seen called.
        model.export(path, format="onnx", verbose=False)
        return path.read_bytes()


def _convert_tensorflow(model: Any) -> bytes:
    """Convert with the weights as inputs, put them in afterwards, and fold what hangs on them alone.

    tf2onnx copies its graph dozens of times with all the constants in it: ResNet50's 94 MB take half a minute so.
    """
    import onnx
    import tensorflow as tf
    import tf2onnx

    trainable, other = model.trainable_variables, model.non_trainable_variables
    weights = {f"weight{i}": variable for i, variable in enumerate([*trainable, *other])}

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def infer(images: Any, *values: Any) -> Any:
        return model.stateless_call(values[: len(trainable)], values[len(trainable) :], images, training=False)[0]

    signature = [
        tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8, name="images"),
        *(tf.TensorSpec(variable.shape, variable.dtype, name=name) for name, variable in weights.items()),
    ]
    converted, _ = tf2onnx.convert.from_function(
        infer, signature, opset=_OPSET, custom_op_handlers={"Erfc": (_convert_erfc, [])}
    )
    # Some layers hold constants that are neither weights nor in the graph, such as the numbers of positions.
    held = infer.get_concrete_function(*signature).graph.captures
    weights |= {inside.name: outside for outside, inside in held if inside.dtype != tf.resource}
    inputs = list(converted.graph.input)
    del converted.graph.input[:]
    converted.graph.input.extend(value for value in inputs if value.name not in weights)
    converted.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(weights[value.name]), value.name)
        for value in inputs
        if value.name in weights
    )
    folded = onnx.load_model_from_string(fold_constants(converted.SerializeToString()))
    # ONNX Runtime names every domain that it knows, and other runtimes need not know those.
    used = {node.domain for node in folded.graph.node}
    versions = [opset for opset in folded.opset_import if opset.domain in used]
    del folded.opset_import[:]
    folded.opset_import.extend(versions)
    content: bytes = folded.SerializeToString()
    return content


@contextmanager
def _groups_convolved_apart(model: Any) -> Iterator[None]:
    """Have convolutions of groups of channels, as in ConvNeXt, computed by operations that tf2onnx knows.

    Keras has TensorFlow compile them by XLA, since that has no kernel for them on CPUs.
    """
    keras = load_keras()

    def convolve(layer: Any, inputs: Any, kernel: Any) -> Any:
        how = {
            "strides": layer.strides,
            "padding": layer.padding,
            "data_format": layer.data_format,
            "dilation_rate": layer.dilation_rate,
        }
        if kernel.shape[2] == 1 and kernel.shape[3] == layer.groups:
            return keras.ops.depthwise_conv(inputs, keras.ops.transpose(kernel, (0, 1, 3, 2)), **how)
        parts = (keras.ops.split(whole, layer.groups, axis=-1) for whole in (inputs, kernel))
        return keras.ops.concatenate([keras.ops.conv(*pair, **how) for pair in zip(*parts, strict=True)], axis=-1)

    grouped = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.Conv2D) and layer.groups > 1 and layer.data_format == "channels_last"
    ]
    for layer in grouped:
        layer.convolution_op = partial(convolve, layer)
    try:
        yield
    finally:
        for layer in grouped:
            del layer.convolution_op


def _convert_erfc(graph: Any, node: Any, _name: str, _arguments: Any) -> None:
    """Write erfc(x), which is in GELU, as 1 − erf(x): ONNX has no other, and tf2onnx no conversion."""
    [output], [dtype], [shape] = node.output, node.output_dtypes, node.output_shapes
    one = graph.make_const(f"{node.name}/one", np.float32(1))
    graph.remove_node(node.name)
    erf = graph.make_node("Erf", node.input, name=f"{node.name}/erf", dtypes=[dtype], shapes=[shape])
    graph.make_node(
        "Sub", [one.output[0], erf.output[0]], name=node.name, outputs=[output], dtypes=[dtype], shapes=[shape]
    )


def check_parity(model: Any, session: Session, pixels: NDArray[np.uint8], indices: NDArray[np.intp]) -> float:
    """Return the largest difference of a logit between `model` and its export, over some real images.

    Raises:
        ExportError: one exceeds `MAX_DIFFERENCE`.
    """
    chosen = indices[:: max(1, len(indices) // _PARITY_IMAGES)]
    trained = predict(model, pixels, chosen)
    exported = np.concatenate([session.logits(images) for images in in_chunks(pixels, chosen)])
    difference = np.abs(trained - exported)
    if not np.all(difference <= MAX_DIFFERENCE * np.where(np.abs(trained) > _LARGE, np.abs(trained), 1)):
        raise ExportError(
            f"The exported model differs from the trained one by {difference.max():.2g} in a logit over {len(chosen)} "
            f"images; at most {MAX_DIFFERENCE:g} is allowed. The checkpoint is kept: please report this."
        )
    return float(difference.max())
