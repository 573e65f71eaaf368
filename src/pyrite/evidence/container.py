"""Where each kind of file keeps EXIF, XMP, IPTC data, texts and content credentials: a look at its bytes alone.

Nothing is decoded, and bytes that merely follow the image are not seen, but for Samsung's trailer, which belongs there.
"""

import struct
from collections.abc import Iterator

from pyrite.evidence.blocks import Blocks, decode
from pyrite.evidence.iptc import find_iptc
from pyrite.evidence.png import find_chunks, read_png
from pyrite.evidence.samsung import read_samsung
from pyrite.image import Image

MAX_PARTS = 100_000
"""Segments, chunks, blocks or boxes of one file; an honest file of 100 MB has some thousands."""

_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_JPEG_XMP_REST = b"http://ns.adobe.com/xmp/extension/\0"
_PHOTOSHOP = b"Photoshop 3.0\0"
_EXIF = b"Exif\0\0"
_MAX_XMP = 4_000_000
_JXL_BOXES = b"\0\0\0\x0cJXL \r\n\x87\n"
_BROTLI_NAMES = {b"Exif": "EXIF", b"xml ": "XMP"}
_GIF_XMP = b"\x0bXMP DataXMP"
_GIF_XMP_END = bytes((1, *range(255, 200, -1)))
_MAX_COMMENTS = 64
_TIFF_IPTC, _TIFF_PHOTOSHOP = 33723, 34377


def find_blocks(image: Image) -> Blocks:
    """Return what the file holds, as far as it is there; damage ends the walk."""
    data, blocks = image.data, Blocks()
    if data is None:
        _take_info(image, blocks)
        return blocks
    match image.format:
        case "JPEG" | "MPO":
            _read_jpeg(data, blocks)
        case "PNG":
            read_png(data, blocks)
        case "WEBP":
            _read_webp(data, blocks)
        case "GIF":
            _read_gif(data, blocks)
        case "TIFF":
            _read_tiff(image, data, blocks)
        case "AVIF" | "HEIF":
            blocks.credentials = any(name == b"uuid" and data[at : at + 16] == _UUID for name, at in _boxes(data))
            _take_info(image, blocks)
        case "JXL":
            _read_jxl(data, blocks)
        case _:
            _take_info(image, blocks)
    blocks.texts += read_samsung(data)
    return blocks


def _take_info(image: Image, blocks: Blocks) -> None:
    """Take what Pillow found, where it alone can find it, or where there are no bytes to look at."""
    exif, xmp = image.info.get("exif"), image.info.get("xmp", image.info.get("XML:com.adobe.xmp"))
    if isinstance(exif, bytes):
        blocks.add_exif(exif)
    if isinstance(xmp, bytes | str):
        blocks.xmp.append(xmp.encode("utf-8", "replace") if isinstance(xmp, str) else xmp)
    place = "PNG text" if image.format == "PNG" else "comment"
    for key, value in image.info.items():
        if image.data is None and key not in ("xmp", "XML:com.adobe.xmp", "exif"):
            text = value.decode("utf-8", "replace") if isinstance(value, bytes) and key == "comment" else value
            if isinstance(key, str) and isinstance(text, str):
                blocks.texts.append((place, key, text))


def _read_jpeg(data: bytes, blocks: Blocks) -> None:
    rest: dict[bytes, dict[int, bytes]] = {}
    photoshop: list[bytes] = []
    size = 0
    for marker, start, end in _jpeg_segments(data):
        if marker == 0xE1:
            block = data[start:end]
            if block.startswith(_EXIF):
                blocks.add_exif(block)
            elif block.startswith(_JPEG_XMP):
                blocks.xmp.append(block.removeprefix(_JPEG_XMP))
            elif block.startswith(_JPEG_XMP_REST) and (size := size + len(block)) <= _MAX_XMP:
                # A name of 32 letters, the size of the whole, and where in it this part belongs.
                name, _, at = struct.unpack_from(">32sII", block.ljust(len(_JPEG_XMP_REST) + 40, b"\0"), 35)
                rest.setdefault(name, {}).setdefault(at, block[75:])
        elif marker == 0xEB:
            # The JPEG Universal Metadata Box Format has the identifier "JP".
            blocks.credentials |= data[start : start + 2] == b"JP"
        elif marker == 0xED:
            block = data[start:end]
            # What does not fit into one segment goes on in the next.
            photoshop.append(block.removeprefix(_PHOTOSHOP))
        elif marker == 0xFE and len(blocks.texts) < _MAX_COMMENTS:
            blocks.texts.append(("comment", "comment", decode(data[start:end])))
    blocks.xmp += [b"".join(part for _, part in sorted(parts.items())) for parts in rest.values()]
    if photoshop:
        blocks.iptc += find_iptc(b"".join(photoshop))


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of content of what comes before the pixels."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in (0xD9, 0xDA):
            return
        end = at + 2 + max(2, int.from_bytes(data[at + 2 : at + 4]))
        yield marker, at + 4, end
        at = end


