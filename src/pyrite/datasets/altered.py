"""Copies that were mirrored, framed or cropped, which a comparison of whole images does not see."""

from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from pyrite.bundle.preprocess import Pixels
from pyrite.datasets.decode import Progress
from pyrite.datasets.duplicates import Pairs, cell_units, join_pairs, make_pairs, measure_likeness, search
from pyrite.datasets.views import Views

Indices = NDArray[np.intp]
Floats = NDArray[np.float32]

LEAST_KEPT = 0.5
"""Of the width and the height that a crop keeps: smaller ones are not looked for."""
MAX_CROPPED = 10_000
"""Images among which crops are looked for: each is compared with a dozen crops of every other."""
_STEP = 1.12
"""Between the sizes of crops that are compared: cells within 6% of the right size are still alike."""
_FINER = (0.95, 0.975, 1.0, 1.025, 1.05)
"""Of such a size: details must be within some 3% of it to be alike."""
_MAX_CANDIDATES = 50_000  # pairs of each size whose details are looked at, at some 2,000 a second.


def find_mirrored(pixels: Pixels, chosen: Indices, progress: Progress | None = None) -> Pairs:
    """Return the pairs among `chosen` of which one is the other mirrored, left to right: see `find_near_copies`."""
    mirrored = pixels[:, :, ::-1]

    def judge(i: Indices, j: Indices) -> Floats:
        return measure_likeness(pixels[chosen[i]], mirrored[chosen[j]], strict=True)

    i, j, likeness, complete = search(
        cell_units(pixels, chosen), cell_units(mirrored, chosen), judge, upper=True, progress=progress
    )
    return make_pairs(chosen[i], chosen[j], likeness, complete)


def find_bordered(pixels: Pixels, chosen: Indices, views: Views, progress: Progress | None = None) -> Pairs:
    """Return the pairs among `chosen` that are alike once the border of one or of both is taken away."""
    places = np.flatnonzero(np.isin(views.bordered, chosen))
    framed = views.bordered[places]
    inside = cell_units(views.trimmed, places)

    def judge_whole(i: Indices, j: Indices) -> Floats:
        likeness = measure_likeness(views.trimmed[places[i]], pixels[chosen[j]], strict=True)
        return np.where(framed[i] == chosen[j], np.float32(0), likeness)

    def judge_inside(i: Indices, j: Indices) -> Floats:
        return measure_likeness(views.trimmed[places[i]], views.trimmed[places[j]], strict=True)

    # Each of those with a border against all images as they are, then against each other's pictures.
    i, j, likeness, complete = search(inside, cell_units(pixels, chosen), judge_whole, upper=False, progress=progress)
    found = make_pairs(framed[i], chosen[j], likeness, complete)
    i, j, likeness, complete = search(inside, inside, judge_inside, upper=True)
    return join_pairs(found, make_pairs(framed[i], framed[j], likeness, complete))


def find_cropped(pixels: Pixels, chosen: Indices, views: Views, progress: Progress | None = None) -> Pairs:
    """Return the pairs among `chosen` of which one is the middle of the other.

    A crop has the shape of its original or is square, and keeps `LEAST_KEPT` of each side or more; of the shorter
    side, if it is square.

    Args:
        pixels: (n, side, side, 3), the images as a whole.
        chosen: (m,), indices of the images to compare.
        views: Of at most `MAX_CROPPED` images in detail: only those are compared.
        progress: Called with the comparisons done, as a number of crops of all images, and how many there are.
    """
    places = np.flatnonzero(np.isin(views.detailed, chosen))
    images, aspects = views.detailed[places], views.aspects[places]
    whole = cell_units(pixels, images)
    side = pixels.shape[1]
    oblong = np.flatnonzero(np.abs(np.log(aspects)) > np.log(_STEP) / 4)

    def judge(some: Indices, shares: NDArray[np.float64], i: Indices, j: Indices) -> Floats:
        best = np.zeros(len(i), np.float32)
        apart = np.flatnonzero(i != some[j])
        i, j = i[apart], j[apart]
        for finer in _FINER:
            crops = _crop(views.pixels, places[some[j]], np.minimum(finer * shares[j], 1), side)
            best[apart] = np.maximum(best[apart], measure_likeness(pixels[images[i]], crops, strict=True))
        return best

    plans = [(np.arange(len(images)), False, size) for size in _sizes(1 / _STEP**0.5)]
    plans += [(oblong, True, size) for size in _sizes(1)]
    found = []
    for done, (some, square, size) in enumerate(plans):
        shares = _shares(aspects[some], square=square)
        crops = _crop(views.pixels, places[some], size * shares, side)
        units = cell_units(crops, np.arange(len(some)))

        i, j, likeness, complete = search(
            whole, units, partial(judge, some, size * shares), upper=False, most=_MAX_CANDIDATES
        )
        found.append(make_pairs(images[i], images[some[j]], likeness, complete))
        if progress:
            progress(done + 1, len(plans))
    return join_pairs(*found)


def without(pairs: Pairs, *others: Pairs) -> Pairs:
    """Return the pairs that are in none of the others."""
    known = {pair for other in others for pair in zip(other.first.tolist(), other.second.tolist(), strict=True)}
    these = zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)
    new = np.array([pair not in known for pair in these], np.bool_)
    return Pairs(pairs.first[new], pairs.second[new], pairs.likeness[new], pairs.complete)


def _sizes(largest: float) -> list[float]:
    """Return shares of a side, each as far from the next as crops may be to be told, down to the least."""
    sizes = [largest]
    while sizes[-1] / _STEP**0.5 > LEAST_KEPT:
        sizes.append(sizes[-1] / _STEP)
    return sizes


def _shares(aspects: NDArray[np.float64], *, square: bool) -> NDArray[np.float64]:
    """Return (n, 2), the largest part of each image's width and height with the image's shape, or that is square."""
    if not square:
        return np.ones((len(aspects), 2))
    return np.stack([np.minimum(1, 1 / aspects), np.minimum(1, aspects)], axis=1)


def _crop(pixels: Pixels, places: Indices, shares: NDArray[np.float64], side: int) -> Pixels:
    """Return the middles (k, side, side, 3) of some images (n, height, width, 3), each of its shares (k, 2)."""
    crops = np.empty((len(places), side, side, 3), np.uint8)
    height, width = pixels.shape[1:3]
    for crop, place, (across, down) in zip(crops, places, shares, strict=True):
        left, top = width * (1 - across) / 2, height * (1 - down) / 2
        box = (left, top, width - left, height - top)
        picture = PillowImage.fromarray(pixels[place])
        crop[:] = np.asarray(picture.resize((side, side), PillowImage.Resampling.BILINEAR, box))
    return crops
