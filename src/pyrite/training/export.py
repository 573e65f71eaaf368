"""From a trained Keras model to ONNX, checked against what it came from."""

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrite.errors import ExportError
from pyrite.runtime import Session
from pyrite.training.backend import load_keras
from pyrite.training.batches import in_chunks
from pyrite.training.loop import predict

MAX_DIFFERENCE = 1e-3
"""Of a logit, between the trained and the exported model; relative to logits beyond 1, which float32 cannot
hold to a fixed place: a network that has hardly begun to train may give some of a million."""
_PARITY_IMAGES = 256


def export_onnx(model: Any) -> bytes:
    """Return `model` as ONNX: uint8 (n, height, width, 3) in, one logit (n, 1) out.

    Raises:
        ExportError: the model cannot be exported by this backend.
    """
    backend = load_keras().backend.backend()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # The converters use NumPy and each other in ways that warn; none of it is a user's to mend.
        warnings.simplefilter("ignore")
        path = Path(folder) / "model.onnx"
        try:
            model(np.zeros((1, *model.input_shape[1:]), np.uint8))  # Keras exports what it has seen called.
            model.export(path, format="onnx", verbose=False)
        except Exception as error:  # Three converters, each with errors of its own.
            raise ExportError(f"The {backend} backend could not export the model to ONNX: {error}") from error
        return path.read_bytes()


def check_parity(model: Any, session: Session, pixels: NDArray[np.uint8], indices: NDArray[np.intp]) -> float:
    """Return the largest difference of a logit between `model` and its export, over some real images.

    It is relative to logits beyond 1.

    Raises:
        ExportError: it exceeds `MAX_DIFFERENCE`.
    """
    chosen = indices[:: max(1, len(indices) // _PARITY_IMAGES)]
    trained, exported = predict(model, pixels, chosen), score(session, pixels, chosen)
    difference = float(np.max(np.abs(trained - exported) / np.maximum(1, np.abs(trained))))
    if not difference <= MAX_DIFFERENCE:
        raise ExportError(
            f"The exported model differs from the trained one by {difference:.2g} in a logit over {len(chosen)} "
            f"images; at most {MAX_DIFFERENCE:g} is allowed. The checkpoint is kept: please report this."
        )
    return difference


def score(session: Session, pixels: NDArray[np.uint8], indices: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the exported model's logits (len(indices),) for some of the images."""
    return np.concatenate([session.logits(np.array(pixels[chunk])) for chunk in in_chunks(indices)]).astype(np.float64)
