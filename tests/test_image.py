import hashlib
import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import features
from PIL.PngImagePlugin import PngInfo

from pyrite.errors import ImageError
from pyrite.image import Limits, open_image
from pyrite.preprocess import Preprocess

SMOOTH = np.stack(np.broadcast_arrays(np.arange(24)[:, None] * 8, np.arange(16) * 12, 99), axis=2).astype(np.uint8)


def encode(image, name, **options):
    if isinstance(image, np.ndarray):
        image = PillowImage.fromarray(image)
    stream = io.BytesIO()
    image.save(stream, name, **options)
    return stream.getvalue()


def encode_heif(*images, **options):
    import pillow_heif

    stream = io.BytesIO()
    file = pillow_heif.from_pillow(PillowImage.fromarray(images[0]))
    for image in images[1:]:
        file.add_from_pillow(PillowImage.fromarray(image))
    file.save(stream, quality=-1, chroma=444, **options)
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


@pytest.mark.parametrize("name", ["GIF", "PNG", "WEBP", "AVIF", "TIFF"])
def test_frames_are_counted_and_the_first_is_given(name):
    if name == "AVIF" and not features.check("avif"):
        pytest.skip("This Pillow has no AVIF.")
    frames = [PillowImage.new("RGB", (8, 8), colour) for colour in ("red", "blue", "lime")]
    image = open_image(encode(frames[0], name, save_all=True, append_images=frames[1:]))
    assert image.frames == 3
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
    assert image.frames == 2
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


def large(height, width):
    """Return what reducing changes most: hard edges, at the model's own scale and below."""
    rng = np.random.default_rng(0)
    coarse = np.kron(rng.integers(0, 2, (40, 40, 3)), np.ones((height // 40 + 1, width // 40 + 1, 1)))
    fine = rng.integers(0, 2, (height, width, 1))
    return (coarse[:height, :width] * 200 + fine * 55).astype(np.uint8)


MODEL = Preprocess(height=32, width=32)


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


@pytest.mark.skipif(sys.platform != "linux", reason="Peak memory is read from /proc.")
@pytest.mark.parametrize(
    ("name", "mode"), [("JPEG", "RGB"), ("JPEG", "CMYK"), ("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "P")]
)
def test_peak_memory_of_a_large_image(name, mode, tmp_path):
    """30 megapixels: 90 MB as RGB. Pillow itself has 4 bytes for each pixel."""
    path = tmp_path / "large"
    PillowImage.new("RGB", (6000, 5000), (9, 80, 200)).convert(mode).save(path, name)
    code = """
import sys
from pyrite.image import open_image
def peak():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1000
before = peak()
open_image(sys.argv[1], at_least=(32, 32))
print(peak() - before)
"""
    result = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert float(result.stdout) < 1.5 * 90 + 15
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
