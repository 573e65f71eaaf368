"""Settings are read wherever a container can have a text, and however that is encoded."""

import json

import pytest
from containers import (
    RDF,
    XMP_NAME,
    description,
    exif_block,
    extended,
    gif_with,
    iptc,
    itxt,
    jpeg_with,
    packet,
    photoshop,
    png_with,
    raw_profile,
    text,
    user_comment,
    webp_with,
)
from metadata_files import NODES, SETTINGS, Base, encode, jpeg, only, tiff

from pyrite.evidence import read_evidence
from pyrite.image import open_image
from pyrite.results import Verdict

CHINESE = SETTINGS.replace("a duck, by a lake", "一只鸭子，在湖边，水彩画")
JAPANESE = SETTINGS.replace("a duck, by a lake", "湖のほとりのアヒル")
CREDIT = description('photoshop:Credit="Made with Google AI"')
BLOCK = user_comment(b"ASCII\0\0\0" + SETTINGS.encode())


def escaped(words: str) -> str:
    return words.replace("\n", "&#xA;").replace('"', "&quot;")


DESCRIBED = packet(description(f'dc:description="{escaped(SETTINGS)}"'))
ALTERNATIVES = (
    "<dc:description><rdf:Alt><rdf:li xml:lang='de'>eine Ente</rdf:li>"
    f"<rdf:li xml:lang='x-default'>{SETTINGS}</rdf:li></rdf:Alt></dc:description>"
)


@pytest.mark.parametrize(
    "data",
    [
        png_with(text("parameters", SETTINGS)),
        png_with(text("parameters", SETTINGS, packed=True)),
        png_with(itxt("parameters", SETTINGS)),
        png_with(itxt("parameters", SETTINGS, packed=True)),
        png_with(text("parameters", SETTINGS), after=True),
        png_with(text("Anything", SETTINGS)),
        png_with((b"eXIf", BLOCK)),
        png_with((b"eXIf", BLOCK), after=True),
        png_with((b"eXIf", b"Exif\0\0" + BLOCK)),
        png_with(text("Raw profile type exif", raw_profile("exif", b"Exif\0\0" + BLOCK))),
        png_with(text("Raw profile type exif", raw_profile("exif", BLOCK), packed=True)),
        png_with(text("Raw profile type APP1", raw_profile("generic profile", b"Exif\0\0" + BLOCK), packed=True)),
        png_with(itxt("Raw profile type exif", raw_profile("exif", BLOCK).decode()), after=True),
        png_with(text("Raw profile type xmp", raw_profile("xmp", DESCRIBED))),
        png_with(text("Raw profile type APP1", raw_profile("app1", XMP_NAME + DESCRIBED))),
        png_with(text("Raw profile type iptc", raw_profile("iptc", photoshop(iptc(d120=SETTINGS))))),
        png_with(text("Raw profile type iptc", raw_profile("iptc", iptc(d120=SETTINGS)))),
        jpeg_with((0xE1, b"Exif\0\0" + BLOCK)),
        jpeg_with((0xE1, b"Exif\0\0" + exif_block({Base.Software: "GIMP"})), (0xE1, b"Exif\0\0" + BLOCK)),
        jpeg_with((0xFE, SETTINGS.encode())),
        jpeg_with((0xFE, b"another"), (0xFE, SETTINGS.encode())),
        jpeg_with((0xED, photoshop(iptc(d120=SETTINGS), before=b"other"))),
        jpeg_with((0xE1, XMP_NAME + packet(description("", ALTERNATIVES)))),
        jpeg_with((0xE1, XMP_NAME + packet(description(f'exif:UserComment="{escaped(SETTINGS)}"')))),
        jpeg_with((0xE1, XMP_NAME + packet(description(f'tiff:ImageDescription="{escaped(SETTINGS)}"')))),
        gif_with(SETTINGS.encode()),
        gif_with(b"by a duck", SETTINGS.encode()),
        gif_with(SETTINGS.encode(), after=True),
        webp_with((b"EXIF", BLOCK)),
        webp_with((b"EXIF", b"Exif\0\0" + BLOCK)),
        webp_with((b"XMP ", DESCRIBED)),
        tiff({270: SETTINGS}),
        tiff({33723: iptc(d120=SETTINGS)}),
        tiff({34377: photoshop(iptc(d120=SETTINGS)).removeprefix(b"Photoshop 3.0\0")}),
        encode("AVIF", exif=b"Exif\0\0" + BLOCK),
        encode("AVIF", xmp=DESCRIBED),
        *(jpeg({tag: SETTINGS}) for tag in (Base.ImageDescription, Base.Software, Base.Artist, Base.Copyright)),
        *(jpeg({tag: SETTINGS.encode("utf-16-le") + b"\0\0"}) for tag in (Base.XPTitle, Base.XPComment)),
        jpeg({Base.XPSubject: SETTINGS.encode("utf-16-le")}),
        jpeg({Base.XPComment: SETTINGS.encode()}),
        jpeg({Base.UserComment: b"UNICODE\0" + SETTINGS.encode("utf-16-be")}),
    ],
    ids=range(45),
)  # fmt: skip
def test_settings_in_every_place(data: bytes) -> None:
    found = only(data)
    assert (found.kind, found.says, found.data["generator"]) == ("generator", Verdict.AI, "AUTOMATIC1111")
    assert (found.data["prompt"], found.data["seed"]) == ("a duck, by a lake", 4183556137)


