"""A first convolution that is not learnt: it takes small patches apart into uncorrelated parts of the same variance.

As in Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU", section 3.2.
"""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pyrite.datasets import read_images
from pyrite.keras_backend import load_keras

Tensor = Any

_NAME = "whitening"
_SIDE = 2
_PARTS = 3 * _SIDE * _SIDE
_IMAGES = 1000
_LEAST = 3e-5
"""Of a variance, on the scale of 0 to 1: what has less is noise, and is not brought up to that of the rest."""


def whitening(images: Tensor) -> Tensor:
    """Return the parts (n, height, width, 24) of the patches of images, 0 to 1: each, and its negative, for a ReLU."""
    return load_keras().layers.Conv2D(2 * _PARTS, _SIDE, padding="same", trainable=False, name=_NAME)(images)


def set_whitening(model: Any, pixels: NDArray[np.uint8], train: NDArray[np.intp], seed: int) -> None:
    """Set the weights of a model's whitening, if it has one, by the patches of some training images.

    Args:
        model: Changed in place.
        pixels: (n, height, width, 3), of the whole dataset, 0 to 255.
        train: Indices of the training images.
        seed: Chooses among them.
    """
    found = [layer for layer in model.layers if layer.name == _NAME]
    if not found:
        return
    chosen = np.sort(np.random.default_rng(seed).choice(train, min(len(train), _IMAGES), replace=False))
    # Rows of a patch, its columns and channels in the order of a kernel of Keras.
    patches = sliding_window_view(read_images(pixels, chosen), (_SIDE, _SIDE), axis=(1, 2)).transpose(0, 1, 2, 4, 5, 3)
    values = patches.reshape(-1, _PARTS).astype(np.float64) / 255
    mean = values.mean(0)
    variances, directions = np.linalg.eigh(np.cov(values, rowvar=False))
    kernel = directions / np.sqrt(variances + _LEAST)
    # Which way a direction points is chance: the sum of its weights is not negative.
    kernel *= np.where(kernel.sum(0) < 0, -1, 1)
    kernel = np.concatenate([kernel, -kernel], 1)
    found[0].set_weights([kernel.reshape(_SIDE, _SIDE, 3, -1), -mean @ kernel])
