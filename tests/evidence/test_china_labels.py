"""China's label of generated content, in every form seen; and Samsung's."""

import json

import pytest
from containers import XMP_NAME, gif_with, itxt, jpeg_with, packet, png_with, samsung, text
from metadata_files import Base, comment, encode, exif, jpeg, only, png

from pyrite.evidence import read_evidence
from pyrite.image import open_image
from pyrite.results import Verdict

DOUBAO = "001191110102MACQD9K64010000"
LABEL = {
    "Label": "1", "ContentProducer": DOUBAO, "ProduceID": "e3578014", "ReservedCode1": "", "ContentPropagator": "",
    "PropagateID": "", "ReservedCode2": "",
}  # fmt: skip


def tc260(label: object, namespace: str = "http://www.tc260.org.cn/ns/AIGC/1.0/", *, element: bool = False) -> bytes:
    inner = json.dumps(label).replace('"', "&quot;")
    body = f">{'<T:AIGC>' + inner + '</T:AIGC>'}" if element else f' T:AIGC="{inner}">'
    return packet(f'<rdf:Description rdf:about="" xmlns:T="{namespace}"{body}</rdf:Description>')


@pytest.mark.parametrize(
    "data",
    [
        jpeg_with((0xE1, XMP_NAME + tc260(LABEL))),
        jpeg_with((0xE1, XMP_NAME + tc260(LABEL, element=True))),
        jpeg_with((0xE1, XMP_NAME + tc260(LABEL, "http://www.tc260.org.cn/ns/AIGC/1.0"))),
        jpeg_with((0xE1, XMP_NAME + tc260(LABEL, "https://www.tc260.org.cn/ns/AIGC/1.0/"))),
        png_with(itxt("XML:com.adobe.xmp", tc260(LABEL).decode())),
        png(AIGC=json.dumps(LABEL)),
        png_with(itxt("AIGC", json.dumps(LABEL))),
        png_with(text("AIGC", str(LABEL))),
        png_with(text("aigc", json.dumps(LABEL), packed=True), after=True),
        png(Comment=json.dumps({"AIGC": LABEL})),
        png(AIGC=json.dumps({"AIGC": json.dumps(LABEL)})),
        png(TC260=json.dumps({key.lower(): value for key, value in LABEL.items()})),
        jpeg({}, comment(json.dumps({"AIGC": LABEL}))),
        jpeg({}, comment(json.dumps(LABEL))),
        jpeg({}, comment(json.dumps(json.dumps({"AIGC": LABEL})))),
        jpeg({Base.ImageDescription: json.dumps({"AIGC": LABEL})}),
        jpeg({Base.XPComment: json.dumps({"AIGC": LABEL}).encode("utf-16-le")}),
        jpeg_with((0xFE, json.dumps({"AIGC": LABEL}).encode())),
        gif_with(json.dumps({"AIGC": LABEL}).encode()),
        encode("WEBP", exif=exif({}, comment(json.dumps({"AIGC": LABEL}))).tobytes()),
        png(AIGC=json.dumps({**LABEL, "Label": 1})),
        png(AIGC=json.dumps({**LABEL, "Label": "AIGC"})),
        png(AIGC="\ufeff " + json.dumps(LABEL) + "\0"),
    ],
    ids=range(23),
)
def test_the_label_in_every_form(data: bytes) -> None:
    found = only(data)
    assert (found.kind, found.says) == ("generator", Verdict.AI)
    assert (found.data["generator"], found.data["company"]) == ("Doubao", "ByteDance")
    assert found.data["producer_code"] == DOUBAO
    assert found.data["label"]["ProduceID" if "ProduceID" in found.data["label"] else "produceid"] == "e3578014"
    assert "made with AI by Doubao (ByteDance)" in found.detail


@pytest.mark.parametrize(("label", "meaning"), [("2", "possibly made with AI"), ("3", "suspected to be made with AI")])
def test_what_is_only_possible_or_suspected_is_told_as_that(label: str, meaning: str) -> None:
    found = only(png(AIGC=json.dumps({**LABEL, "Label": label})))
    assert found.says is None
    assert found.data["label_meaning"] == meaning
    assert f"it is labelled as {meaning}, by China's rules" in found.detail


@pytest.mark.parametrize(
    ("producer", "name"),
    [
        ("Minimax Agent AI", "MiniMax"),
        ("duckworks", "duckworks"),
        ("0011DEMOAI00000", "0011DEMOAI00000"),
        ("", "an unnamed service"),
    ],
)
def test_a_producer_that_is_known_by_name_or_not_at_all(producer: str, name: str) -> None:
    assert only(png(AIGC=json.dumps({**LABEL, "ContentProducer": producer}))).data["generator"] == name


@pytest.mark.parametrize(
    "text_",
    [
        json.dumps({"Label": "1"}),
        json.dumps({"Label": "none", "ContentProducer": "x"}),
        json.dumps({"Label": "0", "ContentProducer": "x"}),
        json.dumps({"label": "1", "producer": "Warner", "propagator": "x"}),
        json.dumps({"AIGC": "no"}),
        "{'Label': __import__('os'), 'ContentProducer': 1}",
        "{'Label': " + "[" * 5000,
        "{'a': " * 2000,
        "AIGC",
    ],
)
def test_what_is_no_label_says_nothing(text_: str) -> None:
    assert read_evidence(open_image(png(Comment=text_))) == []


@pytest.mark.parametrize("name", ["PhotoEditor_Re_Edit_Data", "PEg_Info", "Another_Name"])
def test_samsungs_trailer_tells_of_a_generative_edit(name: str) -> None:
    trailer = samsung(name, json.dumps({"originalPath": "/x.jpg", "genAIType": 8}))
    for data in (jpeg_with(trailer=trailer), png_with(trailer=trailer)):
        found = only(data)
        assert (found.says, found.data["generator"], found.data["extent"]) == (Verdict.AI, "Samsung", "part")
        assert "changed with AI by Samsung" in found.detail


@pytest.mark.parametrize(
    "trailer",
    [
        samsung("PEg_Info", json.dumps({"genAIType": 0})),
        samsung("PEg_Info", json.dumps({"isAIFilterReEditOnly": False})),
        samsung("Image_UTC_Data", "1700000000000"),
        samsung("PEg_Info", '{"genAIType":'),
        samsung("PEg_Info", json.dumps({"genAIType": 1}))[:-8] + b"\xff\xff\xff\xffSEFT",
        b"SEFT",
        b"SEFH" + b"\xff" * 40 + b"\x20\0\0\0SEFT",
    ],
)
def test_other_trailers_say_nothing(trailer: bytes) -> None:
    assert read_evidence(open_image(jpeg_with(trailer=trailer))) == []
