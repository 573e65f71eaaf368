"""What a file tells of its own history is context."""

import io

import numpy as np
import pytest
from containers import XMP_NAME, description, exif_block, iptc, jpeg_with, packet, photoshop
from documented import check_documented
from metadata_files import Base, jpeg
from PIL import ExifTags
from PIL import Image as PillowImage

from pyrite.evidence import read_evidence
from pyrite.evidence.thumbnail import match_thumbnail
from pyrite.image import open_image
from pyrite.results import Evidence, Strength

MM = 'xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/" xmlns:stEvt="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#" '
MM += 'xmlns:stRef="http://ns.adobe.com/xap/1.0/sType/ResourceRef#"'


def read(data: bytes) -> list[Evidence]:
    found = [item for item in read_evidence(open_image(data)) if item.kind == "history"]
    for item in found:
        check_documented(item)
        assert (item.strength, item.says) == (Strength.ASSERTED, None)
    return found


def history(*steps: str) -> bytes:
    listed = "".join(f"<rdf:li {step}/>" for step in steps)
    elements = f"<xmpMM:History><rdf:Seq>{listed}</rdf:Seq></xmpMM:History>"
    elements += '<xmpMM:DerivedFrom stRef:documentID="xmp.did:1"/>'
    return jpeg_with((0xE1, XMP_NAME + packet(description(MM, elements))))


def test_steps_of_editing_are_told_in_order() -> None:
    steps = [
        f'stEvt:action="{action}" stEvt:when="2024-0{i}-01T10:00:00Z" stEvt:softwareAgent="Duckshop {i}"'
        for i, action in enumerate(("created", "saved", "converted", "saved"), 1)
    ]
    [found] = read(history(*steps))
    assert [step["action"] for step in found.data["steps"]] == ["created", "saved", "converted", "saved"]
    assert found.data["programs"] == ["Duckshop 1", "Duckshop 2", "Duckshop 3", "Duckshop 4"]
    assert found.data["derived_from"] == "xmp.did:1"
    assert "created with Duckshop 1 on 2024-01-01; saved with Duckshop 2 on 2024-02-01; " in found.detail
    assert "and 1 more" in found.detail


def test_steps_in_a_row_that_are_told_alike_are_told_once() -> None:
    save = 'stEvt:action="saved" stEvt:when="2024-05-01T1{}:00:00Z" stEvt:softwareAgent="Duckshop"'
    [found] = read(history('stEvt:action="created"', *(save.format(i) for i in range(4)), 'stEvt:action="converted"'))
    assert "lists its history: created; saved with Duckshop on 2024-05-01 (4 times); converted, and" in found.detail
    assert len(found.data["steps"]) == 6


def test_steps_as_structures_and_without_anything() -> None:
    inner = "<rdf:li rdf:parseType='Resource'><stEvt:action>saved</stEvt:action></rdf:li><rdf:li>text</rdf:li>"
    data = jpeg_with(
        (0xE1, XMP_NAME + packet(description(MM, f"<xmpMM:History><rdf:Bag>{inner}</rdf:Bag></xmpMM:History>")))
    )
    [found] = read(data)
    assert found.data["steps"] == [{"action": "saved"}]
    assert read(jpeg_with((0xE1, XMP_NAME + packet(description(MM, "<xmpMM:History>x</xmpMM:History>"))))) == []


def dated(taken: str, changed: str = "", gps: tuple[str, tuple[float, ...]] | None = None) -> bytes:
    exif = PillowImage.Exif()
    exif.update({Base.DateTime: changed} if changed else {})
    exif.get_ifd(ExifTags.IFD.Exif).update({Base.DateTimeOriginal: taken})
    if gps is not None:
        exif.get_ifd(ExifTags.IFD.GPSInfo).update({29: gps[0], 7: gps[1]})
    return jpeg_with((0xE1, exif.tobytes()))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (dated("2024:05:01 10:00:00", "2024:03:01 10:00:00"), "last changed (2024-03-01) before it was taken"),
        (dated("2024:05:01 10:00:00", gps=("2024:06:01", (9, 0, 0))), "the satellites' time (2024-06-01) is not"),
        (dated("2024:05:01 10:00:00", "2024:05:02 11:00:00"), None),
        (dated("2024:05:01 10:00:00", "2024:05:01 00:00:00"), None),
        (dated("2024:05:01 23:00:00", gps=("2024:05:02", (3, 0, 0))), None),
        (dated("0000:00:00 00:00:00", "2024:13:45 99:00:00"), None),
        (dated("2024:05:01 10:00:00", gps=("nonsense", (9, 0, 0))), None),
    ],
)
def test_times_that_contradict_each_other(data: bytes, told: str | None) -> None:
    found = read(data)
    assert bool(found) is (told is not None)
    if told is not None:
        assert told in found[0].detail
        assert "A wrong clock does that as well" in found[0].detail
        assert len(found[0].data["contradictions"]) == 1


