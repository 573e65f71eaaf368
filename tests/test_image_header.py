"""Sizes by a file's first bytes: those that decoding finds, and nothing but `None` for what is damaged."""

import io
import struct
import time

import numpy as np
import pytest
from PIL import Image, features

from pyrite.image import Header, read_header

RNG = np.random.default_rng(0)


def saved(form: str, size: tuple[int, int] = (57, 31), **more: object) -> bytes:
    stream = io.BytesIO()
    pixels = RNG.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, form, **more)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("form", "more"),
    [("JPEG", {}), ("JPEG", {"progressive": True}), ("JPEG", {"exif": b"Exif\0\0" + bytes(60_000)}), ("PNG", {}),
     ("WEBP", {}), ("WEBP", {"lossless": True}), ("WEBP", {"exif": b"x" * 100}), ("GIF", {}), ("BMP", {}),
     ("AVIF", {})],
)  # fmt: skip
def test_the_size_is_that_of_the_image(form: str, more: dict[str, object]) -> None:
    if form == "AVIF" and not features.check("avif"):
        pytest.skip("This Pillow has no AVIF.")
    found = read_header(saved(form, **more))
    assert found is not None
    assert (found.format, found.width, found.height, found.pixels) == (form, 57, 31, 57 * 31)
    assert (found.passes > 1) == ("progressive" in more)


def test_of_tiles_and_thumbnails_the_largest_size_counts() -> None:
    def size(width: int, height: int) -> bytes:
        return b"ispe" + struct.pack(">III", 0, width, height)

    head = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + size(512, 512) + size(4032, 3024) + size(320, 240)
    assert read_header(head) == Header("HEIF", 4032, 3024)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF", "TIFF"])
def test_a_file_that_ends_anywhere_or_is_damaged_raises_nothing(form: str) -> None:
    if form == "AVIF" and not features.check("avif"):
        pytest.skip("This Pillow has no AVIF.")
    whole = saved(form)[:2000]
    for end in range(0, len(whole), 3):
        read_header(whole[:end])
    for _ in range(2000):
        broken = bytearray(whole)
        for at in RNG.integers(4, min(len(broken), 100), 4):
            broken[at] = RNG.integers(256)
        found = read_header(bytes(broken))
        assert found is None or found.pixels >= 0


def test_what_has_no_size_in_front_is_not_told() -> None:
    assert [read_header(head) for head in (b"", b"no image", saved("TIFF"), b"\xff\xd8\xff")] == [None] * 4


@pytest.mark.parametrize(
    "head",
    [b"\xff\xd8" + b"\xff" * 256_000, b"\xff\xd8" + b"\xff\xe0\0\x02" * 64_000, b"\xff\xd8" + b"\xff\xd0" * 128_000,
     b"\0\0\0\x18ftypavif\0\0\0\0avifmif1" + b"ispe" * 64_000],
)  # fmt: skip
def test_a_header_made_to_keep_its_reader_busy_is_given_up(head: bytes) -> None:
    began = time.process_time()
    assert read_header(head) is None
    assert time.process_time() - began < 0.1
