"""The one way in: from any source to an image, or to an error that says what is wrong with it."""

import hashlib
import io
import logging
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL.TiffImagePlugin import TiffImageFile

from pyrite.errors import ImageError
from pyrite.image.canvas import Shortest, finish
from pyrite.image.decoders import count_frames, decode_array, decode_heif, decode_pillow, decode_tiff
from pyrite.image.files import MAX_READS, File, open_file
from pyrite.image.formats import PLUGINS, recognise
from pyrite.image.png import drop_large_texts
from pyrite.image.values import Image, Limits

Source = str | Path | bytes | BinaryIO | PillowImage.Image | NDArray[np.uint8]

_MARGIN = 8


def open_image(
    source: Source,
    limits: Limits = Limits(),
    *,
    at_least: tuple[int, int] | Callable[[int, int], tuple[int, int] | None] | None = None,
) -> Image:
    """Decode one image.

    Animated files give their first frame. Colour profiles are not applied. Of 16 bits, the upper 8 are kept.

    With `at_least`, an image is decoded at a half, a quarter or an eighth of its size, if that leaves no side
    shorter than 8 times the longer side asked for. A JPEG then costs a fraction of the time, and the others
    less memory. Smaller images are not touched at all. Resized to 32 × 32 with `box`, photos differ from what
    full decoding gives by 0.2 of 255 on average and 5 at most; the hardest test patterns, by 1.3 and 8. For 18
    photos, each as it was and as JPEGs of two qualities, the logit of the bundle that comes with Pyrite moved by
    0.24 at most and 0.06 in the median, where logits spanned 23; no verdict changed.

    With `at_least` of (32, 32), a path takes 1.5 times the memory of its pixels (3 bytes each) at most, the file's
    own bytes included, but for what the libraries need for some: 2.0 for a progressive JPEG without chroma
    subsampling (2.7 in CMYK), 1.6 for HEIC (3.1 without subsampling), 2.7 for AVIF (3.3 without), 4.0 and the file's
    bytes for WebP, 2.3 and its bytes for a TIFF of fewer than 8 compressed strips; and for a file that is larger by
    itself. A stream is read into memory first. Without `at_least`, all pixels come on top.

    Args:
        source: A path, a file's bytes, a binary stream, a Pillow image, or an array (height, width, 3).
        limits: What it may cost.
        at_least: The (height, width) that the pixels will be resized to, or what gives that for the image's width and
            height, and `None` where none may be left out.

    Raises:
        ImageError: `not_found`, `not_a_file`, `unreadable`, `empty`, `too_many_bytes`, `too_many_pixels`,
            `too_many_frames`, `unsupported_format`, `corrupt`, `out_of_memory`, `bad_array` or `bad_source`.
    """
    short = _shortest(at_least)
    if isinstance(source, np.ndarray):
        return _from_array(source, limits, short)
    _silence_decoders()
    try:
        if isinstance(source, PillowImage.Image):
            return finish(decode_pillow(source, limits, short), source.format)
        with open_file(source, limits) as file:
            image = _decode(file, limits, short)
            if limits.max_frames is not None and image.frames > limits.max_frames:
                sentence = f"The file has {image.frames:,} frames; the limit is {limits.max_frames:,}."
                raise ImageError("too_many_frames", sentence)
            # Only now are a decoder's buffers gone, and there is room for the bytes of a large file.
            data = file.read_all()
        return replace(image, data=data, sha256=hashlib.sha256(data).hexdigest())
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError("out_of_memory", "There is not enough memory for this image.") from error
    except PillowImage.DecompressionBombError as error:  # Of a part that claims to be larger than the image.
        raise ImageError("too_many_pixels", f"The image has too many pixels: {error}") from error
    except Exception as error:  # Decoders raise nearly anything on damaged files.
        detail = f"{type(error).__name__}: {error}".removesuffix(".")
        raise ImageError("corrupt", f"The image is damaged or of an unsupported kind ({detail}).") from error


def _from_array(pixels: NDArray[np.uint8], limits: Limits, short: Shortest) -> Image:
    canvas = decode_array(pixels, limits, short)
    if canvas.scale > 1:
        return finish(canvas)
    width, height = canvas.width, canvas.height
    return Image(pixels, (0, 0, width, height), width, height, None, None, None, {}, frames=1)


def _decode(file: File, limits: Limits, short: Shortest) -> Image:
    name = recognise(file, limits)
    if name == "HEIF":
        canvas, frames, frame = decode_heif(file.read_all(), limits, short)
        return replace(finish(canvas, name), frames=frames, frame=frame)
    if name == "JPEG" and file.data is not None and len(file.data) <= MAX_READS:
        # It is read once through, so it cannot have more parts than bytes; and it has one frame.
        with PLUGINS[name](io.BytesIO(file.data)) as image:
            mode = image.mode  # Decoding may change it.
            return replace(finish(decode_pillow(image, limits, short, draft=True), name), mode=mode)
    if name == "PNG":
        file = drop_large_texts(file)
    file.seek(0)
    with PLUGINS[name](file) as image:
        mode = image.mode
        if isinstance(image, TiffImageFile):
            canvas = decode_tiff(image, file, limits, short)
        else:
            canvas = decode_pillow(image, limits, short, draft=name == "JPEG")
        # Counting leaves the first frame behind, so the pixels come first.
        return replace(finish(canvas, name), frames=count_frames(image, file), mode=mode)


def _shortest(at_least: tuple[int, int] | Callable[[int, int], tuple[int, int] | None] | None) -> Shortest:
    """Return what tells, by width and height, the fewest pixels that a side may be reduced to."""

    def shortest(width: int, height: int) -> int | None:
        size = at_least(width, height) if callable(at_least) else at_least
        return _MARGIN * max(size) if size else None

    return shortest


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
