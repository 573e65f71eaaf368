"""Keras: imported late, with the settings that it needs to be fast and quiet, and its models as ONNX."""

import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pyrite.errors import ExportError, require
from pyrite.graph import fold_constants

_GREETING = rb"(WARNING: All log messages before absl::InitializeLog|I0000 )[^\n]*\n"
_FILTER = f"import os, re\nwhile data := os.read(0, 65536): os.write(2, re.sub({_GREETING!r}, b'', data))"
_OPSET = 18


def load_keras() -> Any:
    """Return the `keras` module, for the backend that `KERAS_BACKEND` names (TensorFlow by default).

    TensorFlow reads these variables when it is first imported, so they are set before. It leaves
    oneDNN off on processors without AVX-512, where it makes ResNet50 about seven times as fast.

    Raises:
        MissingExtraError: without the `train` extra.
    """
    require("train", "keras")
    if "keras" not in sys.modules:
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        with _without_greeting():
            import keras

            keras.utils.set_random_seed(0)  # Where TensorFlow is installed, this imports it for any backend.
    import keras

    return keras


def export_onnx(model: Any) -> bytes:
    """Return a model of one input, images (n, height, width, 3), and one output as ONNX.

    Args:
        model: A `keras.Model`.

    Raises:
        ExportError: The model cannot be exported by this backend.
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
        model(np.zeros((1, *model.input_shape[1:]), model.inputs[0].dtype))  # Keras exports what it has seen called.
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
        tf.TensorSpec((None, *model.input_shape[1:]), model.inputs[0].dtype, name="images"),
        *(tf.TensorSpec(variable.shape, variable.dtype, name=name) for name, variable in weights.items()),
    ]
    converted, _ = tf2onnx.convert.from_function(
        infer, signature, opset=_OPSET, custom_op_handlers={"Erfc": (_write_erfc, [])}
    )
    # Tensors that layers hold beside their weights, such as the numbers of positions, are inputs too.
    held = {inner.name: tensor for tensor, inner in infer.get_concrete_function(*signature).graph.captures}
    inputs, values = list(converted.graph.input), {**weights, **held}
    del converted.graph.input[:]
    converted.graph.input.extend(value for value in inputs if value.name not in values)
    converted.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(values[value.name]), value.name)
        for value in inputs
        if value.name in values
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


def _write_erfc(graph: Any, node: Any, name: str, args: Any) -> None:
    """Write erfc(x), which ONNX has not and the exact GELU takes, as 1 - erf(x)."""
    (x,), (given,) = node.input, node.output
    shape, dtype = graph.get_shape(given), graph.get_dtype(given)
    graph.remove_node(node.name)
    erf = graph.make_node("Erf", [x], shapes=[shape], dtypes=[dtype])
    one = graph.make_const(f"{name}/one", np.array(1, np.float32))
    graph.make_node("Sub", [one.output[0], erf.output[0]], name=name, outputs=[given], shapes=[shape], dtypes=[dtype])


@contextmanager
def _without_greeting() -> Iterator[None]:
    """Keep what TensorFlow says on import, at any log level, off standard error.

    It writes straight to file descriptor 2, so that is led through a filter. The filter is a process of its own,
    since an import holds this one, and may abort it where the processor is too old: the reason must come through.
    """
    try:
        stderr = os.dup(2)
    except OSError:  # It is closed, so there is nothing to keep clean.
        yield
        return
    # In a session of its own, so that Ctrl-C does not end it before its work is done.
    with subprocess.Popen([sys.executable, "-ISc", _FILTER], stdin=subprocess.PIPE, start_new_session=True) as child:
        assert child.stdin is not None
        os.dup2(child.stdin.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
