"""What generators write, written here as they write it."""

import base64
import json

import pytest
from documented import check_documented
from metadata_files import SETTINGS, Base, comment, encode, jpeg, only, png, xmp

from pyrite.evidence import read_evidence
from pyrite.image import open_image
from pyrite.results import Verdict

UUID = "0f8fad5b-d9cb-469f-a165-70867728950e"


@pytest.mark.parametrize(
    ("data", "generator"),
    [
        (jpeg({Base.Software: "Adobe Firefly"}), "Adobe Firefly"),
        (jpeg({Base.Software: "Fooocus v2.5.0"}), "Fooocus"),
        (jpeg({Base.Make: "Ideogram AI"}), "Ideogram AI"),
        (png(Software="Midjourney"), "Midjourney"),
        (xmp("><xmp:CreatorTool>Adobe Firefly 1.0</xmp:CreatorTool>"), "Adobe Firefly"),
        (xmp('xmp:CreatorTool="Adobe Firefly Image 4">'), "Adobe Firefly"),
        (xmp("><photoshop:Credit>Made with Google AI</photoshop:Credit>"), "Google AI"),
        (xmp("><Iptc4xmpExt:AISystemUsed>DALL-E 3</Iptc4xmpExt:AISystemUsed>"), "DALL-E"),
        (jpeg({Base.Software: "OpenAI"}), "OpenAI"),
        (png(Software="OpenAI DALL·E 3"), "OpenAI DALL·E"),
        (png(Software="ChatGPT"), "ChatGPT"),
        (png(Software="Google Imagen 4"), "Google Imagen"),
        (png(Software="DALL-E 2"), "DALL-E"),
        (png(Description=f"a duck --ar 3:2 --v 6.1 Job ID: {UUID}", Author="someone"), "Midjourney"),
        (
            jpeg({Base.Artist: UUID, Base.ImageDescription: "Signature: " + base64.b64encode(bytes(99)).decode()}),
            "Grok",
        ),
    ],
)
def test_programs_and_services(data: bytes, generator: str) -> None:
    found = only(data)
    assert (found.kind, found.says, found.data["generator"]) == ("generator", Verdict.AI, generator)


@pytest.mark.parametrize(("word", "did", "extent"), [("Made", "made", "whole"), ("Edited", "changed", "part")])
def test_google_says_whether_it_made_or_edited(word: str, did: str, extent: str) -> None:
    found = only(xmp(f"><photoshop:Credit>{word} with Google AI</photoshop:Credit>"))
    assert found.says is Verdict.AI
    assert (
        found.detail
        == f"The file's XMP says that this image was {did} with AI by Google AI, which anyone could have written."
    )
    assert found.data == {
        "generator": "Google AI", "company": "Google", "extent": extent, "place": "XMP",
        "credit": f"{word} with Google AI",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("properties", "data"),
    [
        ({"AISystemUsed": "Duckworks 9 Pro"}, {"generator": "Duckworks 9 Pro", "software": "Duckworks 9 Pro"}),
        (
            {"AISystemUsed": "DALL-E 3", "AISystemVersionUsed": "3.1", "AIPromptInformation": "a duck",
             "AIPromptWriterName": "Ann"},
            {"generator": "DALL-E", "software": "DALL-E 3", "version": "3.1", "prompt": "a duck",
             "prompt_writer": "Ann"},
        ),
        ({"AISystemVersionUsed": "3.1"}, {"generator": "an AI system that it does not name", "version": "3.1"}),
        ({"AIPromptInformation": "a duck"}, {"generator": "an AI system that it does not name", "prompt": "a duck"}),
        ({"AIPromptWriterName": "Ann"}, {"generator": "an AI system that it does not name", "prompt_writer": "Ann"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["JPEG", "GIF"])
def test_iptcs_properties_of_generated_images_say_ai(
    properties: dict[str, str], data: dict[str, str], name: str
) -> None:
    written = "".join(f"<Iptc4xmpExt:{key}>{value}</Iptc4xmpExt:{key}>" for key, value in properties.items())
    found = only(xmp(">" + written, name))
    assert (found.kind, found.says) == ("generator", Verdict.AI)
    assert (
        found.detail == f"The file's XMP says that this image was made with AI by {data['generator']}"
        f"{' (OpenAI)' if data['generator'] == 'DALL-E' else ''}, which anyone could have written."
    )
    assert found.data.pop("company", "") == ("OpenAI" if data["generator"] == "DALL-E" else "")
    assert found.data == {"extent": "whole", "place": "XMP", **data}


def test_iptcs_empty_properties_say_nothing() -> None:
    assert read_evidence(open_image(xmp("><Iptc4xmpExt:AISystemUsed> </Iptc4xmpExt:AISystemUsed>"))) == []


def test_a_system_and_a_source_type_are_two_findings() -> None:
    written = 'Iptc4xmpExt:AISystemUsed="Duckworks" Iptc4xmpExt:DigitalSourceType="trainedAlgorithmicMedia">'
    found = read_evidence(open_image(xmp(written)))
    assert [(item.kind, item.says) for item in found] == [("generator", Verdict.AI), ("source_type", Verdict.AI)]
    for item in found:
        check_documented(item)


def test_flux_writes_make_and_model_and_is_no_camera() -> None:
    tags = {
        Base.Software: "AI generated;txt2img;flux", Base.Make: "Black Forest Labs", Base.Model: "flux-dev",
        Base.ImageDescription: "a duck",
    }  # fmt: skip
    found = only(jpeg(tags))
    assert (found.says, found.data["model"], found.data["prompt"]) == (Verdict.AI, "flux-dev", "a duck")


def test_draw_things_keeps_its_settings_in_xmp() -> None:
    settings = json.dumps({"c": "a duck", "uc": "blurry", "seed": 9, "model": "flux.ckpt"}).replace('"', "&quot;")
    found = only(
        xmp(
            "><xmp:CreatorTool>Draw Things</xmp:CreatorTool><exif:UserComment><rdf:Alt>"
            f'<rdf:li xml:lang="x-default">{settings}</rdf:li></rdf:Alt></exif:UserComment>',
            "PNG",
        )
    )
    assert {key: found.data[key] for key in ("generator", "prompt", "seed", "model")} == {
        "generator": "Draw Things", "prompt": "a duck", "seed": 9, "model": "flux.ckpt",
    }  # fmt: skip


@pytest.mark.parametrize(("label", "says"), [("1", Verdict.AI), ("2", None), ("3", None)])
def test_the_label_of_chinese_law(label: str, says: Verdict | None) -> None:
    text = json.dumps({"Label": label, "ContentProducer": "duckworks"})
    escaped = text.replace('"', "&quot;")
    for data in (
        xmp(f"><TC260:AIGC>{escaped}</TC260:AIGC>"),
        xmp(f'TC260:AIGC="{escaped}">'),
        png(AIGC=text),
        jpeg({}, comment('{"AIGC": ' + text + "}")),
    ):
        found = only(data)
        assert (found.says, found.data["generator"]) == (says, "duckworks")


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "GIF"])
@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia", Verdict.AI),
        ("https://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia", Verdict.AI),
        ("http://cv.iptc.org/newscodes/digitalsourcetype/compositeSynthetic/", Verdict.AI),
        ("http://c2pa.org/digitalsourcetype/trainedAlgorithmicData", Verdict.AI),
        ("digsrctype:compositeSynthetic", Verdict.AI),
        ("trainedAlgorithmicMedia", Verdict.AI),
        ("http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture", None),
        ("http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicMedia", None),
        ("http://cv.iptc.org/newscodes/digitalsourcetype/composite", None),
        ("not trainedAlgorithmicMedia", None),
    ],
)
def test_digital_source_type(name: str, value: str, says: Verdict | None) -> None:
    for properties in (
        f'Iptc4xmpExt:DigitalSourceType="{value}">',
        f"><Iptc4xmpExt:DigitalSourceType>{value}</Iptc4xmpExt:DigitalSourceType>",
        f'><Iptc4xmpExt:DigitalSourceType rdf:resource="{value}"/>',
    ):
        found = only(xmp(properties, name))
        assert (found.kind, found.says) == ("source_type", says)
        assert found.data.pop("extent", None) in ((None,) if says is None else ("whole", "part", "unknown"))
        assert found.data == {
            "digital_source_type": value.rstrip("/").rpartition("/")[2].rpartition(":")[2], "place": "XMP",
        }  # fmt: skip


