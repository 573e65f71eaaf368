"""From arrays, Pillow images and files to canvases, decoding as few pixels as will do."""

from contextlib import suppress

import numpy as np
from numpy.typing import NDArray
from PIL import AvifImagePlugin
from PIL import Image as PillowImage
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from pyrite.errors import ImageError
from pyrite.image.canvas import Canvas, Shortest
from pyrite.image.files import MAX_READS, File
from pyrite.image.tiff import find_strips
from pyrite.image.values import Limits

_MAX_PAGE_READS = 30_000


def decode_array(pixels: NDArray[np.uint8], limits: Limits, short: Shortest) -> Canvas:
    """Return an array (height, width, 3) as a canvas; `short` tells the fewest pixels that a side may be reduced to."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        sentence = f"An array must be uint8 of (height, width, 3), not {pixels.dtype} of {pixels.shape}."
        raise ImageError("bad_array", sentence)
    height, width = pixels.shape[:2]
    _check_pixels(width, height, limits)
    scale = _scale(width, height, short)
    return Canvas(width, height, lambda top, end: PillowImage.fromarray(pixels[top:end]), scale)


def decode_pillow(image: PillowImage.Image, limits: Limits, short: Shortest, *, draft: bool = False) -> Canvas:
    """Load an image with Pillow; with `draft`, as few of its pixels as the format can do."""
    width, height = image.size
    _check_pixels(width, height, limits)
    _check_mode(image)
    scale = _scale(width, height, short)
    drafted = draft and scale > 1 and image.draft(None, (width // scale, height // scale)) is not None
    image.load()
    if not drafted:
        width, height = image.size  # A TIFF turns itself while it loads.

    def rows(top: int, end: int) -> PillowImage.Image:
        return image if end - top == image.height else image.crop((0, top, image.width, end))

    return Canvas(width, height, rows, scale, drafted, 1, _orientation(image), _info(image))


def decode_tiff(image: TiffImageFile, file: File, limits: Limits, short: Shortest) -> Canvas:
    """Load a TIFF strip by strip as its rows are asked for, or all of it where it has too few strips."""
    _check_pixels(*image.size, limits)
    _check_mode(image)
    strips = find_strips(image, file)
    if strips is None:
        return decode_pillow(image, limits, short)
    width, height = strips.width, strips.height
    scale = _scale(width, height, short)
    return Canvas(width, height, strips.read, scale, False, strips.rows, _orientation(image), _info(image))


def decode_heif(data: bytes, limits: Limits, short: Shortest) -> tuple[Canvas, int, int]:
    """Return a HEIF's primary image, how many images it has, and which of them this is, from 0."""
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
        return PillowImage.frombytes(mode, size, pixels[top * stride : end * stride], "raw", mode, stride)

    info = {name: image.info[name] for name in ("exif", "xmp", "icc_profile") if image.info.get(name)}
    # The turn is a property of the container, and done; EXIF may tell of it again.
    canvas = Canvas(width, height, rows, _scale(width, height, short), info=info)
    return canvas, len(file), file.primary_index


def use_one_thread() -> None:
    """Have this process decode with one thread from now on: by themselves, AVIF takes all CPUs and HEIF four."""
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    with suppress(ImportError):
        from pillow_heif import options

        options.DECODE_THREADS = 1


def count_frames(image: ImageFile, file: File) -> int:
    """Return how many frames a file has, or at least has. The first is left behind, so its pixels come first."""
    # A GIF and a TIFF are walked from frame to frame, and the pages of a TIFF take longer with each.
    file.reads_left = MAX_READS if image.format == "GIF" else _MAX_PAGE_READS
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # The frames after the first may be damaged as they like.
        return image.tell() + 1


def _check_pixels(width: int, height: int, limits: Limits) -> None:
    if min(width, height) < 1:
        raise ImageError("corrupt", f"The image has no pixels: its size is {width} × {height}.")
    if width * height > limits.max_pixels:
        sentence = f"The image has {width:,} × {height:,} pixels; the limit is {limits.max_pixels:,}."
        raise ImageError("too_many_pixels", sentence)


def _check_mode(image: PillowImage.Image) -> None:
    if image.mode in ("I", "F", "LAB"):
        sentence = f"Pixels of Pillow's mode {image.mode} are not read here. Convert them to RGB."
        raise ImageError("unsupported_format", sentence)


def _scale(width: int, height: int, short: Shortest) -> int:
    least = short(width, height)
    return next((scale for scale in (8, 4, 2) if least and min(width, height) // scale >= least), 1)


def _orientation(image: PillowImage.Image) -> int:
    # Damaged EXIF data turns nothing, and takes nothing from the pixels.
    with suppress(Exception):
        value = image.getexif()[0x0112]
        return value if value in range(1, 9) else 1
    return 1


def _info(image: PillowImage.Image) -> dict[str, object]:
    return {name: value for name, value in image.info.items() if isinstance(name, str)}
