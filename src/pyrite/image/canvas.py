"""What a decoder gave, and the upright RGB pixels that are made of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from pyrite.image.values import Box, Image

Shortest = Callable[[int, int], int | None]
"""The fewest pixels that a side may be reduced to, by the image's width and height; `None` to reduce nothing."""
_STRIP = 1 << 18  # pixels that are converted at a time


@dataclass(frozen=True, slots=True)
class Canvas:
    """What a decoder gave, in whatever mode, before the EXIF turn."""

    width: int
    height: int
    """In pixels, like `width`, however few of them were decoded."""
    rows: Callable[[int, int], PillowImage.Image]
    """Return what was decoded from one row up to another."""
    scale: int = 1
    """How many times smaller either side is to be: 1, 2, 4 or 8."""
    drafted: bool = False
    """Whether the decoder made it smaller already."""
    grain: int = 1
    """Rows that are decoded together, however few of them are asked for."""
    orientation: int = 1
    """As in EXIF, 1 to 8."""
    info: Mapping[str, object] = field(default_factory=dict)


def finish(canvas: Canvas, format: str | None = None) -> Image:
    """Return the image of a canvas, without the file that it comes from."""
    pixels, box = _assemble(canvas)
    width, height = canvas.width, canvas.height
    if canvas.orientation > 4:
        width, height = height, width
    info = MappingProxyType(dict(canvas.info))
    return Image(pixels, box, width, height, format, None, None, info, frames=1, orientation=canvas.orientation)


def _assemble(canvas: Canvas) -> tuple[NDArray[np.uint8], Box]:
    """Convert, reduce and turn strip by strip: never is there a second canvas."""
    scale, turn = canvas.scale, canvas.orientation
    width, height = -(-canvas.width // scale), -(-canvas.height // scale)
    right, bottom = canvas.width / scale, canvas.height / scale
    step = 1 if canvas.drafted else scale
    turned, mirrored, flipped = _turns(turn)

    pixels = np.empty((width, height, 3) if turned else (height, width, 3), np.uint8)
    target = as_stored(pixels, turn)
    strip = max(1, _STRIP // (width * step * step), canvas.grain // step)
    for top in range(0, height, strip):
        end = min(top + strip, height)
        rows = _to_rgb(canvas.rows(top * step, min(end * step, canvas.height)))
        target[top:end] = np.asarray(rows.reduce(step) if step > 1 else rows)

    if turned:
        width, height, right, bottom = height, width, bottom, right
    left, top_ = width - right if mirrored else 0.0, height - bottom if flipped else 0.0
    return pixels, (left, top_, left + right, top_ + bottom)


def as_stored(upright: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return a view of an upright image (rows, columns, ...) as it lies in a file of this EXIF orientation, 1 to 8."""
    turned, mirrored, flipped = _turns(orientation)
    view = upright[:: -1 if flipped else 1, :: -1 if mirrored else 1]
    return view.swapaxes(0, 1) if turned else view


def make_upright(stored: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return an image (rows, columns, ...) as it lies in a file of this EXIF orientation, 1 to 8, upright."""
    turned = _turns(orientation)[0]
    rows, columns, *rest = stored.shape
    upright = np.empty((columns, rows, *rest) if turned else stored.shape, stored.dtype)
    as_stored(upright, orientation)[...] = stored
    return upright


def _turns(orientation: int) -> tuple[bool, bool, bool]:
    """Return whether rows and columns are exchanged, and which of the upright image's axes then run backwards."""
    return orientation > 4, orientation in (2, 3, 6, 7), orientation in (3, 4, 7, 8)


def _to_rgb(image: PillowImage.Image) -> PillowImage.Image:
    if image.mode.startswith("I;16"):
        # Pillow clips 16-bit grey to 255 instead of scaling it.
        deep = np.asarray(image)
        grey = (deep >> 8).astype(np.uint8)
        grey[deep == image.info.get("transparency", -1)] = 255
        return PillowImage.fromarray(grey).convert("RGB")
    if image.has_transparency_data:
        canvas = PillowImage.new("RGBA", image.size, "white")
        image = PillowImage.alpha_composite(canvas, image.convert("RGBA"))
    return image.convert("RGB")
