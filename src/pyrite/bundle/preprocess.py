"""From decoded pixels to what a model takes. Geometry only: casts and scaling live in the graph.

Each geometry turns one image into k model inputs, and says how k logits become one.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image as PillowImage

from pyrite.image import Box

Pixels = NDArray[np.uint8]
Region = tuple[int, int, int, int]
"""A part of an image in its own pixels: left, top, right, bottom."""
Side = Annotated[int, msgspec.Meta(ge=1, le=4096)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Filter = Literal["nearest", "bilinear", "bicubic", "lanczos"]

_LONGEST = 16  # times its shorter side that an image is resized of
_FILTERS = {
    "nearest": PillowImage.Resampling.NEAREST,
    "bilinear": PillowImage.Resampling.BILINEAR,
    "bicubic": PillowImage.Resampling.BICUBIC,
    "lanczos": PillowImage.Resampling.LANCZOS,
}


class _Geometry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="geometry"):
    """What all of them have."""

    height: Side
    """Of a model input, in pixels."""
    width: Side
    """As the height."""

    @property
    def size(self) -> tuple[int, int]:
        """The (height, width) of a model input."""
        return self.height, self.width


class Resize(_Geometry, frozen=True, kw_only=True, tag="resize"):
    """The whole image squeezed to the model's size; an image of that size passes untouched."""

    filter: Filter = "bilinear"
    """That Pillow resizes with."""
    draft: bool = True
    """Whether a much larger image may be decoded at a half, a quarter or an eighth of its size."""

    most = 1
    """Model inputs that an image gives, at most."""

    @property
    def enough(self) -> tuple[int, int] | None:
        """The `at_least` that an image may be opened with; `None` where every pixel counts."""
        return self.size if self.draft else None

    def regions(self, width: int, height: int) -> list[Region]:
        """Return the part of an image of this size that each model input shows."""
        return [(0, 0, width, height)]

    def apply(self, pixels: Pixels, box: Box | None = None) -> Pixels:
        """Return the model input of one image.

        Args:
            pixels: (height, width, 3), sRGB, 0 to 255.
            box: The part of them that is the image: left, top, right, bottom; by default, all of it.

        Returns:
            (1, self.height, self.width, 3), uint8, as Pillow's `resize` with this filter and box gives it.
        """
        height, width = pixels.shape[:2]
        if (height, width) == self.size and box in (None, (0, 0, width, height)):
            return pixels[None]
        image = PillowImage.fromarray(pixels)
        return np.asarray(image.resize((self.width, self.height), _FILTERS[self.filter], box))[None]

    def merge(self, logits: ArrayLike) -> float:
        """Return the logit of the image; there is one."""
        return float(np.asarray(logits)[0])


