"""The image of an explanation: opened once, here or in a sandboxed process."""

from dataclasses import dataclass, field

import numpy as np
from PIL import Image as PillowImage

from pyrite.bundle.preprocess import Pixels
from pyrite.detector import Detector, Prepared, Reader, Unreadable
from pyrite.errors import ImageError
from pyrite.explanation.history import History, trace_history
from pyrite.explanation.picture import LARGEST
from pyrite.image import Image, Limits, Source, open_image


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Everything that is read from an image's file."""

    prepared: Prepared
    """As the detector takes it."""
    pixels: Pixels = field(repr=False)
    """At its own size, or reduced to `LARGEST` pixels on its longer side."""
    history: History | None = None
    """`None` where it was not asked for."""


def look_at(source: Source, detector: Detector, *, history: bool = False) -> Seen:
    """Open an image.

    Args:
        source: The image.
        detector: What is to judge it, and opens it.
        history: Whether to trace its history.

    Raises:
        ImageError: It cannot be read.
    """
    found = detector.open(source, _see, history)
    if isinstance(found, Unreadable):
        raise ImageError(found.error.code, found.error.message)
    return found


def _see(reader: Reader, source: Source, history: bool) -> Seen | Unreadable:
    opened: list[Image] = []
    prepared = reader.read(source, look=opened.append)
    if isinstance(prepared, Unreadable):
        return prepared
    [image] = opened
    shown = _to_show(image, source, reader.limits)
    if not history:
        return Seen(prepared, shown)
    if image.pixels.shape[:2] != (image.height, image.width):
        # A stream can be read once only.
        image = open_image(image.data or source, reader.limits)
    return Seen(prepared, shown, trace_history(image))


def _to_show(image: Image, source: Source, limits: Limits) -> Pixels:
    """Return the image at its own size, or reduced to `LARGEST` pixels; it is opened again only if necessary."""
    scale = min(1.0, LARGEST / max(image.width, image.height))
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    if max(image.pixels.shape) < max(size):
        # The longer side that is asked for comes at no less than 8 times that. A stream can be read once only.
        image = open_image(image.data or source, limits, at_least=(LARGEST // 8, LARGEST // 8))
    if image.pixels.shape[:2] == (size[1], size[0]):
        return image.pixels
    return np.asarray(PillowImage.fromarray(image.pixels).resize(size, PillowImage.Resampling.LANCZOS, image.box))
