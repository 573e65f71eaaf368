"""One image from a file, bytes, stream, Pillow image or array, with limits checked before decoding."""

import hashlib
import io
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageOps, UnidentifiedImageError

from pyrite.errors import ImageError

Source = str | Path | bytes | BinaryIO | PillowImage.Image | NDArray[np.uint8]

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")
"""What is decoded, recognised by content and never by a file's extension."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What an image may cost before it is refused."""

    max_bytes: int = 100_000_000
    max_pixels: int = 150_000_000
    """Pillow itself refuses files of more than about 179 million."""


@dataclass(frozen=True, slots=True)
class Image:
    """A decoded image."""

    pixels: NDArray[np.uint8]
    """(height, width, 3), sRGB, 0 to 255, upright, on white where it was transparent."""
    format: str | None
    """The container's name as Pillow has it; `None` for pixels that never were a file."""
    sha256: str | None
    """Of the file's bytes, in hexadecimal; `None` for pixels that never were a file."""

    @property
    def height(self) -> int:
        """In pixels, after the EXIF turn."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """In pixels, after the EXIF turn."""
        return int(self.pixels.shape[1])


def open_image(source: Source, limits: Limits = Limits()) -> Image:
    """Decode one image.

    Animated files give their first frame. Colour profiles are not applied.

    Raises:
        ImageError: `not_found`, `not_a_file`, `unreadable`, `empty`, `too_many_bytes`,
            `too_many_pixels`, `unsupported_format`, `corrupt`, `bad_array` or `bad_source`.
    """
    if isinstance(source, np.ndarray):
        return Image(_checked_array(source, limits), None, None)
    if isinstance(source, PillowImage.Image):
        return _decode(source, limits, None)
    data = _read(source, limits)
    if not data:
        raise ImageError("empty", "The file is empty.")
    try:
        opened = PillowImage.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise ImageError(
            "unsupported_format",
            f"This is not an image in a format that is read here ({', '.join(FORMATS)}).",
        ) from None
    except (PillowImage.DecompressionBombError, PillowImage.DecompressionBombWarning) as error:
        raise ImageError("too_many_pixels", f"The image has too many pixels: {error}") from error
    except Exception as error:  # Pillow's plugins raise nearly anything on damaged files.
        raise ImageError("corrupt", f"The image is damaged: {error}") from error
    with opened as image:
        return _decode(image, limits, hashlib.sha256(data).hexdigest())


def _decode(image: PillowImage.Image, limits: Limits, sha256: str | None) -> Image:
    name = image.format
    _check_pixels(image.width, image.height, limits)
    try:
        return Image(_to_rgb(image), name, sha256)
    except ImageError:
        raise
    except Exception as error:
        raise ImageError("corrupt", f"The image is damaged: {error}") from error


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
        try:
            data = source.read(limits.max_bytes + 1)
        except (OSError, ValueError) as error:
            raise ImageError("unreadable", f"The stream cannot be read: {error}") from error
        if not isinstance(data, bytes):
            raise ImageError("bad_source", "The stream must give bytes. Open it in binary mode.")
    else:
        raise ImageError(
            "bad_source",
            f"An image is a path, bytes, a binary stream, a Pillow image or an array, not {type(source).__name__}.",
        )
    _check_bytes(len(data), limits)
    return data


def _check_bytes(size: int, limits: Limits) -> None:
    if size > limits.max_bytes:
        raise ImageError("too_many_bytes", f"The file is larger than the limit of {limits.max_bytes:,} bytes.")


def _check_pixels(width: int, height: int, limits: Limits) -> None:
    if width * height > limits.max_pixels:
        raise ImageError(
            "too_many_pixels",
            f"The image has {width:,} × {height:,} pixels; the limit is {limits.max_pixels:,}.",
        )


def _checked_array(pixels: NDArray[np.uint8], limits: Limits) -> NDArray[np.uint8]:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ImageError(
            "bad_array",
            f"An array must be uint8 of (height, width, 3), not {pixels.dtype} of {pixels.shape}.",
        )
    _check_pixels(pixels.shape[1], pixels.shape[0], limits)
    return pixels


def _to_rgb(image: PillowImage.Image) -> NDArray[np.uint8]:
    image.load()
    # Damaged EXIF data turns nothing, and takes nothing from the pixels.
    with suppress(Exception):
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        # Pillow clips 16-bit grey to 255 instead of scaling it.
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("I", "F", "LAB"):
        raise ImageError(
            "unsupported_format",
            f"Pixels of Pillow's mode {image.mode} are not read here. Convert them to RGB.",
        )
    if image.has_transparency_data:
        canvas = PillowImage.new("RGBA", image.size, "white")
        image = PillowImage.alpha_composite(canvas, image.convert("RGBA"))
    return np.asarray(image.convert("RGB"))
