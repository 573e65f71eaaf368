"""A trained model as a bundle's, and held against the one that it came from."""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrite.bundle import HEAD
from pyrite.converting.encoder import EncoderHead, compose, write_head
from pyrite.datasets import in_chunks
from pyrite.errors import ExportError, RecipeError
from pyrite.keras_backend import export_onnx
from pyrite.publishing.obtaining import obtain, sha256_of
from pyrite.recipe import Recipe
from pyrite.runtime import Session
from pyrite.training.backbones import is_encoder_file
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


def export(model: Any, recipe: Recipe) -> dict[str, bytes]:
    """Return the files of a bundle that hold a trained model.

    A linear probe of an encoder that came as an ONNX file is put upon that file, so that the bundle can be shared
    without the encoder: then there is `head.json`, too.

    Args:
        model: A `keras.Model` in float32.
        recipe: What it was trained by.

    Raises:
        ExportError: It cannot be exported.
        PyriteError: The encoder cannot be fetched again.
    """
    layer = re.fullmatch(r"encoder_block_(\d+)", recipe.backbone_layer or "")
    of_token = recipe.trainable == "probe" and recipe.pooling == "token"
    as_it_is = recipe.export_views == recipe.enlarge == 1  # Nothing comes before the encoder or after the head.
    if not (layer and of_token and as_it_is and is_encoder_file(recipe)):
        return {"model.onnx": export_onnx(model)}
    kernel, bias = (np.asarray(value) for value in model.get_layer("logit").get_weights())
    with obtain(recipe.backbone) as found:
        head = EncoderHead(
            encoder=found.pinned,
            sha256=sha256_of(found.model),
            layers=int(layer[1]) + 1,
            weights=tuple(kernel[:, 0].tolist()),
            bias=float(bias[0]),
        )
        return {"model.onnx": compose(found.model, head), HEAD: write_head(head)}


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
