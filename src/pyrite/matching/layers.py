"""Layers of autoencoders as ONNX nodes, with their weights, and the graph around them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrite.errors import DecoderError, PyriteError, in_one_line, require
from pyrite.graph import Parts
from pyrite.runtime import Network

Weights = Mapping[str, NDArray[Any]]
LATENTS = "latents"
"""What the value between encoder and decoder is called, float32 (N, c, H / stride, W / stride)."""
STRIDE = "stride"
"""What the file's metadata call the number that both sides of an image must be a multiple of."""
_OPSET, _IR_VERSION = 17, 9


def make_model(name: str, weights: Weights, stride: int, compute: "Callable[[Layers, str], str]") -> bytes:
    """Return an autoencoder as the content of an ONNX file.

    It takes float32 (N, 3, H, W) in [0, 1], H and W multiples of the stride, and gives its reconstruction of the same
    shape and range. Weights are stored as they come, float16 in half the space, and computed with as float32.

    Args:
        name: Of the graph.
        weights: By name.
        stride: See above.
        compute: Adds the layers that make a reconstruction of an image, given the image's name, and returns the
            reconstruction's, which is then cut to [0, 1]. One value in between is called `LATENTS`.

    Raises:
        DecoderError: The weights do not fit together.
        MissingExtraError: onnx is not installed.
    """
    require("train", "onnx")
    from onnx import TensorProto, helper

    image, made = (
        helper.make_tensor_value_info(value, TensorProto.FLOAT, ("N", 3, "H", "W"))
        for value in ("image", "reconstruction")
    )
    graph = helper.make_graph([], name, [image], [made])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    helper.set_model_props(model, {STRIDE: str(stride)})
    parts = Parts(model)
    x = compute(Layers(weights, parts), "image")
    parts.add("Clip", x, parts.number(0), parts.number(1), out="reconstruction")
    model.graph.node.extend(parts.take())
    content: bytes = model.SerializeToString()
    try:
        Network(content)(np.zeros((1, 3, 2 * stride, 2 * stride), np.float32))
    except PyriteError as error:
        raise DecoderError(f"The weights of {name} do not fit together: {in_one_line(error, 200)}") from error
    return content


class Layers:
    """Layers that are added to a graph with their weights."""

    def __init__(self, weights: Weights, parts: Parts) -> None:
        self.parts, self.weights = parts, weights
        self.used: set[str] = set()
        """Names of the weights that were added."""

    def convolve(
        self, prefix: str, x: str, stride: int = 1, *, key: str = "weight", pads: Sequence[int] | None = None
    ) -> str:
        """Add a convolution that keeps the resolution, or divides it by a stride; with a bias where there is one."""
        side = self._shape(f"{prefix}.{key}", 4)[-1]
        inputs = [x, self.weight(f"{prefix}.{key}")]
        if f"{prefix}.bias" in self.weights:
            inputs.append(self.weight(f"{prefix}.bias"))
        return self.parts.add("Conv", *inputs, strides=[stride, stride], pads=pads or [side // 2] * 4)

    def normalise(self, prefix: str, x: str, groups: int, epsilon: float) -> str:
        """Add group normalisation (Wu and He 2018)."""
        parts = self.parts
        grouped = parts.add("Reshape", x, parts.constant([0, groups, -1], np.int64))
        normalised = parts.add(
            "InstanceNormalization",
            grouped,
            parts.constant(np.ones(groups), np.float32),
            parts.constant(np.zeros(groups), np.float32),
            epsilon=epsilon,
        )
        y = parts.add("Reshape", normalised, parts.add("Shape", x))
        axes = parts.constant([1, 2], np.int64)
        scale, shift = (parts.add("Unsqueeze", self.weight(f"{prefix}.{part}"), axes) for part in ("weight", "bias"))
        return parts.add("Add", parts.add("Mul", y, scale), shift)

    def repeat_pixels(self, x: str) -> str:
        """Add a doubling of the resolution that repeats pixels."""
        scales = self.parts.constant([1, 1, 2, 2], np.float32)
        modes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self.parts.add("Resize", x, "", scales, **modes)

    def weight(self, name: str) -> str:
        """Add weights, and return their name as float32.

        Raises:
            DecoderError: There are none of this name, or some are no numbers.
        """
        from onnx import TensorProto

        self._shape(name)
        self.used.add(name)
        value = self.weights[name]
        if not np.isfinite(value).all():
            raise DecoderError(f"The weights of {name} have values that are infinite or no numbers.")
        stored = self.parts.constant(value, value.dtype, name)
        return self.parts.add("Cast", stored, to=TensorProto.FLOAT)

    def _shape(self, name: str, axes: int | None = None) -> tuple[int, ...]:
        if name not in self.weights:
            raise DecoderError(f"The weights lack {name}.")
        shape = self.weights[name].shape
        if axes is not None and len(shape) != axes:
            raise DecoderError(f"The weights of {name} have {len(shape)} axes instead of {axes}.")
        return shape
