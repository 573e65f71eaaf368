"""Settings that programs hide in the lowest bits of the pixels of PNG and lossless WebP ("stealth PNG info").

Down one column after the other, in the alpha channel or in red, green and blue: a signature of 15 letters, the
number of bits that follow in 32 bits, and a text in UTF-8, which may be compressed with gzip.
Source: https://github.com/ashen-sensored/sd_webui_stealth_pnginfo
"""

import io
import zlib
from collections.abc import Iterable

from PIL import Image as PillowImage

from pyrite.evidence.png import find_chunks, read_layout, unpack_rows
from pyrite.evidence.values import MAX_TEXT, read_json
from pyrite.image import Image

_START = b"stealth_"
_IN_ALPHA = {b"stealth_pnginfo": False, b"stealth_pngcomp": True}
_IN_COLOURS = {b"stealth_rgbinfo": False, b"stealth_rgbcomp": True}
"""By signature, whether the text is compressed."""

_MAX_SIDE = 16_384
_MAX_PIXELS = 1 << 25
_MAX_BITS = 1 << 23
"""Generators write some ten thousand."""

_LOWEST = bytes(48 + value % 2 for value in range(256))
"""The lowest bit of each byte, as a digit."""


def read_hidden(image: Image) -> dict[str, str]:
    """Return the texts hidden in a file by keyword; empty where there are none, or they are damaged.

    Only a PNG whose first column begins as the signature does is decoded again; of all others, no more than 64 rows
    are unpacked. A lossless WebP is decoded again in any case.
    """
    data = image.data
    if data is None or not (
        (image.format == "PNG" and _may_hide(data)) or (image.format == "WEBP" and is_lossless_webp(data))
    ):
        return {}
    try:
        with PillowImage.open(io.BytesIO(data), formats=[image.format]) as canvas:
            text = _read_text(canvas) if max(canvas.size) <= _MAX_SIDE and _area(canvas) <= _MAX_PIXELS else ""
    except Exception:  # Pillow raises nearly anything on damaged files, and what is hidden may be damaged too.
        return {}
    fields = read_json(text)
    # NovelAI hides all that it writes as PNG text; the others, what they write under one keyword.
    if isinstance(fields, dict) and "Software" in fields:
        return {key: value for key, value in fields.items() if isinstance(value, str)}
    return {"parameters": text} if text else {}


def is_lossless_webp(data: bytes) -> bool:
    """Say whether a WebP file keeps its pixels as they were, so that their lowest bits mean something."""
    chunks = find_chunks(data, 12, min(8 + int.from_bytes(data[4:8], "little"), len(data)), "<4sI", 8, 2)
    # An animation has its pixels deeper down, and is left out.
    return next((name == b"VP8L" for name, _, _ in chunks if name in (b"VP8 ", b"VP8L", b"ANIM")), False)


def _area(canvas: PillowImage.Image) -> int:
    return canvas.width * canvas.height


def _may_hide(data: bytes) -> bool:
    """Say whether the first column's lowest bits begin as a signature does, as far as the column goes."""
    layout = read_layout(data)
    if layout is None or max(layout[:2]) > _MAX_SIDE or layout[0] * layout[1] > _MAX_PIXELS:
        return False
    width, height, channels = layout
    size = 1 + width * channels
    rows = unpack_rows(data, size, min(height, 8 * len(_START)))
    column = _read_column((rows[at : at + 1 + channels] for at in range(0, len(rows) - size + 1, size)), channels)
    streams = [b"".join(pixel[:3] for pixel in column)]
    if channels == 4:
        streams.append(b"".join(pixel[3:] for pixel in column))
    return any(_START.startswith(_pack(samples)[: len(_START)]) for samples in streams)


def _read_column(rows: Iterable[bytes], channels: int) -> list[bytes]:
    """Undo the filters for the first pixel of each row: with none to its left, only the one above it matters.

    Source: Portable Network Graphics specification, section 9.
    """
    column, above = [], bytes(channels)
    for row in rows:
        pixel = row[1 : 1 + channels]
        if row[0] in (2, 4):
            pixel = bytes((value + upper) % 256 for value, upper in zip(pixel, above, strict=True))
        elif row[0] == 3:
            pixel = bytes((value + upper // 2) % 256 for value, upper in zip(pixel, above, strict=True))
        column.append(pixel)
        above = pixel
    return column


def _read_text(canvas: PillowImage.Image) -> str:
    """Return the text hidden in an image of mode RGB or RGBA, empty where there is none."""
    wide = min(canvas.width, _MAX_BITS // canvas.height + 1)
    columns = canvas.crop((0, 0, wide, canvas.height)).transpose(PillowImage.Transpose.TRANSPOSE)
    streams = [(columns.convert("RGB"), _IN_COLOURS)]
    if canvas.mode == "RGBA":
        streams.append((columns.getchannel("A"), _IN_ALPHA))
    for samples, signatures in streams:
        hidden = _pack(samples.tobytes()[:_MAX_BITS])
        compressed = signatures.get(hidden[:15])
        end = 19 + int.from_bytes(hidden[15:19], "big") // 8
        if compressed is not None and end <= len(hidden):
            text = hidden[19:end]
            # The length is bounded, so that a little that unpacks to very much does no harm.
            return (zlib.decompressobj(31).decompress(text, MAX_TEXT) if compressed else text).decode("utf-8")
    return ""


def _pack(samples: bytes) -> bytes:
    """Join the samples' lowest bits, eight to a byte, the first of them highest; a rest is left out."""
    count = len(samples) // 8
    return int(samples[: 8 * count].translate(_LOWEST), 2).to_bytes(count, "big") if count else b""
