"""From decoded pixels to what a model takes. Geometry only: casts and scaling live in the graph."""

from typing import Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

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

    def apply(self, pixels: Pixels) -> Pixels:
        """Return the model input for one image.

        Args:
            pixels: (height, width, 3), sRGB, 0 to 255.

        Returns:
            (self.height, self.width, 3), 0 to 255.
        """
        if pixels.shape[:2] == (self.height, self.width):
            return pixels
        image = PillowImage.fromarray(pixels)
        return np.asarray(image.resize((self.width, self.height), _FILTERS[self.filter]))
