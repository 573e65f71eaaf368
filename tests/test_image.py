import hashlib
import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import features

from pyrite.errors import ImageError
from pyrite.image import Limits, open_image

SMOOTH = np.stack(np.broadcast_arrays(np.arange(24)[:, None] * 8, np.arange(16) * 12, 99), axis=2).astype(np.uint8)


def encode(image, name, **options):
    if isinstance(image, np.ndarray):
        image = PillowImage.fromarray(image)
    stream = io.BytesIO()
    image.save(stream, name, **options)
    return stream.getvalue()


def refused(source, **limits):
    with pytest.raises(ImageError) as caught:
        open_image(source, Limits(**limits))
    return caught.value.code


@pytest.mark.parametrize("name", ["PNG", "BMP", "TIFF"])
def test_lossless_formats_give_the_same_pixels(name):
    image = open_image(encode(SMOOTH, name))
    assert (image.pixels == SMOOTH).all()
    assert image.pixels.dtype == np.uint8
    assert (image.format, image.height, image.width) == (name, 24, 16)


@pytest.mark.parametrize("name", ["JPEG", "WEBP", "AVIF", "GIF"])
def test_lossy_formats_give_nearly_the_same_pixels(name):
    if name == "AVIF" and not features.check("avif"):
        pytest.skip("This Pillow has no AVIF.")
    image = open_image(encode(SMOOTH, name))
    assert image.format == name
    assert np.abs(image.pixels.astype(int) - SMOOTH).mean() < 12


def test_every_kind_of_source_gives_the_same(tmp_path):
    data = encode(SMOOTH, "PNG")
    path = tmp_path / "no.jpg"
    path.write_bytes(data)
    with path.open("rb") as stream:
        images = [open_image(source) for source in (path, str(path), data, io.BytesIO(data), stream)]
    assert {image.sha256 for image in images} == {hashlib.sha256(data).hexdigest()}
    assert {image.format for image in images} == {"PNG"}
    images += [open_image(SMOOTH), open_image(PillowImage.fromarray(SMOOTH))]
    assert all((image.pixels == SMOOTH).all() for image in images)
    assert images[-1].sha256 is images[-2].sha256 is None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turn(orientation):
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    stored = PillowImage.fromarray(SMOOTH)
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    if orientation in undo:
        stored = stored.transpose(PillowImage.Transpose(undo[orientation]))
    assert (open_image(encode(stored, "PNG", exif=exif)).pixels == SMOOTH).all()


def test_damaged_exif_takes_nothing_from_the_pixels():
    data = encode(SMOOTH, "PNG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    assert (open_image(data).pixels == SMOOTH).all()


def test_transparency_is_on_white():
    rgba = np.dstack([SMOOTH, np.full(SMOOTH.shape[:2], 255, np.uint8)])
    rgba[:12, :, 3] = 0
    pixels = open_image(encode(rgba, "PNG")).pixels
    assert (pixels[:12] == 255).all()
    assert (pixels[12:] == SMOOTH[12:]).all()
    half = np.full((2, 2, 4), (0, 0, 0, 128), np.uint8)
    assert (open_image(encode(half, "PNG")).pixels == 127).all()


def test_transparent_palette_is_on_white():
    image = PillowImage.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    assert open_image(encode(image, "PNG", transparency=0)).pixels[0].tolist() == [[255] * 3, [40, 50, 60]]


def test_transparent_colour_of_an_rgb_png_is_on_white():
    image = PillowImage.new("RGB", (2, 1), (1, 2, 3))
    image.putpixel((1, 0), (9, 8, 7))
    assert open_image(encode(image, "PNG", transparency=(1, 2, 3))).pixels[0].tolist() == [
        [255] * 3,
        [9, 8, 7],
    ]


@pytest.mark.parametrize("name", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled(name):
    grey = np.array([[0, 255, 256, 0x8000, 0xFFFF]], np.uint16)
    assert open_image(encode(grey, name)).pixels[0, :, 0].tolist() == [0, 0, 1, 128, 255]


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "CMYK"])
def test_other_modes_become_rgb(mode):
    image = PillowImage.new("RGB", (4, 3), "white").convert(mode)
    pixels = open_image(encode(image, "TIFF")).pixels
    assert pixels.shape == (3, 4, 3)
    assert (pixels == 255).all()


def test_cmyk_jpeg_keeps_its_colours():
    image = PillowImage.new("RGB", (8, 8), (200, 40, 90)).convert("CMYK")
    assert np.abs(open_image(encode(image, "JPEG")).pixels.astype(int) - (200, 40, 90)).max() <= 6


