"""Copies within a dataset: files of the same bytes, and images that show the same but for next to nothing."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyrite.bundle.preprocess import Pixels
from pyrite.datasets.decode import Progress

Indices = NDArray[np.intp]
Floats = NDArray[np.float32]

NEAR_CELLS = 0.9
"""How far the averages of two images' cells must correlate for the details to be looked at."""
NEAR_DETAILS = 0.8
"""How far the details must correlate for two images to count as near copies. On CIFAKE no real image is so near to
an AI one, and at 0.7 some seas and skies are."""
NEAR_FINEST = 0.35
"""How far the details without the slopes of the cells must correlate too: two clear skies have a slope in common, and
nothing else. On CIFAKE, the pairs below it are different seas, and of re-saved and resized images hardly any is."""
STRICT_FINEST, STRICT_REST = 0.5, 0.6
"""The same for copies that were mirrored, framed or cropped, since there are many more ways to be alike by chance; and
how far what is left without the means of rows and columns must correlate, for horizons are in nothing else. Of crops of
photographs, saved anew and a little off their size, 99% have 0.73 and 0.81 or more; of different pictures of 20,000 of
CIFAKE, which were alike in detail, none had both of these."""
MAX_PAIRS = 100_000
"""After so many the search ends: the dataset is one of video frames, say, and needs no more proof."""
_MAX_CANDIDATES = 2_000_000  # The same for pairs whose details were looked at, at some 10,000 a second.
_CELL = 4  # pixels a side
_ROWS, _COLUMNS = 1024, 8192  # compared at a time
_PART = 2048  # images or pairs in memory at a time
_FLAT = 0.5  # of 255, root mean square: less than that is no picture, or no detail.


@dataclass(frozen=True)
class Pairs:
    """Pairs of images, as indices into the dataset, the more alike first."""

    first: Indices
    """(k,)."""
    second: Indices
    """(k,), each greater than its first."""
    likeness: Floats
    """(k,), the correlation of their details, `NEAR_DETAILS` to 1."""
    complete: bool = True
    """Whether these are all there are."""


def find_copies(hashes: Sequence[str]) -> list[Indices]:
    """Return the groups of files with the same bytes, as rising indices, each of at least two.

    Args:
        hashes: (n,), of each file's bytes, empty where it could not be read: such are in no group.
    """
    groups: dict[str, list[int]] = {}
    for i, value in enumerate(hashes):
        if value:
            groups.setdefault(value, []).append(i)
    return [np.array(group, np.intp) for group in groups.values() if len(group) > 1]


def find_near_copies(pixels: Pixels, chosen: Indices, progress: Progress | None = None) -> Pairs:
    """Return the pairs among `chosen` that are alike both as a whole and in detail.

    Every image is compared with every other. The averages of its cells of 4 × 4 pixels, less the image's mean, must
    correlate by `NEAR_CELLS`; and so must what is left within the cells by `NEAR_DETAILS`, which tells a copy from
    another picture of sea and sky. Where that is mostly the slope of each cell, as in a clear sky, the rest must
    correlate as well, by `NEAR_FINEST`. None of these minds brightness and contrast, and re-saving and slight blur
    leave them high; mirrored, bordered and cropped copies are for `altered`, turned ones are not found, and flat and
    perfectly smooth images are not compared.

    Args:
        pixels: (n, height, width, 3), 0 to 255; both sides a multiple of 4.
        chosen: (m,), indices of the images to compare.
        progress: called with the comparisons done, as a number of images, and with m.
    """
    units = cell_units(pixels, chosen)

    def judge(i: Indices, j: Indices) -> Floats:
        return measure_likeness(pixels[chosen[i]], pixels[chosen[j]])

    i, j, likeness, complete = search(units, units, judge, upper=True, progress=progress)
    return make_pairs(chosen[i], chosen[j], likeness, complete)


def search(
    rows: Floats,
    columns: Floats,
    judge: Callable[[Indices, Indices], Floats],
    *,
    upper: bool,
    most: int = _MAX_CANDIDATES,
    progress: Progress | None = None,
) -> tuple[Indices, Indices, Floats, bool]:
    """Compare every row with every column, and return places in both, their likeness, and whether these are all.

    Args:
        rows: (m, k), the unit vectors of `cell_units`.
        columns: (n, k).
        judge: gives the likeness of some rows and columns whose cells are alike, 0 for what is no copy.
        upper: compare a row with later columns alone, where both are the same images.
        most: pairs to be judged, after which the search ends.
        progress: called with the comparisons done, as a number of rows, and with m.
    """
    nothing = np.empty(0, np.intp)
    found = [(nothing, nothing, np.empty(0, np.float32))]
    pairs = candidates = 0
    complete = True
    for top in range(0, len(rows), _ROWS):
        for left in range(top if upper else 0, len(columns), _COLUMNS):
            i, j = np.nonzero(rows[top : top + _ROWS] @ columns[left : left + _COLUMNS].T >= NEAR_CELLS)
            i, j = i + top, j + left
            if upper:
                i, j = i[i < j], j[i < j]
            for part in _parts(np.arange(len(i)), _PART):
                if pairs >= MAX_PAIRS or candidates >= most:
                    complete = False
                    break
                likeness = judge(i[part], j[part])
                near = np.flatnonzero(likeness)
                found.append((i[part][near], j[part][near], likeness[near]))
                pairs, candidates = pairs + len(near), candidates + len(part)
        if not complete:
            break
        if progress:
            left_over = max(0, len(rows) - top - _ROWS) / len(rows)
            progress(round(len(rows) * (1 - left_over ** (2 if upper else 1))), len(rows))
    i, j, likeness = (np.concatenate(part) for part in zip(*found, strict=True))
    return i, j, likeness, complete


