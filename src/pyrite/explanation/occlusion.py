"""Occlusion (Zeiler and Fergus 2014): what a score loses when a part of the image is made neutral.

Neutral means the same image, blurred. A box of one colour would add edges, which a detector of generators' traces
notices. docs/explanation.md has the measurements behind this choice.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageFilter

from pyrite.bundle.preprocess import Pixels

Floats = NDArray[np.float64]
Score = Callable[[Iterable[Pixels]], Floats]
"""From n model inputs, each (height, width, 3), to their calibrated log-odds of AI (n,)."""

CELLS = 8
"""Cells on each side of the map; fewer if the model takes fewer pixels."""
_PATCH = 2  # cells a side
_BLUR = 1 / 16  # of the input's shorter side: the standard deviation


def make_neutral(pixels: Pixels) -> Pixels:
    """Return the model input (height, width, 3), blurred until no trace of a generator is left."""
    radius = min(pixels.shape[:2]) * _BLUR
    return np.asarray(PillowImage.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def replace(pixels: Pixels, fill: Pixels, gone: NDArray[np.bool_]) -> Pixels:
    """Return the model input with the cells in `gone` (rows, columns) replaced."""
    rows, columns = (np.arange(side) * cells // side for side, cells in zip(pixels.shape[:2], gone.shape, strict=True))
    return np.where(gone[rows[:, None], columns, None], fill, pixels)


def map_size(height: int, width: int) -> tuple[int, int]:
    """Return the rows and columns of the map for a model input of this size."""
    return min(CELLS, height), min(CELLS, width)


def count_patches(height: int, width: int) -> int:
    """Return how many images `occlude` scores."""
    return len(_patches(*map_size(height, width)))


def occlude(pixels: Pixels, fill: Pixels, score: Score, base: float) -> Floats:
    """Return how much each patch moves the log-odds towards AI, (patches,).

    Patches have 2 by 2 cells. One begins at each cell where it fits, row by row.

    Args:
        pixels: The model input (height, width, 3).
        fill: What replaces it, of the same shape.
        score: Of model inputs.
        base: The score of `pixels`.
    """
    rows, columns = map_size(*pixels.shape[:2])
    patches = _patches(rows, columns)

    def occluded() -> Iterator[Pixels]:
        for patch in patches:
            gone = np.zeros((rows, columns), np.bool_)
            gone[patch] = True
            yield replace(pixels, fill, gone)

    return base - score(occluded())


def make_map(values: Floats, height: int, width: int) -> Floats:
    """Return the map (rows, columns) for a model input of this size: a cell is the mean of the patches over it.

    Args:
        values: (patches,), as `occlude` gives them.
        height: In pixels.
        width: In pixels.
    """
    rows, columns = map_size(height, width)
    total, count = np.zeros((rows, columns)), np.zeros((rows, columns))
    for patch, value in zip(_patches(rows, columns), values.tolist(), strict=True):
        total[patch] += value
        count[patch] += 1
    return total / count


def _patches(rows: int, columns: int) -> list[tuple[slice, slice]]:
    height, width = min(_PATCH, rows), min(_PATCH, columns)
    return [
        (slice(y, y + height), slice(x, x + width))
        for y in range(rows - height + 1)
        for x in range(columns - width + 1)
    ]
