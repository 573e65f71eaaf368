"""Batches for training: shuffled, cropped, flipped, degraded, and the same for the same seed, epoch and step."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pyrite.datasets import Canvases, read_images
from pyrite.datasets.degrade import degrade, history_at_random
from pyrite.recipe import Recipe
from pyrite.training.distributed import ALONE, Place

Batch = tuple[NDArray[np.uint8], NDArray[np.float32]]


def steps_per_epoch(count: int, recipe: Recipe) -> int:
    """Return how many full batches `count` images make; the rest sits out until the next shuffle."""
    return max(1, count // recipe.batch_size)


def batch_size(count: int, recipe: Recipe) -> int:
    """Return how many of `count` images a batch has, on all machines together."""
    return min(recipe.batch_size, count)


def train_batches(
    source: NDArray[np.uint8] | Canvases,
    labels: NDArray[np.int8],
    indices: NDArray[np.intp],
    recipe: Recipe,
    epoch: int,
    first_step: int = 0,
    place: Place = ALONE,
) -> Iterator[Batch]:
    """Yield one epoch's batches, from `first_step` on.

    Randomness is drawn anew from (seed, epoch, step) instead of being carried along, so a run that is
    resumed in the middle sees what an unbroken one would have. It is drawn for whole batches, so that several
    machines see together what one alone would have.

    Args:
        source: model inputs (n, height, width, 3) of the whole dataset, or what random crops are taken from.
        labels: (n,), 0 or 1.
        indices: which images to train on.
        recipe: batch size, seed and augmentation.
        epoch: from 0.
        first_step: from 0.
        place: whose share of every batch is made.

    Yields:
        Images (b, height, width, 3), 0 to 255, and labels (b, 1).
    """
    order = np.random.default_rng((recipe.seed, epoch)).permutation(indices)
    for step in range(first_step, steps_per_epoch(len(indices), recipe)):
        # In the file's order, since reading forwards is what disks and page caches are good at.
        chosen = np.sort(order[step * recipe.batch_size : (step + 1) * recipe.batch_size])
        rng = np.random.default_rng((recipe.seed, epoch, step))
        draw = rng.random((len(chosen), 2)) < 0.5
        share = place.share(len(chosen))
        if isinstance(source, Canvases):
            images = source.crop(chosen[share], rng.random((len(chosen), 2))[share], (recipe.height, recipe.width))
        else:
            images = read_images(source, chosen[share])
        if recipe.horizontal_flip:
            images[draw[share, 0]] = images[draw[share, 0], :, ::-1]
        if recipe.vertical_flip:
            images[draw[share, 1]] = images[draw[share, 1], ::-1]
        if recipe.shift:
            start = rng.integers(0, 2 * recipe.shift + 1, (len(chosen), 2))
            images = _shift(images, start[share], recipe.shift)
        if recipe.degrade:
            for i in np.flatnonzero(rng.random(len(chosen)) < recipe.degrade):
                history = history_at_random(images.shape[1:], rng)  # Also of others' images, since it draws.
                if share.start <= i < share.stop:
                    images[i - share.start] = degrade(images[i - share.start], history)
        yield images, labels[chosen[share], None].astype(np.float32)


def _shift(images: NDArray[np.uint8], start: NDArray[np.intp], most: int) -> NDArray[np.uint8]:
    """Return the windows that begin at `start` (n, 2) of the images with a mirrored margin of `most` pixels."""
    count, height, width = images.shape[:3]
    padded = np.pad(images, ((0, 0), (most, most), (most, most), (0, 0)), "reflect")
    rows, columns = start[:, :1] + np.arange(height), start[:, 1:] + np.arange(width)
    windows: NDArray[np.uint8] = padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return windows