@pytest.mark.parametrize("mode", ["F", "I"])
def test_pixels_of_unknown_range_are_refused(mode):
    assert refused(encode(PillowImage.new(mode, (4, 4)), "TIFF")) == "unsupported_format"


@pytest.mark.parametrize("name", ["GIF", "PNG", "WEBP"])
def test_animated_files_give_their_first_frame(name):
    frames = [PillowImage.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = encode(
        frames[0],
        name,
        save_all=True,
        append_images=frames[1:],
        **({"lossless": True} if name == "WEBP" else {}),
    )
    assert (open_image(data).pixels == (255, 0, 0)).all()


@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_truncated_files_are_damaged_and_never_filled_up(name):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = encode(noise, name)
    assert refused(data[: len(data) // 2]) in ("corrupt", "unsupported_format")


def test_a_cut_png_gives_all_its_pixels_or_none():
    data = encode(SMOOTH, "PNG")
    for end in range(len(data)):
        try:
            pixels = open_image(data[:end]).pixels
        except ImageError:
            continue
        assert (pixels == SMOOTH).all()


@pytest.mark.parametrize(
    "data", [b"no image", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"%PDF-1.7", b"<svg/>", b"\0" * 99]
)
def test_other_content_is_refused(data):
    assert refused(data) in ("unsupported_format", "corrupt")


def test_formats_outside_the_list_are_refused():
    assert refused(encode(SMOOTH, "PPM")) == "unsupported_format"


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "empty.png").touch()
    assert refused(tmp_path / "empty.png") == "empty"
    assert refused(b"") == "empty"
    assert refused(io.BytesIO()) == "empty"
    assert refused(tmp_path) == "not_a_file"
    assert refused(tmp_path / "missing.png") == "not_found"
    assert refused("bad\0name.png") == "unreadable"
    assert refused("x" * 5000) == "unreadable"
    assert refused(tmp_path / "empty.png" / "a.png") == "unreadable"


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="There are no such devices here.")
def test_devices_and_pipes_are_never_opened(tmp_path):
    assert refused("/dev/zero") == "not_a_file"
    os.mkfifo(tmp_path / "pipe.png")
    assert refused(tmp_path / "pipe.png") == "not_a_file"


class Broken(io.RawIOBase):
    def readable(self):
        return True

    def readinto(self, buffer):
        raise OSError("cable cut")


def test_sources_that_are_no_image():
    assert refused(Broken()) == "unreadable"
    assert refused(io.StringIO("text")) == "bad_source"
    assert refused(None) == "bad_source"
    assert refused(3) == "bad_source"


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3)),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_arrays_of_another_kind_are_refused(array):
    assert refused(array) == "bad_array"


def test_bytes_are_limited_before_decoding(tmp_path):
    data = encode(SMOOTH, "PNG")
    (tmp_path / "a.png").write_bytes(data)
    for source in (data, io.BytesIO(data), tmp_path / "a.png"):
        assert refused(source, max_bytes=len(data) - 1) == "too_many_bytes"
    assert open_image(data, Limits(max_bytes=len(data))).width == 16


def test_an_endless_stream_is_read_no_further_than_the_limit():
    class Endless(io.RawIOBase):
        def read(self, size=-1):
            assert size == 1001
            return b"\0" * size

    assert refused(Endless(), max_bytes=1000) == "too_many_bytes"


def png_header(width, height):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    body = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", body) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_pixels_are_limited_before_decoding():
    data = encode(SMOOTH, "PNG")
    for source in (data, SMOOTH, PillowImage.fromarray(SMOOTH)):
        assert refused(source, max_pixels=24 * 16 - 1) == "too_many_pixels"
        assert open_image(source, Limits(max_pixels=24 * 16)).width == 16
    assert refused(png_header(9000, 9000), max_pixels=80_000_000) == "too_many_pixels"
    assert refused(png_header(60_000, 60_000), max_pixels=10**12) == "too_many_pixels"


def test_a_lazy_pillow_image_that_turns_out_damaged():
    data = encode(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8), "JPEG")
    with PillowImage.open(io.BytesIO(data[: len(data) // 2])) as image:
        assert refused(image) == "corrupt"


def test_a_pillow_image_is_left_as_it_was():
    image = PillowImage.fromarray(SMOOTH)
    image.getexif()[0x0112] = 6
    assert open_image(image).width == 24
    assert image.size == (16, 24)
    assert image.getexif()[0x0112] == 6
