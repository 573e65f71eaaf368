"""What happens to images on their way: re-saving, blur, noise, resizing, cropping, brightness, mirroring.

Robustness is measured on the fixed grid of `DEGRADATIONS`, and `degrade_at_random` draws from the same kinds for
training. To add a degradation: a function here, and its line in `FAMILIES`.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from pyrite.bundle.preprocess import Pixels

_Resampling = PillowImage.Resampling
_MAX_JPEG_SIDE = 65_500
KERNELS = tuple(kernel for kernel in _Resampling if kernel is not _Resampling.NEAREST)

History = list[Callable[[Pixels], Pixels]]


class Change(Protocol):
    """Something that is done to the pixels of an image."""

    @property
    def name(self) -> str:
        """What it is called."""

    def apply(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        """Return the changed pixels, (height, width, 3), 0 to 255."""


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of degradation, and the strengths that it is measured at."""

    apply: Callable[[Pixels, float, np.random.Generator], Pixels]
    """(height, width, 3), 0 to 255, in and out, of the same shape."""
    strengths: tuple[float, ...]
    """From mild to strong, or from one side of `neutral` to the other."""
    unit: str
    """What the strength is."""
    neutral: float | None = None
    """The strength that leaves every image as it is, if there is one."""


@dataclass(frozen=True, slots=True)
class Degradation:
    """A kind of degradation at one strength."""

    family: str
    strength: float

    @property
    def name(self) -> str:
        """The family and, where it has several, the strength."""
        return f"{self.family} {self.strength:g}" if len(FAMILIES[self.family].strengths) > 1 else self.family

    def apply(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        """Return the degraded pixels, (height, width, 3), 0 to 255; only noise draws on `rng`."""
        return FAMILIES[self.family].apply(pixels, self.strength, rng)


def degrade_at_random(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Return the pixels after a random history: resized, brightened, made noisy and saved, each or none of them.

    The order is that of life: geometry, then tone and noise, then one or two files. Kernels and strengths are
    drawn continuously and a little beyond those measured, so that none is singled out.
    """
    return degrade(pixels, history_at_random(pixels.shape, rng))


def history_at_random(shape: tuple[int, ...], rng: np.random.Generator) -> History:
    """Draw what `degrade_at_random` does to an image of a shape, (height, width, 3), without doing it."""
    # Geometry often comes alone: else networks take the lack of fine detail for a sign of real images.
    steps = rng.random(5) < (0.7, 0.2, 0.2, 0.45, 0.15)
    history: History = []
    if steps[0]:
        history.append(_random_geometry(rng))
    if steps[1]:
        history.append(partial(change_gamma, gamma=float(np.exp(rng.uniform(-0.5, 0.5))), _rng=rng))
    if steps[2]:
        sigma = np.float32(rng.uniform(1, 18))
        history.append(partial(_add, noise=sigma * rng.standard_normal(shape, np.float32)))
    for saved in steps[3:]:
        if saved:
            history.append(partial(save_jpeg, quality=float(rng.integers(25, 96)), _rng=rng))
    return history


def degrade(pixels: Pixels, history: History) -> Pixels:
    """Return the pixels, (height, width, 3), 0 to 255, after a history that was drawn."""
    for step in history:
        pixels = step(pixels)
    return pixels


def _random_geometry(rng: np.random.Generator) -> Callable[[Pixels], Pixels]:
    kind = rng.random()
    if kind < 0.3:
        return partial(blur, sigma=float(rng.uniform(0.3, 1.2)), _rng=rng)
    if kind < 0.4:
        return partial(sharpen, amount=float(rng.uniform(0.1, 1)), _rng=rng)
    down, up = (KERNELS[i] for i in rng.integers(len(KERNELS), size=2))
    if kind < 0.75:
        return partial(resample, share=float(rng.uniform(0.55, 1)), down=down, up=up)
    top, left = (float(value) for value in rng.random(2))
    return partial(crop, share=float(rng.uniform(0.7, 1)), _rng=rng, kernel=up, top=top, left=left)


def save_jpeg(pixels: Pixels, quality: float, _rng: np.random.Generator) -> Pixels:
    """Save as JPEG (4:2:0) of a quality from 1 to 95, and read that.

    Raises:
        ValueError: a side has more pixels than a JPEG can have.
    """
    if max(pixels.shape) > _MAX_JPEG_SIDE:  # libjpeg would print this and tell only that it failed.
        raise ValueError(f"A JPEG cannot have more than {_MAX_JPEG_SIDE:,} pixels a side.")
    stream = io.BytesIO()
    PillowImage.fromarray(pixels).save(stream, "JPEG", quality=round(quality))
    with PillowImage.open(stream, formats=("JPEG",)) as image:
        return np.asarray(image)


def save_twice(pixels: Pixels, quality: float, rng: np.random.Generator) -> Pixels:
    """Save as JPEG of a quality, then again at 20 less, as one service after another does."""
    return save_jpeg(save_jpeg(pixels, quality, rng), quality - 20, rng)


def blur(pixels: Pixels, sigma: float, _rng: np.random.Generator) -> Pixels:
    """Blur by a Gaussian of a standard deviation in pixels."""
    from scipy.ndimage import gaussian_filter

    return _to_uint8(gaussian_filter(pixels.astype(np.float32), (sigma, sigma, 0), mode="mirror"))


def sharpen(pixels: Pixels, amount: float, _rng: np.random.Generator) -> Pixels:
    """Add an amount of the detail that a blur of σ = 1 takes away (unsharp masking)."""
    from scipy.ndimage import gaussian_filter

    values = pixels.astype(np.float32)
    return _to_uint8(values + np.float32(amount) * (values - gaussian_filter(values, (1, 1, 0), mode="mirror")))


def add_noise(pixels: Pixels, sigma: float, rng: np.random.Generator) -> Pixels:
    """Add white Gaussian noise of a standard deviation, on the scale of 0 to 255."""
    return _add(pixels, np.float32(sigma) * rng.standard_normal(pixels.shape, np.float32))


def _add(pixels: Pixels, noise: NDArray[np.float32]) -> Pixels:
    return _to_uint8(pixels + noise)


def resize_bilinear(pixels: Pixels, share: float, _rng: np.random.Generator) -> Pixels:
    """Resize to a share of height and width, and back, with antialiasing."""
    return resample(pixels, share, _Resampling.BILINEAR, _Resampling.BILINEAR)


def resize_bicubic(pixels: Pixels, share: float, _rng: np.random.Generator) -> Pixels:
    """Resize to a share of height and width, and back, with antialiasing."""
    return resample(pixels, share, _Resampling.BICUBIC, _Resampling.BICUBIC)


def resample(pixels: Pixels, share: float, down: PillowImage.Resampling, up: PillowImage.Resampling) -> Pixels:
    """Resize to a share of height and width by one kernel, and back by another."""
    height, width = pixels.shape[:2]
    small = (max(1, round(width * share)), max(1, round(height * share)))
    return np.asarray(PillowImage.fromarray(pixels).resize(small, down).resize((width, height), up))


def crop(
    pixels: Pixels,
    share: float,
    _rng: np.random.Generator,
    kernel: PillowImage.Resampling = _Resampling.BILINEAR,
    top: float = 0.5,
    left: float = 0.5,
) -> Pixels:
    """Cut a share of height and width out of the middle (or from `top` and `left`, 0 to 1), and enlarge it again.

    The kernel still reaches the pixels just beyond the cut, as it would not in a file that was cut first.
    """
    height, width = pixels.shape[:2]
    x, y = left * width * (1 - share), top * height * (1 - share)
    box = (x, y, x + width * share, y + height * share)
    return np.asarray(PillowImage.fromarray(pixels).resize((width, height), kernel, box))


def change_gamma(pixels: Pixels, gamma: float, _rng: np.random.Generator) -> Pixels:
    """Raise the values, from 0 to 1, to a power: below 1 brightens, above it darkens."""
    return _to_uint8(255 * (np.arange(256) / 255) ** gamma)[pixels]


def mirror(pixels: Pixels, _strength: float, _rng: np.random.Generator) -> Pixels:
    """Swap left and right."""
    return np.ascontiguousarray(pixels[:, ::-1])


def _to_uint8(values: NDArray[Any]) -> Pixels:
    return values.round().clip(0, 255).astype(np.uint8)


FAMILIES = {
    "jpeg": Family(save_jpeg, (90, 70, 50, 30), "quality"),
    "saved twice": Family(save_twice, (80,), "quality of the first"),
    "blur": Family(blur, (0.6, 1.0), "σ in pixels", 0),
    "noise": Family(add_noise, (4, 8, 16), "σ of 255", 0),
    "resize bilinear": Family(resize_bilinear, (0.75, 0.625), "share of each side", 1),
    "resize bicubic": Family(resize_bicubic, (0.75, 0.625), "share of each side", 1),
    "crop": Family(crop, (0.875,), "share of each side", 1),
    "gamma": Family(change_gamma, (0.7, 1.4), "exponent", 1),
    "mirror": Family(mirror, (1,), "always"),
}
DEGRADATIONS = tuple(Degradation(name, strength) for name, family in FAMILIES.items() for strength in family.strengths)
"""The grid. At 32 × 32 pixels, resizing is to 24 and 20 pixels and back, and the crop is of 28."""
