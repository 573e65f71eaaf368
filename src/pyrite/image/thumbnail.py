"""Small pictures for pages."""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from pyrite.errors import ImageError
from pyrite.image.opening import Source, open_image
from pyrite.image.values import Limits

SIDE = 128
"""Pixels a side, at most."""
_CRISP = 64  # pixels a side up to which a picture is a PNG: it is small, and enlarged by the page


def draw_thumbnail(pixels: NDArray[np.uint8]) -> bytes:
    """Return an image (height, width, 3), 0 to 255, as a PNG; larger ones are brought down to `SIDE`."""
    return _encode(shrink(pixels), "PNG")


def thumbnail_url(source: Source, limits: Limits, side: int = SIDE) -> str | None:
    """Return a picture of an image as a data URL; `None` where the image is gone or cannot be read.

    Args:
        source: The image.
        limits: What opening it may cost.
        side: Pixels a side, at most.
    """
    try:
        # Images are opened at no less than 8 times what is asked for.
        return picture_url(open_image(source, limits, at_least=(side // 4, side // 4)).pixels, side)
    except ImageError:
        return None


def picture_url(pixels: NDArray[np.uint8], side: int = SIDE) -> str:
    """Return an image (height, width, 3), 0 to 255, as a data URL; larger ones are brought down to `side`."""
    image = shrink(pixels, side)
    kind = "PNG" if max(image.size) <= _CRISP else "JPEG"
    return f"data:image/{kind.lower()};base64,{base64.b64encode(_encode(image, kind)).decode()}"


def shrink(pixels: NDArray[np.uint8], side: int = SIDE) -> PillowImage.Image:
    """Return an image (height, width, 3), 0 to 255, brought down to `side` where it is larger."""
    image = PillowImage.fromarray(pixels)
    image.thumbnail((side, side))
    return image


def _encode(image: PillowImage.Image, kind: str) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, quality=80)
    return stream.getvalue()
