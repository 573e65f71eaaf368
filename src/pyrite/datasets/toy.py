"""A generated dataset with something true to learn: textures, and the same kind drawn by an upsampling generator.

Real textures are sums of random gratings and shaded discs with sensor noise at full resolution. AI ones are
of the same kind, drawn at half the size and brought up by a nearest-neighbour step and a 3×3 filter, as the
up-convolution of a generator does it. That leaves the periodic trace in the spectrum that detectors of generated
images rely on (Odena et al. 2016; Durall et al. 2020), and no difference in what is shown.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

_OBJECTS = 10  # As many as CIFAKE has, named by the same suffixes.
_SMOOTH = np.array([0.25, 0.5, 0.25])


def make_toy(folder: Path, *, count: int = 1000, size: int = 32, seed: int = 0, test_share: float = 0.2) -> None:
    """Write a toy dataset with CIFAKE's layout: `train` and `test`, each with `REAL` and `FAKE` PNGs.

    Args:
        folder: where; made if it is not there.
        count: how many images in all, half of each class.
        size: height and width in pixels, even.
        seed: the same seed gives the same bytes.
        test_share: the share of each class that goes to `test`.
    """
    per_class = count // 2
    held_out = round(per_class * test_share)
    for label, name in enumerate(("REAL", "FAKE")):
        rng = np.random.default_rng((seed, label))
        for i in range(per_class):
            side = folder / ("test" if i < held_out else "train") / name
            side.mkdir(parents=True, exist_ok=True)
            number, kind = divmod(i, _OBJECTS)
            suffix = f" ({kind + 1})" if kind else ""
            draw = _generated if label else _photographed
            PillowImage.fromarray(draw(rng, size, kind)).save(side / f"{number:04d}{suffix}.png")


def _photographed(rng: np.random.Generator, size: int, kind: int) -> NDArray[np.uint8]:
    return _finish(_scene(rng, size, kind) + rng.normal(0, 0.02, (size, size, 3)))


def _generated(rng: np.random.Generator, size: int, kind: int) -> NDArray[np.uint8]:
    small = _scene(rng, size // 2, kind) + rng.normal(0, 0.02, (size // 2, size // 2, 3))
    large = small.repeat(2, axis=0).repeat(2, axis=1)
    for axis in (0, 1):
        before, after = np.roll(large, 1, axis), np.roll(large, -1, axis)
        large = _SMOOTH[0] * before + _SMOOTH[1] * large + _SMOOTH[2] * after
    return _finish(large + rng.normal(0, 0.005, large.shape))


def _scene(rng: np.random.Generator, size: int, kind: int) -> NDArray[np.float64]:
    """Return (size, size, 3) in about 0 to 1; `kind` (0 to 9) sets how many discs and how fine the gratings are."""
    y, x = np.mgrid[0 : 1 : size * 1j, 0 : 1 : size * 1j]
    picture = np.ones((size, size, 3)) * rng.uniform(0.3, 0.7, 3)
    for _ in range(3):
        angle, phase = rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi)
        waves = rng.uniform(0.5, 2 + kind / 2)
        grating = np.sin(2 * np.pi * waves * (x * np.cos(angle) + y * np.sin(angle)) + phase)
        picture += 0.08 * grating[..., None] * rng.uniform(0.3, 1, 3)
    for _ in range(1 + kind % 5):
        centre, radius = rng.uniform(0, 1, 2), rng.uniform(0.1, 0.3)
        inside = np.hypot(x - centre[0], y - centre[1]) < radius
        picture[inside] = rng.uniform(0.1, 0.9, 3) + 0.1 * (x - y)[inside, None]
    return picture


def _finish(picture: NDArray[np.float64]) -> NDArray[np.uint8]:
    return (picture.clip(0, 1) * 255).round().astype(np.uint8)