def test_the_source_type_of_an_ingredient_is_not_the_images() -> None:
    data = xmp(
        "><xmpMM:Ingredients><rdf:Bag><rdf:li><rdf:Description>"
        "<Iptc4xmpExt:DigitalSourceType>trainedAlgorithmicMedia</Iptc4xmpExt:DigitalSourceType>"
        "</rdf:Description></rdf:li></rdf:Bag></xmpMM:Ingredients>"
    )
    assert read_evidence(open_image(data)) == []


@pytest.mark.parametrize(
    "data",
    [
        jpeg({Base.ImageDescription: "not made with Midjourney", Base.Software: "Adobe Photoshop 25.0"}),
        jpeg({Base.ImageDescription: "trainedAlgorithmicMedia", Base.Artist: "Stable Diffusion fan"}),
        jpeg({Base.Software: "Not Midjourney", Base.Artist: UUID}),
        jpeg({}, comment("Steps: up the hill. Seed: of doubt")),
        png(Description="not made with Midjourney", Software="GIMP", Comment="AI generated? No."),
        png(prompt="say cheese", workflow="import, cull, export", parameters="f/8", Dream="of a duck"),
        png(prompt="{}", workflow="[]", AIGC='{"Label": "none"}'),
        png(Comment=json.dumps({"sampler": "choir", "seed": 1}), Description="a choir", Source="tape"),
        xmp("><dc:description>Made with Google AI, said nobody. Adobe Firefly.</dc:description>"),
        xmp("><photoshop:Credit>Made with Google AI Studio</photoshop:Credit>"),
        jpeg({Base.Software: "ChatGPT Export Helper"}),
        png(Software="not OpenAI"),
        xmp("><xmp:CreatorTool>Adobe Photoshop 25.0 with Adobe Firefly</xmp:CreatorTool>"),
        encode("JPEG", comment=b"Midjourney, parameters"),
        encode("JPEG") + png(parameters=SETTINGS),
        encode("JPEG") + xmp('Iptc4xmpExt:DigitalSourceType="trainedAlgorithmicMedia">'),
        encode("GIF") + xmp('Iptc4xmpExt:DigitalSourceType="trainedAlgorithmicMedia">', "GIF"),
        encode("WEBP") + xmp('Iptc4xmpExt:DigitalSourceType="trainedAlgorithmicMedia">', "WEBP"),
    ],
)
def test_words_alone_do_not_make_a_photograph_ai(data: bytes) -> None:
    assert read_evidence(open_image(data)) == []
