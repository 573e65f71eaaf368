"""JPEG XL's boxes, whose pixels are not decoded."""

import struct

import pytest
from containers import description, packet, user_comment
from documented import check_documented
from metadata_files import SETTINGS

from pyrite.evidence import read_file_evidence
from pyrite.results import Verdict

START = b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0\0\0\x14ftypjxl \0\0\0\0jxl "
PIXELS = b"\xff\x0a\x00\x10"


def box(name: bytes, body: bytes, *, long: bool = False) -> bytes:
    if long:
        return struct.pack(">I4sQ", 1, name, len(body) + 16) + body
    return struct.pack(">I4s", len(body) + 8, name) + body


EXIF = b"\0\0\0\0" + user_comment(b"ASCII\0\0\0" + SETTINGS.encode())
XMP = packet(description('photoshop:Credit="Made with Google AI"'))


@pytest.mark.parametrize(
    ("boxes", "generator"),
    [
        (box(b"Exif", EXIF) + box(b"jxlc", PIXELS), "AUTOMATIC1111"),
        (box(b"jxlc", PIXELS) + box(b"Exif", EXIF), "AUTOMATIC1111"),
        (box(b"Exif", b"\0\0\0\x06Exif\0\0" + EXIF[4:]) + box(b"jxlc", PIXELS), "AUTOMATIC1111"),
        (box(b"xml ", XMP) + box(b"jxlc", PIXELS), "Google AI"),
        (box(b"jxlc", PIXELS) + struct.pack(">I4s", 0, b"xml ") + XMP, "Google AI"),
    ],
    ids=range(5),
)
def test_boxes_with_words_are_read(boxes: bytes, generator: str) -> None:
    [found] = read_file_evidence(START + boxes)
    check_documented(found)
    assert (found.says, found.data["generator"]) == (Verdict.AI, generator)


def test_what_is_compressed_is_told() -> None:
    [found] = read_file_evidence(START + box(b"brob", b"xml " + b"\x0b\x02\x80") + box(b"jxlc", PIXELS))
    assert (found.kind, found.data) == ("reader", {"unread": "XMP"})
    assert "compressed with Brotli" in found.detail


@pytest.mark.parametrize("data", [b"", PIXELS, START, START + b"\0\0\0", b"\xff\xd8\xff", START + box(b"jxlc", PIXELS)])
def test_files_without_words_say_nothing(data: bytes) -> None:
    assert read_file_evidence(data) == []
