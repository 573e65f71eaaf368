import hashlib
import io
import os
import struct
import subprocess
import sys
import zlib
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import PngImagePlugin, TiffImagePlugin, features
from PIL.BmpImagePlugin import BmpImageFile
from PIL.PngImagePlugin import PngInfo

from pyrite.bundle.preprocess import Resize
from pyrite.decision import decide
from pyrite.detector import Detector
from pyrite.errors import ImageError
from pyrite.image import Limits, open_image

FIXTURES = Path(__file__).parents[2] / "shared" / "data" / "fixtures"

SMOOTH = np.stack(np.broadcast_arrays(np.arange(24)[:, None] * 8, np.arange(16) * 12, 99), axis=2).astype(np.uint8)


def real_files(test):
    there = pytest.mark.skipif(not FIXTURES.is_dir(), reason=f"{FIXTURES} is not there")
    return pytest.mark.real_data(there(test))


def encode(image, name, **options):
    if isinstance(image, np.ndarray):
        image = PillowImage.fromarray(image)
    stream = io.BytesIO()
    image.save(stream, name, **options)
    return stream.getvalue()


def encode_heif(*images, **options):
    import pillow_heif

    images = [PillowImage.fromarray(image) if isinstance(image, np.ndarray) else image for image in images]
    stream = io.BytesIO()
    file = pillow_heif.from_pillow(images[0])
    for image in images[1:]:
        file.add_from_pillow(image)
    file.save(stream, **{"quality": -1, "chroma": "444"} | options)
    return stream.getvalue()


