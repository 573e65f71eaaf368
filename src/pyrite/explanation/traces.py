"""What saving and editing leave in pixels, as maps of 16 × 16 pixel cells: error levels, noise and JPEG ghosts.

None of them decides anything: texture and light affect them more than most edits do.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from pyrite.bundle.preprocess import Pixels
from pyrite.evidence.compression import COSINES, scale_table

Levels = NDArray[np.float32]
CELL = 16
"""Pixels on each side of a cell: four JPEG blocks, and Farid's window."""
MOST = 12_500_000
"""About how many pixels of an image are measured; of larger images, cells at equal distances."""
DIP = 0.6
"""How far a ghost's cells dip: their change is below that at the qualities around by a factor of 2 ** 0.6 = 1.5."""
SHARE = 0.02
"""The share of cells that must dip for a ghost."""
FALSE_ALARMS = (10, 745)
"""How many images show a ghost although they were saved as JPEG once or never, and of how many: 149 photographs at
half their size, at qualities 70, 80, 90 and 95 (6, 4, 0 and 0), and without compression (0)."""

_QUALITIES = range(40, 95)
_AROUND = 6  # qualities to either side that a dip is measured against
_SEARCHED = 1_000_000  # pixels, about, that are searched for the quality of a ghost
_STRIP = 1 << 16  # pixels that are worked on at a time: they fit a processor's cache
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_ROUNDING = 0.5  # What rounding pixels does to a mean squared difference, about: smaller ones tell nothing.


