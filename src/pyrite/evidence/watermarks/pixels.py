"""An image's pixels, as many as a reader of marks needs."""

import numpy as np
from numpy.typing import NDArray

from pyrite.image import Box, Image, Limits, open_image

_MAX_PIXELS = 1 << 25
"""Of images that were decoded smaller, and would have to be decoded once more."""


def full_pixels(image: Image, side: int | None = None) -> tuple[NDArray[np.uint8], Box] | None:
    """Return the pixels of an image that was a file, and which part of them is the image.

    Args:
        image: As it was opened; it may have been decoded smaller.
        side: Pixels on either side that are enough; without it, all there are.

    Returns:
        (rows, columns, 3), sRGB, upright, and the box; `None` where they cannot be had for what they would cost.
    """
    if image.data is None or not image.width:
        return None
    whole = image.box == (0, 0, image.width, image.height)
    if whole or (side is not None and min(image.pixels.shape[:2]) >= side):
        return image.pixels, image.box
    if image.width * image.height > _MAX_PIXELS:
        return None
    again = open_image(image.data, Limits(max_pixels=_MAX_PIXELS))
    return again.pixels, again.box
