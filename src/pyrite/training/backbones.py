"""Networks that others trained, from pixels to features: of `keras.applications`, of Keras Hub, and CLIP's as ONNX."""

import difflib
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from pyrite.converting.clip import CLIP_MEAN, CLIP_STD, load_clip
from pyrite.errors import PyriteError, RecipeError, in_one_line, require
from pyrite.keras_backend import load_keras
from pyrite.publishing.obtaining import obtain
from pyrite.recipe import Recipe

Tensor = Any

_TIMEOUT = 30.0  # seconds without an answer
_CONVNEXT = 64
"""Pixels a side: of fewer, its last features are of one place, and tf2onnx takes their axes for each other."""


def backbone(images: Tensor, recipe: Recipe) -> Tensor:
    """Return the features (n, d) that the recipe's backbone has of pixels, scaled as its weights were trained with.

    Raises:
        RecipeError: there is no such backbone, its weights cannot be had, or it does not take images of this size.
    """
    if is_encoder_file(recipe):
        return _clip_features(images, recipe)
    if is_preset(recipe):
        return _preset_features(images, recipe)
    scaled = scale_for_weights(images, recipe.backbone)
    return _pool(_up_to_layer(load_application(recipe.backbone, recipe), recipe)(scaled), recipe)


def is_preset(recipe: Recipe) -> bool:
    """Say whether a recipe's backbone is of Keras Hub's layers: a preset, or CLIP's encoder.

    Their names and addresses begin with a small letter, functions of `keras.applications` with a capital.
    """
    return recipe.architecture == "backbone" and ("/" in recipe.backbone or not recipe.backbone[:1].isupper())


def is_encoder_file(recipe: Recipe) -> bool:
    """Say whether a recipe's backbone is CLIP's vision encoder as an ONNX file."""
    return recipe.backbone.startswith("pypi:") or recipe.backbone.endswith(".onnx")


def _up_to_layer(model: Any, recipe: Recipe) -> Any:
    """Return a network that ends with the recipe's `backbone_layer`, and as it is without one.

    Raises:
        RecipeError: It has no layer of that name.
    """
    if not recipe.backbone_layer:
        return model
    wanted = recipe.backbone_layer
    found = [layer for layer in model.layers if layer.name == wanted or layer.name.endswith(f"_{wanted}")]
    if len(found) != 1:
        names = [layer.name for layer in model.layers]
        near = difflib.get_close_matches(wanted, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it ends with {', '.join(names[-3:])}."
        raise RecipeError(f"{recipe.backbone} has {len(found) or 'no'} layers named {wanted!r}: {hint}")
    return load_keras().Model(model.inputs, found[0].output, name="backbone")


def _clip_features(images: Tensor, recipe: Recipe) -> Tensor:
    """Return the features that CLIP's vision encoder in an ONNX file has of pixels."""
    if recipe.weights != "preset" and not recipe.start_from:
        raise RecipeError("An encoder in an ONNX file comes with its weights. Use weights = 'preset'.")
    try:
        with obtain(recipe.backbone) as found:
            model = load_clip(found.model)
    except PyriteError as error:
        raise RecipeError(f"The encoder {recipe.backbone} cannot be used: {_in_one_line(error)}.") from error
    if (own := _image_size(model, recipe)) != (recipe.height, recipe.width):
        raise RecipeError(
            f"The encoder takes images of {own[0]}×{own[1]} pixels. Use --set height={own[0]} --set width={own[1]}."
        )
    scale = [1 / (255 * deviation) for deviation in CLIP_STD]
    offset = [-mean / deviation for mean, deviation in zip(CLIP_MEAN, CLIP_STD, strict=True)]
    return _features_of(model, images, scale, offset, recipe)


def _features_of(model: Any, images: Tensor, scale: Any, offset: Any, recipe: Recipe) -> Tensor:
    """Return the features that a network of Keras Hub has of pixels, scaled so."""
    scaled = load_keras().layers.Rescaling(scale, offset, dtype="float32")(images)
    model = _up_to_layer(model, recipe)
    return _pool(model(dict.fromkeys(model.input, scaled) if isinstance(model.input, dict) else scaled), recipe)


def load_application(name: str, recipe: Recipe) -> Any:
    """Return a model of `keras.applications` without its top, with the weights that the recipe names.

    Raises:
        RecipeError: there is no such model, its weights cannot be had, or it does not take images of this size.
    """
    applications = load_keras().applications
    names = [each for each in dir(applications) if each[0].isupper()]
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}."
        raise RecipeError(f"keras.applications has no {name!r}: {hint}")
    if recipe.weights == "preset":
        raise RecipeError("weights = 'preset' is for Keras Hub's presets. Use 'imagenet', 'none' or a file.")
    if name.startswith("ConvNeXt") and min(recipe.height, recipe.width) < _CONVNEXT:
        raise RecipeError(
            f"{name} takes images of at least {_CONVNEXT}×{_CONVNEXT} pixels, not {recipe.height}×{recipe.width}."
        )
    given = {"include_top": False, "input_shape": (recipe.height, recipe.width, 3)}
    try:
        model = getattr(applications, name)(weights=None, **given)
    except ValueError as error:  # Keras checks the size, and says so.
        raise RecipeError(
            f"{name} does not take images of {recipe.height}×{recipe.width} pixels: {_in_one_line(error)}"
        ) from error
    if recipe.weights == "imagenet":
        with _download(
            "The ImageNet weights could not be downloaded",
            "Train from scratch with --set weights=none, or download them elsewhere and give the file: "
            "--set weights=PATH.",
        ):
            return getattr(applications, name)(weights="imagenet", **given)
    if recipe.weights != "none":
        _load_weights(model, Path(recipe.weights), f"keras.applications.{name} without its top")
    return model


