"""Networks: one function each, from pixels to features; `build_model` adds what all share.

A new architecture is a function here, an entry in `ARCHITECTURES`, and a recipe that names it.
"""

import difflib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from pyrite.errors import RecipeError
from pyrite.keras_backend import load_keras
from pyrite.recipe import Recipe
from pyrite.training.backbones import backbone, is_encoder_file, is_preset, load_application, scale_for_weights
from pyrite.training.efficientnet import efficientnet_lite0
from pyrite.training.finetuning import freeze
from pyrite.training.normalisation import fuse
from pyrite.training.whitening import whitening

Tensor = Any

_SQUEEZE = 16
"""How many channels squeeze-and-excitation makes one of."""


def resnet50(images: Tensor, recipe: Recipe) -> Tensor:
    """ResNet50 (He et al. 2016) with the published report's dense head.

    `imagenet` weights expect inputs as `keras.applications` scaled them, but the report gave it [0, 1], and
    so does this, unless the recipe's scaling is that of the weights.
    """
    if min(recipe.height, recipe.width) < 32:
        raise RecipeError(f"resnet50 takes images of at least 32×32 pixels, not {recipe.height}×{recipe.width}.")
    layers = load_keras().layers
    scaled = _unit(images) if recipe.scaling == "unit" else scale_for_weights(images, "ResNet50")
    x = layers.Flatten()(load_application("ResNet50", recipe)(scaled))
    x = layers.Dense(256, activation="relu")(x)
    x = layers.BatchNormalization()(x)
    x = layers.Dense(128, activation="relu")(x)
    return layers.Dropout(0.5, seed=recipe.seed)(x)


def compact(images: Tensor, recipe: Recipe) -> Tensor:
    """Residual network (He et al. 2016), by default of 45 million multiplications at 32×32 and 1.1 million weights.

    What tells generated images lies in the finest detail, so the first convolutions see every pixel; since such layers
    are bound by memory and not by arithmetic, they have few channels.
    """
    if min(recipe.height, recipe.width) < 2:
        raise RecipeError(f"compact takes images of at least 2×2 pixels, not {recipe.height}×{recipe.width}.")
    layers = load_keras().layers
    first, *stages = recipe.channels

    def convolve(x: Tensor, filters: int, stride: int = 1) -> Tensor:
        x = layers.Conv2D(filters, 3, stride, "same", use_bias=False, kernel_initializer="he_normal")(x)
        return layers.BatchNormalization()(x)

    def pool(x: Tensor) -> Tensor:
        # Not GlobalAveragePooling2D, whose conversion leaves the last normalisation outside of its convolution.
        return layers.AveragePooling2D(x.shape[1:3])(x)

    def weigh_channels(x: Tensor, filters: int) -> Tensor:
        weights = layers.Dense(max(1, filters // _SQUEEZE), activation="relu")(pool(x))
        return layers.Multiply()([x, layers.Dense(filters, activation="sigmoid")(weights)])

    def residuals(x: Tensor, filters: int) -> Tensor:
        for _ in range(recipe.blocks):
            y = convolve(layers.ReLU()(convolve(x, filters)), filters)
            y = weigh_channels(y, filters) if recipe.squeeze_excitation else y
            x = layers.ReLU()(layers.Add()([x, y]))
        return x

    x = _unit(images)
    x = whitening(x) if recipe.stem == "whitened" else convolve(x, first)
    x = layers.MaxPooling2D()(layers.ReLU()(convolve(layers.ReLU()(x), stages[0])))
    x = residuals(x, stages[0])
    for filters in stages[1:]:
        x = layers.ReLU()(convolve(x, filters, stride=2))
        x = residuals(x, filters)
    return layers.Flatten()(pool(x))


def tiny(images: Tensor, recipe: Recipe) -> Tensor:
    """Three small convolutions: enough for the toy dataset, fast enough for tests."""
    layers = load_keras().layers
    x = _unit(images)
    for filters in (8, 16, 16):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
    x = layers.GlobalAveragePooling2D()(x)
    return layers.Dropout(0.1, seed=recipe.seed)(x)


def _unit(images: Tensor) -> Tensor:
    """Scale pixels to [0, 1]."""
    return load_keras().layers.Rescaling(1 / 255)(images)


ARCHITECTURES: dict[str, Callable[[Tensor, Recipe], Tensor]] = {
    "backbone": backbone,
    "compact": compact,
    "efficientnet_lite0": efficientnet_lite0,
    "resnet50": resnet50,
    "tiny": tiny,
}
_PRETRAINED = frozenset({"backbone", "efficientnet_lite0", "resnet50"})


def build_model(recipe: Recipe, sizes: Sequence[int] = ()) -> Any:
    """Return the Keras model of a recipe: uint8 (n, height, width, 3) in, one logit (n, 1) out.

    The scaling and the cast lie inside. The sigmoid of the report's last unit is
    left to the loss, which is the same thing and exact for large logits.

    Args:
        recipe: Says which.
        sizes: How many classes each further target has: after the logit, there is one for each class of each. They are
            for training: see `without_targets`.

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
    with _computing_in(recipe.precision):
        images = keras.Input((recipe.height, recipe.width, 3), dtype="uint8", name="images")
        features = ARCHITECTURES[recipe.architecture](*_enlarged(images, recipe))
        exact = "float64" if recipe.precision == "float64" else "float32"
        logits = keras.layers.Dense(1, name="logit", dtype=exact)(features)
        others = [keras.layers.Dense(n, name=f"target{i}", dtype=exact)(features) for i, n in enumerate(sizes)]
        outputs = keras.layers.Concatenate(name="outputs", dtype=exact)([logits, *others]) if others else logits
        model = keras.Model(images, outputs, name=recipe.architecture)
        # Not every layer of Keras Hub can be copied, and hardly one of its networks normalises by batches.
        model = model if is_preset(recipe) else fuse(model)
        freeze(model, recipe)
        return model


def _enlarged(images: Tensor, recipe: Recipe) -> tuple[Tensor, Recipe]:
    """Return what the rest of a network sees of its input, and the recipe as for an input of that size."""
    if (times := recipe.enlarge) == 1:
        return images, recipe
    layers = load_keras().layers
    pixels = layers.Rescaling(1.0, dtype="float32")(images)  # Whole numbers would be rounded to such again.
    larger = layers.UpSampling2D(times, interpolation="bilinear", dtype="float32")(pixels)
    return larger, msgspec.structs.replace(recipe, height=times * recipe.height, width=times * recipe.width)


def without_targets(model: Any) -> Any:
    """Return a model as it is without further targets; it shares its weights."""
    return load_keras().Model(model.inputs, model.get_layer("logit").output, name=model.name)


def in_float32(model: Any, recipe: Recipe) -> Any:
    """Return a model of the same weights that computes in float32, as the exported one will."""
    if recipe.precision == "float32":
        return model
    weights = "preset" if is_encoder_file(recipe) else "none"  # An encoder's network is in the file of its weights.
    exact = build_model(msgspec.structs.replace(recipe, precision="float32", weights=weights))
    for variable, value in zip(exact.variables, model.variables, strict=True):
        variable.assign(value)
    return exact


@contextmanager
def _computing_in(precision: str) -> Iterator[None]:
    """Have layers that are made meanwhile compute in `precision`; of bfloat16, their weights stay float32."""
    config = load_keras().config
    before = config.dtype_policy()
    config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else precision)
    try:
        yield
    finally:
        config.set_dtype_policy(before)
