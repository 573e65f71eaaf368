"""One image from a file, bytes, stream, Pillow image or array, with limits checked before decoding."""

import hashlib
import io
import logging
import re
import stat
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
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
_STARTS: Mapping[str, tuple[bytes, ...]] = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
}
_BMP_HEADERS = {12, 40, 52, 56, 64, 108, 124}

_MARGIN = 8
_STRIP = 1 << 20  # pixels that are converted at a time
_MAX_READS = 250_000  # An honest file of 100 MB takes some 50,000.
_MAX_PAGE_READS = 30_000
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
    height: int
    """In pixels, like `width`, however few of them were decoded."""
    format: str | None
    """One of `FORMATS`; as Pillow has it for a Pillow image; `None` for pixels that never were a file."""
    sha256: str | None
    """Of the file's bytes, in hexadecimal; `None` for pixels that never were a file."""
    data: bytes | None
    """The file's bytes; `None` for pixels that never were a file."""
    info: Mapping[str, object]
    """What Pillow found beside the pixels: `exif`, `xmp`, `icc_profile`, a PNG's texts, and more. Damaged
    files put anything here."""
    frames: int
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
    if isinstance(source, np.ndarray):
        return _from_array(source, limits, short)
    data = None if isinstance(source, PillowImage.Image) else _read(source, limits)
    _silence_decoders()
    try:
        if isinstance(source, PillowImage.Image):
            return _to_image(_open_pillow(source, limits, short), source.format)
        return _decode(data or b"", limits, short)
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError("out_of_memory", "There is not enough memory for this image.") from error
    except PillowImage.DecompressionBombError as error:  # Of a part that claims to be larger than the image.
        raise ImageError("too_many_pixels", f"The image has too many pixels: {error}") from error
    except Exception as error:  # Decoders raise nearly anything on damaged files.
        detail = f"{type(error).__name__}: {error}".removesuffix(".")
        raise ImageError("corrupt", f"The image is damaged, or of a kind that is not read here ({detail}).") from error


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
                data = stream.read(status.st_size + 1)
        except FileNotFoundError:
            raise ImageError("not_found", "There is no such file.") from None
        except (OSError, ValueError) as error:
            raise ImageError("unreadable", f"The file cannot be read: {error}") from error
    elif hasattr(source, "read"):
        data = _read_stream(source, limits.max_bytes + 1)
    else:
        kind = type(source).__name__
        sentence = f"An image is a path, bytes, a binary stream, a Pillow image or an array, not {kind}."
        raise ImageError("bad_source", sentence)
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
        sentence = f"The image has {width:,} × {height:,} pixels; the limit is {limits.max_pixels:,}."
        raise ImageError("too_many_pixels", sentence)


def _decode(data: bytes, limits: Limits, short: int | None) -> Image:
    if not data:
        raise ImageError("empty", "The file is empty.")
    name = _sniff(data)
    if name is None:
        sentence = f"This is not an image in a format that is read here ({', '.join(FORMATS)})."
        raise ImageError("unsupported_format", sentence)
    _check_structure(name, data)
    if name == "HEIF":
        canvas, frames = _open_heif(data, limits, short)
        return replace(_to_image(canvas, name, data), frames=frames)
    if name == "JPEG" and len(data) <= _MAX_READS:
        # It is read once through, so it cannot have more parts than bytes; and it has one frame.
        with JpegImageFile(io.BytesIO(data)) as image:
            return _to_image(_open_pillow(image, limits, short, draft=True), name, data)
    stream = _Stream(data)
    with _PLUGINS[name](stream) as image:
        canvas = _open_pillow(image, limits, short, draft=name == "JPEG")
        # Counting leaves the first frame behind, so the pixels come first.
        return replace(_to_image(canvas, name, data), frames=_count_frames(image, stream))


