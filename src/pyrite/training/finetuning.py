"""Which weights of a pretrained backbone are trained: all, none, those of its last blocks, or low-rank updates."""

import re
from collections.abc import Iterator
from typing import Any

from pyrite.errors import RecipeError
from pyrite.keras_backend import load_keras
from pyrite.recipe import Recipe

_BLOCK = re.compile(r".*(?:block|layers?|stage|encoder|expanded_conv|dw|mixed)_?\d+[a-z]?(?![\d])")
"""The start of a layer's path that names its block: `conv5_block3` of `conv5_block3_1_conv`, `encoder/layers_11`."""


def freeze(model: Any, recipe: Recipe) -> None:
    """Leave only what the recipe trains trainable; the head, which is no part of the backbone, always is.

    Batch normalisation that is frozen keeps the statistics that the backbone came with.

    Raises:
        RecipeError: the backbone has no dense layers to adapt, or fewer blocks, or none that can be told apart.
    """
    if recipe.trainable == "all":
        return
    [backbone] = [layer for layer in model.layers if hasattr(layer, "layers")]
    weighted = list(_weighted(backbone))
    kept = {id(layer) for layer in weighted[_first_of_last(weighted, recipe) :]} if recipe.trainable == "last" else ()
    for layer in weighted:
        if id(layer) in kept:
            continue
        if isinstance(layer, load_keras().layers.BatchNormalization):
            layer.trainable = False
        for variable in layer._trainable_variables:
            variable.trainable = False
    if recipe.trainable == "lora":
        _add_lora(weighted, recipe)


def _weighted(layer: Any) -> Iterator[Any]:
    """Yield a layer and those inside of it that have weights of their own, from the first to the last."""
    if layer._trainable_variables or isinstance(layer, load_keras().layers.BatchNormalization):
        yield layer
    for inner in layer._layers:
        yield from _weighted(inner)


def _first_of_last(layers: list[Any], recipe: Recipe) -> int:
    """Return where the last blocks begin; what follows a block and is in none itself counts as its part."""
    named = [found[0] if (found := _BLOCK.match(layer.path)) else "" for layer in layers]
    starts: dict[str, int] = {}
    for i, name in enumerate(named):
        if name:
            starts.setdefault(name, i)
    if len(starts) < recipe.last_blocks:
        raise RecipeError(
            f"{recipe.backbone} has {len(starts)} blocks that can be told apart by name, and last_blocks is "
            f"{recipe.last_blocks}. Set fewer, or train all of it with trainable = 'all'."
        )
    return sorted(starts.values())[-recipe.last_blocks]


def _add_lora(layers: list[Any], recipe: Recipe) -> None:
    """Add a trainable product of two thin matrices to the kernel of every dense layer (Hu et al. 2021).

    It begins at zero, so that training begins with the backbone as it is. The head is no part of it.
    """
    keras = load_keras()
    dense = [layer for layer in layers if isinstance(layer, keras.layers.Dense | keras.layers.EinsumDense)]
    if not dense:
        raise RecipeError(
            f"{recipe.backbone} has no dense layers, which LoRA adapts. Use trainable = 'last', or a transformer."
        )
    for number, layer in enumerate(dense):
        keras.utils.set_random_seed(recipe.seed + number)  # Whatever was drawn before.
        layer.enable_lora(recipe.lora_rank)
