"""The history that a real view and its reconstructions share: resized, blurred and saved, by Pillow.

All members of a pair go through the same, drawn once for the pair, so neither the file nor what was done to it tells
them apart.
"""

import io
import math
from dataclasses import dataclass
from typing import Literal, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageFilter

from pyrite.datasets.degrade import save_jpeg

Kernel = Literal["bilinear", "bicubic", "lanczos"]
Subsampling = Literal["4:4:4", "4:2:2", "4:2:0"]
_KERNELS: tuple[Kernel, ...] = get_args(Kernel)
_SUBSAMPLINGS: tuple[Subsampling, ...] = get_args(Subsampling)


class SharedHistory(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What all members of a pair went through after the reconstruction, in this order."""

    side: int
    """Height and width in pixels that they were resized to from `cut`; the same as `cut` where they were not."""
    kernel: Kernel | None = None
    """What resized them; antialiased, as Pillow does it."""
    blur: float = 0.0
    """Standard deviation of a Gaussian blur in pixels; 0 for none."""
    first_quality: int = 0
    """Of an earlier save as JPEG (4:2:0); 0 where there was none."""
    quality: int = 0
    """Of the file, a JPEG; 0 for PNG."""
    subsampling: Subsampling | None = None
    """Of the file's colours, where it is a JPEG."""

    @property
    def suffix(self) -> str:
        """How the file's name ends."""
        return ".jpg" if self.quality else ".png"


@dataclass(frozen=True, slots=True)
class HistoryRange:
    """What histories are drawn from. Shares are of pairs; the others are lowest and highest, drawn evenly."""

    resized: float = 0
    scales: tuple[float, float] = (1, 1)
    """Of the file's side to the native one; drawn evenly in their logarithm."""
    blurred: float = 0
    sigmas: tuple[float, float] = (0, 0)
    saved_twice: float = 0
    qualities: tuple[int, int] | None = None
    """`None` for PNG."""


HISTORIES = {
    "none": HistoryRange(),
    "light": HistoryRange(
        resized=0.5, scales=(0.6, 1), blurred=0.15, sigmas=(0.3, 0.8), saved_twice=0.2, qualities=(75, 95)
    ),
    "heavy": HistoryRange(
        resized=0.8, scales=(0.4, 1.25), blurred=0.3, sigmas=(0.3, 1.2), saved_twice=0.5, qualities=(40, 95)
    ),
}
"""By name; what each does is measured by no test set, and chosen to be that of photographs on the web."""


def draw_history(
    chosen: HistoryRange, side: int, longest: int, multiple: int, rng: np.random.Generator
) -> tuple[int, SharedHistory]:
    """Draw a history, and return it after the side of the native cut that it takes, in pixels.

    The same numbers are drawn in any case, so that one choice does not move the next.

    Args:
        chosen: What to draw from.
        side: Of the files, height and width.
        longest: A cut has at most this side: the photograph's shorter one.
        multiple: A cut's side is a multiple of it, as `side` is.
        rng: Draws.
    """
    resized, blurred, twice = rng.random(3) < (chosen.resized, chosen.blurred, chosen.saved_twice)
    smallest, largest = (math.log(value) for value in chosen.scales)
    scale = math.exp(rng.uniform(smallest, largest))
    kernel = _KERNELS[rng.integers(len(_KERNELS))]
    sigma = float(round(rng.uniform(*chosen.sigmas), 3))
    lowest, highest = chosen.qualities or (0, 0)
    first, last = (int(value) for value in rng.integers(lowest, highest + 1, size=2))
    subsampling = _SUBSAMPLINGS[rng.integers(len(_SUBSAMPLINGS))]
    wanted = round(side / scale / multiple) * multiple if resized else side
    cut = max(multiple, min(wanted, longest // multiple * multiple))
    return cut, SharedHistory(
        side=side,
        kernel=kernel if cut != side else None,
        blur=sigma if blurred else 0.0,
        first_quality=first if twice else 0,
        quality=last,
        subsampling=subsampling if last else None,
    )


def encode_after(history: SharedHistory, pixels: NDArray[np.uint8]) -> bytes:
    """Return an image (height, width, 3) as the file that it is after a history."""
    image = PillowImage.fromarray(pixels)
    if history.kernel:
        image = image.resize((history.side, history.side), PillowImage.Resampling[history.kernel.upper()])
    if history.blur:
        image = image.filter(ImageFilter.GaussianBlur(history.blur))
    if history.first_quality:
        earlier = save_jpeg(np.asarray(image), history.first_quality, np.random.default_rng(0))
        image = PillowImage.fromarray(earlier)
    stream = io.BytesIO()
    if history.quality:
        image.save(stream, "JPEG", quality=history.quality, subsampling=history.subsampling)
    else:
        image.save(stream, "PNG")
    return stream.getvalue()