def thin(pixels: Pixels, most: int = MOST) -> tuple[Pixels, tuple[int, int]]:
    """Return an image's whole cells; of a large image, only so many that they have at most about `most` pixels.

    Args:
        pixels: (rows, columns, 3), as they lie in the file: cells are counted from the top left, as JPEG's blocks are.
        most: Pixels.

    Returns:
        The cells that are left, put together as an image; and by how many cells they were apart, down and across.
    """
    rows, columns = (side // CELL for side in pixels.shape[:2])
    down = across = apart = 1
    while (rows // down) * (columns // across) * CELL**2 > most:
        apart += 1
        down, across = min(apart, rows), min(apart, columns)  # A strip of few rows keeps one.
    rows, columns = rows // down, columns // across
    cells = pixels[: rows * down * CELL, : columns * across * CELL]
    if apart > 1:
        cells = cells.reshape(rows, down, CELL, columns, across, CELL, 3)[:, 0, :, :, 0]
    return np.ascontiguousarray(cells).reshape(rows * CELL, columns * CELL, 3), (down, across)


def error_levels(pixels: Pixels, quality: int = 95) -> Levels:
    """Return how much each cell changes when the image is saved as JPEG once more: mean absolute difference.

    Source: N. Krawetz, "A Picture's Worth: Digital Image Analysis and Forensics", Black Hat 2007: error level analysis.

    Args:
        pixels: (rows, columns, 3), 0 to 255, of whole cells.
        quality: Of that save, 1 to 100, with libjpeg's tables and colours in full.

    Returns:
        (rows / 16, columns / 16), 0 to 255.
    """
    stream = io.BytesIO()
    PillowImage.fromarray(pixels).save(stream, "JPEG", quality=quality, subsampling=0)
    with PillowImage.open(stream) as image:
        again = np.asarray(image)
    levels = _empty(pixels)
    for strip, out in _strips(pixels, levels):
        changes = np.abs(strip.astype(np.int16) - again[: len(strip)])
        again = again[len(strip) :]
        columns = changes.reshape(len(out), CELL, -1).sum(1, dtype=np.int32)
        out[...] = columns.reshape(*out.shape, 3 * CELL).mean(2) / CELL
    return levels


def noise_levels(pixels: Pixels) -> Levels:
    """Return the standard deviation of each cell's noise: median |HH| / 0.6745.

    HH are the diagonal details of brightness at the finest scale of a Haar wavelet, (a - b - c + d) / 2 of each
    2 × 2 pixels. Their median is moved little by edges.
    Sources: D. L. Donoho and I. M. Johnstone, "Ideal spatial adaptation by wavelet shrinkage", Biometrika 1994, for the
    estimate; B. Mahdian and S. Saic, "Using noise inconsistencies for blind image forensics", Image and Vision
    Computing 2009, for its use by blocks.

    Args:
        pixels: (rows, columns, 3), 0 to 255, of whole cells.

    Returns:
        (rows / 16, columns / 16), 0 and up, in units of 255 to full brightness.
    """
    levels = _empty(pixels)
    for strip, out in _strips(pixels, levels):
        light = strip @ _LUMA
        details = np.abs(light[::2, ::2] - light[1::2, ::2] - light[::2, 1::2] + light[1::2, 1::2]) / 2
        half = CELL // 2
        cells = details.reshape(len(out), half, -1, half).swapaxes(1, 2).reshape(*out.shape, half**2)
        out[...] = np.median(cells, axis=2) / 0.6745
    return levels


def requantise(pixels: Pixels, qualities: Sequence[int]) -> Levels:
    """Return how much a save as JPEG at each quality would change each cell's brightness: mean squared difference.

    It is measured on the coefficients: by Parseval's theorem that is the difference of pixels, except for rounding.
    The mean of a block is left out: in smooth parts, it is a multiple of some step by chance.
    Source: H. Farid, "Exposing digital forgeries from JPEG ghosts", IEEE Transactions on Information Forensics and
    Security 2009, of brightness alone.

    Args:
        pixels: (rows, columns, 3), 0 to 255, of whole cells.
        qualities: Of libjpeg, 1 to 100.

    Returns:
        (qualities, rows / 16, columns / 16), 0 and up.
    """
    width = pixels.shape[1]
    tables = [np.tile(scale_table(quality).astype(np.float32), width // 8) for quality in qualities]
    inverses = [1 / table for table in tables]
    cosines = COSINES.astype(np.float32)
    levels = np.stack([_empty(pixels)] * len(tables), axis=1)
    for strip, out in _strips(pixels, levels):
        light = strip @ _LUMA - 128
        blocks = ((cosines @ light.reshape(-1, 8, width)).reshape(-1, 8) @ cosines.T).reshape(-1, 8, width)
        blocks[:, 0, ::8] = 0
        rest, whole = np.empty_like(blocks), np.empty_like(blocks)
        for i, (table, inverse) in enumerate(zip(tables, inverses, strict=True)):
            np.multiply(blocks, inverse, out=rest)
            rest -= np.rint(rest, out=whole)
            rest *= table
            rest *= rest
            columns = rest.reshape(len(out), CELL, width).sum(1)
            out[:, i] = columns.reshape(len(out), -1, CELL).sum(2) / CELL**2
    return levels.swapaxes(0, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Ghost:
    """Where an image looks as if it was saved as JPEG before, at another quality than the last time."""

    quality: int
    """Of libjpeg, about."""
    dips: Levels
    """(rows / 16, columns / 16), 0 and up: the binary logarithm of how far a cell's change at this quality is below
    that at the qualities around. Not a number where a cell is too smooth to tell."""
    share: float
    """Of the cells, that dip by `DIP` or more."""


def find_ghost(pixels: Pixels, last: int | None = None) -> Ghost | None:
    """Return the strongest ghost, or `None` if no quality has one.

    Coefficients that were rounded to multiples of a step lose little when rounded to them again, so that the
    difference, which otherwise falls with each higher quality, dips at an earlier one (Farid 2009, section II). Each
    quality is compared with those 6 below and above, over 3 × 3 cells.

    Args:
        pixels: (rows, columns, 3), 0 to 255, of whole cells.
        last: The quality of the file itself, which everything dips at; `None` where it is no JPEG.
    """
    qualities = [quality for quality in _QUALITIES if last is None or quality <= last - _AROUND]
    if not qualities:
        return None
    few, _ = thin(pixels, _SEARCHED)
    changes = requantise(few, range(qualities[0] - _AROUND, qualities[-1] + _AROUND + 1))
    shares = [float((_dips(*changes[[i, i + _AROUND, i + 2 * _AROUND]]) >= DIP).mean()) for i in range(len(qualities))]
    quality = qualities[int(np.argmax(shares))]
    below, at, above = requantise(pixels, (quality - _AROUND, quality, quality + _AROUND))
    dips = _dips(below, at, above)
    share = float((dips >= DIP).mean())
    if share < SHARE:
        return None
    dips[(below < _ROUNDING) & (dips < DIP)] = np.nan
    return Ghost(quality, dips, share)


def _dips(below: Levels, at: Levels, above: Levels) -> Levels:
    """Return how far the change at one quality is below the changes at two qualities around it, over 3 × 3 cells."""
    below, at, above = (np.log2(level + _ROUNDING) for level in (below, at, above))
    dips = np.pad((below + above) / 2 - at, 1, mode="edge")
    rows, columns = at.shape
    smooth = sum(dips[i : i + rows, j : j + columns] for i in range(3) for j in range(3)) / np.float32(9)
    return np.maximum(smooth, 0)


def _empty(pixels: Pixels) -> Levels:
    return np.empty((pixels.shape[0] // CELL, pixels.shape[1] // CELL), np.float32)


def _strips(pixels: Pixels, levels: Levels) -> Iterator[tuple[Pixels, Levels]]:
    """Yield strips of cells, and where to write what is found in them."""
    rows = max(1, _STRIP // (CELL * max(1, pixels.shape[1])))
    for top in range(0, len(levels), rows):
        yield pixels[top * CELL : (top + rows) * CELL], levels[top : top + rows]
