"""One image from a file, bytes, stream, Pillow image or array, with limits checked before decoding."""

from pyrite.image.decoders import use_one_thread
from pyrite.image.formats import FORMATS, read_jxl
from pyrite.image.header import Header, read_header
from pyrite.image.opening import Source, open_image
from pyrite.image.values import Box, Image, Limits

__all__ = [
    "FORMATS",
    "Box",
    "Header",
    "Image",
    "Limits",
    "Source",
    "open_image",
    "read_header",
    "read_jxl",
    "use_one_thread",
]
