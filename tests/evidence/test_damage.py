"""EXIF and XMP that cannot be read."""

import pytest
from documented import check_documented
from metadata_files import Base, encode, exif, jpeg, only, png, xmp

from pyrite.evidence import read_evidence
from pyrite.image import open_image
from pyrite.results import Evidence, Strength

EXIF = exif({Base.Make: "Canon", Base.Model: "Canon EOS R5"}, {Base.ExposureTime: 0.01, Base.FNumber: 8.0}).tobytes()


def read_damage(data: bytes) -> list[Evidence]:
    found = [item for item in read_evidence(open_image(data)) if item.kind == "reader"]
    for item in found:
        check_documented(item)
        assert (item.strength, item.says) == (Strength.ASSERTED, None)
    return found


@pytest.mark.parametrize(
    "block",
    [
        b"Exif\0\0no TIFF structure at all",
        b"Exif\0\0MM",
        b"Exif\0\0MM\0*\0\0",
        b"Exif\0\0MM\0*\0\0\0\x08",
        b"Exif\0\0MM\0*\0\0\xff\xff\0\0\0\0\0\0",
        EXIF[:20],
        EXIF[:40],
        EXIF[:80],
    ],
    ids=range(8),
)
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_damaged_exif_is_reported_once(block: bytes, name: str) -> None:
    [found] = read_damage(encode(name, exif=block))
    assert found.data == {"unread": "EXIF"}
    assert found.detail.startswith("The file's EXIF was not read in full: ")


@pytest.mark.parametrize("byte_order", [b"II+\0", b"MM\0+"])
def test_the_metadata_of_bigtiff_is_said_to_be_left_out(byte_order: bytes) -> None:
    [found] = read_damage(encode("PNG", exif=byte_order + bytes(40)))
    assert found.detail.startswith("The file's EXIF was not read in full: Pyrite does not read that of a BigTIFF file")


def test_what_is_left_of_damaged_exif_is_read() -> None:
    tags = exif({Base.Software: "Midjourney"}, {Base.FNumber: 8.0}).tobytes()
    found = read_evidence(open_image(encode(exif=tags[:-20])))
    assert [item.kind for item in found] == ["generator", "reader"]


@pytest.mark.parametrize(
    "packet",
    [
        b"<x:xmpmeta",
        b"\0\xff\xfe<",
        b"not XML",
        b"<a>" * 200,
        b"<!DOCTYPE a><a/>",
        xmp("><xmp:CreatorTool>GIMP</xmp:CreatorTool>").partition(b"<?xpacket")[2][:500],
    ],
    ids=range(6),
)
def test_damaged_xmp_is_reported_once(packet: bytes) -> None:
    for name in ("JPEG", "WEBP"):
        [found] = read_damage(encode(name, xmp=packet))
        assert found.data == {"unread": "XMP"}
        assert found.detail.startswith("The file's XMP was not read in full: ")


def test_xmp_that_is_too_long_is_reported() -> None:
    assert "more than 2,000,000 bytes" in only(encode("WEBP", xmp=b"<a>" + b" " * 2_000_000 + b"</a>")).detail


def test_both_may_be_damaged() -> None:
    assert [item.data["unread"] for item in read_damage(encode(exif=EXIF[:40], xmp=b"<a>"))] == ["EXIF", "XMP"]


@pytest.mark.parametrize(
    "data",
    [
        *(encode(name) for name in ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")),
        png(Comment="nothing"),
        jpeg({}),
        encode(exif=b"Exif\0\0"),
        encode(exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"),
        encode(xmp=b" \0\n"),
        *(xmp('xmp:CreatorTool="GIMP">', name) for name in ("JPEG", "PNG", "WEBP", "TIFF", "GIF")),
    ],
    ids=range(17),
)
def test_what_is_absent_or_empty_is_not_damaged(data: bytes) -> None:
    assert read_evidence(open_image(data)) == []
