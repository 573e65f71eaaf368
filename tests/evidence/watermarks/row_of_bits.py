"""Images that the networks of `conftest.py` read bits from."""

import io

import numpy as np
from PIL import Image as PillowImage


def row_of_bits(bits: str, width: int, height: int, channels: slice = slice(3)) -> np.ndarray:
    """Return an image with the bits in the first row of some channels, white for 1, and grey elsewhere."""
    pixels = np.full((height, width, 3), 128, np.uint8)
    pixels[0, : len(bits), channels] = np.array([255 if bit == "1" else 0 for bit in bits])[:, None]
    return pixels


def encode(pixels: np.ndarray, container: str = "PNG", **options: object) -> bytes:
    """Return a file of an image."""
    stream = io.BytesIO()
    PillowImage.fromarray(pixels).save(stream, container, **options)
    return stream.getvalue()
