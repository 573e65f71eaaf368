"""What generators write, written here as they write it."""

import base64
import io
import json
import struct
import time
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, PngImagePlugin, TiffImagePlugin, TiffTags
from PIL import Image as PillowImage

from pyrite.evidence import read_camera, read_evidence, read_generator
from pyrite.image import open_image
from pyrite.results import Evidence, Strength, Verdict

Base = ExifTags.Base
UUID = "0f8fad5b-d9cb-469f-a165-70867728950e"
SETTINGS = (
    "a duck, by a lake\nNegative prompt: blurry\n"
    "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 4183556137, Size: 512x512, Model hash: abc, Model: duck_v2"
)
NODES = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "duck.safetensors"}},
    "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a duck", "clip": ["1", 1]}},
    "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["1", 1]}},
    "4": {
        "class_type": "KSampler",
        "inputs": {"seed": 7, "model": ["1", 0], "positive": ["2", 0], "negative": ["3", 0]},
    },
}
SCALING = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "holiday.jpg"}},
    "2": {"class_type": "ImageScale", "inputs": {"image": ["1", 0]}},
}
WORKFLOW = {"nodes": [{"id": 4, "type": "KSampler"}], "links": []}


def encode(name: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    PillowImage.fromarray(pixels).save(stream, name, **options)
    return stream.getvalue()


def png(**texts: str) -> bytes:
    info = PngImagePlugin.PngInfo()
    for key, text in texts.items():
        info.add_text(key.replace("__", " ").replace("_x_", "-"), text)
    return encode("PNG", pnginfo=info)


def exif(tags: dict[int, Any], photo: dict[int, Any] | None = None) -> PillowImage.Exif:
    made = PillowImage.Exif()
    for tag, value in tags.items():
        made[tag] = value
    made.get_ifd(ExifTags.IFD.Exif).update(photo or {})
    return made


def jpeg(tags: dict[int, Any], photo: dict[int, Any] | None = None) -> bytes:
    return encode("JPEG", exif=exif(tags, photo))


def tiff(tags: dict[int, Any]) -> bytes:
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        directory[tag] = value
        directory.tagtype.update({tag: TiffTags.BYTE} if isinstance(value, bytes) else {})
    return encode("TIFF", tiffinfo=directory)


def comment(text: str) -> dict[int, Any]:
    return {Base.UserComment: b"UNICODE\0" + text.encode("utf-16-be")}


def xmp(properties: str, name: str = "JPEG") -> bytes:
    packet = (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:exif="http://ns.adobe.com/exif/1.0/" '
        'xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/" xmlns:TC260="http://www.tc260.org.cn/ns/AIGC/1.0/" '
        f'{properties}</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    )
    if name == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", packet)
        return encode("PNG", pnginfo=info)
    if name == "TIFF":
        return tiff({700: packet.encode()})
    return encode(name, xmp=packet.encode())


def only(data: bytes) -> Evidence:
    [found] = read_evidence(open_image(data))
    assert found.strength is Strength.ASSERTED
    json.dumps(found.data, allow_nan=False).encode()
    return found


@pytest.mark.parametrize(
    "data",
    [
        png(parameters=SETTINGS),
        jpeg({}, comment(SETTINGS)),
        jpeg({}, {Base.UserComment: b"UNICODE\0" + SETTINGS.encode("utf-16-le")}),
        jpeg({}, {Base.UserComment: b"ASCII\0\0\0" + SETTINGS.encode()}),
        encode("WEBP", exif=exif({}, comment(SETTINGS)).tobytes()),
        encode("AVIF", exif=exif({}, comment(SETTINGS)).tobytes()),
    ],
    ids=["png", "jpeg", "little-endian", "ascii", "webp", "avif"],
)
def test_automatic1111(data: bytes) -> None:
    found = only(data)
    assert (found.kind, found.says) == ("generator", Verdict.AI)
    assert found.data.pop("place") in ("PNG text", "EXIF data")
    assert found.data == {
        "generator": "AUTOMATIC1111",
        "model": "duck_v2",
        "prompt": "a duck, by a lake",
        "negative_prompt": "blurry",
        "seed": 4183556137,
    }


def test_text_after_the_pixels_counts() -> None:
    before = png(parameters=SETTINGS)
    start = before.index(b"tEXt") - 4
    chunk = before[start : start + 12 + struct.unpack(">I", before[start : start + 4])[0]]
    bare = before.replace(chunk, b"")
    end = bare.index(b"IEND") - 4
    assert only(bare[:end] + chunk + bare[end:]).says is Verdict.AI
    assert read_evidence(open_image(bare + chunk)) == []


@pytest.mark.parametrize(
    "data",
    [
        png(prompt=json.dumps(NODES), workflow=json.dumps(WORKFLOW)),
        png(prompt=json.dumps(NODES)),
        encode("WEBP", exif=exif({Base.Make: "workflow:" + json.dumps(WORKFLOW),
                                  Base.Model: "prompt:" + json.dumps(NODES)}).tobytes()),
    ],
    ids=["png", "prompt", "webp"],
)  # fmt: skip
def test_comfyui(data: bytes) -> None:
    found = only(data)
    assert found.says is Verdict.AI
    assert found.data["generator"] == "ComfyUI"
    assert {key: found.data[key] for key in ("model", "prompt", "negative_prompt", "seed")} == {
        "model": "duck.safetensors", "prompt": "a duck", "negative_prompt": "blurry", "seed": 7,
    }  # fmt: skip


def test_comfyui_with_the_editors_workflow_alone() -> None:
    assert only(png(workflow=json.dumps(WORKFLOW))).says is Verdict.AI


def test_comfyui_that_only_scaled_a_photograph_says_nothing() -> None:
    found = only(png(prompt=json.dumps(SCALING)))
    assert (found.says, found.data["generator"]) == (None, "ComfyUI")


def test_fooocus() -> None:
    settings = {
        "base_model": "juggernaut", "base_model_hash": "aeb7", "sampler": "dpmpp", "seed": "12", "prompt": "a duck",
        "negative_prompt": "", "scheduler": "karras",
    }  # fmt: skip
    found = only(png(parameters=json.dumps(settings), fooocus_scheme="fooocus"))
    assert found.says is Verdict.AI
    assert (found.data["generator"], found.data["seed"], found.data["prompt"]) == ("Fooocus", 12, "a duck")


def test_invokeai() -> None:
    settings = {
        "positive_prompt": "a duck", "negative_prompt": "", "seed": 3, "model": {"model_name": "juggernautXL"},
        "scheduler": "euler", "steps": 30, "cfg_scale": 5, "generation_mode": "sdxl_txt2img",
    }  # fmt: skip
    found = only(png(invokeai_metadata=json.dumps(settings)))
    assert (found.says, found.data["generator"], found.data["model"]) == (Verdict.AI, "InvokeAI", "juggernautXL")


def test_novelai_is_one_finding() -> None:
    settings = json.dumps({"sampler": "k_euler", "seed": 5, "steps": 28, "uc": "blurry"})
    found = only(png(Software="NovelAI", Source="Stable Diffusion 1D44365E", Description="a duck", Comment=settings))
    assert (found.says, found.data["generator"], found.data["seed"]) == (Verdict.AI, "NovelAI", 5)


def test_swarmui() -> None:
    settings = {"sui_image_params": {"prompt": "a duck", "model": "sdxl", "seed": 1, "negativeprompt": "blurry"}}
    found = only(png(parameters=json.dumps(settings)))
    assert (found.says, found.data["generator"], found.data["seed"]) == (Verdict.AI, "SwarmUI", 1)


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


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia", Verdict.AI),
        ("https://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia", Verdict.AI),
        ("trainedAlgorithmicMedia", Verdict.AI),
        ("http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture", None),
        ("http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicMedia", None),
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
        xmp("><xmp:CreatorTool>Adobe Photoshop 25.0 with Adobe Firefly</xmp:CreatorTool>"),
        encode("JPEG", comment=b"Midjourney, parameters, " + SETTINGS.encode()),
        encode("JPEG") + png(parameters=SETTINGS),
        encode("JPEG") + xmp('Iptc4xmpExt:DigitalSourceType="trainedAlgorithmicMedia">'),
        encode("WEBP") + xmp('Iptc4xmpExt:DigitalSourceType="trainedAlgorithmicMedia">', "WEBP"),
    ],
)
def test_words_alone_do_not_make_a_photograph_ai(data: bytes) -> None:
    assert read_evidence(open_image(data)) == []


