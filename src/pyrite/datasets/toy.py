"""A generated dataset with something true to learn: textures, and the same kind drawn by an upsampling generator.

Both classes show the same scenes: random gratings and shaded discs. Then the same camera takes both: a random blur, and
noise of a random strength. So there is no other difference than the trace of the generator, which depends on the size:

- Up to 64 pixels, AI images are scenes at half the size that a nearest-neighbour step and a random 3×3 filter bring up,
  as the up-convolution of a generator does it, blended with the scene itself at a random strength. That leaves the
  periodic trace in the spectrum that detectors of generated images rely on (Durall et al. 2020). Noise buries it in
  some, so there is no perfect score.
- Above, it is the checkerboard of an up-convolution whose kernel overlaps itself unevenly (Odena et al. 2016): every
  other row and column is brighter. That is gone once an image is made smaller: only native pixels tell.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from pyrite.datasets.decode import Progress
from pyrite.errors import DatasetError

_OBJECTS = 10  # As many as CIFAKE has, named by the same suffixes.
_SMALL = 64  # pixels a side, up to which a network can see all of an image
# Tuned so that a small network comes to about 97%, and statistics of colour and contrast to little above chance.
_STRENGTH = (0.75, 1.0)
_UPSAMPLING_FILTER = (0.0, 0.19)
_CAMERA_BLUR = (0.0, 0.11)
_CAMERA_NOISE = (0.0, 0.013)
_GAIN = (0.04, 0.12)
"""How much brighter or darker the pattern makes a row or a column, as a share of what is there."""


def make_toy(
    folder: Path,
    *,
    count: int = 1000,
    size: int = 32,
    seed: int = 0,
    test_share: float = 0.2,
    progress: Progress | None = None,
) -> None:
    """Write a toy dataset with CIFAKE's layout: `train` and `test`, each with `REAL` and `FAKE` PNGs.

    Args:
        folder: where; made if it is not there.
        count: how many images in all, half of each class.
        size: height and width in pixels.
        seed: the same seed gives the same pixels.
        test_share: the share of each class that goes to `test`.
        progress: called with how many images are made, and how many there will be.

    Raises:
        DatasetError: fewer than two images or two pixels, or `folder` holds a `train` or `test` already or cannot
            be written.
    """
    if count < 2 or size < 2:
        raise DatasetError(f"A toy dataset has at least 2 images of 2 pixels a side, not {count} of {size}.")
    if any((folder / side).exists() for side in ("train", "test")):
        raise DatasetError(f"{folder} holds a dataset already. Choose another folder, or delete it.")
    packing = 6 if size <= _SMALL else 1  # Zlib's usual level, or three times as fast: noise packs badly either way.
    try:
        for done, (path, pixels) in enumerate(_draw(count, size, seed, test_share), start=1):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            PillowImage.fromarray(pixels).save(folder / path, compress_level=packing)
            if progress:
                progress(done, count)
    except OSError as error:
        raise DatasetError(f"{error.filename or folder} cannot be written: {error.strerror or error}.") from error


def _draw(count: int, size: int, seed: int, test_share: float) -> Iterator[tuple[Path, NDArray[np.uint8]]]:
    """Yield each image's place in the folder, and its pixels (size, size, 3)."""
    for label, name in enumerate(("REAL", "FAKE")):
        rng = np.random.default_rng((seed, label))
        of_class = (count + 1 - label) // 2
        held_out = round(of_class * test_share)
        for i in range(of_class):
            number, kind = divmod(i, _OBJECTS)
            suffix = f" ({kind + 1})" if kind else ""
            picture = _scene(rng, size, kind)
            if label:
                picture = (_upsampled if size <= _SMALL else _patterned)(rng, picture)
            split = "test" if i < held_out else "train"
            yield Path(split, name, f"{number:04d}{suffix}.png"), _photograph(rng, picture)


def _upsampled(rng: np.random.Generator, scene: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (size, size, 3) drawn at half the size and brought up."""
    size = len(scene)
    small = scene[::2, ::2]
    large = small.repeat(2, axis=0).repeat(2, axis=1)[:size, :size]
    strength = rng.uniform(*_STRENGTH)
    return strength * _filter(large, rng.uniform(*_UPSAMPLING_FILTER)) + (1 - strength) * scene


def _patterned(rng: np.random.Generator, scene: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (size, size, 3) where every other row and column is brighter."""
    gain = rng.uniform(*_GAIN)
    rows, columns = (1 + gain * (-1.0) ** (np.arange(len(scene)) + phase) for phase in rng.integers(2, size=2))
    return scene * np.outer(rows, columns)[..., None]


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


def _photograph(rng: np.random.Generator, scene: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the picture that a camera of random sharpness and noise takes."""
    picture = _filter(scene, rng.uniform(*_CAMERA_BLUR)) + rng.normal(0, rng.uniform(*_CAMERA_NOISE), scene.shape)
    return (picture.clip(0, 1) * 255).round().astype(np.uint8)


def _filter(picture: NDArray[np.float64], weight: float) -> NDArray[np.float64]:
    """Mix `weight` of each neighbour into every pixel, along both axes; a quarter is a binomial blur."""
    for axis in (0, 1):
        neighbours = np.roll(picture, 1, axis) + np.roll(picture, -1, axis)
        picture = (1 - 2 * weight) * picture + weight * neighbours
    return picture
