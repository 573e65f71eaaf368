"""Networks: one function each, from pixels scaled to [0, 1] to features; `build_model` adds what all share.

A new architecture is a function here, an entry in `ARCHITECTURES`, and a recipe that names it.
"""

import difflib
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import Any

from pyrite.errors import RecipeError
from pyrite.training.backend import load_keras
from pyrite.training.recipe import Recipe

Tensor = Any


def resnet50(images: Tensor, recipe: Recipe) -> Tensor:
    """ResNet50 (He et al. 2016) with the published report's dense head.

    `imagenet` weights expect inputs as `keras.applications` scaled them, but the report gave it [0, 1], and
    so does this.
    """
    if min(recipe.height, recipe.width) < 32:
        raise RecipeError(f"resnet50 takes images of at least 32×32 pixels, not {recipe.height}×{recipe.width}.")
    keras = load_keras()
    with _download() if recipe.weights == "imagenet" else nullcontext():
        backbone = keras.applications.ResNet50(
            include_top=False,
            weights="imagenet" if recipe.weights == "imagenet" else None,
            input_shape=(recipe.height, recipe.width, 3),
        )
    if recipe.weights not in ("none", "imagenet"):
        _load_weights(backbone, Path(recipe.weights))
    layers = keras.layers
    x = layers.Flatten()(backbone(images))
    x = layers.Dense(256, activation="relu")(x)
    x = layers.BatchNormalization()(x)
    x = layers.Dense(128, activation="relu")(x)
    return layers.Dropout(0.5, seed=recipe.seed)(x)


def tiny(images: Tensor, recipe: Recipe) -> Tensor:
    """Three small convolutions: enough for the toy dataset, fast enough for tests."""
    layers = load_keras().layers
    x = images
    for filters in (8, 16, 16):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
    x = layers.GlobalAveragePooling2D()(x)
    return layers.Dropout(0.1, seed=recipe.seed)(x)


ARCHITECTURES: dict[str, Callable[[Tensor, Recipe], Tensor]] = {"resnet50": resnet50, "tiny": tiny}
_PRETRAINED = frozenset({"resnet50"})
_TIMEOUT = 30.0  # seconds without an answer


def build_model(recipe: Recipe) -> Any:
    """Return the Keras model of a recipe: uint8 (n, height, width, 3) in, one logit (n, 1) out.

    The scaling to [0, 1] and the cast lie inside. The sigmoid of the report's last unit is
    left to the loss, which is the same thing and exact for large logits.

    Raises:
        RecipeError: there is no such architecture, or its weights cannot be had.
    """
    if recipe.architecture not in ARCHITECTURES:
        near = difflib.get_close_matches(recipe.architecture, ARCHITECTURES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(ARCHITECTURES)}."
        raise RecipeError(f"There is no architecture {recipe.architecture!r}: {hint}")
    if recipe.weights != "none" and recipe.architecture not in _PRETRAINED:
        raise RecipeError(f"{recipe.architecture} has no pretrained weights; use weights = 'none'.")
    keras = load_keras()
    keras.utils.set_random_seed(recipe.seed)
    images = keras.Input((recipe.height, recipe.width, 3), dtype="uint8", name="images")
    scaled = keras.layers.Rescaling(1 / 255)(images)
    features = ARCHITECTURES[recipe.architecture](scaled, recipe)
    logits = keras.layers.Dense(1, name="logit")(features)
    return keras.Model(images, logits, name=recipe.architecture)


@contextmanager
def _download() -> Iterator[None]:
    """Give up on a network that does not answer, keep Keras's progress off standard output, and say what helps."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT)
    try:
        with redirect_stdout(sys.stderr):
            yield
    except Exception as error:  # Keras raises bare ones.
        raise RecipeError(
            f"The ImageNet weights could not be downloaded: {error}. Train from scratch with --set weights=none, "
            "or download them elsewhere and give the file: --set weights=PATH."
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def _load_weights(backbone: Any, path: Path) -> None:
    if not path.is_file():
        raise RecipeError(f"There is no weights file {path}; use weights = 'none', 'imagenet' or a file that is there.")
    try:
        backbone.load_weights(path)
    except Exception as error:  # h5py and Keras raise many kinds for a file that is not what they expect.
        raise RecipeError(
            f"The weights in {path} do not fit keras.applications.ResNet50 without its top: {error}"
        ) from error