@pytest.mark.parametrize(
    ("words", "prompt"),
    [
        (SETTINGS, "a duck, by a lake"),
        (CHINESE, "一只鸭子，在湖边，水彩画"),
        (JAPANESE, "湖のほとりのアヒル"),
        (SETTINGS.replace("a duck", "un canard très étonné"), "un canard très étonné, by a lake"),
    ],
    ids=["latin", "chinese", "japanese", "french"],
)
@pytest.mark.parametrize(
    ("charset", "encoding"),
    [
        (b"UNICODE\0", "utf-16-be"),
        (b"UNICODE\0", "utf-16-le"),
        (b"UNICODE\0", "utf-16"),
        (b"UNICODE\0", "utf-8"),
        (b"Unicode\0", "utf-8"),
        (b"ASCII\0\0\0", "utf-8"),
        (b"ASCII\0\0\0", "utf-16-le"),
        (b"\0" * 8, "utf-8"),
        (b"\0" * 8, "utf-16-le"),
        (b"\0" * 8, "utf-16-be"),
        (b"", "utf-8"),
        (b"", "utf-16-le"),
        (b"JIS\0\0\0\0\0", "utf-8"),
    ],
)
def test_a_comment_in_any_charset_right_or_wrong(words: str, prompt: str, charset: bytes, encoding: str) -> None:
    for end in (b"", b"\0", b"\0\0"):
        found = only(jpeg({}, {Base.UserComment: charset + words.encode(encoding) + end}))
        assert found.data["prompt"] == prompt


@pytest.mark.parametrize("encoding", ["iso2022_jp", "shift_jis"])
def test_a_comment_in_japanese_charsets(encoding: str) -> None:
    found = only(jpeg({}, {Base.UserComment: b"JIS\0\0\0\0\0" + JAPANESE.encode(encoding)}))
    assert found.data["prompt"] == "湖のほとりのアヒル"


def test_utf_8_in_a_chunk_for_latin_1() -> None:
    for chunk in (text("parameters", CHINESE), text("parameters", CHINESE, packed=True)):
        assert only(png_with(chunk)).data["prompt"] == "一只鸭子，在湖边，水彩画"
    latin = SETTINGS.replace("a duck", "un canard très étonné").encode("latin-1")
    assert only(png_with(text("parameters", latin))).data["prompt"] == "un canard très étonné, by a lake"


@pytest.mark.parametrize("backwards", [False, True])
def test_extended_xmp_in_any_order(backwards: bool) -> None:
    found = only(jpeg_with(*extended(packet(CREDIT), backwards=backwards)))
    assert (found.says, found.data["generator"]) == (Verdict.AI, "Google AI")


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be", "utf-16", "utf-32-le", "utf-32-be", "utf-32"]
)
@pytest.mark.parametrize("declared", ["", '<?xml version="1.0" encoding="UTF-16"?>', '<?xml version="1.0"?>'])
def test_xmp_in_any_encoding(encoding: str, declared: str) -> None:
    data = (declared + packet(CREDIT).decode()).encode(encoding)
    for made in (jpeg_with((0xE1, XMP_NAME + data)), webp_with((b"XMP ", data)), webp_with((b"XMP ", XMP_NAME + data))):
        assert only(made).data["generator"] == "Google AI"


AI = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


