"""Augmentation of photographs for training: one chain of what happens to images on their way, for both classes alike.

Each step of `CHAIN` comes to a share of the images, in the order of life: geometry, then tone and noise, then a
screenshot, then one or two files. Its strength is drawn anew for each. To add a step: a function that draws one here,
its line in `CHAIN`, and its share in the recipe.
"""

import io
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageEnhance, JpegPresets

from pyrite.bundle.preprocess import Pixels
from pyrite.datasets.degrade import KERNELS, History, add_noise, blur, change_gamma, resample

Step = Callable[[Pixels], Pixels]

_GRID = 16  # pixels of a JPEG's blocks with their colour; WebP's are as large
_JPEG_QUALITY, _WEBP_QUALITY = (30, 100), (30, 100)
_SUBSAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")
_PHOTOSHOP = tuple(sorted(set(JpegPresets.presets) - {"keep"}))
_PHOTOSHOP_SHARE = 0.2


def augmentation_at_random(shares: Mapping[str, float], rng: np.random.Generator) -> History:
    """Draw what happens to one image, without doing it; `degrade.degrade` does.

    Args:
        shares: For each name in `CHAIN`, the share of images that it comes to, 0 to 1.
        rng: Draws the same numbers for the same image, whatever machine does the work.
    """
    chosen = rng.random(len(CHAIN))
    return [draw(rng) for (name, draw), value in zip(CHAIN.items(), chosen, strict=True) if value < shares[name]]


def _resize(rng: np.random.Generator) -> Step:
    """To 50 to 100% of each side by one filter of Pillow's, and back by another."""
    down, up = (KERNELS[i] for i in rng.integers(len(KERNELS), size=2))
    return partial(resample, share=float(rng.uniform(0.5, 1)), down=down, up=up)


def _colour(rng: np.random.Generator) -> Step:
    """Brightness by a gamma of 0.6 to 1.65; contrast and saturation of 60 to 140%."""
    gamma = float(np.exp(rng.uniform(-0.5, 0.5)))
    contrast, saturation = (float(value) for value in rng.uniform(0.6, 1.4, 2))
    return partial(_change_colour, gamma=gamma, contrast=contrast, saturation=saturation, rng=rng)


def _blur(rng: np.random.Generator) -> Step:
    """Gaussian, with σ of 0.3 to 2 pixels."""
    return partial(blur, sigma=float(rng.uniform(0.3, 2)), _rng=rng)


def _noise(rng: np.random.Generator) -> Step:
    """White and Gaussian, with σ of 1 to 12 of 255."""
    sigma, seed = float(rng.uniform(1, 12)), int(rng.integers(2**63))
    return lambda pixels: add_noise(pixels, sigma, np.random.default_rng(seed))


def _screenshot(rng: np.random.Generator) -> Step:
    """Shown on a screen: resized into 60 to 95% of each side, with a plain border of one colour around it."""
    share = float(rng.uniform(0.6, 0.95))
    top, left = (float(value) for value in rng.random(2))
    # Most screens and pages are black, white or grey.
    colour = rng.integers(0, 256, 3) if rng.random() < 0.3 else np.repeat(rng.choice([0, 18, 32, 128, 245, 255]), 3)
    kernel = KERNELS[rng.integers(len(KERNELS))]
    return partial(_frame, share=share, top=top, left=left, colour=colour.astype(np.uint8), kernel=kernel)


def _jpeg(rng: np.random.Generator) -> Step:
    """As libjpeg saves, of quality 30 to 100, with or without subsampling of colours; a fifth by Photoshop's tables."""
    if rng.random() < _PHOTOSHOP_SHARE:
        settings: dict[str, object] = {"quality": _PHOTOSHOP[rng.integers(len(_PHOTOSHOP))]}
    else:
        low, high = _JPEG_QUALITY
        subsampling = _SUBSAMPLINGS[rng.integers(len(_SUBSAMPLINGS))]
        settings = {"quality": int(rng.integers(low, high + 1)), "subsampling": subsampling}
    return _file("JPEG", rng, settings)


def _webp(rng: np.random.Generator) -> Step:
    """As libwebp saves with loss, of quality 30 to 100."""
    low, high = _WEBP_QUALITY
    return _file("WEBP", rng, {"quality": int(rng.integers(low, high + 1)), "method": 2})


CHAIN: dict[str, Callable[[np.random.Generator], Step]] = {
    "resize": _resize,
    "colour": _colour,
    "blur": _blur,
    "noise": _noise,
    "screenshot": _screenshot,
    "jpeg": _jpeg,
    "webp": _webp,
}
"""The steps by name, in their order."""


def _file(kind: str, rng: np.random.Generator, settings: Mapping[str, object]) -> Step:
    down, right = (int(value) for value in rng.integers(0, _GRID, 2))
    return partial(_save, kind=kind, down=down, right=right, settings=settings)


def _save(pixels: Pixels, kind: str, down: int, right: int, settings: Mapping[str, object]) -> Pixels:
    """Save and read, with the grid of blocks so far down and to the right: a part of a file begins anywhere on it."""
    padded = np.pad(pixels, ((down, 0), (right, 0), (0, 0)), "symmetric")
    stream = io.BytesIO()
    PillowImage.fromarray(padded).save(stream, kind, **settings)
    with PillowImage.open(stream, formats=(kind,)) as image:
        return np.asarray(image.convert("RGB"))[down:, right:]


def _change_colour(
    pixels: Pixels, gamma: float, contrast: float, saturation: float, rng: np.random.Generator
) -> Pixels:
    image = PillowImage.fromarray(change_gamma(pixels, gamma, rng))
    return np.asarray(ImageEnhance.Color(ImageEnhance.Contrast(image).enhance(contrast)).enhance(saturation))


def _frame(
    pixels: Pixels, share: float, top: float, left: float, colour: Pixels, kernel: PillowImage.Resampling
) -> Pixels:
    height, width = pixels.shape[:2]
    inner_height, inner_width = max(1, round(height * share)), max(1, round(width * share))
    y, x = round(top * (height - inner_height)), round(left * (width - inner_width))
    framed = np.empty_like(pixels)
    framed[:] = colour
    shown = PillowImage.fromarray(pixels).resize((inner_width, inner_height), kernel)
    framed[y : y + inner_height, x : x + inner_width] = np.asarray(shown)
    return framed
