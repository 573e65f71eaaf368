"""The trailer that Samsung's phones write after an image."""

import struct

from pyrite.evidence.blocks import decode

_MAX_ENTRIES = 64
_MAX_ENTRY = 1 << 20


def read_samsung(data: bytes) -> list[tuple[str, str, str]]:
    """Return the texts of the trailer that Samsung's phones write after the image: place, name and text.

    From the end: "SEFT", the size of the directory, and before it the directory "SEFH" with type, offset back from
    its own start, and size of each entry. An entry has its type, the length of its name, the name, and what it holds.
    Source: ExifTool's description of the format (Image::ExifTool::Samsung).
    """
    if data[-4:] != b"SEFT":
        return []
    size = int.from_bytes(data[-8:-4], "little")
    start = len(data) - 8 - size
    if not 0 <= start < len(data) or data[start : start + 4] != b"SEFH":
        return []
    texts = []
    count = min(int.from_bytes(data[start + 8 : start + 12], "little"), _MAX_ENTRIES)
    for at in range(start + 12, min(start + 12 + 12 * count, len(data) - 19), 12):
        offset, length = struct.unpack_from("<II", data, at + 4)
        entry = data[max(0, start - offset) : max(0, start - offset) + min(length, _MAX_ENTRY)]
        named = int.from_bytes(entry[4:8], "little")
        if offset <= start and named <= 200:
            texts.append(("Samsung trailer", decode(entry[8 : 8 + named]), decode(entry[8 + named :])))
    return texts
