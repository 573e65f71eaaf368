"""Small pictures for pages."""

import io

from PIL import Image as PillowImage

from pyrite.preprocess import Pixels

SIDE = 128
"""Pixels a side, at most."""


def draw_thumbnail(pixels: Pixels) -> bytes:
    """Return an image (height, width, 3), 0 to 255, as a PNG; larger ones are brought down to `SIDE`."""
    image = PillowImage.fromarray(pixels)
    image.thumbnail((SIDE, SIDE))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()
