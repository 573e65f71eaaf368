"""Images of one kind, and a bundle that tells what is unlike them."""

import numpy as np
from numpy.typing import NDArray

from pyrite.bundle import NOVELTY, Bundle, write_novelty
from pyrite.bundle.novelty import measure_statistics
from pyrite.publishing.novelty import fit_novelty


def textures(count: int, *, seed: int = 0, side: int = 32) -> NDArray[np.uint8]:
    """Return colourful noise of any brightness, (count, side, side, 3)."""
    rng = np.random.default_rng(seed)
    base = rng.uniform(40, 215, (count, 1, 1, 3))
    return np.clip(base + rng.normal(0, 25, (count, side, side, 3)), 0, 255).astype(np.uint8)


def bordered(images: NDArray[np.uint8], width: int = 4) -> NDArray[np.uint8]:
    """Return the images with their outermost pixels black."""
    framed = np.zeros_like(images)
    framed[:, width:-width, width:-width] = images[:, width:-width, width:-width]
    return framed


def wary(bundle: Bundle, count: int = 400) -> Bundle:
    """Return a bundle that calls what is unlike `textures` foreign."""
    images = textures(count)
    looks = {"as they are": (measure_statistics(images), None)}
    novelty = fit_novelty(looks, np.arange(count) % 2, seed=0)
    return Bundle(bundle.info, {**bundle.files, NOVELTY: write_novelty(novelty)}, None)
