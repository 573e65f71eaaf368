"""What copies are looked for in, beside the image as a model takes it: without its border, and with more detail."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyrite.bundle.preprocess import Pixels, Resize
from pyrite.datasets.dataset import Dataset
from pyrite.datasets.decode import Progress, in_parallel
from pyrite.datasets.storage import Storage
from pyrite.errors import ImageError
from pyrite.image import open_image

Indices = NDArray[np.intp]

DETAILED = 64
"""Pixels a side of what is cropped: the middle half of each side is what images are compared at."""
_BORDER = 6
"""Of 255, how far a line may be from the border's colour on average and still be border: JPEG leaves ripples on it."""
_LEAST_BORDER = 1 / 64
"""Of a side: thinner ones, together, change next to nothing."""
_LEAST_PICTURE, _LEAST_PIXELS = 0.4, 16
"""Of a side, and a side's pixels: less is not the picture within a border, but a mark on a plain ground."""
_WHOLE = Resize(height=DETAILED, width=DETAILED)


@dataclass(frozen=True)
class Views:
    """What is compared of images that may have been changed."""

    bordered: Indices
    """(k,), images with a border of one colour on one side or more."""
    trimmed: Pixels
    """(k, side, side, 3), those without it."""
    detailed: Indices
    """(m,), images that crops are made of."""
    pixels: Pixels
    """(m, DETAILED, DETAILED, 3), those."""
    aspects: NDArray[np.float64]
    """(m,), their widths divided by their heights."""


def read_views(dataset: Dataset, side: int, detailed: Indices, progress: Progress | None = None) -> Views:
    """Read every image once, in parallel where there are many.

    Args:
        dataset: The images; those that cannot be read are in no view.
        side: Pixels a side of images without their border.
        detailed: Indices of the images to make crops of: all of them in memory, 12 KB each.
        progress: Called with how many are done.
    """
    wanted = np.zeros(len(dataset), np.bool_)
    wanted[detailed] = True
    parts: list[Views] = []
    done = 0
    for count, part in in_parallel(_view_chunk, dataset, side, wanted):
        parts.append(part)
        done += count
        if progress:
            progress(done, len(dataset))
    return Views(*(np.concatenate([vars(part)[name] for part in parts]) for name in vars(parts[0])))


def _view_chunk(
    storage: Storage, start: int, names: Sequence[str], side: int, wanted: NDArray[np.bool_]
) -> tuple[int, Views]:
    without_border = Resize(height=side, width=side)
    bordered, trimmed, detailed, pixels, aspects = [], [], [], [], []
    for index, name in enumerate(names, start):
        try:
            image = open_image(storage.read(name), at_least=_WHOLE.enough)
        except (OSError, ImageError):
            continue
        box = find_picture(image.pixels)
        if box is not None:
            bordered.append(index)
            left, top, right, bottom = box
            # Cut out first: a filter looks beyond a box, at the border.
            trimmed.append(without_border.apply(image.pixels[top:bottom, left:right])[0])
        if wanted[index]:
            detailed.append(index)
            pixels.append(_WHOLE.apply(image.pixels, image.box)[0])
            aspects.append(image.width / image.height)
    return len(names), Views(
        np.array(bordered, np.intp),
        np.array(trimmed, np.uint8).reshape(-1, side, side, 3),
        np.array(detailed, np.intp),
        np.array(pixels, np.uint8).reshape(-1, DETAILED, DETAILED, 3),
        np.array(aspects, np.float64),
    )


def find_picture(pixels: Pixels) -> tuple[int, int, int, int] | None:
    """Return the part of an image (height, width, 3) within its border, as left, top, right, bottom.

    A border is of one colour on each side that has it, as of a frame or a letterbox. `None` where there is none.
    """
    height, width = pixels.shape[:2]
    top, bottom = _thickness(pixels), _thickness(pixels[::-1])
    across = pixels[top : max(top, height - bottom)].swapaxes(0, 1)
    left, right = _thickness(across), _thickness(across[::-1])
    kept = [(height - top - bottom, height), (width - left - right, width)]
    if any(inner < max(_LEAST_PICTURE * outer, _LEAST_PIXELS) for inner, outer in kept):
        return None
    if all(outer - inner < _LEAST_BORDER * outer for inner, outer in kept):
        return None
    return left, top, width - right, height - bottom


def _thickness(lines: Pixels) -> int:
    """Return how many of the first lines (n, length, 3) are of one colour, more than half of all at most."""
    if not lines.size:
        return 0
    colour = np.median(lines[0], axis=0)
    for k, line in enumerate(lines):
        if k > len(lines) / 2 or np.abs(line - colour).mean() > _BORDER:
            return k
    return len(lines)
