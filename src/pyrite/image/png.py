"""Texts of a PNG that are larger than Pillow takes: it would refuse the whole image for them."""

import zlib
from collections.abc import Iterator

from PIL import PngImagePlugin

from pyrite.image.files import File


def drop_large_texts(file: File) -> File:
    """Return a PNG without its texts and colour profiles beyond Pillow's limits: the same, where it has none."""
    large = list(_find_large(file))
    if not large:
        return file
    data = file.read_all()
    starts, ends = zip(*large, strict=True)
    kept = zip((0, *ends), (*starts, len(data)), strict=True)
    return File(b"".join(data[start:end] for start, end in kept))


def _find_large(file: File) -> Iterator[tuple[int, int]]:
    """Yield start and end of the chunks to leave out."""
    at, left = 8, PngImagePlugin.MAX_TEXT_MEMORY
    while True:
        file.seek(at)
        header = file.read(8)
        size, kind = int.from_bytes(header[:4], "big"), header[4:]
        start, at = at, at + 12 + size
        if len(header) < 8 or kind == b"IEND":
            return
        if kind not in (b"tEXt", b"zTXt", b"iTXt", b"iCCP"):
            continue
        body = file.read(size)
        packed = _packed(kind, body)
        # Once there is no room left, nothing is unpacked any more: a small file could have a thousand such.
        taken = len(body) if packed is None else _unpacked_size(packed) if left > 0 else 1
        large = taken > left or (packed is not None and taken > PngImagePlugin.MAX_TEXT_CHUNK)
        if large:
            yield start, at
        if packed is not None or not large:
            left -= taken


def _packed(kind: bytes, body: bytes) -> bytes | None:
    """Return what such a chunk has in compressed form."""
    _, _, rest = body.partition(b"\0")
    if kind in (b"zTXt", b"iCCP"):
        return rest[1:]
    if kind == b"iTXt" and rest[:1] not in (b"", b"\0"):
        return rest[2:].split(b"\0", 2)[-1]
    return None


def _unpacked_size(packed: bytes) -> int:
    """Return how many bytes it unpacks to; of those beyond Pillow's limit, one is counted."""
    stream = zlib.decompressobj()
    limit = PngImagePlugin.MAX_TEXT_CHUNK
    try:
        size = len(stream.decompress(packed, limit))
    except zlib.error:
        return 0  # Pillow takes it for empty.
    return size + bool(stream.unconsumed_tail)
