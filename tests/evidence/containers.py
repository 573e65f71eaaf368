"""Files with metadata wherever a container can have it, put together byte by byte."""

import struct
import zlib

from metadata_files import encode, exif
from PIL import ExifTags

XMP_NAME = b"http://ns.adobe.com/xap/1.0/\0"
EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"


def jpeg_with(*segments: tuple[int, bytes], trailer: bytes = b"") -> bytes:
    """Return a JPEG with these segments, by marker, after its first bytes, and a trailer after its end."""
    plain = encode("JPEG")
    parts = b"".join(bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body for marker, body in segments)
    return plain[:2] + parts + plain[2:] + trailer


def png_with(*chunks: tuple[bytes, bytes], after: bool = False, trailer: bytes = b"") -> bytes:
    """Return a PNG with these chunks before its pixels, or after them."""
    plain = encode("PNG")
    at = plain.index(b"IEND") - 4 if after else plain.index(b"IDAT") - 4
    parts = b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
    return plain[:at] + parts + plain[at:] + trailer


def webp_with(*chunks: tuple[bytes, bytes]) -> bytes:
    plain = encode("WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0")
    at = plain.index(b"EXIF")
    parts = b"".join(name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2) for name, body in chunks)
    body = plain[12:at] + parts
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def gif_with(*comments: bytes, after: bool = False) -> bytes:
    plain = encode("GIF")
    blocks = b""
    for comment in comments:
        parts = [comment[at : at + 255] for at in range(0, len(comment), 255)]
        blocks += b"!\xfe" + b"".join(bytes((len(part),)) + part for part in parts) + b"\0"
    at = len(plain) - 1 if after else 781
    return plain[:at] + blocks + plain[at:]


def raw_profile(kind: str, body: bytes) -> bytes:
    """Return a profile as ImageMagick writes it into a text chunk."""
    text = body.hex()
    lines = "\n".join(text[at : at + 72] for at in range(0, len(text), 72))
    return f"\n{kind}\n{len(body):8}\n{lines}\n".encode()


def iptc(**datasets: str) -> bytes:
    """Return IPTC data with datasets by number (`d110`)."""
    row = b""
    for name, text in datasets.items():
        body = text.encode()
        row += bytes((0x1C, 2, int(name[1:]))) + struct.pack(">H", len(body)) + body
    return row


def photoshop(row: bytes, *, before: bytes = b"") -> bytes:
    """Return image resources of Photoshop with IPTC data, after another resource."""
    other = b"8BIM" + struct.pack(">H", 0x03ED) + b"\0\0" + struct.pack(">I", len(before)) + before
    other += b"\0" * (len(before) % 2)
    return b"Photoshop 3.0\0" + other + b"8BIM\x04\x04\0\0" + struct.pack(">I", len(row)) + row + b"\0" * (len(row) % 2)


def exif_block(tags: dict[int, object], photo: dict[int, object] | None = None) -> bytes:
    """Return EXIF without its name."""
    return exif(tags, photo).tobytes().removeprefix(b"Exif\0\0")


def user_comment(body: bytes) -> bytes:
    return exif_block({}, {ExifTags.Base.UserComment: body})


def packet(inner: str, *, wrapper: str = "xmpmeta") -> bytes:
    """Return an XMP packet with descriptions."""
    return (
        f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:{wrapper} xmlns:x="adobe:ns:meta/">'
        f'<rdf:RDF xmlns:rdf="{RDF}">{inner}</rdf:RDF></x:{wrapper}><?xpacket end="w"?>'
    ).encode()


def description(attributes: str = "", elements: str = "") -> str:
    return (
        '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" '
        'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/" '
        f'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" {attributes}>{elements}</rdf:Description>'
    )


def samsung(name: str, text: str) -> bytes:
    """Return the trailer that Samsung's phones write."""
    entry = b"\0\0\xa1\x0b" + struct.pack("<I", len(name)) + name.encode() + text.encode()
    directory = (
        b"SEFH" + struct.pack("<III", 107, 1, 0)[:8] + b"\0\0\xa1\x0b" + struct.pack("<II", len(entry), len(entry))
    )
    return entry + directory + struct.pack("<I", len(directory)) + b"SEFT"


def itxt(key: str, text: str, *, packed: bool = False) -> tuple[bytes, bytes]:
    body = text.encode()
    return b"iTXt", key.encode() + b"\0" + bytes((packed, 0)) + b"\0\0" + (zlib.compress(body) if packed else body)


def text(key: str, body: str | bytes, *, packed: bool = False) -> tuple[bytes, bytes]:
    raw = body.encode() if isinstance(body, str) else body
    if packed:
        return b"zTXt", key.encode() + b"\0\0" + zlib.compress(raw)
    return b"tEXt", key.encode() + b"\0" + raw


def extended(inner: bytes, *, size: int = 100, backwards: bool = False) -> list[tuple[int, bytes]]:
    """Return the segments of a packet that goes on in others."""
    name = b"0123456789ABCDEF0123456789ABCDEF"
    parts = [
        (
            0xE1,
            b"http://ns.adobe.com/xmp/extension/\0"
            + name
            + len(inner).to_bytes(4)
            + at.to_bytes(4)
            + inner[at : at + size],
        )
        for at in range(0, len(inner), size)
    ]
    note = description('xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="' + name.decode() + '"')
    return [(0xE1, XMP_NAME + packet(note)), *(parts[::-1] if backwards else parts)]