@pytest.mark.parametrize(
    "elements",
    [
        f"<Iptc4xmpExt:DigitalSourceType>{AI}</Iptc4xmpExt:DigitalSourceType>",
        f'<Iptc4xmpExt:DigitalSourceType rdf:resource="{AI}"/>',
        f'<Iptc4xmpExt:DigitalSourceType rdf:parseType="Resource"><rdf:value>{AI}</rdf:value>'
        "</Iptc4xmpExt:DigitalSourceType>",
        f"<Iptc4xmpExt:DigitalSourceType><rdf:Description><rdf:value>{AI}</rdf:value></rdf:Description>"
        "</Iptc4xmpExt:DigitalSourceType>",
        f'<Iptc4xmpExt:DigitalSourceType><rdf:Description rdf:value="{AI}"/></Iptc4xmpExt:DigitalSourceType>',
        f'<Iptc4xmpExt:DigitalSourceType rdf:value="{AI}"/>',
        *(
            f"<Iptc4xmpExt:DigitalSourceType><rdf:{kind}><rdf:li>{AI}</rdf:li></rdf:{kind}>"
            "</Iptc4xmpExt:DigitalSourceType>"
            for kind in ("Seq", "Bag", "Alt")
        ),
        f"<Iptc4xmpExt:DigitalSourceType><rdf:Alt><rdf:li xml:lang='x-default'>{AI}</rdf:li></rdf:Alt>"
        "</Iptc4xmpExt:DigitalSourceType>",
        f"<Iptc4xmpExt:DigitalSourceType><rdf:Bag><rdf:li rdf:parseType='Resource'><rdf:value>{AI}</rdf:value></rdf:li>"
        "</rdf:Bag></Iptc4xmpExt:DigitalSourceType>",
        f"<Iptc4xmpExt:DigitalSourceType xml:lang='en'> {AI}\n</Iptc4xmpExt:DigitalSourceType>",
        f'<q:DigitalSourceType xmlns:q="https://iptc.org/std/Iptc4xmpExt/2008-02-29">{AI}</q:DigitalSourceType>',
    ],
)  # fmt: skip
@pytest.mark.parametrize("wrapper", ["xmpmeta", "xapmeta", "other"])
def test_a_property_in_every_form(elements: str, wrapper: str) -> None:
    found = only(jpeg_with((0xE1, XMP_NAME + packet(description("", elements), wrapper=wrapper))))
    assert (found.kind, found.says) == ("source_type", Verdict.AI)


def test_a_packet_without_a_wrapper_and_in_several_descriptions() -> None:
    rdf = f'<rdf:RDF xmlns:rdf="{RDF}">{description()}{CREDIT}</rdf:RDF>'
    assert only(jpeg_with((0xE1, XMP_NAME + rdf.encode()))).data["generator"] == "Google AI"


def test_two_packets_in_one_file() -> None:
    first = packet(description('dc:format="image/jpeg"'))
    data = jpeg_with((0xE1, XMP_NAME + first), (0xE1, XMP_NAME + packet(CREDIT)))
    assert only(data).data["generator"] == "Google AI"


@pytest.mark.parametrize("number", [110, 65, 115])
def test_iptc_data_names_a_generator(number: int) -> None:
    found = only(jpeg_with((0xED, photoshop(iptc(**{f"d{number}": "Made with Google AI"}), before=b"odd"))))
    assert (found.says, found.data["generator"], found.data["place"]) == (Verdict.AI, "Google AI", "IPTC data")


def test_iptc_data_over_two_segments() -> None:
    whole = photoshop(iptc(d5="a duck", d110="Made with Google AI"))
    data = jpeg_with((0xED, whole[:40]), (0xED, b"Photoshop 3.0\0" + whole[40:]))
    assert only(data).data["generator"] == "Google AI"


def test_a_graph_of_nodes_in_any_field() -> None:
    graph = json.dumps(NODES)
    for data in (
        jpeg({}, {Base.UserComment: b"UNICODE\0" + graph.encode("utf-16-le")}),
        jpeg({}, {Base.UserComment: b"UNICODE\0" + json.dumps({"prompt": NODES, "workflow": {}}).encode("utf-16-be")}),
        jpeg({}, {Base.UserComment: json.dumps({"prompt": graph}).encode()}),
        jpeg({}, {Base.UserComment: json.dumps({**NODES, "extra": {}, "extraMetadata": "{}"}).encode()}),
        jpeg({Base.ImageDescription: "Workflow: {}", Base.Make: "Prompt: " + graph}),
        jpeg({Base.ImageDescription: graph}),
        jpeg_with((0xFE, graph.encode())),
        png_with(text("Comment", graph)),
        png_with(itxt("workflow", "{}"), itxt("Prompt", graph)),
        gif_with(graph.encode()),
        webp_with((b"XMP ", packet(description(f'exif:UserComment="{escaped(graph)}"')))),
    ):
        found = only(data)
        assert (found.says, found.data["generator"], found.data["seed"]) == (Verdict.AI, "ComfyUI", 7)


def test_bytes_after_the_end_of_a_container_are_not_read() -> None:
    for plain in (encode("JPEG"), encode("PNG"), encode("GIF"), encode("WEBP")):
        assert read_evidence(open_image(plain + SETTINGS.encode() + packet(CREDIT))) == []


@pytest.mark.parametrize("padding", range(0, 260, 13))
def test_xmp_in_a_gif_with_its_own_end_and_in_blocks(padding: int) -> None:
    plain, inner = encode("GIF"), packet(CREDIT) + b" " * padding
    blocks = b"".join(bytes((len(part),)) + part for at in range(0, len(inner), 255) if (part := inner[at : at + 255]))
    for body in (inner + bytes((1, *range(255, -1, -1), 0)), blocks + b"\0"):
        data = plain[:781] + b"!\xff\x0bXMP DataXMP" + body + plain[781:]
        assert only(data).data["generator"] == "Google AI"