def test_a_camera_is_context() -> None:
    tags = {Base.Make: "Canon", Base.Model: "Canon EOS R5", Base.Software: "Lightroom"}
    photo = {Base.ExposureTime: 0.01, Base.FNumber: 8.0, Base.ISOSpeedRatings: 100, Base.LensModel: "EF 50mm"}
    found = only(jpeg(tags, photo))
    assert (found.kind, found.says) == ("camera", None)
    assert "Canon EOS R5" in found.detail
    assert found.data == {
        "make": "Canon", "model": "Canon EOS R5", "lens": "EF 50mm", "software": "Lightroom",
        "exposure_time": 0.01, "f_number": 8.0, "iso": 100,
    }  # fmt: skip
    assert only(tiff({**tags, ExifTags.IFD.Exif: photo})).kind == "camera"


@pytest.mark.parametrize("tags", [{Base.Make: "Canon"}, {Base.Make: "workflow:{}", Base.Model: "prompt:{}"}])
def test_a_make_alone_is_no_camera(tags: dict[int, Any]) -> None:
    assert read_camera(open_image(jpeg(tags))) == []


DEEP = "[" * 100_000 + "]" * 100_000
DEEP_NODES = '{"1": {"class_type": "KSampler", "inputs": ' + '{"a": ' * 50_000 + "1" + "}" * 50_002
LOOP = {"1": {"class_type": "KSampler", "inputs": {"positive": ["1", 0], "seed": 10**30}}}
WRONG = {"1": {"class_type": "KSampler", "inputs": {"positive": [["1"], 0], "negative": 3, "ckpt_name": ["x"]}}}
BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij", strict=True))
    + ']><x:xmpmeta xmlns:x="adobe:ns:meta/">&j;</x:xmpmeta>'
)


