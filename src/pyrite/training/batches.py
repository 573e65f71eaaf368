"""Batches for training: shuffled, cropped, augmented, mixed, and the same for the same seed, epoch and step."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyrite.datasets import Canvases, read_images
from pyrite.datasets.augment import (
    augmentation_at_random,
    border_at_random,
    erasure_at_random,
    remove_colour,
)
from pyrite.datasets.degrade import KERNELS, History, degrade, history_at_random
from pyrite.recipe import Recipe
from pyrite.runtime import available_cpus
from pyrite.training.distributed import ALONE, Place
from pyrite.training.lessons import NO_LESSONS, Lessons, answers_of

Batch = (
    tuple[NDArray[np.uint8], NDArray[np.float32]] | tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]
)
"""Images and what is to be answered, and weights where images do not weigh the same."""


_ALTERNATING = 2**32 - 1
"""In the place of an epoch: what a seed draws for all of them."""


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
    groups: NDArray[np.intp] | None = None,
    lessons: Lessons = NO_LESSONS,
) -> Iterator[Batch]:
    """Yield one epoch's batches, from `first_step` on.

    Randomness is drawn anew from (seed, epoch, step) instead of being carried along, so a run that is
    resumed in the middle sees what an unbroken one would have. It is drawn for whole batches, so that several
    machines see together what one alone would have.

    Args:
        source: model inputs (n, height, width, 3) of the whole dataset, or what random crops are taken from.
        labels: (n,), 0 or 1.
        indices: which images to train on.
        recipe: batch size, seed, balance and augmentation.
        epoch: from 0.
        first_step: from 0.
        place: whose share of every batch is made.
        groups: (n,), which images make a group that counts as much as the others of its class; the classes by default.
        lessons: what there is to learn besides the labels.

    Yields:
        Images (b, height, width, 3), 0 to 255, answers (b, k), of which the first is the label, and of a recipe that
        balances by weights, those (b,).
    """
    groups = labels.astype(np.intp) if groups is None else groups
    order = epoch_order(labels, indices, recipe, epoch, groups)
    weights = balanced_weights(labels, indices, groups) if recipe.balance == "weights" else None
    mixes = recipe.mixup > 0 or recipe.cutmix > 0
    with ThreadPoolExecutor(available_cpus(), thread_name_prefix="pyrite-augment") as pool:
        for step in range(first_step, steps_per_epoch(len(indices), recipe)):
            # In the file's order, since reading forwards is what disks and page caches are good at.
            chosen = np.sort(order[step * recipe.batch_size : (step + 1) * recipe.batch_size])
            rng = np.random.default_rng((recipe.seed, epoch, step))
            own = place.share(len(chosen))
            share = slice(0, len(chosen)) if mixes else own  # What is mixed in may be another machine's.
            mirrored = None
            if recipe.alternating_flip:
                mirrored = _alternating(len(labels), recipe, epoch, lessons.variants)[chosen[share]]
            if lessons.draws is not None:
                variant = epoch % lessons.variants
                images = variant_images(source, chosen[share], lessons.draws, variant, recipe, pool)
                images = _changed_for_the_network_alone(images, len(chosen), share, recipe, rng, mirrored)
            else:
                images = augmented_images(source, chosen, share, recipe, rng, pool.map, mirrored)
            targets = answers_of(labels, chosen[share], recipe, lessons, epoch)
            of_images = None if weights is None else weights[chosen[share]]
            if mixes:
                images, partners, kept = _mix(images, recipe, rng)
                targets = (kept * targets + (1 - kept) * targets[partners]).astype(np.float32)[own]
                if of_images is not None:
                    of_images = (kept * of_images + (1 - kept) * of_images[partners]).astype(np.float32)[own]
                images = images[own]
            yield (images, targets) if of_images is None else (images, targets, of_images)


def epoch_order(
    labels: NDArray[np.int8], indices: NDArray[np.intp], recipe: Recipe, epoch: int, groups: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Return the images of an epoch in a random order, as many as there are.

    Each once; or sampled so that each class, and in it each group, has as many: of a small group some come several
    times, of a large one some not at all.
    """
    rng = np.random.default_rng((recipe.seed, epoch))
    if recipe.balance != "sampling":
        return rng.permutation(indices)
    members = _members(labels, indices, groups)
    shares = np.cumsum([0.0, *(1 / len(members) / len(of_class) for of_class in members for _ in of_class)])
    ends = np.round(shares * len(indices)).astype(int)
    sampled = [
        np.concatenate([rng.permutation(group) for _ in range(-(-count // len(group)))])[:count]
        for group, count in zip((group for of_class in members for group in of_class), np.diff(ends), strict=True)
        if count
    ]
    return rng.permutation(np.concatenate(sampled))


def balanced_weights(
    labels: NDArray[np.int8], indices: NDArray[np.intp], groups: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Return a weight (n,) for each image: the same in sum for each class, and in it for each group; 1 in the mean."""
    weights = np.zeros(len(labels), np.float32)
    members = _members(labels, indices, groups)
    for of_class in members:
        for group in of_class:
            weights[group] = len(indices) / (len(members) * len(of_class) * len(group))
    return weights


def _members(
    labels: NDArray[np.int8], indices: NDArray[np.intp], groups: NDArray[np.intp]
) -> list[list[NDArray[np.intp]]]:
    """Return for each class that there is, for each of its groups, which images are in it."""
    classes = (indices[labels[indices] == label] for label in np.unique(labels[indices]))
    return [[members[groups[members] == group] for group in np.unique(groups[members])] for members in classes]


def augmented_images(
    source: NDArray[np.uint8] | Canvases,
    chosen: NDArray[np.intp],
    share: slice,
    recipe: Recipe,
    rng: np.random.Generator,
    each: Callable[..., Iterator[NDArray[np.uint8]]],
    mirrored: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """Return the images (b, height, width, 3) of a share of those chosen, each changed at random as the recipe says.

    Args:
        source: See `train_batches`.
        chosen: Which images a batch has.
        share: Which of them are made.
        recipe: How they are changed.
        rng: Draws for all of a batch.
        each: `map`, or that of a pool.
        mirrored: (b,), which images of the share are mirrored, instead of at random.
    """
    count = len(chosen)
    draw = rng.random((count, 2)) < 0.5
    if isinstance(source, Canvases):
        images = _crop(source, chosen, share, recipe, rng)
    else:
        images = read_images(source, chosen[share])
    if recipe.horizontal_flip:
        flipped = draw[share, 0] if mirrored is None else mirrored
        images[flipped] = images[flipped, :, ::-1]
    if recipe.vertical_flip:
        images[draw[share, 1]] = images[draw[share, 1], ::-1]
    if recipe.shift:
        start = rng.integers(0, 2 * recipe.shift + 1, (count, 2))
        images = _shift(images, start[share], recipe.shift)
    if recipe.turn:
        turned, quarters = rng.random(count) < recipe.turn, rng.integers(1, 4, count)
        for i in np.flatnonzero(turned[share]):
            images[i] = np.rot90(images[i], quarters[share][i])
    if recipe.grey:
        for i in np.flatnonzero((rng.random(count) < recipe.grey)[share]):
            images[i] = remove_colour(images[i])
    if recipe.border:
        _change_some(images, count, share, recipe.border, border_at_random, rng)
    if recipe.degrade:
        for i in np.flatnonzero(rng.random(count) < recipe.degrade):
            history = history_at_random(images.shape[1:], rng)  # Also of others' images, since it draws.
            if share.start <= i < share.stop:
                images[i - share.start] = degrade(images[i - share.start], history)
    if any(recipe.augmentation.values()):
        histories: Sequence[History] = [augmentation_at_random(recipe.augmentation, rng) for _ in range(count)]
        images = np.stack(list(each(degrade, images, histories[share])))
    if recipe.erase:
        _change_some(images, count, share, recipe.erase, erasure_at_random, rng)
    return images


def variant_images(
    source: NDArray[np.uint8] | Canvases,
    chosen: NDArray[np.intp],
    draws: NDArray[np.uint64],
    variant: int,
    recipe: Recipe,
    pool: ThreadPoolExecutor,
) -> NDArray[np.uint8]:
    """Return one variant (b, height, width, 3) of each of some images, as teachers see it.

    It is the same whenever it is made, in whatever batch and by whatever seed of the run. Neither mirrored nor erased:
    the one changes nothing for a teacher that is asked for both views, the other is for the network alone.

    Args:
        source: See `train_batches`.
        chosen: (b,), which images.
        draws: (n,), what an image's variants are drawn with.
        variant: Which one, from 0.
        recipe: How images are changed.
        pool: Makes them.
    """
    shared = msgspec.structs.replace(recipe, horizontal_flip=False, alternating_flip=False, erase=0.0)

    def make(index: int) -> NDArray[np.uint8]:
        rng = np.random.default_rng((int(draws[index]), variant))
        image: NDArray[np.uint8] = augmented_images(source, np.array([index]), slice(0, 1), shared, rng, map)[0]
        return image

    # Several at a time, since to hand over a small image takes about as long as to make it.
    parts = np.array_split(chosen, min(len(chosen), 4 * available_cpus()))
    images: NDArray[np.uint8] = np.concatenate(list(pool.map(lambda part: np.stack([*map(make, part)]), parts)))
    return images


def _changed_for_the_network_alone(
    images: NDArray[np.uint8],
    count: int,
    share: slice,
    recipe: Recipe,
    rng: np.random.Generator,
    mirrored: NDArray[np.bool_] | None,
) -> NDArray[np.uint8]:
    if recipe.horizontal_flip:
        flipped = (rng.random(count) < 0.5)[share] if mirrored is None else mirrored
        images[flipped] = images[flipped, :, ::-1]
    if recipe.erase:
        _change_some(images, count, share, recipe.erase, erasure_at_random, rng)
    return images


def _alternating(count: int, recipe: Recipe, epoch: int, variants: int) -> NDArray[np.bool_]:
    """Return which of so many images are mirrored in an epoch: half of them, and in the next the others.

    Where an even number of variants takes turns, each of them would be seen one way alone, but for a pause after each
    round.
    """
    first = np.random.default_rng((recipe.seed, _ALTERNATING)).random(count) < 0.5
    pauses = epoch // variants if variants and variants % 2 == 0 else 0
    return np.asarray(first != bool((epoch + pauses) % 2))


def _change_some(
    images: NDArray[np.uint8],
    count: int,
    share: slice,
    rate: float,
    draw: Callable[[tuple[int, ...], np.random.Generator], Callable[[NDArray[np.uint8]], NDArray[np.uint8]]],
    rng: np.random.Generator,
) -> None:
    """Change as many of a batch's images as the rate says, by what is drawn for each; a share of them is there."""
    for i in np.flatnonzero(rng.random(count) < rate):
        change = draw(images.shape[1:], rng)  # Also of others' images, since it draws.
        if share.start <= i < share.stop:
            images[i - share.start] = change(images[i - share.start])


def _crop(
    source: Canvases, chosen: NDArray[np.intp], share: slice, recipe: Recipe, rng: np.random.Generator
) -> NDArray[np.uint8]:
    places, size = rng.random((len(chosen), 2))[share], (recipe.height, recipe.width)
    if recipe.scales == (1.0, 1.0):
        return source.crop(chosen[share], places, size)
    # Twice as large is as likely as half as large.
    low, high = np.log(recipe.scales)
    scales = np.exp(rng.uniform(low, high, len(chosen)))[share]
    filters = [KERNELS[i] for i in rng.integers(len(KERNELS), size=len(chosen))][share]
    return source.crop_at_scales(chosen[share], places, size, scales, filters)


def _mix(
    images: NDArray[np.uint8], recipe: Recipe, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.intp], float]:
    """Return a batch of images, each mixed with another; which that is (b,); the share that each keeps of itself."""
    by_mixup, partners = rng.random() < 0.5, rng.permutation(len(images))
    if recipe.mixup and (by_mixup or not recipe.cutmix):
        kept = float(rng.beta(recipe.mixup, recipe.mixup))
        blended = np.float32(kept) * images + np.float32(1 - kept) * images[partners]
        return blended.round().astype(np.uint8), partners, kept
    height, width = images.shape[1:3]
    # As in the paper, of a box of that share around a random centre only what lies in the image counts.
    sides = np.sqrt(1 - rng.beta(recipe.cutmix, recipe.cutmix)) * np.array([height, width])
    centre = rng.random(2) * [height, width]
    top, left = np.maximum(0, np.round(centre - sides / 2)).astype(int)
    bottom, right = np.minimum([height, width], np.round(centre + sides / 2)).astype(int)
    mixed = images.copy()
    mixed[:, top:bottom, left:right] = images[partners, top:bottom, left:right]
    return mixed, partners, 1 - (bottom - top) * (right - left) / (height * width)


def _shift(images: NDArray[np.uint8], start: NDArray[np.intp], most: int) -> NDArray[np.uint8]:
    """Return the windows that begin at `start` (n, 2) of the images with a mirrored margin of `most` pixels."""
    # By index, since np.pad takes several times as long for a single image.
    rows, columns = (
        _mirrored(start[:, axis, None] - most + np.arange(side), side) for axis, side in enumerate(images.shape[1:3])
    )
    each = np.arange(len(images))[:, None, None]
    windows: NDArray[np.uint8] = images[each, rows[:, :, None], columns[:, None, :]]
    return windows


def _mirrored(places: NDArray[np.intp], side: int) -> NDArray[np.intp]:
    """Return the pixels, 0 to side - 1, at places on a line that goes on beyond either end as in a mirror."""
    period = max(1, 2 * (side - 1))
    return np.minimum(places % period, -places % period)
