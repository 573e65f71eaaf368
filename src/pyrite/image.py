"""One image from a file, bytes, stream, Pillow image or array, with limits checked before decoding."""

import hashlib
import io
import re
import stat
import struct
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from pyrite.errors import ImageError

Source = str | Path | bytes | BinaryIO | PillowImage.Image | NDArray[np.uint8]
Box = tuple[float, float, float, float]

# The plugins themselves: `PIL.Image.open` would try others as well, and has a limit of its own.
_PLUGINS: Mapping[str, Callable[[BinaryIO], ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WEBP": WebPImageFile,
    "AVIF": AvifImageFile,
    "GIF": GifImageFile,
    "BMP": BmpImageFile,
    "TIFF": TiffImageFile,
}

FORMATS = (*_PLUGINS, "HEIF")
"""What is decoded, recognised by content and never by a file's extension."""

_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BMP_HEADER_SIZES = {12, 40, 52, 56, 64, 108, 124}

_MARGIN = 8
_STRIP = 1 << 20  # pixels that are converted at a time
_MAX_READS = 250_000  # An honest file of 100 MB takes some 50,000.
_MAX_SCANS = 200  # of a JPEG; the usual progressive one has 10.
_MAX_PROFILES = 16  # of a PNG, which may have one; the letters may turn up by chance too.


@dataclass(frozen=True, slots=True)
class Limits:
    """What an image may cost before it is refused."""

    max_bytes: int = 100_000_000
    max_pixels: int = 150_000_000


@dataclass(frozen=True, slots=True)
class Image:
    """A decoded image. Everything is upright: as the EXIF turn has it."""

    pixels: NDArray[np.uint8]
    """(rows, columns, 3), sRGB, 0 to 255, on white where it was transparent; fewer rows and columns than
    `height` and `width` where `at_least` allowed it."""
    box: Box
    """The part of `pixels` that is the image: left, top, right, bottom. A reduced image may end within its
    outermost pixels."""
    width: int
    """Of the file's image, in pixels, however few of them were decoded."""
    height: int
    """Of the file's image, in pixels, however few of them were decoded."""
    format: str | None = None
    """One of `FORMATS`; as Pillow has it for a Pillow image; `None` for pixels that never were a file."""
    sha256: str | None = None
    """Of the file's bytes, in hexadecimal; `None` for pixels that never were a file."""
    data: bytes | None = None
    """The file's bytes; `None` for pixels that never were a file."""
    info: Mapping[str, object] = MappingProxyType({})
    """What Pillow found beside the pixels: `exif`, `xmp`, `icc_profile`, a PNG's texts, and more. Damaged
    files put anything here."""
    frames: int = 1
    """How many frames, pages or images the file has; `pixels` are the first, or a HEIF's primary one. A lower
    bound for files of very many."""


def open_image(source: Source, limits: Limits = Limits(), *, at_least: tuple[int, int] | None = None) -> Image:
    """Decode one image.

    Animated files give their first frame. Colour profiles are not applied. Of 16 bits, the upper 8 are kept.

    With `at_least`, an image is decoded at a half, a quarter or an eighth of its size, if that leaves no side
    shorter than 8 times the longer side asked for. A JPEG then costs a fraction of the time, and the others
    less memory. Resized to 32 × 32 with `box`, photos differ from what full decoding gives by 0.2 of 255 on
    average and 5 at most; the hardest test patterns, by 1.3 and 8. Smaller images are not touched at all.

    Args:
        source: A path, a file's bytes, a binary stream, a Pillow image, or an array (height, width, 3).
        limits: What it may cost.
        at_least: The (height, width) that the pixels will be resized to.

    Raises:
        ImageError: `not_found`, `not_a_file`, `unreadable`, `empty`, `too_many_bytes`, `too_many_pixels`,
            `unsupported_format`, `corrupt`, `out_of_memory`, `bad_array` or `bad_source`.
    """
    short = _MARGIN * max(at_least) if at_least else None
    try:
        if isinstance(source, np.ndarray):
            return _from_array(source, limits, short)
        if isinstance(source, PillowImage.Image):
            return _from_pillow(source, limits, short)
        return _from_file(_read(source, limits), limits, short)
    except MemoryError as error:
        raise ImageError("out_of_memory", "There is not enough memory for this image.") from error


def _read(source: str | Path | bytes | BinaryIO, limits: Limits) -> bytes:
    if isinstance(source, bytes):
        data = source
    elif isinstance(source, str | Path):
        path = Path(source)
        try:
            # A device or a pipe may never end, so the kind is looked at before opening.
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a device or a pipe"
                raise ImageError("not_a_file", f"This is {kind}, not a file.")
            _check_bytes(status.st_size, limits)
            with path.open("rb") as stream:
                data = stream.read(limits.max_bytes + 1)
        except FileNotFoundError:
            raise ImageError("not_found", "There is no such file.") from None
        except (OSError, ValueError) as error:
            raise ImageError("unreadable", f"The file cannot be read: {error}") from error
    elif hasattr(source, "read"):
        data = _read_stream(source, limits.max_bytes + 1)
    else:
        raise ImageError(
            "bad_source",
            f"An image is a path, bytes, a binary stream, a Pillow image or an array, not {type(source).__name__}.",
        )
    _check_bytes(len(data), limits)
    return data


def _read_stream(stream: BinaryIO, size: int) -> bytes:
    parts = []
    while size > 0:
        try:
            part = stream.read(size)
        except Exception as error:  # Streams from archives and networks have errors of their own.
            raise ImageError("unreadable", f"The stream cannot be read: {error}") from error
        if not isinstance(part, bytes):
            raise ImageError("bad_source", "The stream must give bytes. Open it in binary mode.")
        if not part:
            break
        parts.append(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _check_bytes(size: int, limits: Limits) -> None:
    if size > limits.max_bytes:
        raise ImageError("too_many_bytes", f"The file is larger than the limit of {limits.max_bytes:,} bytes.")


def _check_pixels(width: int, height: int, limits: Limits) -> None:
    if min(width, height) < 1:
        raise ImageError("corrupt", f"The image has no pixels: its size is {width} × {height}.")
    if width * height > limits.max_pixels:
        raise ImageError(
            "too_many_pixels",
            f"The image has {width:,} × {height:,} pixels; the limit is {limits.max_pixels:,}.",
        )


def _from_file(data: bytes, limits: Limits, short: int | None) -> Image:
    if not data:
        raise ImageError("empty", "The file is empty.")
    name = _sniff(data)
    if name is None:
        raise ImageError(
            "unsupported_format",
            f"This is not an image in a format that is read here ({', '.join(FORMATS)}).",
        )
    _check_structure(name, data)
    # Pillow warns of what it repairs. That would be lines on a terminal, or errors where warnings are.
    quiet = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
    if quiet not in warnings.filters:
        warnings.filterwarnings("ignore", module=r"PIL\.")
    decode = _decode_heif if name == "HEIF" else _decode_pillow
    try:
        canvas = decode(name, data, limits, short)
        pixels, box = _assemble(canvas)
        frames = canvas.frames()
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # Decoders raise nearly anything on damaged files.
        raise ImageError("corrupt", f"The image is damaged: {str(error) or type(error).__name__}") from error
    width, height = canvas.upright
    sha256 = hashlib.sha256(data).hexdigest()
    return Image(pixels, box, width, height, name, sha256, data, MappingProxyType(canvas.info), frames)


def _sniff(data: bytes) -> str | None:
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith(_TIFF_STARTS):
        return "TIFF"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data.startswith(b"BM") and int.from_bytes(data[14:18], "little") in _BMP_HEADER_SIZES:
        return "BMP"
    if data[4:8] == b"ftyp":
        end = min(int.from_bytes(data[:4], "big"), 256)
        brands = {data[8:12], *(data[i : i + 4] for i in range(16, end, 4))}
        return "AVIF" if brands & _AVIF_BRANDS else "HEIF" if brands & _HEIF_BRANDS else None
    return None


def _check_structure(name: str, data: bytes) -> None:
    """Refuse small files that would keep a decoder busy for hours; both counts are far above any honest file's."""
    # Each scan goes over the whole image. By chance, the marker is in 1 of 65,536 bytes after the image.
    if name == "JPEG" and data.count(b"\xff\xda") > _MAX_SCANS + len(data) // 32_768:
        raise ImageError("corrupt", "The image is damaged: it has far too many scans.")
    if name == "PNG" and data.count(b"iCCP") > _MAX_PROFILES:
        raise ImageError("corrupt", "The image is damaged: it has far too many colour profiles.")


class _Stream(io.BytesIO):
    """A file's bytes, which end files of millions of tiny parts: Pillow takes seconds for each million."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        if self.reads > _MAX_READS:
            raise ImageError("corrupt", "The image is damaged: it has far too many parts.")
        return super().read(size)


@dataclass(frozen=True, slots=True)
class _Canvas:
    """What a decoder gave, in whatever mode, before the EXIF turn."""

    size: tuple[int, int]
    """(width, height) of the image, in pixels."""
    scale: int
    """By how much it is to be smaller, on either side: 1, 2, 4 or 8."""
    scaled: bool
    """Whether the decoder did that already."""
    rows: Callable[[int, int], PillowImage.Image]
    """From one row up to another, as RGB."""
    orientation: int = 1
    """As in EXIF."""
    info: dict[str, object] = MappingProxyType({})  # type: ignore[assignment]
    frames: Callable[[], int] = lambda: 1