def measure_likeness(first: Pixels, second: Pixels, *, strict: bool = False) -> Floats:
    """Return how far the details of (n, height, width, 3) images correlate with those of others, 0 for no copies.

    With `strict`, finest details must correlate by `STRICT_FINEST`, and what is left without lines by `STRICT_REST`.
    """
    likeness = _correlate(_details(first), _details(second))
    near = np.flatnonzero(likeness >= NEAR_DETAILS)
    least = STRICT_FINEST if strict else NEAR_FINEST
    near = near[_correlate(_finest(first[near]), _finest(second[near])) >= least]
    if strict:
        near = near[_correlate(_without_lines(first[near]), _without_lines(second[near])) >= STRICT_REST]
    found = np.zeros(len(likeness), np.float32)
    found[near] = np.minimum(likeness[near], 1)
    return found


def cell_units(pixels: Pixels, chosen: Indices) -> Floats:
    """Return what `search` compares of some images, (m, k)."""
    cells = [_cells(pixels[part]) for part in _parts(chosen, _PART)]
    return np.concatenate(cells) if cells else np.empty((0, 1), np.float32)


def make_pairs(one: Indices, other: Indices, likeness: Floats, complete: bool) -> Pairs:
    """Return pairs of images in order, each once, at the greatest likeness that it was found with."""
    first, second = np.minimum(one, other), np.maximum(one, other)
    order = np.lexsort((second, first, -likeness))
    _, once = np.unique(np.stack([first, second])[:, order], axis=1, return_index=True)
    order = order[np.sort(once)]
    return Pairs(first[order], second[order], likeness[order], complete)


def join_pairs(*several: Pairs) -> Pairs:
    """Return all pairs of several searches, each once."""
    return make_pairs(
        np.concatenate([pairs.first for pairs in several]),
        np.concatenate([pairs.second for pairs in several]),
        np.concatenate([pairs.likeness for pairs in several]),
        all(pairs.complete for pairs in several),
    )


def cluster(count: int, groups: Sequence[Indices], pairs: Pairs) -> Indices:
    """Return a number for each of `count` images, the same for those that copies, identical or near, connect."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first = np.concatenate([pairs.first, *(group[:-1] for group in groups)])
    second = np.concatenate([pairs.second, *(group[1:] for group in groups)])
    graph = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], np.intp)


def _parts(indices: Indices, size: int) -> list[Indices]:
    return [indices[start : start + size] for start in range(0, len(indices), size)]


def _cells(images: Pixels) -> Floats:
    """Return the averages of each image's cells, less their mean in each channel, as unit vectors."""
    averages = _blocks(images).mean(axis=(2, 4))
    return _units(averages - averages.mean(axis=(1, 2), keepdims=True))


def _details(images: Pixels) -> Floats:
    """Return what is left of each image without the averages of its cells, as unit vectors."""
    blocks = _blocks(images)
    return _units(blocks - blocks.mean(axis=(2, 4), keepdims=True))


def _finest(images: Pixels) -> Floats:
    """Return what is left of each image without the plane that fits each cell best, as unit vectors."""
    blocks = _blocks(images)
    blocks -= blocks.mean(axis=(2, 4), keepdims=True)
    along = np.arange(_CELL, dtype=np.float32) - (_CELL - 1) / 2
    for axis in (along[:, None, None, None], along[:, None]):
        blocks -= (blocks * axis).sum(axis=(2, 4), keepdims=True) / (_CELL * np.sum(along**2)) * axis
    return _units(blocks)


def _without_lines(images: Pixels) -> Floats:
    """Return the details of each image that are left without the means of its rows and columns, as unit vectors."""
    values = images.astype(np.float32)
    rest = values - values.mean(axis=2, keepdims=True) - values.mean(axis=1, keepdims=True)
    blocks = _blocks(rest)
    return _units(blocks - blocks.mean(axis=(2, 4), keepdims=True))


def _correlate(first: Floats, second: Floats) -> Floats:
    return np.asarray(np.einsum("nd,nd->n", first, second), np.float32)


def _blocks(images: Pixels | Floats) -> Floats:
    n, height, width, _ = images.shape
    return images.reshape(n, height // _CELL, _CELL, width // _CELL, _CELL, 3).astype(np.float32)


def _units(values: Floats) -> Floats:
    """Return (n, k) vectors of length 1, or 0 where there is next to nothing."""
    rows = values.reshape(len(values), math.prod(values.shape[1:]))  # -1 would not do for no images.
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    flat = lengths < _FLAT * np.sqrt(rows.shape[1])
    return np.asarray(np.where(flat, 0, rows / np.where(flat, 1, lengths)), np.float32)