def exif_with(**tags):
    exif = PillowImage.Exif()
    exif.update({{"turn": 0x0112, "software": 0x0131}[name]: value for name, value in tags.items()})
    return exif


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(bits, colour, rows, *chunks, size, interlaced=0):
    header = struct.pack(">IIBBBBB", *size, bits, colour, 0, 0, interlaced)
    parts = [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


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
    exif = exif_with(turn=orientation)
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
    return png(8, 2, b"", size=(width, height))


def test_pixels_are_limited_before_decoding():
    data = encode(SMOOTH, "PNG")
    for source in (data, SMOOTH, PillowImage.fromarray(SMOOTH)):
        assert refused(source, max_pixels=24 * 16 - 1) == "too_many_pixels"
        assert open_image(source, Limits(max_pixels=24 * 16)).width == 16
    assert refused(png_header(9000, 9000), max_pixels=80_000_000) == "too_many_pixels"


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


def test_what_comes_with_an_image():
    text = PngInfo()
    text.add_text("Software", "before")
    data = encode(SMOOTH, "PNG", pnginfo=text, exif=exif_with(software="camera"))
    late = data[:-12] + chunk(b"tEXt", b"Comment\0after") + data[-12:]
    image = open_image(late)
    assert image.data == late
    assert (image.info["Software"], image.info["Comment"]) == ("before", "after")
    assert b"camera" in image.info["exif"]
    assert (image.frames, image.box) == (1, (0, 0, 16, 24))
    with pytest.raises(TypeError):
        image.info["Software"] = "other"
    for source in (SMOOTH, PillowImage.fromarray(SMOOTH)):
        assert (open_image(source).data, dict(open_image(source).info), open_image(source).frames) == (None, {}, 1)


def with_chunks(*chunks):
    data = encode(SMOOTH, "PNG")
    return data[:33] + b"".join(chunks) + data[33:]


LONG = zlib.compress(b"x" * 1_500_000)
LARGE_CHUNKS = [
    chunk(b"zTXt", b"workflow\0\0" + LONG),
    chunk(b"iTXt", b"workflow\0\1\0en\0tr\0" + LONG),
    chunk(b"iCCP", b"profile\0\0" + LONG),
]


@pytest.mark.parametrize("large", LARGE_CHUNKS, ids=["zTXt", "iTXt", "iCCP"])
def test_a_text_or_profile_too_large_for_pillow_is_left_out_and_the_image_read(large):
    small = [chunk(b"zTXt", b"before\0\0" + zlib.compress(b"a")), chunk(b"tEXt", b"after\0b")]
    data = with_chunks(small[0], large, small[1])
    image = open_image(data)
    assert (image.pixels == SMOOTH).all()
    assert (image.info["before"], image.info["after"]) == ("a", "b")
    assert not {"workflow", "icc_profile"} & set(image.info)
    assert (image.data, image.sha256) == (data, hashlib.sha256(data).hexdigest())
    late = encode(SMOOTH, "PNG")[:-12] + large + small[1] + chunk(b"IEND", b"")
    assert "workflow" not in open_image(late).info
    assert open_image(late).info["after"] == "b"


def test_texts_up_to_pillows_own_limits_are_kept(monkeypatch):
    text = chunk(b"zTXt", b"workflow\0\0" + zlib.compress(b"x" * PngImagePlugin.MAX_TEXT_CHUNK))
    assert len(open_image(with_chunks(text)).info["workflow"]) == PngImagePlugin.MAX_TEXT_CHUNK
    monkeypatch.setattr(PngImagePlugin, "MAX_TEXT_CHUNK", 2_000_000)
    for data in LARGE_CHUNKS:
        assert {"workflow", "icc_profile"} & set(open_image(with_chunks(data)).info)


def test_of_texts_too_large_together_the_first_are_kept(monkeypatch):
    monkeypatch.setattr(PngImagePlugin, "MAX_TEXT_MEMORY", 1000)
    texts = [chunk(b"tEXt", name + b"\0" + b"x" * size) for name, size in ((b"a", 600), (b"b", 600), (b"c", 300))]
    image = open_image(with_chunks(*texts))
    assert {"a", "b", "c"} & set(image.info) == {"a", "c"}
    assert (image.pixels == SMOOTH).all()


def test_a_thousand_bombs_of_text_are_not_unpacked_one_by_one():
    bomb = chunk(b"zTXt", b"k\0\0" + zlib.compress(b"x" * 20_000_000))
    image = open_image(with_chunks(chunk(b"tEXt", b"first\0a"), *[bomb] * 1000))
    assert (image.pixels == SMOOTH).all()
    assert image.info["first"] == "a"


@pytest.mark.parametrize("name", ["GIF", "PNG", "WEBP", "AVIF", "TIFF"])
def test_frames_are_counted_and_the_first_is_given(name):
    if name == "AVIF" and not features.check("avif"):
        pytest.skip("This Pillow has no AVIF.")
    frames = [PillowImage.new("RGB", (8, 8), colour) for colour in ("red", "blue", "lime")]
    image = open_image(encode(frames[0], name, save_all=True, append_images=frames[1:]))
    assert (image.frames, image.frame) == (3, 0)
    assert np.abs(image.pixels.astype(int) - (255, 0, 0)).max() < 20


def test_damage_after_the_first_frame_is_none_to_it():
    frames = [PillowImage.new("RGB", (8, 8), colour) for colour in ("red", "blue", "lime")]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    image = open_image(data[:-20])
    assert 1 <= image.frames <= 3
    assert (image.pixels == (255, 0, 0)).all()


def test_further_images_in_a_jpeg_are_no_frames():
    data = encode(SMOOTH, "MPO", save_all=True, append_images=[PillowImage.fromarray(SMOOTH[::-1])])
    image = open_image(data)
    assert (image.format, image.frames) == ("JPEG", 1)


def test_a_first_frame_that_is_smaller_than_the_screen():
    frame = encode(PillowImage.new("P", (2, 2)), "GIF")
    at = frame.index(b",")
    data = frame[:6] + struct.pack("<HH", 4, 3) + frame[10 : at + 1] + struct.pack("<HH", 1, 1) + frame[at + 5 :]
    assert open_image(data).pixels.shape == (3, 4, 3)


def test_heic():
    image = open_image(encode_heif(SMOOTH, exif=exif_with(software="phone").tobytes()))
    assert (image.format, image.width, image.height, image.frames) == ("HEIF", 16, 24, 1)
    assert np.abs(image.pixels.astype(int) - SMOOTH).max() <= 3
    assert b"phone" in image.info["exif"]


@pytest.mark.parametrize("turn", range(1, 9))
def test_heic_is_turned_once(turn):
    data = encode_heif(SMOOTH, exif=exif_with(turn=turn).tobytes())
    expected = open_image(encode(SMOOTH, "PNG", exif=exif_with(turn=turn))).pixels
    assert np.abs(open_image(data).pixels.astype(int) - expected).max() <= 3


def test_transparent_heic_is_on_white():
    rgba = np.dstack([SMOOTH, np.zeros(SMOOTH.shape[:2], np.uint8)])
    assert (open_image(encode_heif(rgba)).pixels >= 253).all()


def test_heic_of_several_images_gives_its_primary_one():
    image = open_image(encode_heif(SMOOTH, 255 - SMOOTH, primary_index=1))
    assert (image.frames, image.frame) == (2, 1)
    assert np.abs(image.pixels.astype(int) - (255 - SMOOTH)).max() <= 3


def test_16_bit_colour_keeps_the_upper_8_bits():
    values = np.array([[[0x1234, 0x00FF, 0xFF00]]], ">u2")
    assert open_image(png(16, 2, b"\0" + values.tobytes(), size=(1, 1))).pixels.tolist() == [[[0x12, 0, 0xFF]]]
    values = np.array([[[0x1234, 0xFFFF], [0, 0]]], ">u2")
    assert open_image(png(16, 4, b"\0" + values.tobytes(), size=(2, 1))).pixels[0, :, 0].tolist() == [0x12, 0xFF]


def test_transparent_grey_of_16_bits_is_on_white():
    values = np.array([[0x0100, 0x0101]], ">u2")
    data = png(16, 0, b"\0" + values.tobytes(), chunk(b"tRNS", b"\1\0"), size=(2, 1))
    assert open_image(data).pixels[0, :, 0].tolist() == [255, 1]


def test_interlaced_png():
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = b"".join(b"\0" + row.tobytes() for y, x, dy, dx in passes for row in SMOOTH[y::dy, x::dx])
    assert (open_image(png(8, 2, rows, size=(16, 24), interlaced=1)).pixels == SMOOTH).all()


@pytest.mark.parametrize(("bits", "expected"), [(1, [0, 255]), (2, [0, 85]), (4, [0, 17])])
def test_grey_of_few_bits(bits, expected):
    row = bytes([0, 1 << 8 - 2 * bits])
    assert open_image(png(bits, 0, row, size=(2, 1))).pixels[0, :, 0].tolist() == expected


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_bmp_of_every_depth(mode):
    image = PillowImage.new("RGB", (5, 3), "white").convert(mode)
    assert (open_image(encode(image, "BMP")).pixels == 255).all()


def test_bmp_from_the_top_and_from_the_bottom():
    data = bytearray(encode(SMOOTH, "BMP"))
    data[22:26] = struct.pack("<i", -24)
    assert (open_image(bytes(data)).pixels == SMOOTH[::-1]).all()


def test_what_only_starts_like_a_bmp():
    assert refused(b"BMW makes no images, but cars and motorcycles.") == "unsupported_format"


def test_grey_jpeg():
    grey = PillowImage.fromarray(SMOOTH).convert("L")
    pixels = open_image(encode(grey, "JPEG", quality=95)).pixels
    assert (pixels == pixels[..., :1]).all()
    assert np.abs(pixels[..., 0].astype(int) - np.asarray(grey)).max() <= 4


def test_ycck_jpeg():
    """Adobe's transform 2: Y, Cb and Cr stand for C, M and Y. A Y of 150 is that much of each ink, on 255 of white."""
    stored = PillowImage.new("CMYK", (8, 8), (255 - 150, 127, 127, 0))
    data = bytearray(encode(stored, "JPEG", quality=100))
    data[data.index(b"Adobe") + 11] = 2
    assert np.abs(open_image(bytes(data)).pixels.astype(int) - 105).max() <= 4


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "group4"])
def test_tiff_compressions(compression):
    image = PillowImage.new("1" if compression == "group4" else "RGB", (20, 10), "white")
    assert (open_image(encode(image, "TIFF", compression=compression)).pixels >= 254).all()


