"""Augmentation of photographs for training: one chain of what happens to images on their way, for both classes alike.

Each step of `CHAIN` comes to a share of the images, in the order of life: geometry, then tone and noise, then a
screenshot, then one or two files. Its strength is drawn anew for each. To add a step: a function that draws one here,
its line in `CHAIN`, and its share in the recipe.
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageEnhance, JpegPresets

from pyrite.bundle.preprocess import Pixels
from pyrite.datasets.degrade import KERNELS, History, add_noise, blur, change_gamma, degrade_at_random, resample

Step = Callable[[Pixels], Pixels]

_GRID = 16  # pixels of a JPEG's blocks with their colour; WebP's are as large
_JPEG_QUALITY, _WEBP_QUALITY = (30, 100), (30, 100)
_SUBSAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")
_PHOTOSHOP = tuple(sorted(set(JpegPresets.presets) - {"keep"}))
_PHOTOSHOP_SHARE = 0.2
_WIDEST_BORDER = 8
"""The part of a side that a border takes at most, at either end: an eighth."""


@dataclass(frozen=True, slots=True)
class RandomHistory:
    """What may happen to an image: it is turned, made grey or put in a border, and then degraded at random."""

    turn: float = 0.0
    """The share of images that are turned by a quarter, a half or three quarters of a turn, 0 to 1."""
    grey: float = 0.0
    """The share of images that lose their colour, 0 to 1."""
    border: float = 0.0
    """The share of images that get a border, 0 to 1."""
    name: str = "a random history"

    def apply(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        """Return the pixels, (height, width, 3), 0 to 255, after what is drawn from `rng`."""
        turned, grey, bordered = rng.random(3) < (self.turn, self.grey, self.border)
        if turned:
            pixels = np.ascontiguousarray(np.rot90(pixels, int(rng.integers(1, 4))))
        if grey:
            pixels = remove_colour(pixels)
        if bordered:
            pixels = border_at_random(pixels.shape, rng)(pixels)
        return degrade_at_random(pixels, rng)


def augmentation_at_random(shares: Mapping[str, float], rng: np.random.Generator) -> History:
    """Draw what happens to one image, without doing it; `degrade.degrade` does.

    Args:
        shares: For each name in `CHAIN`, the share of images that it comes to, 0 to 1.
        rng: Draws the same numbers for the same image, whatever machine does the work.
    """
    chosen = rng.random(len(CHAIN))
    return [draw(rng) for (name, draw), value in zip(CHAIN.items(), chosen, strict=True) if value < shares[name]]


def remove_colour(pixels: Pixels) -> Pixels:
    """Return the luma of ITU-R BT.601 in all three channels."""
    return np.asarray(PillowImage.fromarray(pixels).convert("L").convert("RGB"))


def border_at_random(shape: tuple[int, ...], rng: np.random.Generator) -> Step:
    """Draw a border of one colour for an image of a shape, (height, width, 3).

    Half of them are around the image, which is made smaller for that, as in a screenshot; half lie over it, on top and
    bottom, left and right, or all four sides, as of a letterbox.
    """
    if rng.random() < 0.5:
        return _screenshot(rng)
    colour, sides = _colour_of_border(rng), int(rng.integers(3))
    down, across = (int(rng.integers(1, max(1, side // _WIDEST_BORDER) + 1)) for side in shape[:2])
    return partial(_cover, down=down if sides != 1 else 0, across=across if sides != 0 else 0, colour=colour)


def erasure_at_random(shape: tuple[int, ...], rng: np.random.Generator) -> Step:
    """Draw a box of noise in an image of a shape, (height, width, 3).

    It takes 2 to 20% of it, and one side is up to three times as long as the other: random erasing (Zhong et al. 2020),
    with smaller boxes.
    """
    height, width = shape[:2]
    area, ratio = rng.uniform(0.02, 0.2), np.exp(rng.uniform(-np.log(3), np.log(3)))
    down = min(height, max(1, round(height * np.sqrt(area * ratio))))
    across = min(width, max(1, round(width * np.sqrt(area / ratio))))
    top, left = int(rng.integers(height - down + 1)), int(rng.integers(width - across + 1))
    return partial(_erase, top=top, left=left, box=rng.integers(0, 256, (down, across, 3), np.uint8))


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
    colour, kernel = _colour_of_border(rng), KERNELS[rng.integers(len(KERNELS))]
    return partial(_frame, share=share, top=top, left=left, colour=colour, kernel=kernel)


def _colour_of_border(rng: np.random.Generator) -> Pixels:
    """Return a colour (3,): most screens and pages are black, white or grey."""
    colour = rng.integers(0, 256, 3) if rng.random() < 0.3 else np.repeat(rng.choice([0, 18, 32, 128, 245, 255]), 3)
    return colour.astype(np.uint8)


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


def _cover(pixels: Pixels, down: int, across: int, colour: Pixels) -> Pixels:
    covered = pixels.copy()
    height, width = pixels.shape[:2]
    covered[:down] = covered[height - down :] = colour
    covered[:, :across] = covered[:, width - across :] = colour
    return covered


def _erase(pixels: Pixels, top: int, left: int, box: Pixels) -> Pixels:
    erased = pixels.copy()
    erased[top : top + box.shape[0], left : left + box.shape[1]] = box
    return erased
