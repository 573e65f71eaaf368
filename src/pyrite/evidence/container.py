"""Where containers keep content credentials (C2PA 2.2, appendix A) and XMP: a look without decoding anything."""

import struct
from collections.abc import Iterator

from pyrite.image import Image

_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_GIF_XMP = b"\x0bXMP DataXMP"
_GIF_XMP_END = bytes((1, *range(255, -1, -1)))
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
            return any(name == b"caBX" for name, _, _ in find_png_chunks(data))
        case "WEBP":
            end = 8 + int.from_bytes(data[4:8], "little")
            return any(name == b"C2PA" for name, _, _ in _find_chunks(data, 12, end, "<4sI", 8, 2))
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


def find_png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start of content and its length, as they are announced, of the chunks of a PNG file."""
    return _find_chunks(data, 8, len(data), ">I4s", 12, 1)


def _find_chunks(
    data: bytes, at: int, end: int, header: str, overhead: int, align: int
) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start of content and its length of the chunks of PNG or RIFF."""
    for _ in range(_MAX_PARTS):
        if at + 8 > min(end, len(data)):
            return
        first, second = struct.unpack_from(header, data, at)
        name, size = (first, second) if isinstance(first, bytes) else (second, first)
        yield name, at + 8, size
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


def find_gif_xmp(data: bytes) -> bytes:
    """Return the XMP packet that a GIF file has before its first image, empty where it has none.

    The packet is not cut into blocks as GIF has them, but ends with bytes that lead a reader of blocks to its end,
    wherever in them its last step lands (XMP specification, part 3, on GIF).
    """
    flags = data[10] if len(data) > 10 else 0
    # The header, and the table of colours that its flags announce.
    at = 13 + (3 << (flags % 8 + 1) if flags & 0x80 else 0)
    for _ in range(_MAX_PARTS):
        if data[at : at + 1] != b"!":
            break
        start, named = at + 2 + len(_GIF_XMP), data[at + 1 : at + 2 + len(_GIF_XMP)] == b"\xff" + _GIF_XMP
        at = _skip_gif_blocks(data, start if named else at + 2)
        if named:
            return data[start : at - 1].removesuffix(_GIF_XMP_END)
    return b""


def _skip_gif_blocks(data: bytes, at: int) -> int:
    """Return where a row of blocks ends: each begins with its size, and the last has none."""
    for _ in range(_MAX_PARTS):
        if at >= len(data) or not data[at]:
            return at + 1
        at += data[at] + 1
    return len(data)