def _read_webp(data: bytes, blocks: Blocks) -> None:
    end = min(8 + int.from_bytes(data[4:8], "little"), len(data))
    for name, at, size in find_chunks(data, 12, end, "<4sI", 8, 2):
        if name == b"EXIF":
            blocks.add_exif(data[at : at + size])
        elif name == b"XMP ":
            blocks.xmp.append(data[at : at + size])
        blocks.credentials |= name == b"C2PA"


def _read_tiff(image: Image, data: bytes, blocks: Blocks) -> None:
    # A TIFF file has the very structure that EXIF has.
    blocks.exif.append(data)
    xmp = image.info.get("xmp")
    if isinstance(xmp, bytes):
        blocks.xmp.append(xmp)
    # Rare and quickly read, so that is left to the library.
    blocks.credentials = True


def _boxes(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield name and start of content of the outermost boxes of the ISO base media file format."""
    at = 0
    for _ in range(MAX_PARTS):
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


def is_jxl(data: bytes) -> bool:
    """Say whether a file is JPEG XL: boxes, or a stream of pixels alone, which has room for nothing else."""
    return data.startswith((_JXL_BOXES, b"\xff\x0a"))


def _read_jxl(data: bytes, blocks: Blocks) -> None:
    """Take the boxes of JPEG XL (ISO/IEC 18181-2)."""
    if not data.startswith(_JXL_BOXES):
        return
    boxes = list(_boxes(data))
    for (name, start), (_, after) in zip(boxes, [*boxes[1:], (b"", len(data) + 8)], strict=True):
        # A box ends where the header of the next begins, which has 8 bytes, or 16 where it is long.
        body = data[start : max(start, after - 8)]
        if name == b"Exif":
            blocks.add_exif(body[4 + int.from_bytes(body[:4]) :])
        elif name == b"xml ":
            blocks.xmp.append(body)
        elif name == b"brob" and body[:4] in (b"Exif", b"xml "):
            blocks.unread.append((_BROTLI_NAMES[body[:4]], "it is compressed with Brotli, which is not read here"))
        blocks.credentials |= name == b"jumb"


def _read_gif(data: bytes, blocks: Blocks) -> None:
    """Take comments and XMP, wherever in the file they stand.

    XMP is not cut into blocks as GIF has them, but ends with bytes that lead a reader of blocks to its end,
    wherever in them its last step lands (XMP specification, part 3, on GIF).
    """
    blocks.credentials = True  # As with TIFF.
    flags = data[10] if len(data) > 10 else 0
    # The header, and the table of colours that its flags announce.
    at = 13 + (3 << (flags % 8 + 1) if flags & 0x80 else 0)
    for _ in range(MAX_PARTS):
        kind, label = data[at : at + 1], data[at + 1 : at + 2]
        if kind == b",":
            flags = data[at + 9] if len(data) > at + 9 else 0
            # Its place and size, its own table of colours, and how long its codes are.
            at = _skip_gif_blocks(data, at + 11 + (3 << (flags % 8 + 1) if flags & 0x80 else 0))
        elif kind == b"!" and label == b"\xff" and data[at + 2 : at + 2 + len(_GIF_XMP)] == _GIF_XMP:
            start = at + 2 + len(_GIF_XMP)
            at = _skip_gif_blocks(data, start)
            end = data.find(_GIF_XMP_END, start, at)
            # Some cut it into blocks all the same.
            blocks.xmp.append(data[start:end] if end >= 0 else _join_gif_blocks(data, start))
        elif kind == b"!":
            start, at = at + 2, _skip_gif_blocks(data, at + 2)
            if label == b"\xfe" and len(blocks.texts) < _MAX_COMMENTS:
                blocks.texts.append(("comment", "comment", decode(_join_gif_blocks(data, start))))
        else:
            return


def _skip_gif_blocks(data: bytes, at: int) -> int:
    """Return where a row of blocks ends: each begins with its size, and the last has none."""
    while at < len(data) and data[at]:
        at += data[at] + 1
    return min(at + 1, len(data))


def _join_gif_blocks(data: bytes, at: int) -> bytes:
    parts = []
    while at < len(data) and data[at]:
        parts.append(data[at + 1 : at + 1 + data[at]])
        at += data[at] + 1
    return b"".join(parts)
