"""Keras, imported late and with the settings that it needs to be fast and quiet."""

import os
from typing import Any

from pyrite.errors import require


def load_keras() -> Any:
    """Return the `keras` module, for the backend that `KERAS_BACKEND` names (TensorFlow by default).

    TensorFlow reads these variables when it is first imported, so they are set before. It leaves
    oneDNN off on processors without AVX-512, where it makes ResNet50 about seven times as fast.

    Raises:
        MissingExtraError: without the `train` extra.
    """
    require("train", "keras")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    return keras
