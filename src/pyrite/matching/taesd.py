"""Autoencoders of the TAESD family (Ollin Boer Bohan, https://github.com/madebyollin/taesd) as ONNX.

Weights are named `encoder.N.…` and `decoder.N.…`, N counting the modules of either half. Which module it is follows
from its weights: those below `conv` are a block, a convolution with a bias is one that keeps the resolution, and one
without halves it (encoder), or comes after a doubling (decoder). Modules without weights are known: the decoder begins
with 3·tanh(x/3), and a ReLU follows its first convolution.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pyrite.errors import DecoderError, PyriteError, require
from pyrite.graph import Parts
from pyrite.runtime import Network

Weights = Mapping[str, NDArray[Any]]
LATENTS = "latents"
"""What the value between encoder and decoder is called, float32 (N, c, H / stride, W / stride)."""
STRIDE = "stride"
"""What the file's metadata call the number that both sides of an image must be a multiple of."""
UPSAMPLINGS = ("bilinear", "transposed", "shuffle")
"""Other ways to double the resolution than repeating pixels; their weights are called `decoder.N.{way}.weight`."""
_OPSET, _IR_VERSION = 17, 9
_GROUPS, _EPSILON = 4, 1e-5  # of the normalisation
_Half = Literal["encoder", "decoder"]


def read_weights(path: Path) -> dict[str, NDArray[Any]]:
    """Read the weights of a safetensors file, or of an ONNX file that `build_autoencoder` made.

    Raises:
        DecoderError: It cannot be read.
        MissingExtraError: safetensors or onnx is not installed.
    """
    if path.suffix == ".onnx":
        require("train", "onnx")
        import onnx

        try:
            stored = onnx.load_model(path).graph.initializer
        except Exception as error:  # Protobuf's and its own.
            raise DecoderError(f"{path} cannot be read as ONNX: {_flat(error)}") from error
        return {one.name: onnx.numpy_helper.to_array(one) for one in stored if _is_weight(one.name)}
    require("train", "safetensors")
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return dict(load_file(path))
    except (OSError, SafetensorError, TypeError, ValueError, KeyError) as error:  # KeyError: types that NumPy lacks.
        raise DecoderError(f"{path} cannot be read as safetensors: {_flat(error)}") from error


def build_autoencoder(weights: Weights, *, name: str) -> bytes:
    """Return an autoencoder as the content of an ONNX file.

    It takes float32 (N, 3, H, W) in [0, 1], H and W multiples of the stride, and gives its reconstruction of the same
    shape and range. Weights are stored as they come, float16 in half the space, and computed with as float32.

    Args:
        weights: See above.
        name: Of the graph.

    Raises:
        DecoderError: The weights are not of this family.
        MissingExtraError: onnx is not installed.
    """
    require("train", "onnx")
    from onnx import TensorProto, helper

    encoder, decoder = list(modules_of(weights, "encoder")), list(modules_of(weights, "decoder"))
    stride, back = (2 ** sum(kind not in ("block", "conv") for _, kind in half) for half in (encoder, decoder))
    if stride != back:
        raise DecoderError(
            f"The encoder of {name} makes images {stride} times smaller, and its decoder makes them {back} times "
            "larger: they are of two networks."
        )
    image, made = (
        helper.make_tensor_value_info(value, TensorProto.FLOAT, ("N", 3, "H", "W"))
        for value in ("image", "reconstruction")
    )
    graph = helper.make_graph([], name, [image], [made])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    helper.set_model_props(model, {STRIDE: str(stride)})

    network = _Network(weights, Parts(model))
    x = "image"
    for prefix, kind in encoder:
        x = network.block(prefix, x) if kind == "block" else network.convolve(prefix, x, 1 if kind == "conv" else 2)
    parts = network.parts
    parts.add("Identity", x, out=LATENTS)
    three = parts.number(3)
    x = parts.add("Mul", parts.add("Tanh", parts.add("Div", LATENTS, three)), three)
    for position, (prefix, kind) in enumerate(decoder):
        if kind in ("block", "conv"):
            x = network.block(prefix, x) if kind == "block" else network.convolve(prefix, x)
        else:
            x = network.double(prefix, x, kind)
        if position == 0:
            x = parts.add("Relu", x)
    parts.add("Clip", x, parts.number(0), parts.number(1), out="reconstruction")
    model.graph.node.extend(parts.take())
    content: bytes = model.SerializeToString()
    try:
        Network(content)(np.zeros((1, 3, 2 * stride, 2 * stride), np.float32))
    except PyriteError as error:
        raise DecoderError(f"The weights of {name} do not fit together: {_flat(error)}") from error
    return content