def _sniff(data: bytes) -> str | None:
    for name, starts in _STARTS.items():
        if data.startswith(starts):
            return name
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data.startswith(b"BM") and int.from_bytes(data[14:18], "little") in _BMP_HEADERS:
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
        raise ImageError("corrupt", "The image is damaged, or made to harm: it has far too many scans.")
    if name == "PNG" and data.count(b"iCCP") > _MAX_PROFILES:
        raise ImageError("corrupt", "The image is damaged, or made to harm: it has far too many colour profiles.")


class _Stream(io.BytesIO):
    """A file's bytes, which end files of millions of tiny parts: Pillow takes seconds for each million."""

    reads_left = _MAX_READS

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads_left -= 1
        if self.reads_left < 0:
            raise ImageError("corrupt", "The image is damaged, or made to harm: it has far too many parts.")
        return super().read(size)


def _silence_decoders() -> None:
    """Keep what decoders say of damage off the terminal, and warnings from becoming errors, for this process.

    Restoring the filters afterwards would undo what other threads do to them in the meantime.
    """
    quiet = ("ignore", None, Warning, re.compile(r"(PIL|pillow_heif)\."), 0)
    if quiet not in warnings.filters:
        warnings.filterwarnings("ignore", module=quiet[3].pattern)
    log = logging.getLogger("PIL")
    if not log.handlers:
        log.addHandler(logging.NullHandler())  # Without any, errors would be printed. The host's own go on to work.


@dataclass(frozen=True, slots=True)
class _Canvas:
    """What a decoder gave, in whatever mode, before the EXIF turn."""

    width: int
    height: int
    """In pixels, like `width`, however few of them were decoded."""
    rows: Callable[[int, int], PillowImage.Image]
    """Return what was decoded from one row up to another, as RGB."""
    scale: int = 1
    """How many times smaller either side is to be: 1, 2, 4 or 8."""
    drafted: bool = False
    """Whether the decoder made it smaller already."""
    orientation: int = 1
    """As in EXIF, 1 to 8."""
    info: Mapping[str, object] = field(default_factory=dict)


