"""The chunks of a PNG file: its texts, in all three kinds, and what programs hide in them."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress

from pyrite.evidence.blocks import Blocks, decode
from pyrite.evidence.iptc import find_iptc
from pyrite.evidence.values import MAX_TEXT

_MAX_PARTS = 100_000
_MAX_TEXTS = 1_000
_MAX_TOTAL = 16_000_000
"""Bytes that the texts of one file may unpack to."""
_XMP = "XML:com.adobe.xmp"
_PACKETS = (b"<?xpacket", b"<x:xmpmeta", b"<x:xapmeta", b"<rdf:RDF")
"""How XMP begins, whatever the text is called."""
_RAW = "Raw profile type "
_JPEG_NAMES = (b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0")
_CHANNELS = {2: 3, 6: 4}
"""By PNG's colour type: red, green and blue, without and with alpha."""


def find_png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start of content and its length, as they are announced, of the chunks of a PNG file."""
    return find_chunks(data, 8, len(data), ">I4s", 12, 1)


def find_chunks(
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


def read_layout(data: bytes) -> tuple[int, int, int] | None:
    """Return width, height and channels (3 or 4) of a PNG file whose rows hold a byte for each channel of each pixel.

    `None` for other kinds of PNG: grey, with a palette, of 16 bits, interlaced; and for a file that ends in its header.
    """
    if len(data) < 29:
        return None
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    channels = _CHANNELS.get(colour)
    return None if depth != 8 or channels is None or interlaced else (width, height, channels)


def unpack_rows(data: bytes, size: int, count: int) -> bytes:
    """Return the first rows of a PNG file, each with its filter before it: `count` rows of `size` bytes at most."""
    inflater, parts, left = zlib.decompressobj(), [], size * count
    with suppress(zlib.error):
        for name, at, length in find_png_chunks(data):
            if name == b"IDAT":
                part = inflater.decompress(data[at : at + length], left)
                parts.append(part)
                left -= len(part)
            if left == 0:
                break
    return b"".join(parts)


def read_png(data: bytes, blocks: Blocks) -> None:
    """Take what the chunks before and after the pixels hold."""
    left = _MAX_TOTAL
    for name, at, size in find_png_chunks(data):
        if name == b"eXIf":
            blocks.add_exif(data[at : at + size])
        elif name == b"caBX":
            blocks.credentials = True
        elif name in (b"tEXt", b"zTXt", b"iTXt") and left > 0 and len(blocks.texts) < _MAX_TEXTS:
            key, text = _read_text(name, data[at : at + min(size, 4 * MAX_TEXT)])
            left -= len(text) + 1
            if key == _XMP or text.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(_PACKETS):
                blocks.xmp.append(text)
            elif key.startswith(_RAW):
                _take_profile(key.removeprefix(_RAW).lower(), text, blocks)
            elif key:
                blocks.texts.append(("PNG text", key, decode(text)))


def _read_text(name: bytes, body: bytes) -> tuple[str, bytes]:
    """Return keyword and text of a chunk, unpacked to 4 bytes for each character that is read."""
    key, _, rest = body.partition(b"\0")
    packed = name == b"zTXt"
    if packed:
        rest = rest[1:]
    elif name == b"iTXt":
        packed = rest[:1] not in (b"", b"\0")
        # After the flag and the method: the language, and the keyword in it.
        rest = rest[2:].split(b"\0", 2)[-1]
    if packed:
        stream = zlib.decompressobj()
        with suppress(zlib.error):
            return key.decode("latin-1"), stream.decompress(rest, 4 * MAX_TEXT)
        return key.decode("latin-1"), b""
    return key.decode("latin-1"), rest


def _take_profile(kind: str, text: bytes, blocks: Blocks) -> None:
    """Take a profile as ImageMagick writes it: its kind, its size, and its bytes in hexadecimal."""
    words = text[: 2 * MAX_TEXT].split()
    # Before the size stands the kind, in one word or several.
    start = next((at for at, word in enumerate(words[:4], 1) if word.isdigit()), 1)
    try:
        profile = bytes.fromhex(b"".join(words[start:]).decode("ascii"))
    except ValueError:
        return
    if profile.startswith(_JPEG_NAMES[1]):
        blocks.xmp.append(profile.removeprefix(_JPEG_NAMES[1]))
    elif profile.startswith(_JPEG_NAMES[0]) or kind == "exif" or profile[:4] in (b"II*\0", b"MM\0*"):
        blocks.add_exif(profile)
    elif kind == "xmp":
        blocks.xmp.append(profile)
    elif kind in ("iptc", "8bim"):
        blocks.iptc += find_iptc(profile)
