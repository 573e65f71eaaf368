"""What a file's first bytes say of its size: read without a decoder, in bounded time, and never to be trusted."""

import struct
from dataclasses import dataclass

from pyrite.image.formats import sniff

_SEGMENTS = 200  # of a JPEG before its size; one with a long colour profile and a long text has 40.
_PROPERTIES = 200  # of an AVIF or HEIF that tell of sizes; one of tiles has 2 or 3.


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of itself before it is decoded. It may lie."""

    format: str
    """One of `FORMATS`."""
    width: int
    """In pixels, like `height`, and as in the file: not turned."""
    height: int
    passes: int = 1
    """How often a decoder goes over the image: the scans of a JPEG."""

    @property
    def pixels(self) -> int:
        """Return how many there are."""
        return self.width * self.height


def read_header(head: bytes) -> Header | None:
    """Return what a file's first bytes say, or `None` where they say nothing: of a TIFF, and of what is no image."""
    name = sniff(head)
    try:
        match name:
            case "JPEG":
                return _jpeg(head)
            case "PNG":
                return Header(name, *struct.unpack_from(">II", head, 16))
            case "GIF":
                return Header(name, *struct.unpack_from("<HH", head, 6))
            case "BMP":
                return _bmp(head)
            case "WEBP":
                return _webp(head)
            case "AVIF" | "HEIF":
                return _boxes(name, head)
    except (struct.error, IndexError):  # It ends too early.
        return None
    return None


def _jpeg(head: bytes) -> Header | None:
    at = 2
    for _ in range(_SEGMENTS):
        marker = head[at + 1]
        if head[at] != 0xFF:
            return None
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", head, at + 5)
            return Header("JPEG", width, height, max(1, head.count(b"\xff\xda", at)))
        # A marker may be filled up with any number of 0xFF, and some have no content.
        at += 1 if marker == 0xFF else 2 if marker == 0x01 or 0xD0 <= marker <= 0xD8 else 2 + _length(head, at + 2)
    return None


def _length(head: bytes, at: int) -> int:
    return int(struct.unpack_from(">H", head, at)[0])


def _bmp(head: bytes) -> Header:
    old = head[14] == 12
    width, height = struct.unpack_from("<HH" if old else "<ii", head, 18)
    return Header("BMP", abs(width), abs(height))  # Upside down where it is negative.


def _webp(head: bytes) -> Header | None:
    match head[12:16]:
        case b"VP8 ":
            width, height = struct.unpack_from("<HH", head, 26)
            return Header("WEBP", width & 0x3FFF, height & 0x3FFF)
        case b"VP8L":
            bits = struct.unpack_from("<I", head, 21)[0]
            return Header("WEBP", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
        case b"VP8X":
            low_width, high_width, low_height, high_height = struct.unpack_from("<HBHB", head, 24)
            return Header("WEBP", (high_width << 16 | low_width) + 1, (high_height << 16 | low_height) + 1)
    return None


def _boxes(name: str, head: bytes) -> Header | None:
    """Return the largest size that any part of the file has: of one made of tiles, the whole."""
    largest, at = None, 0
    for _ in range(_PROPERTIES):
        at = head.find(b"ispe", at) + 4
        if at < 4:
            return largest
        found = Header(name, *struct.unpack_from(">II", head, at + 4))
        if largest is None or found.pixels > largest.pixels:
            largest = found
    return None