def large(height, width):
    """Return what reducing changes most: hard edges, at the model's own scale and below."""
    rng = np.random.default_rng(0)
    coarse = np.kron(rng.integers(0, 2, (40, 40, 3)), np.ones((height // 40 + 1, width // 40 + 1, 1)))
    fine = rng.integers(0, 2, (height, width, 1))
    return (coarse[:height, :width] * 200 + fine * 55).astype(np.uint8)


def tiled(image, side, compress=lambda data: data, compression=1):
    """Return a TIFF of tiles, which Pillow reads but does not write."""
    across, down = -(-image.width // side), -(-image.height // side)
    boxes = [(x * side, y * side, (x + 1) * side, (y + 1) * side) for y in range(down) for x in range(across)]
    tiles = [compress(image.crop(box).tobytes()) for box in boxes]
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags.update({256: image.width, 257: image.height, 258: (8, 8, 8), 259: compression, 262: 2, 277: 3})
    tags.update({322: side, 323: side, 325: tuple(map(len, tiles))})
    start = 0
    for _ in range(2):  # Where the tiles are depends on how long the tags are.
        tags[324] = tuple(start + sum(map(len, tiles[:i])) for i in range(len(tiles)))
        start = 8 + len(tags.tobytes(8))
    return b"II*\0\x08\0\0\0" + tags.tobytes(8) + b"".join(tiles)


def in_strips(image, compression, rows=70, **tags):
    tags = {278: rows} | {int(key[1:]): value for key, value in tags.items()}
    return encode(image, "TIFF", compression=compression, tiffinfo=tags)


WIDE = (1032, 1100)  # so large that Pillow is given a few strips at a time
LARGE_TIFFS = {
    "raw": lambda rgb: in_strips(rgb, "raw"),
    "lzw": lambda rgb: in_strips(rgb, "tiff_lzw"),
    "predicted": lambda rgb: in_strips(rgb, "tiff_lzw", _317=2),
    "deflate": lambda rgb: in_strips(rgb, "tiff_adobe_deflate", rows=1),
    "packbits": lambda rgb: in_strips(rgb, "packbits", rows=33),
    "jpeg": lambda rgb: in_strips(rgb, "jpeg", rows=64),
    "one strip": lambda rgb: in_strips(rgb, "tiff_lzw", rows=WIDE[0]),
    "turned": lambda rgb: in_strips(rgb, "tiff_lzw", _274=6),
    "16 bits": lambda rgb: in_strips(deep("I;16"), "tiff_lzw"),
    "16 bits from the other end": lambda rgb: in_strips(deep("I;16B"), "raw"),
    "tiles": lambda rgb: tiled(rgb, 64),
    "packed tiles": lambda rgb: tiled(rgb, 112, zlib.compress, 8),
} | {mode: lambda rgb, mode=mode: in_strips(rgb.convert(mode), "tiff_lzw") for mode in ("1", "L", "P", "RGBA", "CMYK")}


def deep(mode):
    values = np.arange(WIDE[0] * WIDE[1]) % 65_536
    return PillowImage.frombytes(mode, WIDE[::-1], values.astype(">u2" if mode == "I;16B" else "<u2").tobytes())


@pytest.mark.parametrize("name", LARGE_TIFFS)
def test_a_large_tiff_gives_what_pillow_gives(name):
    data = LARGE_TIFFS[name](PillowImage.fromarray(large(*WIDE)))
    with PillowImage.open(io.BytesIO(data)) as image:
        expected = open_image(image)
    found = open_image(data)
    assert (found.pixels == expected.pixels).all()
    assert (found.width, found.height, found.frames) == (expected.width, expected.height, 1)
    less = open_image(data, at_least=(32, 32)).pixels
    assert (less == open_image(expected.pixels, at_least=(32, 32)).pixels).all()


def test_a_large_tiff_whose_strips_have_wrong_sizes_is_read_as_pillow_reads_it():
    data = in_strips(large(*WIDE), "raw")
    with PillowImage.open(io.BytesIO(data)) as image:
        sizes = struct.pack(f"<{len(image.tag_v2[279])}L", *image.tag_v2[279])
    for wrong in (b"\0" * len(sizes), b"\xff\xff\xff\x01" * (len(sizes) // 4)):
        assert (open_image(data.replace(sizes, wrong)).pixels == large(*WIDE)).all()


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "jpeg"])
def test_a_large_tiff_with_a_damaged_strip_is_damaged(compression):
    data = bytearray(in_strips(large(*WIDE), compression, rows=64))
    with PillowImage.open(io.BytesIO(data)) as image:
        offsets = image.tag_v2[273]
    table = struct.pack("<2L", *offsets[-2:])
    data[data.index(table) : data.index(table) + 8] = struct.pack("<2L", len(data), len(data))
    assert refused(bytes(data)) == "corrupt"


LARGE_FILES = {
    "JPEG": {"quality": 100, "subsampling": 0},
    "PNG": {"compress_level": 0},
    "BMP": {},
    "TIFF": {"compression": "tiff_lzw"},
    "WEBP": {"lossless": True, "method": 0},
    "GIF": {},
}


@pytest.fixture(scope="module")
def large_files(tmp_path_factory):
    """Files of more than 4 MB, which are not read into memory before they are decoded."""
    folder = tmp_path_factory.mktemp("large")
    noise = np.random.default_rng(0).integers(0, 256, (1450, 1450, 3), np.uint8)
    paths = {name: folder / name for name in LARGE_FILES}
    for name, path in paths.items():
        image = np.tile(noise[..., 0], (2, 1)) if name == "GIF" else noise
        path.write_bytes(encode(image, name, **LARGE_FILES[name]))
    return paths


@pytest.mark.parametrize("name", LARGE_FILES)
def test_a_large_file_gives_the_same_as_its_bytes(name, large_files):
    path = large_files[name]
    assert path.stat().st_size > 4_000_000
    with path.open("rb") as stream:
        images = [open_image(source) for source in (path, path.read_bytes(), stream)]
    for one, other in pairwise(images):
        assert (one.pixels == other.pixels).all()
        assert (one.sha256, one.data, one.info) == (other.sha256, other.data, other.info)
        assert (one.width, one.height, one.frames, one.format) == (other.width, other.height, other.frames, name)
    assert images[0].sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", LARGE_FILES)
def test_a_large_file_cut_short_is_damaged(name, large_files, tmp_path):
    data = large_files[name].read_bytes()
    (tmp_path / "cut").write_bytes(data[: len(data) * 99 // 100])
    assert refused(tmp_path / "cut") == refused(data[: len(data) * 99 // 100]) == "corrupt"
    assert refused(tmp_path / "cut", max_bytes=4_000_000) == "too_many_bytes"


def test_a_large_file_that_changes_while_it_is_read_is_refused(large_files, tmp_path, monkeypatch):
    """Otherwise the pixels could be of one file, and the hash and the evidence of another."""
    path = tmp_path / "changing"
    path.write_bytes(large_files["BMP"].read_bytes())
    load = BmpImageFile.load

    def write(image):
        with path.open("ab") as stream:
            stream.write(b"more")
        return load(image)

    assert open_image(path).width == 1450
    monkeypatch.setattr(BmpImageFile, "load", write)
    assert refused(path) == "unreadable"


@pytest.mark.parametrize(("times", "code"), [(16, None), (17, "corrupt")])
def test_profiles_are_counted_across_the_parts_that_a_large_file_is_read_in(times, code, tmp_path):
    data = encode(SMOOTH, "PNG").ljust(5_000_000, b"\0") + b"iCCP" * (times - 4)
    for part in range(1, 5):
        at = (part << 20) - part
        data = data[:at] + b"iCCP" + data[at + 4 :]
    (tmp_path / "a.png").write_bytes(data)
    for source in (data, tmp_path / "a.png"):
        if code:
            assert refused(source) == code
        else:
            assert open_image(source).width == 16


def test_a_turned_tiff_has_its_size_after_the_turn():
    image = open_image(encode(SMOOTH, "TIFF", exif=exif_with(turn=6)))
    assert (image.width, image.height, image.pixels.shape) == (24, 16, (16, 24, 3))


def test_a_raised_limit_holds_beyond_pillows_own(monkeypatch):
    monkeypatch.setattr(PillowImage, "MAX_IMAGE_PIXELS", 100)
    assert open_image(encode(SMOOTH, "PNG")).width == 16


def test_a_stream_that_gives_little_at_a_time():
    class Slow(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, 7))

    assert (open_image(Slow(encode(SMOOTH, "PNG"))).pixels == SMOOTH).all()


def test_a_stream_of_an_archive_that_is_damaged():
    class Damaged(io.BytesIO):
        def read(self, size=-1):
            raise zlib.error("invalid data")

    assert refused(Damaged()) == "unreadable"


MODEL = Resize(height=32, width=32)


def difference(one, other):
    inputs = [MODEL.apply(image.pixels, image.box).astype(int) for image in (one, other)]
    return np.abs(inputs[0] - inputs[1])


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize(("name", "options"), [("PNG", {}), ("JPEG", {"quality": 90, "subsampling": 0})])
def test_decoding_less_gives_nearly_the_same(name, options, turn):
    """The sides are no multiples of 4, and a turn takes the cut pixels to any side."""
    data = encode(large(1033, 1051), name, exif=exif_with(turn=turn), **options)
    full, less = open_image(data), open_image(data, at_least=(32, 32))
    assert (less.width, less.height) == (full.width, full.height)
    assert sorted(less.pixels.shape[:2]) == [259, 263]
    assert difference(full, less).mean() < 1.3
    assert difference(full, less).max() <= 8


def test_decoding_less_of_every_kind_of_source_gives_the_same():
    pixels = large(520, 600)
    sources = [pixels, PillowImage.fromarray(pixels), encode(pixels, "PNG"), encode(pixels, "BMP")]
    images = [open_image(source, at_least=(32, 32)) for source in sources]
    assert all((image.pixels == images[0].pixels).all() for image in images)
    assert images[0].pixels.shape == (260, 300, 3)
    heic = open_image(encode_heif(pixels), at_least=(32, 32))
    assert heic.pixels.shape == (260, 300, 3)


@pytest.mark.parametrize("name", ["PNG", "JPEG"])
@pytest.mark.parametrize(
    ("side", "decoded"), [(511, 511), (512, 256), (1023, 512), (1024, 256), (2047, 512), (2048, 256)]
)
def test_as_little_is_decoded_as_leaves_8_times_what_is_wanted(name, side, decoded):
    image = open_image(encode(PillowImage.new("L", (side, side)), name), at_least=(32, 20))
    assert image.pixels.shape == (decoded, decoded, 3)
    assert (image.width, image.height) == (side, side)


def test_images_near_the_wanted_size_are_not_touched():
    for data in (encode(large(32, 32), "JPEG"), encode(large(500, 511), "JPEG")):
        full, same = open_image(data), open_image(data, at_least=(32, 32))
        assert (full.pixels == same.pixels).all()
        assert full.box == same.box


def test_a_pillow_image_is_never_decoded_to_less():
    with PillowImage.open(io.BytesIO(encode(large(600, 600), "JPEG"))) as image:
        assert open_image(image, at_least=(32, 32)).width == 600
        assert image.size == (600, 600)


@pytest.fixture(scope="module")
def photographs():
    """Every photograph large enough to be decoded at less than its size: the file, and JPEGs made of it."""
    files = {}
    for path in sorted([*FIXTURES.glob("camera/*"), *FIXTURES.glob("credentials/*")]):
        image = open_image(path)
        if min(image.width, image.height) >= 512:
            jpegs = [encode(image.pixels, "JPEG", quality=quality) for quality in (75, 95)]
            files[image.pixels.tobytes()] = [path.read_bytes(), *jpegs]
    assert len(files) >= 10
    return [data for versions in files.values() for data in versions]


@real_files
def test_decoding_less_of_photographs_gives_nearly_the_same(photographs):
    for data in photographs:
        full, less = open_image(data), open_image(data, at_least=(32, 32))
        assert full.pixels.shape[0] >= 2 * less.pixels.shape[0] - 1
        assert difference(full, less).mean() < 0.2
        assert difference(full, less).max() <= 5


@real_files
def test_decoding_less_of_photographs_changes_no_score_by_much(photographs):
    detector = Detector(evidence=False)
    full = [detector.detect(MODEL.apply(open_image(data).pixels)[0]) for data in photographs]
    less = list(detector.detect_many(photographs))
    calibration = detector.bundle.info.calibration
    moved = np.array([abs(one.logit - other.logit) for one, other in zip(full, less, strict=True)])
    spread = np.ptp([found.logit for found in full])
    assert spread > 9  # so the bounds below are not for want of a signal
    assert moved.max() < spread / 50
    assert np.median(moved) < spread / 200
    calls = [
        [decide(calibration.p_real(one.logit), calibration.p_ai(one.logit), True, detector.policy) for one in found]
        for found in (full, less)
    ]
    changed = sum(one != other for one, other in zip(*calls, strict=True))
    assert changed <= len(photographs) // 50


@pytest.fixture(scope="module")
def large_photo():
    """10 megapixels, 30 MB as RGB, that compress about as badly as a photograph does."""
    y, x = np.ogrid[:2500, :4000]
    noise = np.random.default_rng(0).integers(0, 9, (2500, 4000, 3), np.uint8)
    noise += ((x + y) // 40)[..., None].astype(np.uint8)
    return PillowImage.fromarray(noise)


MEMORY = """
import sys
from pyrite.image import open_image
def peak():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024
open_image(sys.argv[1], at_least=(32, 32))
before = peak()
open_image(sys.argv[2], at_least=(32, 32))
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Peak memory is read from /proc.")
@pytest.mark.parametrize(
    ("bound", "name", "mode", "options"),
    [
        (1.5, "JPEG", "RGB", {}),
        (1.5, "JPEG", "CMYK", {}),
        (1.5, "JPEG", "RGB", {"progressive": True}),
        (2.1, "JPEG", "RGB", {"progressive": True, "subsampling": 0}),
        (2.8, "JPEG", "CMYK", {"progressive": True, "subsampling": 0}),
        (1.5, "PNG", "RGB", {"compress_level": 1}),
        (1.5, "PNG", "RGBA", {"compress_level": 1}),
        (1.5, "PNG", "P", {"compress_level": 1}),
        (1.5, "GIF", "P", {}),
        (1.5, "BMP", "RGB", {}),
        (1.5, "TIFF", "RGB", {}),
        (1.5, "TIFF", "RGB", {"compression": "tiff_lzw"}),
        (1.5, "TIFF", "RGB", {"compression": "tiff_adobe_deflate"}),
        (1.5, "TIFF", "RGB", {"compression": "jpeg"}),
        (3.1, "TIFF", "RGB", {"compression": "tiff_lzw", "tiffinfo": {278: 4000}}),
        (1.7, "HEIF", "RGB", {"chroma": "420"}),
        (3.2, "HEIF", "RGB", {"chroma": "444"}),
        (2.8, "AVIF", "RGB", {"speed": 10}),
        (3.4, "AVIF", "RGB", {"speed": 10, "subsampling": "4:4:4"}),
        (4.1, "WEBP", "RGB", {"method": 0}),
        (4.6, "WEBP", "RGB", {"method": 0, "lossless": True, "quality": 0}),
    ],
)
def test_peak_memory_of_a_large_image(bound, name, mode, options, large_photo, tmp_path):
    """Multiples of what the pixels take as RGB, the file's own bytes included."""
    if name == "AVIF" and not features.check("avif"):
        pytest.skip("This Pillow has no AVIF.")
    # Its colours need not be the best ones, which would take seconds to find.
    image = large_photo.convert(mode, colors=16) if mode == "P" else large_photo.convert(mode)
    if name == "HEIF":
        # Its encoder takes a minute for noise.
        image = PillowImage.new(mode, image.size, (9, 80, 200))
        options = {"quality": 50, "enc_params": {"preset": "ultrafast"}} | options
    paths = [tmp_path / "small", tmp_path / "large"]
    for path, part in zip(paths, (image.crop((0, 0, 600, 600)), image), strict=True):
        path.write_bytes((encode_heif if name == "HEIF" else partial(encode, name=name))(part, **options))
    # What is imported late is imported by then, and not measured.
    result = subprocess.run([sys.executable, "-c", MEMORY, *paths], capture_output=True, text=True, check=True)
    assert float(result.stdout) <= bound * 30e6
    assert result.stderr == ""


def test_heic_without_its_package_is_refused_with_the_remedy(monkeypatch):
    data = encode_heif(SMOOTH)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"pip install 'pyrite\[heif\]'"):
        open_image(data)


def test_what_decoders_say_of_damage_is_heard_by_nobody(capsys):
    """Warnings are errors here, and would be the end of an image that can be read."""
    broken = struct.pack("<HHII", 0x010F, 2, 2**31, 2**31) + struct.pack("<HHII", 0x0112, 3, 1, 6)
    data = encode(SMOOTH, "PNG", exif=b"Exif\0\0II*\0\x08\0\0\0\x02\0" + broken + b"\0\0\0\0")
    assert open_image(data).pixels.shape == (16, 24, 3)
    assert capsys.readouterr() == ("", "")