def scale_for_weights(images: Tensor, name: str) -> Tensor:
    """Return pixels as the `preprocess_input` of a model in `keras.applications` scales them, in float32.

    That is a factor and an offset for each channel, and for some the channels' order turned round; so both are read off
    what it makes of four colours. Models that scale their input themselves take it as it is.
    """
    keras = load_keras()
    modules = [vars(keras.applications)[each] for each in dir(keras.applications) if each[0].islower()]
    homes = (each for each in modules if hasattr(each, name) and hasattr(each, "preprocess_input"))
    preprocess = getattr(next(homes, None), "preprocess_input", lambda pixels: pixels)
    colours = 255 * np.concatenate([np.zeros((1, 3)), np.eye(3)])
    offset, *shown = np.asarray(preprocess(colours[:, None, None].copy()), np.float64)[:, 0, 0]
    gains = (np.array(shown) - offset) / 255  # Of each input channel (rows) in each output channel.
    if turned := not gains[0, 0]:
        images, gains = images[..., ::-1], gains[::-1]
    # Constants such as 1/255 survive float32, which the pixels were scaled in.
    scale, offset = np.diag(gains).round(9), offset.round(6)
    if not turned and np.all(scale == 1) and not np.any(offset):
        return images
    return keras.layers.Rescaling(scale.tolist(), offset.tolist(), dtype="float32")(images)


