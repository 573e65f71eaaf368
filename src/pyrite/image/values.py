"""What an image may cost, and what is known of it once it is open."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Limits:
    """What an image may cost before it is refused."""

    max_bytes: int = 100_000_000
    max_pixels: int = 150_000_000
    formats: tuple[str, ...] | None = None
    """Of `FORMATS`, those that are read; `None` for all."""
    max_frames: int | None = None
    """How many frames, pages or images a file may have; any number without it."""


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
    """What Pillow found beside the pixels: `exif`, `xmp`, `icc_profile`, a PNG's texts, and more, without
    texts and profiles of a PNG that take more than Pillow allows them. Damaged files put anything here."""
    frames: int
    """How many frames, pages or images the file has. A lower bound for files of very many."""
    frame: int = 0
    """Which of them `pixels` are, from 0: the first, or a HEIF's primary one."""
    orientation: int = 1
    """The EXIF turn that `pixels` have been through, 1 to 8: 1 where they lie as in the file."""
    mode: str | None = None
    """Pillow's name for how the file keeps colours, such as RGB, RGBA, L or P; `None` of HEIF, and without a file."""
