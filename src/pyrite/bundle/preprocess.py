"""From decoded pixels to what a model takes. Geometry only: casts and scaling live in the graph."""

from typing import Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from pyrite.image import Box

Pixels = NDArray[np.uint8]
Side = Annotated[int, msgspec.Meta(ge=1, le=4096)]

_FILTERS = {
    "nearest": PillowImage.Resampling.NEAREST,
    "bilinear": PillowImage.Resampling.BILINEAR,
    "bicubic": PillowImage.Resampling.BICUBIC,
    "lanczos": PillowImage.Resampling.LANCZOS,
}


class Preprocess(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole image brought to the model's size; an image of that size passes untouched."""

    geometry: Literal["resize"] = "resize"
    height: Side
    width: Side
    filter: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bilinear"

    @property
    def size(self) -> tuple[int, int]:
        """The (height, width) of what a model takes."""
        return self.height, self.width

    def apply(self, pixels: Pixels, box: Box | None = None) -> Pixels:
        """Return the model input for one image.

        Args:
            pixels: (height, width, 3), sRGB, 0 to 255.
            box: The part of them that is the image: left, top, right, bottom; by default, all of it.

        Returns:
            (self.height, self.width, 3), 0 to 255.
        """
        height, width = pixels.shape[:2]
        if (height, width) == (self.height, self.width) and box in (None, (0, 0, width, height)):
            return pixels
        image = PillowImage.fromarray(pixels)
        return np.asarray(image.resize((self.width, self.height), _FILTERS[self.filter], box))