def _preset_features(images: Tensor, recipe: Recipe) -> Tensor:
    """Return the features that a preset of Keras Hub has of pixels."""
    load_keras()
    require("keras-hub", "keras_hub")
    import keras_hub

    if recipe.weights == "imagenet":
        raise RecipeError("weights = 'imagenet' is for keras.applications. Use 'preset', 'none' or a file.")
    size = (recipe.height, recipe.width)
    with _download(
        f"Keras Hub's preset {recipe.backbone!r} could not be loaded",
        "Give the name of a preset, or the folder of one that was saved by its backbone's save_to_preset.",
    ):
        model = _load_preset(recipe)
    if (own := _image_size(model, recipe)) != size:
        try:  # Some interpolate what they know of places.
            model = _load_preset(recipe, image_shape=(*size, 3))
        except Exception as error:  # Of many kinds.
            raise RecipeError(
                f"The preset {recipe.backbone!r} takes images of {own[0]}×{own[1]} pixels, and cannot be brought to "
                f"{size[0]}×{size[1]}: {_in_one_line(error)}. Use --set height={own[0]} --set width={own[1]}."
            ) from error
    with _download(
        f"How Keras Hub's preset {recipe.backbone!r} scales pixels is not known",
        "Save its image converter beside it, with save_to_preset.",
    ):
        # Only its numbers are wanted. Before 0.30, Keras Hub made none without TensorFlow Text unless told so.
        converter = keras_hub.layers.ImageConverter.from_preset(recipe.backbone, _allow_python_workflow=True)
    if recipe.weights not in ("none", "preset"):
        _load_weights(model, Path(recipe.weights), f"the preset {recipe.backbone}")
    scale = 1.0 if converter.scale is None else converter.scale
    offset = 0.0 if converter.offset is None else converter.offset
    return _features_of(model, images, scale, offset, recipe)


def _load_preset(recipe: Recipe, **settings: object) -> Any:
    """Return a preset's network; of a pair such as CLIP, the part that sees."""
    import keras_hub

    policy = load_keras().config.dtype_policy()
    model = keras_hub.models.Backbone.from_preset(
        recipe.backbone, load_weights=recipe.weights == "preset", dtype=policy, **settings
    )
    return getattr(model, "vision_encoder", model)


def _image_size(model: Any, recipe: Recipe) -> tuple[int, int]:
    """Return the height and width of a preset's images; where it takes any, the recipe's.

    Raises:
        RecipeError: it does not take an image, or not alone.
    """
    [taken, *more] = model.inputs
    if more or len(taken.shape) != 4 or taken.shape[-1] != 3:
        raise RecipeError(f"The preset {recipe.backbone!r} takes more than an image. Choose an image backbone.")
    return taken.shape[1] or recipe.height, taken.shape[2] or recipe.width


def _pool(features: Tensor, recipe: Recipe) -> Tensor:
    """Return features (n, d) of those of places (n, h, w, d) or tokens (n, t, d)."""
    layers = load_keras().layers
    of_rank = {4: (layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D)}
    of_rank[3] = (layers.GlobalAveragePooling1D, layers.GlobalMaxPooling1D)
    rank = 0 if isinstance(features, dict | list | tuple) else len(features.shape)
    if rank == 3 and recipe.pooling == "token":
        return features[:, 0]
    if rank == 2 and recipe.pooling == "avg":  # It pools by itself.
        return features
    if rank not in of_rank or recipe.pooling == "token":
        raise RecipeError(
            f"The features of {recipe.backbone} cannot be pooled by {recipe.pooling!r}. 'token' is for transformers "
            "that begin with a class token; 'avg' and 'max' are for networks that give features of places or tokens."
        )
    average, maximum = of_rank[rank]
    return (average if recipe.pooling == "avg" else maximum)()(features)


@contextmanager
def _download(failed: str, helps: str) -> Iterator[None]:
    """Give up on a network that does not answer, keep Keras's progress off standard output, and say what helps."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT)
    try:
        with redirect_stdout(sys.stderr):
            yield
    except Exception as error:  # Keras and Keras Hub raise bare ones, and whatever their HTTP clients do.
        raise RecipeError(f"{failed}: {_in_one_line(error)}. {helps}") from error
    finally:
        socket.setdefaulttimeout(before)


def _load_weights(model: Any, path: Path, what: str) -> None:
    if not path.is_file():
        raise RecipeError(f"There is no weights file {path}; use weights = 'none', 'imagenet' or a file that is there.")
    try:
        model.load_weights(path)
    except Exception as error:  # h5py and Keras raise many kinds for a file that is not what they expect.
        raise RecipeError(f"The weights in {path} do not fit {what}: {error}") from error


def _in_one_line(error: Exception) -> str:
    return in_one_line(error).removesuffix(".")
