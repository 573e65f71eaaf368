"""Autoencoders of the TAESD family (Ollin Boer Bohan, https://github.com/madebyollin/taesd) as ONNX.

Weights are named `encoder.N.…` and `decoder.N.…`, N counting the modules of either half. Which module it is follows
from its weights: those below `conv` are a block, a convolution with a bias is one that keeps the resolution, and one
without halves it (encoder), or comes after a doubling (decoder). Modules without weights are known: the decoder begins
with 3·tanh(x/3), and a ReLU follows its first convolution.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pyrite.errors import DecoderError, in_one_line, require
from pyrite.matching.layers import LATENTS, Layers, Weights, make_model

UPSAMPLINGS = ("bilinear", "transposed", "shuffle")
"""Other ways to double the resolution than repeating pixels; their weights are called `decoder.N.{way}.weight`."""
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
            raise DecoderError(f"{path} cannot be read as ONNX: {in_one_line(error, 200)}") from error
        return {one.name: onnx.numpy_helper.to_array(one) for one in stored if _is_weight(one.name)}
    require("train", "safetensors")
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return dict(load_file(path))
    except (OSError, SafetensorError, TypeError, ValueError, KeyError) as error:  # KeyError: types that NumPy lacks.
        raise DecoderError(f"{path} cannot be read as safetensors: {in_one_line(error, 200)}") from error


def build_autoencoder(weights: Weights, *, name: str) -> bytes:
    """Return an autoencoder as the content of an ONNX file; see `make_model`.

    Args:
        weights: See above.
        name: Of the graph.

    Raises:
        DecoderError: The weights are not of this family.
        MissingExtraError: onnx is not installed.
    """
    encoder, decoder = list(modules_of(weights, "encoder")), list(modules_of(weights, "decoder"))
    stride, back = (2 ** sum(kind not in ("block", "conv") for _, kind in half) for half in (encoder, decoder))
    if stride != back:
        raise DecoderError(
            f"The encoder of {name} makes images {stride} times smaller, and its decoder makes them {back} times "
            "larger: they are of two networks."
        )

    def compute(layers: Layers, x: str) -> str:
        parts = layers.parts
        for prefix, kind in encoder:
            x = _block(layers, prefix, x) if kind == "block" else layers.convolve(prefix, x, 1 if kind == "conv" else 2)
        parts.add("Identity", x, out=LATENTS)
        three = parts.number(3)
        x = parts.add("Mul", parts.add("Tanh", parts.add("Div", LATENTS, three)), three)
        for position, (prefix, kind) in enumerate(decoder):
            match kind:
                case "block":
                    x = _block(layers, prefix, x)
                case "conv":
                    x = layers.convolve(prefix, x)
                case _:
                    x = _double(layers, prefix, x, kind)
            if position == 0:
                x = parts.add("Relu", x)
        return x

    return make_model(name, weights, stride, compute)


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
            "The weights are neither an AutoencoderKL's nor of the TAESD family: it has encoder.N and decoder.N with "
            f"blocks between two convolutions, and these have {_example(there ^ known, half)}."
        )
    return iter(found)


def _example(odd: set[str], half: str) -> str:
    return f"{len(odd):,} more or fewer, such as {min(odd)}" if odd else f"another order in {half}"


def _is_weight(name: str) -> bool:
    half, _, rest = name.partition(".")
    return half in ("encoder", "decoder") and rest.partition(".")[0].isdecimal()


def _block(layers: Layers, prefix: str, x: str) -> str:
    """Add a residual block: three convolutions, before them a wider normalised layer where it has one."""
    parts = layers.parts
    if f"{prefix}.pool.0.weight" in layers.weights:
        wide = layers.convolve(f"{prefix}.pool.0", x)
        normalised = layers.normalise(f"{prefix}.pool.1", wide, _GROUPS, _EPSILON)
        x = parts.add("Add", x, layers.convolve(f"{prefix}.pool.3", parts.add("Relu", normalised)))
    y = x
    for number in (0, 2, 4):
        y = layers.convolve(f"{prefix}.conv.{number}", y)
        y = parts.add("Relu", y) if number < 4 else y
    if f"{prefix}.skip.weight" in layers.weights:
        x = layers.convolve(f"{prefix}.skip", x)
    return parts.add("Relu", parts.add("Add", y, x))


def _double(layers: Layers, prefix: str, x: str, way: str) -> str:
    """Add what doubles the resolution, with the convolution after it or in it."""
    parts = layers.parts
    match way:
        case "transposed":
            weight = layers.weight(f"{prefix}.transposed.weight")
            return parts.add("ConvTranspose", x, weight, strides=[2, 2], pads=[1] * 4)
        case "shuffle":
            wide = layers.convolve(prefix, x, key="shuffle.weight")
            return parts.add("DepthToSpace", wide, blocksize=2, mode="CRD")
        case "bilinear":
            scales = parts.constant([1, 1, 2, 2], np.float32)
            x = parts.add("Resize", x, "", scales, mode="linear", coordinate_transformation_mode="half_pixel")
            return layers.convolve(prefix, x, key="bilinear.weight")
    return layers.convolve(prefix, layers.repeat_pixels(x))