def _scale(width: int, height: int, short: int | None) -> int:
    return next((scale for scale in (8, 4, 2) if short and min(width, height) // scale >= short), 1)


def _from_array(pixels: NDArray[np.uint8], limits: Limits, short: int | None) -> Image:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        sentence = f"An array must be uint8 of (height, width, 3), not {pixels.dtype} of {pixels.shape}."
        raise ImageError("bad_array", sentence)
    height, width = pixels.shape[:2]
    _check_pixels(width, height, limits)
    scale = _scale(width, height, short)
    if scale == 1:
        return Image(pixels, (0, 0, width, height), width, height, None, None, None, {}, frames=1)
    return _to_image(_Canvas(width, height, lambda top, end: PillowImage.fromarray(pixels[top:end]), scale))


def _open_pillow(image: PillowImage.Image, limits: Limits, short: int | None, *, draft: bool = False) -> _Canvas:
    width, height = image.size
    _check_pixels(width, height, limits)
    if image.mode in ("I", "F", "LAB"):
        sentence = f"Pixels of Pillow's mode {image.mode} are not read here. Convert them to RGB."
        raise ImageError("unsupported_format", sentence)
    scale = _scale(width, height, short)
    drafted = draft and scale > 1 and image.draft(None, (width // scale, height // scale)) is not None
    image.load()
    if not drafted:
        width, height = image.size  # A TIFF turns itself while it loads.
    info = {name: value for name, value in image.info.items() if isinstance(name, str)}

    def rows(top: int, end: int) -> PillowImage.Image:
        return _to_rgb(image if end - top == image.height else image.crop((0, top, image.width, end)))

    return _Canvas(width, height, rows, scale, drafted, _orientation(image), info)


def _open_heif(data: bytes, limits: Limits, short: int | None) -> tuple[_Canvas, int]:
    try:
        from pillow_heif import open_heif
    except ImportError:
        sentence = "HEIC and HEIF need pillow-heif. Install it with: pip install 'pyrite[heif]'"
        raise ImageError("unsupported_format", sentence) from None
    file = open_heif(data, convert_hdr_to_8bit=True, remove_stride=False)
    image = file[file.primary_index]
    _check_pixels(*image.size, limits)
    pixels = memoryview(image.data)
    (width, height), mode, stride = image.size, image.mode, image.stride  # Only now are they certain.
    _check_pixels(width, height, limits)

    def rows(top: int, end: int) -> PillowImage.Image:
        size = (width, end - top)
        return _to_rgb(PillowImage.frombytes(mode, size, pixels[top * stride : end * stride], "raw", mode, stride))

    info = {name: image.info[name] for name in ("exif", "xmp", "icc_profile") if image.info.get(name)}
    # The turn is a property of the container, and done; EXIF may tell of it again.
    return _Canvas(width, height, rows, _scale(width, height, short), info=info), len(file)


def _count_frames(image: ImageFile, stream: _Stream) -> int:
    # A GIF and a TIFF are walked from frame to frame, and the pages of a TIFF take longer with each.
    stream.reads_left = _MAX_READS if image.format == "GIF" else _MAX_PAGE_READS
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # The frames after the first may be damaged as they like.
        return image.tell() + 1


def _orientation(image: PillowImage.Image) -> int:
    # Damaged EXIF data turns nothing, and takes nothing from the pixels.
    with suppress(Exception):
        value = image.getexif()[0x0112]
        return value if value in range(1, 9) else 1
    return 1


def _to_rgb(image: PillowImage.Image) -> PillowImage.Image:
    if image.mode.startswith("I;16"):
        # Pillow clips 16-bit grey to 255 instead of scaling it.
        deep = np.asarray(image)
        grey = (deep >> 8).astype(np.uint8)
        grey[deep == image.info.get("transparency", -1)] = 255
        return PillowImage.fromarray(grey).convert("RGB")
    if image.has_transparency_data:
        canvas = PillowImage.new("RGBA", image.size, "white")
        image = PillowImage.alpha_composite(canvas, image.convert("RGBA"))
    return image.convert("RGB")


def _to_image(canvas: _Canvas, name: str | None = None, data: bytes | None = None) -> Image:
    pixels, box = _assemble(canvas)
    width, height = canvas.width, canvas.height
    if canvas.orientation > 4:
        width, height = height, width
    sha256 = hashlib.sha256(data).hexdigest() if data else None
    return Image(pixels, box, width, height, name, sha256, data, MappingProxyType(dict(canvas.info)), frames=1)


def _assemble(canvas: _Canvas) -> tuple[NDArray[np.uint8], Box]:
    """Convert, reduce and turn strip by strip: never is there a second canvas."""
    scale, turn = canvas.scale, canvas.orientation
    width, height = -(-canvas.width // scale), -(-canvas.height // scale)
    right, bottom = canvas.width / scale, canvas.height / scale
    step = 1 if canvas.drafted else scale
    turned, mirrored, flipped = turn > 4, turn in (2, 3, 6, 7), turn in (3, 4, 7, 8)

    pixels = np.empty((width, height, 3) if turned else (height, width, 3), np.uint8)
    target = pixels[:: -1 if flipped else 1, :: -1 if mirrored else 1]
    if turned:
        target = target.swapaxes(0, 1)
    strip = max(1, _STRIP // (width * step * step))
    for top in range(0, height, strip):
        end = min(top + strip, height)
        rows = canvas.rows(top * step, min(end * step, canvas.height))
        target[top:end] = np.asarray(rows.reduce(step) if step > 1 else rows)

    if turned:
        width, height, right, bottom = height, width, bottom, right
    left, top_ = width - right if mirrored else 0.0, height - bottom if flipped else 0.0
    return pixels, (left, top_, left + right, top_ + bottom)
