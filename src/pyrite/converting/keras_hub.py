"""Conversion through Keras Hub, which has no PyTorch in it."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyrite.errors import ExportError, in_one_line, require
from pyrite.keras_backend import export_onnx, load_keras


def convert_by_keras_hub(weights: Path, path: Path, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Write a network to an ONNX file, and return what it gives for images.

    Args:
        weights: model.safetensors, with config.json beside it.
        path: The ONNX file.
        images: (n, height, width, 3), normalised.

    Returns:
        (n, classes).

    Raises:
        ExportError: Keras Hub has no converter for it, or one for another network.
        MissingExtraError: Keras Hub is not installed.
    """
    require("keras-hub", "keras_hub", "safetensors")
    require("train", "keras", "onnx", "tf2onnx")
    keras = load_keras()
    import keras_hub
    from safetensors import safe_open

    try:
        loaded = keras_hub.models.ImageClassifier.from_preset(str(weights.parent), preprocessor=None)
        inputs = keras.Input(images.shape[1:], name="image")
        model = keras.Model(inputs, loaded(inputs))
    except Exception as error:  # Keras Hub's own, and those of each converter.
        raise ExportError(f"Keras Hub cannot convert {weights.name}: {in_one_line(error, 300)}") from error
    with safe_open(weights, framework="np") as stored:
        counted = sum(
            int(np.prod(stored.get_slice(name).get_shape(), dtype=np.int64))
            for name in stored.keys()  # noqa: SIM118 - it is no dict
            if not name.endswith("num_batches_tracked") and ".pooler." not in name  # Which logits do not come from.
        )
    if counted != loaded.count_params():
        raise ExportError(
            f"{weights.name} has {counted:,} weights, and the network that Keras Hub makes of config.json has "
            f"{loaded.count_params():,}, so it is another. Convert it to ONNX by its authors' code, and import that."
        )
    path.write_bytes(export_onnx(model))
    return np.asarray(model(images, training=False), np.float32)
