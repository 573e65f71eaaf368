"""An exported model, held against the trained one that it came from."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrite.datasets import in_chunks
from pyrite.errors import ExportError, RecipeError
from pyrite.runtime import Session
from pyrite.training.loop import predict

MAX_DIFFERENCE = 1e-3
"""Of a logit, between the trained and the exported model; relative to those beyond 100, which float32 cannot
hold to a fixed place: a network that has hardly begun to train may give some of a million."""
_LARGE = 100
MAX_WEIGHTS = 1_900_000_000
"""Bytes of the weights in float32: a file of ONNX may have 2 GiB at most, the graph included."""
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
