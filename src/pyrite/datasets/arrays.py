"""Arrays of images on disk, of which some at a time are read into memory."""

import math
import mmap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from pyrite.bundle.preprocess import Crops, Pixels

_VALUES = 4_000_000  # in a batch, which a network's first layers make several times as many of


@dataclass(frozen=True)
class Canvases:
    """A part of each image at its own resolution, which random crops are taken from."""

    pixels: NDArray[np.uint8]
    """(n, canvas, canvas, 3), memory-mapped; zeros beyond the extent."""
    extents: NDArray[np.int32]
    """(n, 2), the height and width that there are of each image, from the top left; zeros where it was not read."""

    def crop(self, indices: NDArray[np.intp], places: NDArray[np.float64], size: tuple[int, int]) -> Pixels:
        """Return one crop (k, height, width, 3) of each of some images.

        Args:
            indices: (k,), which images; all could be read.
            places: (k, 2), 0 to below 1: how far down and how far to the right, in the room that there is.
            size: The height and width of a crop; no extent is smaller.
        """
        height, width = size
        corners = np.floor(places * (self.extents[indices] - size + 1)).astype(np.intp)
        of_row, of_image = 3 * self.pixels.shape[2], math.prod(self.pixels.shape[1:])
        starts = indices * of_image + corners[:, 0] * of_row
        _ask_for(self.pixels, zip(starts.tolist(), (starts + height * of_row).tolist(), strict=True))
        crops = np.empty((len(indices), height, width, 3), np.uint8)
        for i, (index, (top, left)) in enumerate(zip(indices, corners, strict=True)):
            crops[i] = self.pixels[index, top : top + height, left : left + width]
        return crops

    def crop_at_scales(
        self,
        indices: NDArray[np.intp],
        places: NDArray[np.float64],
        size: tuple[int, int],
        scales: NDArray[np.float64],
        filters: Sequence[PillowImage.Resampling],
    ) -> Pixels:
        """Return one crop (k, height, width, 3) of each of some images, after resizing.

        Args:
            indices: (k,), which images; all could be read.
            places: (k, 2), 0 to below 1: how far down and how far to the right, in the room that there is.
            size: The height and width of a crop; no extent is smaller.
            scales: (k,), what each image's sides are multiplied by; more where it would be smaller than a crop.
            filters: (k,), what each is resized with; one that keeps its size is not touched.
        """
        height, width = size
        crops = np.empty((len(indices), height, width, 3), np.uint8)
        for i, index in enumerate(indices):
            extent = self.extents[index]
            scale = max(scales[i], height / extent[0], width / extent[1])
            window = np.minimum(np.round(np.array(size) / scale), extent).astype(np.intp)
            top, left = np.floor(places[i] * (extent - window + 1)).astype(np.intp)
            part = self.pixels[index, top : top + window[0], left : left + window[1]]
            crops[i] = np.asarray(PillowImage.fromarray(part).resize((width, height), filters[i]))
        return crops


def cut_canvas(pixels: Pixels, sha256: str, side: int, crops: Crops | None = None) -> Pixels:
    """Return what is kept of an image for random crops.

    Args:
        pixels: (height, width, 3).
        sha256: Of the file, in hexadecimal; it decides which part is kept, so that it is the same each time.
        side: The height and width of what is kept, at most; at least a crop's.
        crops: An image that is smaller than these is mirrored as they are.
    """
    top, left = (
        int(sha256[16 * axis : 16 * axis + 16], 16) * (max(0, pixels.shape[axis] - side) + 1) >> 64 for axis in (0, 1)
    )
    kept = pixels[top : top + side, left : left + side]
    return crops.pad(kept) if crops else kept


def read_images(pixels: NDArray[np.uint8], indices: NDArray[np.intp]) -> NDArray[np.uint8]:
    """Return some images of an array (n, height, width, 3) as one in memory."""
    size = math.prod(pixels.shape[1:])
    _ask_for(pixels, ((int(index) * size, (int(index) + 1) * size) for index in indices))
    return np.array(pixels[indices])


def in_chunks(pixels: NDArray[np.uint8], indices: NDArray[np.intp], most: int = 256) -> Iterator[NDArray[np.uint8]]:
    """Yield some of the images (n, height, width, 3) in order, `most` at a time, or fewer where they are large."""
    size = max(1, min(most, _VALUES // math.prod(pixels.shape[1:])))
    for start in range(0, len(indices), size):
        yield read_images(pixels, indices[start : start + size])


def _ask_for(pixels: NDArray[np.uint8], spans: Iterable[tuple[int, int]]) -> None:
    """Where an array is memory-mapped, ask the system for some spans of its bytes, from one up to another, at once.

    Else it reads each when its turn comes, with megabytes of what lies around it, and drops others for that where
    memory is short.
    """
    file: object = pixels.base
    if isinstance(pixels, np.memmap) and isinstance(file, mmap.mmap) and hasattr(mmap, "MADV_WILLNEED"):
        first = pixels.offset % mmap.ALLOCATIONGRANULARITY
        for start, stop in spans:
            page = (first + start) - (first + start) % mmap.PAGESIZE
            file.madvise(mmap.MADV_WILLNEED, page, first + stop - page)
