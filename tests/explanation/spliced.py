"""Photographs that were edited, with and without thumbnails in their EXIF data."""

import io

import numpy as np
from PIL import Image


def photo(seed: int = 0, size: tuple[int, int] = (384, 384)) -> Image.Image:
    """Return a grey picture of this width and height, with detail at every scale, as photographs have it."""
    chance = np.random.default_rng(seed)
    planes = np.zeros(size[::-1])
    for side in (6, 12, 24, 48, 96, 192):
        layer = Image.fromarray(chance.normal(0, 1, (side, side)).astype(np.float32))
        planes += np.asarray(layer.resize(size, Image.Resampling.BICUBIC)) * (60 / side**0.5)
    return Image.fromarray(np.clip(128 + planes, 0, 255).astype(np.uint8)).convert("RGB")


def save(image: Image.Image, quality: int, **options: object) -> bytes:
    """Return an image as JPEG."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality, **options)
    return stream.getvalue()


def resave(image: Image.Image, quality: int) -> Image.Image:
    """Return an image after a save as JPEG."""
    with Image.open(io.BytesIO(save(image, quality))) as again:
        return again.convert("RGB")


def splice(whole: Image.Image, part: Image.Image, side: int = 128) -> Image.Image:
    """Return an image whose square from (128, 128) on is another's first."""
    spliced = whole.copy()
    spliced.paste(part.crop((0, 0, side, side)), (128, 128))
    return spliced


def exif_with(thumbnail: Image.Image, orientation: int = 1) -> bytes:
    """Return EXIF data with an orientation, and a thumbnail in its second directory (EXIF 2.32, 4.6.2 and 4.5.8)."""
    small = save(thumbnail, 80)

    def entry(tag: int, kind: int, value: int) -> bytes:
        packed = value.to_bytes(2, "big") + b"\0\0" if kind == 3 else value.to_bytes(4, "big")
        return tag.to_bytes(2, "big") + kind.to_bytes(2, "big") + (1).to_bytes(4, "big") + packed

    first = (1).to_bytes(2, "big") + entry(0x0112, 3, orientation) + (26).to_bytes(4, "big")
    start = 26 + 2 + 2 * 12 + 4
    second = (2).to_bytes(2, "big") + entry(0x0201, 4, start) + entry(0x0202, 4, len(small)) + b"\0" * 4
    return b"Exif\0\0MM\0*" + (8).to_bytes(4, "big") + first + second + small
