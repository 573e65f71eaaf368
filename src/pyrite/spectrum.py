"""The radial power spectrum: how much detail of which fineness an image has, whatever it shows.

Up-sampling and the filters of cameras and of resizing leave their mark here (Durall et al. 2020).
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from pyrite.bundle.preprocess import Pixels

Floats = NDArray[np.float64]

BANDS = 16
"""Of equal width, from 0 to the Nyquist frequency (half a cycle per pixel)."""
_LARGEST = 256  # pixels a side of the square that is looked at
_QUIETEST = 1e-9  # Of a flat image, whose logarithm would not be finite.


def luma(pixels: Pixels) -> NDArray[np.float32]:
    """Return the brightness (height, width), 0 to 1, by the weights of ITU-R BT.601."""
    return np.asarray(PillowImage.fromarray(pixels).convert("L"), np.float32) / np.float32(255)


def radial_spectrum(brightness: NDArray[np.float32]) -> Floats:
    """Return the natural logarithm of the mean power in each band, (BANDS,).

    It is of the central square, at most 256 pixels a side, under a Hann window: opposite edges of a picture
    do not meet, and the step would look like detail. A band that so few pixels leave empty is that of its neighbour.

    Args:
        brightness: (height, width), 0 to 1.
    """
    side = min(*brightness.shape, _LARGEST)
    top, left = ((length - side) // 2 for length in brightness.shape)
    square = brightness[top : top + side, left : left + side]
    window = np.hanning(side + 2)[1:-1]
    power = np.abs(np.fft.rfft2((square - square.mean()) * window[:, None] * window)) ** 2 / side**2
    band, weight, total = _bands(side)
    sums = np.bincount(band, (power * weight).ravel(), BANDS + 1)[:BANDS]
    return np.log(
        np.interp(np.arange(BANDS), np.flatnonzero(total), (sums / np.maximum(total, 1))[total > 0]) + _QUIETEST
    )


@lru_cache(maxsize=64)
def _bands(side: int) -> tuple[NDArray[np.intp], Floats, Floats]:
    """Return each frequency's band, its weight in (side, side // 2 + 1), and each band's weight in all.

    Those in the corners, beyond Nyquist, come to lie in one band more than there are.
    """
    vertical, horizontal = np.fft.fftfreq(side), np.fft.rfftfreq(side)
    radius = np.hypot(vertical[:, None], horizontal)
    band = np.minimum((radius * 2 * BANDS).astype(np.intp), BANDS)
    # The real transform has one of each pair of conjugates, but for those that are their own.
    weight = np.broadcast_to(np.where((horizontal == 0) | (horizontal == 0.5), 1.0, 2.0), radius.shape)
    total = np.asarray(np.bincount(band.ravel(), weight.ravel(), BANDS + 1)[:BANDS], np.float64)
    return band.ravel(), np.asarray(weight, np.float64), total