class ShorterSide(_Geometry, frozen=True, kw_only=True, tag="shorter_side"):
    """The image resized until its shorter side has so many pixels, and of that the centre.

    The longer side is rounded down, and the centre's offset to the nearest even number, as in torchvision's
    `Resize` and `CenterCrop`, which most published classifiers of photographs are trained with. Of an image that is
    more than 16 times as long as it is wide, only the middle is resized: all of it could take any amount of memory.
    """

    shorter_side: Side
    """Of the resized image, in pixels."""
    filter: Filter = "bilinear"
    """That Pillow resizes with."""

    most = 1
    enough = None

    def __post_init__(self) -> None:
        if max(self.size) > self.shorter_side:
            raise ValueError("height and width must not be greater than shorter_side")

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        """Return the (width, height) that an image is resized to."""
        side, shorter = self.shorter_side, min(width, height)
        return (side, side * height // shorter) if width <= height else (side * width // shorter, side)

    def _corner(self, width: int, height: int) -> tuple[int, int]:
        return round((width - self.width) / 2), round((height - self.height) / 2)

    def regions(self, width: int, height: int) -> list[Region]:
        """Return the part of an image of this size that each model input shows, to the nearest pixel."""
        across, down = self._resized(width, height)
        left, top = self._corner(across, down)
        x, y = width / across, height / down
        return [(round(left * x), round(top * y), round((left + self.width) * x), round((top + self.height) * y))]

    def apply(self, pixels: Pixels, box: Box | None = None) -> Pixels:
        """Return the model input of one image: see `Resize.apply`.

        Returns:
            (1, self.height, self.width, 3), uint8, as Pillow's `resize` and `crop` give it.
        """
        whole = self.resize(pixels, box)
        left, top = self._corner(whole.shape[1], whole.shape[0])
        return whole[None, top : top + self.height, left : left + self.width]

    def resize(self, pixels: Pixels, box: Box | None = None) -> Pixels:
        """Return the image (height, width, 3) whose centre is the model input."""
        image = PillowImage.fromarray(pixels)
        longest = _LONGEST * min(image.size)
        if max(image.size) > longest:
            x, y = max(0, image.width - longest) // 2, max(0, image.height - longest) // 2
            image, box = image.crop((x, y, image.width - x, image.height - y)), None
        size = self._resized(image.width, image.height)
        return np.asarray(image if size == image.size else image.resize(size, _FILTERS[self.filter], box))

    def merge(self, logits: ArrayLike) -> float:
        """Return the logit of the image; there is one."""
        return float(np.asarray(logits)[0])


class Crops(_Geometry, frozen=True, kw_only=True, tag="crops"):
    """Parts of the image at its own resolution, never resized, on a grid that covers it if `most` of them can.

    A side that is shorter than a crop is mirrored at its end until it is as long.
    """

    most: Annotated[int, msgspec.Meta(ge=1, le=256)] = 16
    """Crops that an image gives, at most."""
    top_share: Share = 1.0
    """The image's logit is the mean of this share of its crops, those with the highest logits: 1 is the mean of all,
    0 the maximum."""

    enough = None

    def regions(self, width: int, height: int) -> list[Region]:
        """Return the part of an image of this size that each model input shows, row by row."""
        down, across = _grid(height, width, self)
        tops, lefts = _spread(height, self.height, down), _spread(width, self.width, across)
        return [
            (left, top, min(left + self.width, width), min(top + self.height, height)) for top in tops for left in lefts
        ]

    def apply(self, pixels: Pixels, box: Box | None = None) -> Pixels:
        """Return the model inputs of one image: see `Resize.apply`.

        Returns:
            (k, self.height, self.width, 3), uint8, in the order of `regions`, with k from 1 to `most`.
        """
        height, width = pixels.shape[:2]
        regions, pixels = self.regions(width, height), self.pad(pixels)
        return np.stack([pixels[top : top + self.height, left : left + self.width] for left, top, _, _ in regions])

    def pad(self, pixels: Pixels) -> Pixels:
        """Return the pixels (height, width, 3), mirrored at their end where a side is shorter than a crop."""
        missing = (max(0, ours - side) for ours, side in zip(self.size, pixels.shape[:2], strict=True))
        margins = [*((0, pad) for pad in missing), (0, 0)]
        return np.pad(pixels, margins, "symmetric") if np.any(margins) else pixels

    def merge(self, logits: ArrayLike) -> float:
        """Return the logit of the image from those of its crops (k,)."""
        ordered = np.sort(np.asarray(logits, np.float64))[::-1]
        return float(ordered[: max(1, math.ceil(self.top_share * len(ordered)))].mean())


Preprocess = Resize | ShorterSide | Crops
"""How an image becomes model inputs; JSON tells them apart by `geometry`."""
GEOMETRIES = (Resize, ShorterSide, Crops)


def _grid(height: int, width: int, crops: Crops) -> tuple[int, int]:
    """Return how many crops there are down and across: as many as it takes to cover the image, or the best of fewer.

    Of the grids that do not cover it, the best has the most crops, and among those the smallest gaps between them.
    """
    down, across = max(1, math.ceil(height / crops.height)), max(1, math.ceil(width / crops.width))
    if down * across <= crops.most:
        return down, across
    choices = [(rows, min(across, crops.most // rows)) for rows in range(1, min(down, crops.most) + 1)]
    return max(choices, key=lambda grid: (grid[0] * grid[1], -max(height / grid[0], width / grid[1])))


def _spread(length: int, crop: int, count: int) -> Sequence[int]:
    """Return where `count` crops begin: evenly from one end to the other, and in the middle if there is one."""
    room = max(0, length - crop)
    return [room // 2] if count == 1 else [round(i * room / (count - 1)) for i in range(count)]
