"""Small image files with metadata, and what is found in them."""

import io
import json
from typing import Any

import numpy as np
from documented import check_documented
from PIL import ExifTags, PngImagePlugin, TiffImagePlugin, TiffTags
from PIL import Image as PillowImage

from pyrite.evidence import read_evidence
from pyrite.image import open_image
from pyrite.results import Evidence, Strength

Base = ExifTags.Base

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


def encode(name: str = "JPEG", **options: Any) -> bytes:
    """Return a small image file without metadata."""
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
    if name == "GIF":
        plain = encode("GIF")
        # After the header and 256 colours; no blocks, but an end that leads a reader of blocks to it.
        block = b"!\xff\x0bXMP DataXMP" + packet.encode() + bytes((1, *range(255, -1, -1), 0))
        return plain[:781] + b"!\xfe\x02hi\0" + block + plain[781:]
    return encode(name, xmp=packet.encode())


def only(data: bytes) -> Evidence:
    """Return the one finding in a file."""
    [found] = read_evidence(open_image(data))
    assert found.strength is Strength.ASSERTED
    json.dumps(found.data, allow_nan=False).encode()
    check_documented(found)
    return found
