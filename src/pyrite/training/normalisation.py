"""Batch normalisation's statistics, measured anew for the weights as they are."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrite.training.backend import load_keras
from pyrite.training.batches import in_chunks

_MOST, _LEAST, _SHARE = 2048, 512, 16
"""The statistics are of a sixteenth of the training images, but of no more and no fewer than these."""


def measure_statistics(model: Any, pixels: NDArray[np.uint8], train: NDArray[np.intp], seed: int) -> None:
    """Set the statistics that batch normalisation uses outside of training to those of some training images.

    The running averages that it keeps are of steps gone by. While the weights still move fast, they belong to a
    network that is no more, and a validation would judge by them instead of the weights (Wu and Johnson 2021,
    "Rethinking 'Batch' in BatchNorm", section 3). Training itself neither uses nor notices this.

    Args:
        model: Changed in place.
        pixels: (n, height, width, 3), of the whole dataset.
        train: Indices of the training images.
        seed: Chooses among them.
    """
    layers = list(_find_layers(model))
    if not layers:
        return
    averages = {id(variable) for layer in layers for variable in (layer.moving_mean, layer.moving_variance)}
    others = [variable for variable in model.non_trainable_variables if id(variable) not in averages]
    kept = [np.asarray(variable).copy() for variable in others]
    momenta = [layer.momentum for layer in layers]
    count = min(len(train), max(_LEAST, min(_MOST, len(train) // _SHARE)))
    chosen = np.sort(np.random.default_rng(seed).choice(train, count, replace=False))
    try:
        for done, images in enumerate(in_chunks(pixels, chosen)):
            for layer in layers:
                layer.momentum = done / (done + 1)  # So that the average is the plain mean of all chunks.
            model(images, training=True)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        for variable, value in zip(others, kept, strict=True):  # Dropout has drawn from its random state.
            variable.assign(value)


def _find_layers(model: Any) -> Iterator[Any]:
    """Yield the layers of batch normalisation, also of models that serve as layers."""
    for layer in model.layers:
        if isinstance(layer, load_keras().layers.BatchNormalization):
            yield layer
        elif hasattr(layer, "layers"):
            yield from _find_layers(layer)