@pytest.mark.parametrize(
    "data",
    [
        png(parameters=DEEP, prompt=DEEP, workflow=DEEP, AIGC=DEEP, invokeai_metadata=DEEP),
        png(prompt=DEEP_NODES),
        png(parameters="Steps: 1, Sampler: a, Seed: 2\n" * 1_000),
        png(parameters="\n" * 900_000),
        png(parameters=",:" * 400_000),
        png(Dream='"a"' + " " * 900_000),
        png(Software="NovelAI", Comment='{"sampler": 1}', Description="", Source=" " * 900_000),
        png(parameters=SETTINGS + "a" * 900_000),
        png(parameters="\ud7ff\0\x1b[31m".replace("\0", "\1") + SETTINGS),
        png(prompt=json.dumps(LOOP), workflow=json.dumps({"nodes": [3, None, {"type": 4}], "links": 0})),
        png(prompt=json.dumps(WRONG)),
        png(prompt=json.dumps({str(i): NODES["4"] for i in range(10_000)})),
        png(Dream="\"'" * 10_000, sd_x_metadata="null"),
        png(AIGC='{"Label": "1", "ContentProducer": {"\\ud800": ["\\ud800"]}, "x": 1e999}'),
        png(Description="--a " * 200_000 + "Job ID: "),
        encode("JPEG", xmp=BOMB.encode()),
        encode("JPEG", xmp=b"<a>" * 20_000),
        encode("JPEG", xmp=b"\0\xff\xfe<"),
        encode("WEBP", xmp=b"<a>" * 600_000),
        jpeg({Base.Make: "\0\0", Base.Model: "prompt:" + "{" * 30_000}, comment("\0" * 10_000)),
        encode("WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 5_000),
    ],
    ids=range(21),
)
def test_hostile_metadata_neither_raises_nor_lasts(data: bytes) -> None:
    image = open_image(data)
    start = time.process_time()
    found = read_evidence(image)
    assert time.process_time() - start < 1
    for item in found:
        assert len(json.dumps(item.data, allow_nan=False).encode()) < 100_000
        assert "\x1b" not in item.detail + str(item.data)
        assert "could not be read" not in item.detail


def test_pixels_that_never_were_a_file_have_no_evidence() -> None:
    assert read_evidence(open_image(np.zeros((4, 4, 3), np.uint8))) == []


@pytest.mark.parametrize("side", [32, 3464])
def test_a_jpeg_without_metadata_costs_no_more_than_five_milliseconds(side: int) -> None:
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    PillowImage.fromarray(np.tile(noise, (side // 8, side // 8, 1))).save(stream, "JPEG", quality=90)
    image = open_image(stream.getvalue())
    assert read_generator(image) == []
    costs = []
    for _ in range(5):
        start = time.perf_counter()
        assert read_evidence(image) == []
        costs.append(time.perf_counter() - start)
    assert min(costs) < 0.005