def picture(seed: int, size: tuple[int, int] = (160, 120)) -> PillowImage.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)
    return PillowImage.fromarray(coarse).resize(size, PillowImage.Resampling.BICUBIC)


def with_thumbnail(image: PillowImage.Image, thumbnail: PillowImage.Image) -> bytes:
    """Return a JPEG whose EXIF has a thumbnail in its second directory."""
    small, stream = io.BytesIO(), io.BytesIO()
    thumbnail.save(small, "JPEG", quality=70)
    block = exif_block({Base.Make: "Duck"})
    # The first directory ends where the second begins, which tells where the thumbnail does.
    following = len(block) + len(block) % 2
    start = following + 2 + 24 + 4
    entries = b"".join(
        tag.to_bytes(2, "big") + (4).to_bytes(2, "big") + (1).to_bytes(4, "big") + value.to_bytes(4, "big")
        for tag, value in ((0x0201, start), (0x0202, len(small.getvalue())))
    )
    count = int.from_bytes(block[8:10], "big")
    at = 10 + 12 * count
    assert block[:2] == b"MM"
    block = block[:at] + following.to_bytes(4, "big") + block[at + 4 :]
    block = block.ljust(following, b"\0") + (2).to_bytes(2, "big") + entries + b"\0" * 4 + small.getvalue()
    image.save(stream, "JPEG", quality=90, exif=b"Exif\0\0" + block)
    return stream.getvalue()


def test_a_thumbnail_of_something_else_is_told() -> None:
    image = picture(0, (640, 480))
    [found] = read(with_thumbnail(image, picture(1)))
    assert found.data["thumbnail_correlation"] < 0.8
    assert "shows something other than the image" in found.detail


def test_a_thumbnail_of_the_image_is_nothing() -> None:
    image = picture(0, (640, 480))
    small = image.resize((160, 120))
    barred = PillowImage.new("RGB", (160, 120))
    barred.paste(image.resize((160, 90)), (0, 15))
    for thumbnail in (small, small.convert("L"), small.rotate(90, expand=True), barred):
        assert read(with_thumbnail(image, thumbnail)) == []


def test_flat_and_tiny_images_are_not_compared() -> None:
    flat, noise = np.full((64, 64, 3), 99, np.uint8), np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert match_thumbnail(flat, np.full((64, 64, 3), 10, np.uint8)) is None
    assert match_thumbnail(flat, noise) is None
    assert match_thumbnail(noise[:15], noise) is None


@pytest.mark.parametrize("turn", range(4))
def test_a_thumbnail_is_laid_as_the_image_is(turn: int) -> None:
    image = picture(0, (640, 480))
    barred = PillowImage.new("RGB", (160, 120))
    barred.paste(image.resize((160, 90)), (0, 15))
    turned = np.rot90(np.asarray(barred), -turn)
    match = match_thumbnail(np.asarray(image), turned)
    assert match is not None
    assert match.alike
    assert match.turn == turn
    np.testing.assert_array_equal(match.lay(turned), np.asarray(barred)[15:105])


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (jpeg_with((0xED, photoshop(iptc(d40="FBMD01000abc")))), "Facebook or Instagram"),
        (jpeg({}, {Base.UserComment: b"ASCII\0\0\0Screenshot"}), "a screenshot of an Apple device"),
        (jpeg({}, {Base.UserComment: b"ASCII\0\0\0Screenshot of a duck"}), ""),
        (jpeg_with((0xED, photoshop(iptc(d40="Not FBMD")))), ""),
    ],
)
def test_what_a_file_passed_through(data: bytes, told: str) -> None:
    found = read(data)
    assert [told in item.data["passed_through"] for item in found] == [True] * bool(told)