def modules_of(weights: Weights, half: _Half) -> Iterator[tuple[str, str]]:
    """Yield the prefix and the kind of each module that has weights, in order, once all weights are known."""
    numbers = {int(parts[1]) for name in weights if (parts := name.split("."))[0] == half and _is_weight(name)}
    found: list[tuple[str, str]] = []
    known: set[str] = set()
    for number in sorted(numbers):
        prefix = f"{half}.{number}"
        if f"{prefix}.conv.0.weight" in weights:
            kind = "block"
            known |= {f"{prefix}.conv.{i}.{part}" for i in (0, 2, 4) for part in ("weight", "bias")}
            if f"{prefix}.pool.0.weight" in weights:
                known |= {f"{prefix}.pool.{part}" for part in ("0.weight", "1.weight", "1.bias", "3.weight")}
            if f"{prefix}.skip.weight" in weights:
                known.add(f"{prefix}.skip.weight")
        elif f"{prefix}.bias" in weights:
            kind = "conv"
            known |= {f"{prefix}.weight", f"{prefix}.bias"}
        else:
            kind = next((way for way in UPSAMPLINGS if f"{prefix}.{way}.weight" in weights), "nearest")
            known.add(f"{prefix}.weight" if kind == "nearest" else f"{prefix}.{kind}.weight")
        found.append((prefix, kind))
    there = {name for name in weights if name.startswith(f"{half}.")}
    ends = [kind for _, kind in (found[:1] + found[-1:])]
    if there != known or ends != ["conv", "conv"] or any(k == "conv" for _, k in found[1:-1]):
        raise DecoderError(
            f"The weights are not of the TAESD family: it has encoder.N and decoder.N with blocks between two "
            f"convolutions, and these have {_example(there ^ known, half)}."
        )
    return iter(found)


def _example(odd: set[str], half: str) -> str:
    return f"{len(odd):,} more or fewer, such as {min(odd)}" if odd else f"another order in {half}"


def _is_weight(name: str) -> bool:
    half, _, rest = name.partition(".")
    return half in ("encoder", "decoder") and rest.partition(".")[0].isdecimal()


class _Network:
    """Layers that are added to a graph with their weights."""

    def __init__(self, weights: Weights, parts: Parts) -> None:
        self.parts = parts
        self._weights = weights

    def convolve(self, prefix: str, x: str, stride: int = 1, *, key: str = "weight") -> str:
        """Add a convolution that keeps the resolution, or divides it by a stride; with a bias where there is one."""
        side = self._shape(f"{prefix}.{key}")[-1]
        inputs = [x, self._weight(f"{prefix}.{key}")]
        if f"{prefix}.bias" in self._weights:
            inputs.append(self._weight(f"{prefix}.bias"))
        return self.parts.add("Conv", *inputs, strides=[stride, stride], pads=[side // 2] * 4)

    def block(self, prefix: str, x: str) -> str:
        """Add a residual block: three convolutions, before them a wider normalised layer where it has one."""
        parts = self.parts
        if f"{prefix}.pool.0.weight" in self._weights:
            x = parts.add("Add", x, self._pool(f"{prefix}.pool", x))
        y = x
        for number in (0, 2, 4):
            y = self.convolve(f"{prefix}.conv.{number}", y)
            y = parts.add("Relu", y) if number < 4 else y
        if f"{prefix}.skip.weight" in self._weights:
            x = self.convolve(f"{prefix}.skip", x)
        return parts.add("Relu", parts.add("Add", y, x))

    def double(self, prefix: str, x: str, way: str) -> str:
        """Add what doubles the resolution, with the convolution after it or in it."""
        parts = self.parts
        if way == "transposed":
            weight = self._weight(f"{prefix}.transposed.weight")
            return parts.add("ConvTranspose", x, weight, strides=[2, 2], pads=[1] * 4)
        if way == "shuffle":
            wide = self.convolve(prefix, x, key="shuffle.weight")
            return parts.add("DepthToSpace", wide, blocksize=2, mode="CRD")
        scales = parts.constant([1, 1, 2, 2], np.float32)
        if way == "bilinear":
            x = parts.add("Resize", x, "", scales, mode="linear", coordinate_transformation_mode="half_pixel")
            return self.convolve(prefix, x, key="bilinear.weight")
        x = parts.add(
            "Resize", x, "", scales, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
        )
        return self.convolve(prefix, x)

    def _pool(self, prefix: str, x: str) -> str:
        """Add 1×1 to more channels, group normalisation (Wu and He 2018), ReLU, and 1×1 back."""
        parts = self.parts
        wide = self.convolve(f"{prefix}.0", x)
        grouped = parts.add("Reshape", wide, parts.constant([0, _GROUPS, -1], np.int64))
        normalised = parts.add(
            "InstanceNormalization",
            grouped,
            parts.constant(np.ones(_GROUPS), np.float32),
            parts.constant(np.zeros(_GROUPS), np.float32),
            epsilon=_EPSILON,
        )
        y = parts.add("Reshape", normalised, parts.add("Shape", wide))
        axes = parts.constant([1, 2], np.int64)
        scale, shift = (parts.add("Unsqueeze", self._weight(f"{prefix}.1.{part}"), axes) for part in ("weight", "bias"))
        y = parts.add("Relu", parts.add("Add", parts.add("Mul", y, scale), shift))
        return self.convolve(f"{prefix}.3", y)

    def _shape(self, name: str) -> tuple[int, ...]:
        if name not in self._weights:
            raise DecoderError(f"The weights lack {name}.")
        shape = self._weights[name].shape
        if len(shape) != 4:
            raise DecoderError(f"The weights of {name} have {len(shape)} axes instead of 4.")
        return shape

    def _weight(self, name: str) -> str:
        from onnx import TensorProto

        value = self._weights[name]
        if not np.isfinite(value).all():
            raise DecoderError(f"The weights of {name} have values that are infinite or no numbers.")
        stored = self.parts.constant(value, value.dtype, name)
        return self.parts.add("Cast", stored, to=TensorProto.FLOAT)


def _flat(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
