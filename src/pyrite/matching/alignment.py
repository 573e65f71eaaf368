"""A reconstruction with as much detail of each fineness as its view has.

An autoencoder smooths, and that is what a pair would teach first: but what generators make is not smoother than
photographs. So each reconstruction gets its view's power at each spatial frequency, whatever the direction; what the
decoder does within a frequency, such as a grid that it leaves, stays. Chen et al. 2025 align reconstructions in the
frequency domain too ("Dual Data Alignment Makes AI-Generated Image Detector Easier Generalizable").
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
_BANDS = 48
"""From 0 to the highest frequency, that of the corners."""
_QUIETEST = 1e-6  # Added to each power, so that bands without any, as of a flat image, stay as they are.


def align_power(reconstruction: Pixels, view: Pixels) -> Pixels:
    """Return a reconstruction whose mean power in each band of spatial frequency is that of its view.

    Each channel is aligned by itself, and keeps its mean.

    Args:
        reconstruction: (height, width, 3), 0 to 255.
        view: The same.
    """
    band, places, counts = _bands(*view.shape[:2])
    made, real = (np.fft.rfft2(image.astype(np.float32), axes=(0, 1)) for image in (reconstruction, view))
    for channel in range(3):
        powers = (
            np.bincount(band, (np.abs(spectrum[..., channel]) ** 2).ravel(), _BANDS) / counts
            for spectrum in (real, made)
        )
        wanted, found = powers
        gains = np.interp(places, np.arange(_BANDS), np.sqrt((wanted + _QUIETEST) / (found + _QUIETEST)))
        gains[0, 0] = 1
        made[..., channel] *= gains
    aligned = np.fft.irfft2(made, s=view.shape[:2], axes=(0, 1))
    return np.clip(np.rint(aligned), 0, 255).astype(np.uint8)


@lru_cache(maxsize=64)
def _bands(height: int, width: int) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """Return each frequency's band, its place among the bands' middles, and how many each band has, at least 1."""
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)) / np.hypot(0.5, 0.5)
    band = np.minimum((radius * _BANDS).astype(np.intp), _BANDS - 1).ravel()
    counts = np.maximum(np.bincount(band, minlength=_BANDS), 1).astype(np.float64)
    return band, radius * _BANDS - 0.5, counts
