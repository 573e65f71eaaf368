"""Where containers keep content credentials (C2PA 2.2, appendix A): a look without decoding anything."""

import struct
from collections.abc import Iterator

from pyrite.image import Image

_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_MAX_PARTS = 100_000


def has_credentials(image: Image) -> bool:
    """Say whether the file has a place for content credentials, whatever is in it.

    Walks the container's parts from its start, so bytes that merely follow the image are not seen.
    """
    data = image.data
    if data is None:
        return False
    match image.format:
        case "JPEG" | "MPO":
            # The JPEG Universal Metadata Box Format lives in APP11, with the identifier "JP".
            return any(marker == 0xEB and data[at : at + 2] == b"JP" for marker, at in _jpeg_segments(data))
        case "PNG":
            return any(name == b"caBX" for name, _ in _chunks(data, 8, len(data), ">I4s", 12, 1))
        case "WEBP":
            end = 8 + int.from_bytes(data[4:8], "little")
            return any(name == b"C2PA" for name, _ in _chunks(data, 12, end, "<4sI", 8, 2))
        case "AVIF" | "HEIF":
            return any(name == b"uuid" and data[at : at + 16] == _UUID for name, at in _boxes(data))
        case "TIFF" | "GIF":
            # Rare and quickly read, so that is left to the library.
            return True
        case _:
            return False


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield marker and start of content of what comes before the pixels."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in (0xD9, 0xDA):
            return
        yield marker, at + 4
        at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4]))


def _chunks(data: bytes, at: int, end: int, header: str, overhead: int, align: int) -> Iterator[tuple[bytes, int]]:
    """Yield name and start of content of the chunks of PNG or RIFF."""
    for _ in range(_MAX_PARTS):
        if at + 8 > min(end, len(data)):
            return
        first, second = struct.unpack_from(header, data, at)
        name, size = (first, second) if isinstance(first, bytes) else (second, first)
        yield name, at + 8
        if name == b"IEND":
            return
        at += overhead + -(-size // align) * align


def _boxes(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield name and start of content of the outermost boxes of the ISO base media file format."""
    at = 0
    for _ in range(_MAX_PARTS):
        if at + 8 > len(data):
            return
        size, name = struct.unpack_from(">I4s", data, at)
        start = at + 8
        if size == 1 and start + 8 <= len(data):
            (size,) = struct.unpack_from(">Q", data, start)
            start += 8
        yield name, start
        if size < 8:
            return
        at += size
