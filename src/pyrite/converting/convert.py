"""`convert`: through Keras Hub where it converts the network with its last layer, else through PyTorch."""

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyrite.converting.architecture import Architecture, identify
from pyrite.converting.keras_hub import convert_by_keras_hub
from pyrite.converting.pytorch import convert_by_pytorch
from pyrite.errors import ExportError, MissingExtraError, require

_KERAS_HUB = {"transformers": r"vit", "timm": r"resnet(18|34|50|101|152)|efficientnet_(lite0|b0)"}
"""What Keras Hub 0.32 converts as it is. Its DenseNet121 from timm gives other answers, its MobileNetV3 fails."""
_MAX_DIFFERENCE = 1e-4  # of an output, relative to those beyond 1


@dataclass(frozen=True, slots=True)
class Converted:
    """A network as ONNX."""

    model: Path
    """Normalised images in, float32 (N, height, width, 3) or (N, 3, height, width); classes out, (N, c)."""
    library: str
    """What converted it."""
    difference: float
    """The largest difference of an output from the network's own, relative to those beyond 1."""


def convert(weights: Path, folder: Path, images: NDArray[np.uint8], *, architecture: str | None = None) -> Converted:
    """Convert weights to ONNX.

    Args:
        weights: A safetensors file, with config.json beside it unless `architecture` is given.
        folder: Where the ONNX file goes.
        images: Some (n, height, width, 3) of the size that the network is to take; it is held against its original on
            them.
        architecture: `timm:NAME`; by default, as config.json says.

    Raises:
        ExportError: It is not known which network the weights are of, or they do not fit it, or the file gives
            something else than the network.
        MissingExtraError: Neither Keras Hub nor PyTorch is installed, or only the one that cannot do it.
    """
    network = identify(weights, architecture)
    path = folder / "model.onnx"
    values = np.asarray((images / 255 - 0.5) / 0.25, np.float32)  # About as they are in training.
    if architecture is None and _has_keras_hub(network):
        try:
            original = convert_by_keras_hub(weights, path, values)
            return Converted(path, "Keras Hub", _compare(path, values, original))
        except (ExportError, MissingExtraError):
            if not find_spec("torch"):
                raise
    require("torch", "torch", network.library, "onnxscript", "safetensors")
    values = np.ascontiguousarray(values.transpose(0, 3, 1, 2))
    original = convert_by_pytorch(weights, path, network, values)
    return Converted(path, "PyTorch", _compare(path, values, original))


def _has_keras_hub(network: Architecture) -> bool:
    return re.fullmatch(_KERAS_HUB[network.library], network.name) is not None


def _compare(model: Path, images: NDArray[np.float32], original: NDArray[np.float32]) -> float:
    """Return the largest difference of an ONNX file's outputs from the network's own.

    Raises:
        ExportError: One exceeds `_MAX_DIFFERENCE`.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    outputs = np.asarray(session.run(None, {session.get_inputs()[0].name: images})[0])
    worst = float(np.max(np.abs(outputs - original) / np.maximum(1, np.abs(original))))
    if not worst <= _MAX_DIFFERENCE:
        raise ExportError(
            f"The converted network differs from the original by {worst:.2g} in an output; at most {_MAX_DIFFERENCE:g} "
            "is allowed."
        )
    return worst
