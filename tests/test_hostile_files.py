"""Broken and hostile files, made from good ones: each gives one detection, quickly, quietly and in little memory."""

import faulthandler
import io
import json
import math
import os
import random
import resource
import struct
import sys
import time
import zipfile
import zlib
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import features
from PIL.PngImagePlugin import PngInfo

from pyrite.detector import Detector
from pyrite.errors import ImageError
from pyrite.evidence import read_evidence
from pyrite.image import Limits, open_image
from pyrite.results import Reason

PROVENANCE = Path(__file__).parents[2] / "shared" / "data" / "provenance"
LIMITS = Limits(max_bytes=4_000_000, max_pixels=2_000_000)
SECONDS = 10  # of computing, for one file; each takes a fraction of one
MEGABYTES = 400

Y, X = np.mgrid[:40, :48]
PHOTO = PillowImage.fromarray(np.stack([X * 5, Y * 6, (X * Y) % 256], axis=2).astype(np.uint8))


def encode(image, name, **options):
    stream = io.BytesIO()
    image.save(stream, name, **options)
    return stream.getvalue()


def encode_heif(image, **options):
    import pillow_heif

    stream = io.BytesIO()
    pillow_heif.from_pillow(image).save(stream, **options)
    return stream.getvalue()


def exif_of(**photo):
    exif = PillowImage.Exif()
    exif.update({0x0112: 6, 0x010F: "Maker", 0x0110: "Model", 0x0131: "x" * 300})
    exif.get_ifd(0x8769).update({0x829A: 0.01} | {int(tag[1:], 16): value for tag, value in photo.items()})
    return exif


SETTINGS = (
    "a duck, by a lake\nNegative prompt: blurry\n"
    'Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 4183556137, Size: 512x512, Model: "duck, v2"'
)
NODES = json.dumps(
    {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "duck.safetensors"}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a duck", "clip": ["1", 1]}},
        "3": {"class_type": "KSampler", "inputs": {"seed": 7, "model": ["1", 0], "positive": ["2", 0]}},
    }
)
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreatorTool="Adobe Firefly" '
    b'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"><Iptc4xmpExt:DigitalSourceType>'
    b"http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia</Iptc4xmpExt:DigitalSourceType>"
    b"</rdf:Description></rdf:RDF></x:xmpmeta>"
)
COMMENT = b"UNICODE\0" + SETTINGS.encode("utf-16-be")


def texts(**values):
    info = PngInfo()
    for key, value in values.items():
        info.add_text(key, value, zip=len(value) > 250)
    return info


def exif_of_comfyui():
    exif = PillowImage.Exif()
    exif.update({0x0110: "prompt:" + NODES, 0x010F: "workflow:{}"})
    return exif


def good_files():
    frames = [PHOTO.rotate(90 * i) for i in range(1, 4)]
    animated = {"save_all": True, "append_images": frames}
    files = {
        "jpeg": encode(PHOTO, "JPEG", exif=exif_of(), icc_profile=b"p" * 500),
        "progressive": encode(PHOTO, "JPEG", progressive=True, subsampling=0),
        "cmyk": encode(PHOTO.convert("CMYK"), "JPEG"),
        "png": encode(PHOTO, "PNG", exif=exif_of(), icc_profile=b"p" * 500),
        "palette": encode(PHOTO.quantize(16), "PNG", transparency=b"\0\x80"),
        "apng": encode(PHOTO, "PNG", **animated),
        "grey16": encode(PillowImage.fromarray((X * 1300).astype(np.uint16)), "PNG"),
        "webp": encode(PHOTO, "WEBP", exif=exif_of()),
        "lossless": encode(PHOTO.convert("RGBA"), "WEBP", lossless=True),
        "animated": encode(PHOTO, "WEBP", **animated),
        "gif": encode(PHOTO, "GIF", **animated, comment="c" * 400),
        "bmp": encode(PHOTO, "BMP"),
        "rle": encode(PHOTO.quantize(16), "BMP"),
        "tiff": encode(PHOTO, "TIFF", **animated),
        "lzw": encode(PHOTO, "TIFF", compression="tiff_lzw"),
        "strips": encode(PillowImage.new("RGB", (1100, 1000), "red"), "TIFF", compression="tiff_lzw"),
        "jpegtiff": encode(PHOTO, "TIFF", compression="jpeg"),
        "deflate": encode(PHOTO, "TIFF", compression="tiff_adobe_deflate", exif=exif_of()),
        "heic": encode_heif(PHOTO, quality=50, exif=exif_of().tobytes()),
        "settings": encode(PHOTO, "PNG", pnginfo=texts(parameters=SETTINGS)),
        "graph": encode(PHOTO, "PNG", pnginfo=texts(prompt=NODES, workflow='{"nodes": []}')),
        "comment": encode(PHOTO, "JPEG", exif=exif_of(x9286=COMMENT)),
        "graph in exif": encode(PHOTO, "WEBP", exif=exif_of_comfyui()),
        "xmp": encode(PHOTO, "JPEG", xmp=XMP, exif=exif_of()),
        "xmp in webp": encode(PHOTO, "WEBP", xmp=XMP),
        "xmp in heic": encode_heif(PHOTO, quality=50, xmp=XMP),
    }
    files |= files_with_words()
    if features.check("avif"):
        files["avif"] = encode(PHOTO, "AVIF", exif=exif_of(), xmp=XMP)
    return files


def files_with_words():
    """Return files with settings, or what counts as such, in places of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent / "evidence")
        import containers as made
    settings, block = SETTINGS.encode(), exif_of(x9286=COMMENT).tobytes()
    written = SETTINGS.replace("\n", "&#xA;").replace('"', "&quot;")
    packet = made.packet(made.description(f'dc:description="{written}"'))
    profile = made.text("Raw profile type exif", made.raw_profile("exif", block), packed=True)
    hidden = PHOTO.resize((64, 256)).convert("RGBA")
    bits = np.unpackbits(np.frombuffer(b"stealth_pnginfo" + struct.pack(">I", 8 * len(settings)) + settings, np.uint8))
    pixels = np.array(hidden).swapaxes(0, 1).reshape(-1, 4)
    pixels[: len(bits), 3] = 254 + bits
    hidden = PillowImage.fromarray(np.ascontiguousarray(pixels.reshape(64, 256, 4).swapaxes(0, 1)))
    label = json.dumps({"AIGC": {"Label": "1", "ContentProducer": "001191110102MACQD9K64010000"}})
    return {
        "settings in a gif": made.gif_with(settings),
        "settings in a jpeg's words": made.jpeg_with((0xFE, settings)),
        "settings in iptc": made.jpeg_with((0xED, made.photoshop(made.iptc(d120=SETTINGS)))),
        "settings in a profile": made.png_with(profile),
        "settings in a long packet": made.jpeg_with(*made.extended(packet)),
        "settings of samsung": made.jpeg_with(trailer=made.samsung("PEg_Info", '{"genAIType": 1}')),
        "settings under a label": made.png_with(made.text("Comment", label)),
        "settings in pixels": encode(hidden, "PNG"),
        "settings in pixels of webp": encode(hidden, "WEBP", lossless=True, exact=True),
        "marked": (Path(__file__).parent / "evidence" / "watermarks" / "sdxl.png").read_bytes(),
    }


def signed_files():
    """Return files with content credentials. Signatures are made with new keys, so these differ each time."""
    if find_spec("c2pa") is None or find_spec("cryptography") is None:
        return {}
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent / "evidence")
        from authority import sign
    kinds = {"JPEG": "trainedAlgorithmicMedia", "PNG": "digitalCapture", "WEBP": "compositeWithTrainedAlgorithmicMedia"}
    return {
        f"signed {name}": sign(encode(PHOTO, name), mime=f"image/{name.lower()}", source_type=kind)
        for name, kind in kinds.items()
    }


NUMBERS = [0, 1, 2, 255, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]


def flip_bits(data, rng):
    data = bytearray(data)
    for _ in range(rng.choice([1, 4, 32])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def flip_header_bits(data, rng):
    return flip_bits(data[:80], rng) + data[80:]


def set_a_number(data, rng):
    form = rng.choice(["<H", ">H", "<I", ">I"])
    at = rng.randrange(min(len(data) - 4, 400))
    number = struct.pack(form, rng.choice(NUMBERS) & (0xFFFF if "H" in form else 0xFFFFFFFF))
    return data[:at] + number + data[at + len(number) :]


def cut(data, rng):
    return data[: rng.choice([rng.randrange(len(data)), rng.randrange(40), len(data) - rng.randrange(1, 20)])]


def blank(data, rng):
    start = rng.randrange(len(data))
    part = data[start : start + rng.choice([4, 64, 1000])]
    return data[:start] + rng.choice([b"\0", b"\xff", b"A"]) * len(part) + data[start + len(part) :]


def remove(data, rng):
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.choice([1, 4, 100]) :]


def repeat(data, rng):
    start = rng.randrange(len(data))
    part = data[start : start + rng.choice([4, 50, 400])]
    return data[:start] + part * rng.choice([2, 20, 500]) + data[start + len(part) :]


def swap_halves(data, rng):
    middle = rng.randrange(16, len(data))
    return data[:16] + data[middle:] + data[16:middle]


def splice(data, rng):
    other = rng.choice(list(GOOD.values()))
    return data[: rng.randrange(8, 200)] + other[rng.randrange(8, 200) :]


def append(data, rng):
    return data + rng.choice([rng.randbytes(5000), b"\0" * 5000, *GOOD.values(), zipped(data)])


def prepend(data, rng):
    return rng.choice([b"\n", b"\xef\xbb\xbf", b"%PDF-1.7\n", b"<svg>", *GOOD.values()])[:300] + data


def zipped(data):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("image.png", data)
    return stream.getvalue()


MUTATIONS = [
    flip_bits,
    flip_bits,
    flip_header_bits,
    flip_header_bits,
    set_a_number,
    set_a_number,
    set_a_number,
    set_a_number,
    cut,
    cut,
    blank,
    remove,
    repeat,
    swap_halves,
    splice,
    append,
    prepend,
]


def chunk(kind, body, size=None):
    size = len(body) if size is None else size
    return struct.pack(">I", size) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width, height, *chunks, bits=8, colour=2, pixels=b""):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [header, *chunks, chunk(b"IDAT", zlib.compress(pixels)), chunk(b"IEND", b"")]
    )


def gif(width, height, body, screen=None):
    sides = struct.pack("<HH", *(screen or (width, height)))
    frame = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\2\2\x4c\1\0"
    return b"GIF89a" + sides + b"\x80\0\0" + b"\0\0\0\xff\xff\xff" + body + frame + b";"


def tiff(*tags, tail=b"", following=0):
    """Return a TIFF of one directory; a tag is (number, type, count, value)."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + struct.pack("<I", following) + tail


def tiff_tags(width, height, **changes):
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 200, 277: 1, 278: height, 279: width * height}
    tags |= {int(key[1:]): value for key, value in changes.items()}
    return [(tag, 4, 1, value) for tag, value in tags.items()]


def tiff_of_strips(width, height, number):
    """Return a TIFF with a strip for each row, all at this place in the file and of this many bytes."""
    tags = [tag for tag in tiff_tags(width, height, _278=1) if tag[0] not in (273, 279)]
    places = [(tag, 4, height, 8 + 2 + 12 * 9 + 4) for tag in (273, 279)]
    return tiff(*tags, *places, tail=struct.pack("<I", number) * height)


def jpeg_with(marker, body, times=1):
    part = b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body
    return GOOD["jpeg"][:2] + part * times + GOOD["jpeg"][2:]


def box(kind, *content):
    body = b"".join(content)
    return struct.pack(">I", len(body) + 8) + kind + body


def special_files():
    jpeg, heic = GOOD["jpeg"], GOOD["heic"]
    frame_header = jpeg.index(b"\xff\xc0")
    rows = png(8, 8, pixels=(b"\0" + b"\x55" * 24) * 8)
    text = zlib.compress(b"x" * 50_000_000)
    scans = GOOD["progressive"]
    last_scan = scans[scans.rindex(b"\xff\xda") : -2]
    files = {f"random {n}": random.Random(n).randbytes(n) for n in (1, 2, 3, 4, 8, 11, 12, 13, 100, 5000)}
    for side in (0, 1, 65_535, 2**31 - 1, 2**31, 2**32 - 1):
        files[f"png {side} x 1"] = png(side, 1)
        files[f"png {side} x {side}"] = png(side, side)
        files[f"tiff {side}"] = tiff(*tiff_tags(side, 3, _279=100), tail=b"\0" * 300)
        files[f"bmp {side}"] = b"BM" + struct.pack(
            "<IIIIiiHHIIIIII", 99, 0, 54, 40, side - (side >> 31 << 32), 2, 1, 24, *[0] * 6
        )
        for name, form in (("jpeg", ">H"), ("gif", "<H")):
            two = struct.pack(form, side & 0xFFFF)
            files[f"{name} {side}"] = (
                jpeg[: frame_header + 5] + two + two + jpeg[frame_header + 9 :]
                if name == "jpeg"
                else b"GIF89a" + two + two
            )
        four = struct.pack("<I", side)
        files[f"webp canvas {side}"] = (
            b"RIFF\x40\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0" + four[:3] + four[:3] + GOOD["lossless"][12:]
        )
    sized = heic.index(b"ispe") + 8
    files |= {
        f"heic {side}": heic[:sized] + struct.pack(">II", side, side) + heic[sized + 8 :]
        for side in (0, 1, 9999, 2**31)
    }
    files |= {
        "only a magic number": b"\x89PNG\r\n\x1a\n",
        "a bomb": png(1400, 1400, pixels=b"\0" * 1400 * 1400 * 3 + b"\0" * 1400),
        "a bomb past the end": png(8, 8, pixels=b"\0" * 50_000_000),
        "text bomb": png(8, 8, chunk(b"zTXt", b"k\0\0" + text)),
        "text bombs": png(8, 8, *[chunk(b"iTXt", b"k\0\1\0\0\0" + text)] * 40),
        "profile bomb": png(8, 8, chunk(b"iCCP", b"k\0\0" + text)),
        "profile bombs": png(8, 8, *[chunk(b"iCCP", b"k\0\0" + zlib.compress(b"x" * 900_000))] * 2000),
        "a chunk of 2 GB": png(8, 8, chunk(b"tEXt", b"k\0v", 2**31 - 1)),
        "a negative chunk": png(8, 8, chunk(b"tEXt", b"k\0v", 2**32 - 1)),
        "a profile of 2 GB": png(8, 8, chunk(b"iCCP", b"k\0\0v", 2**31 - 1)),
        "chunks without end": png(8, 8, *[chunk(b"abCd", b"")] * 300_000),
        "texts without end": png(8, 8, *[chunk(b"tEXt", b"k\0v")] * 100_000),
        "pixels without end": png(8, 8, *[chunk(b"IDAT", b"")] * 300_000),
        "palette without colours": png(8, 8, colour=3, pixels=b"\0" * 72),
        "palette of 1000": png(8, 8, chunk(b"PLTE", b"rgb" * 1000), colour=3, pixels=b"\xff" * 72),
        "strange bits": png(8, 8, bits=13),
        "apng of a million frames": png(
            8, 8, chunk(b"acTL", struct.pack(">II", 10**6, 0)), pixels=(b"\0" + b"\5" * 24) * 8
        ),
        "apng of no frames": png(8, 8, chunk(b"acTL", struct.pack(">II", 0, 0)), pixels=(b"\0" + b"\5" * 24) * 8),
        "apng with a frame outside": rows[:33]
        + chunk(b"acTL", struct.pack(">II", 2, 0))
        + chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 2**31, 2**31, 2**31, 2**31, 1, 1, 0, 0))
        + rows[33:],
        "broken exif of a png": png(8, 8, chunk(b"eXIf", b"II*\0\xff\xff\xff\x7f"), pixels=(b"\0" + b"\5" * 24) * 8),
        "exif loop": jpeg_with(
            0xE1, b"Exif\0\0" + tiff((0x8769, 4, 1, 8), (0x8825, 4, 1, 8), (0x112, 3, 1, 6), following=8)
        ),
        "exif of huge counts": jpeg_with(0xE1, b"Exif\0\0" + tiff(*((t, 5, 2**31, 8) for t in range(0x100, 0x200)))),
        "a strange turn": jpeg_with(0xE1, b"Exif\0\0" + tiff((0x112, 3, 1, 99))),
        "a turn that is text": jpeg_with(0xE1, b"Exif\0\0" + tiff((0x112, 2, 4, 0x363636))),
        "exif in many parts": jpeg_with(0xE1, b"Exif\0\0" + b"x" * 65_000, 50),
        "profile in many parts": jpeg_with(0xE2, b"ICC_PROFILE\0\1\2" + b"x" * 65_000, 50),
        "segments without end": jpeg_with(0xE5, b"", 900_000),
        "padding without end": jpeg[:2] + b"\xff" * 3_900_000 + jpeg[2:],
        "scans without end": scans[:-2] + last_scan * 20_000 + scans[-2:],
        "an mpo of nothing": jpeg_with(0xE2, b"MPF\0" + tiff((0xB001, 4, 1, 2), (0xB002, 7, 32, 60))),
        "comments without end": gif(8, 8, b"!\xfe\1c\0" * 200_000),
        "a comment without end": gif(8, 8, b"!\xfe" + b"\1c" * 1_000_000 + b"\0"),
        "an extension without end": gif(8, 8, b"!\xff\x0bNETSCAPE2.0" + b"\3\1\0\0" * 900_000),
        "gif of a million frames": gif(1, 1, (b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\2\0") * 300_000),
        "gif with a frame outside": gif(60_000, 60_000, b"", screen=(2, 2)),
        "gif with a small frame": gif(2, 2, b"", screen=(900, 900)),
        "tiff loop": tiff(*tiff_tags(4, 4), following=8, tail=b"\0" * 300),
        "tiff at itself": b"II*\0\0\0\0\0" * 50,
        "tiff of many pages": tiff_pages(60_000),
        "tiff of many tags": tiff(*tiff_tags(4, 4), *((t, 1, 1000, 8) for t in range(1000, 60_000)), tail=b"\0" * 300),
        "tiff of huge tags": tiff(*tiff_tags(4, 4), *((t, 12, 2**29, 8) for t in range(1000, 2000)), tail=b"\0" * 300),
        "tiff of many strips": tiff(*tiff_tags(1000, 1000, _278=1, _273=8, _279=1)),
        "tiff of wide strips": tiff_of_strips(2**30, 8, 1),
        "tiff of strips in one place": tiff_of_strips(1000, 1000, 3000),
        "tiff of many channels": tiff(*tiff_tags(4, 4, _277=65_535), tail=b"\0" * 300),
        "tiff of floats": encode(PillowImage.new("F", (8, 8)), "TIFF"),
        "tiff of a strange kind": tiff(*tiff_tags(4, 4, _259=34_712), tail=b"\0" * 300),
        "big tiff": b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 2**60) + b"\0" * 200,
        "bmp in a bmp": b"BM" + struct.pack("<IIIIiiHHIIIIII", 99, 0, 54, 40, 8, 8, 1, 32, 4, *[0] * 5) + rows,
        "rle that leaves": b"BM"
        + struct.pack("<IIIIiiHHIIIIII", 99, 0, 1078, 40, 1000, 1000, 1, 8, 1, *[0] * 5)
        + b"\0" * 1024
        + b"\0\2\xff\xff" * 5000,
        "webp of the wrong length": GOOD["webp"][:4] + b"\xff\xff\xff\xff" + GOOD["webp"][8:],
        "webp of nothing": b"RIFF\x0c\0\0\0WEBPVP8 ",
        "heif of nothing": box(b"ftyp", b"heic\0\0\0\0mif1heic"),
        "heif of an endless box": box(b"ftyp", b"heic\0\0\0\0mif1") + struct.pack(">I", 1) + b"meta" + b"\xff" * 8,
        "heif of boxes in boxes": box(b"ftyp", b"heic\0\0\0\0mif1") + nested(5000),
        "avif of nothing": box(b"ftyp", b"avif\0\0\0\0mif1avif") + box(b"meta", b"\0\0\0\0"),
        "avif that is heic": heic.replace(b"heic", b"avif", 2),
        "a video": box(b"ftyp", b"isom\0\0\2\0isommp41") + box(b"mdat", b"\0" * 999),
        "too long": jpeg + b"\0" * LIMITS.max_bytes,
        "jpeg and zip": jpeg + zipped(jpeg),
        "zip": zipped(jpeg),
        "pdf": b"%PDF-1.7\n" + jpeg,
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n",
        "icon": b"\0\0\1\0\1\0" + b"\0" * 16 + rows,
        "text": "BMW made this — not an image".encode(),
        "empty": b"",
    }
    return files


def carried():
    """Return pieces of metadata, and how to put each into a file whose checksums hold, whatever was done to the piece.

    Of a PNG that is changed as a whole, hardly any text gets past its checksum.
    """

    def in_png(kind, start=b"", pack=bytes):
        return lambda body: png(8, 8, chunk(kind, start + pack(body)), pixels=(b"\0" + b"\x55" * 24) * 8)

    settings, comment = SETTINGS.encode(), exif_of(x9286=COMMENT).tobytes()
    pieces = {
        "settings": (settings, in_png(b"tEXt", b"parameters\0")),
        "packed settings": (settings, in_png(b"zTXt", b"parameters\0\0", zlib.compress)),
        "badly packed settings": (zlib.compress(settings), in_png(b"iTXt", b"parameters\0\1\0\0\0")),
        "graph": (NODES.encode(), in_png(b"tEXt", b"prompt\0")),
        "xmp": (XMP, in_png(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0")),
        "exif": (comment[6:], in_png(b"eXIf")),
        "exif of a jpeg": (comment, lambda body: encode(PHOTO, "JPEG", exif=body[:65_000])),
        "graph in exif": (exif_of_comfyui().tobytes(), lambda body: encode(PHOTO, "WEBP", exif=body)),
        "settings of a label": (
            b'{"AIGC": {"Label": "1", "ContentProducer": "001191110102MACQD9K64010000"}}',
            in_png(b"iTXt", b"a\0\0\0\0\0"),
        ),
    }
    if SIGNED:
        signed = SIGNED["signed PNG"]
        at = signed.index(b"caBX")
        size = int.from_bytes(signed[at - 4 : at])
        pieces["credentials"] = (signed[at + 4 : at + 4 + size], in_png(b"caBX"))
    return pieces


def nested(depth):
    content = b""
    for _ in range(depth):
        content = box(b"meta", b"\0\0\0\0", content)
    return content


def tiff_pages(count):
    size = 2 + 12 * 9 + 4
    page = b"".join(struct.pack("<HHII", *tag) for tag in tiff_tags(1, 1, _273=0, _279=1))
    pages = (struct.pack("<H", 9) + page + struct.pack("<I", 8 + size * (i + 1)) for i in range(min(count, 33_000)))
    return b"II*\0\x08\0\0\0" + b"".join(pages)


GOOD = good_files()
SIGNED = signed_files()


def mutate(name, data, wrap=bytes):
    """Yield a name and a file for each mutation; each has a seed of its own, which stays when others are added."""
    for i, mutation in enumerate(MUTATIONS):
        title = f"{name} {i} {mutation.__name__}"
        yield title, wrap(bytes(mutation(data, random.Random(title))))


@pytest.fixture(scope="module")
def hostile():
    files = special_files()
    for name, data in (GOOD | SIGNED).items():
        files |= mutate(name, data)
    for name, (piece, wrap) in carried().items():
        files |= mutate(f"carried {name}", piece, wrap)
    return files


@pytest.fixture(autouse=True)
def _watchdog():
    """A decoder that hangs cannot be interrupted: say where it was, and end everything."""
    faulthandler.dump_traceback_later(300, exit=True, file=sys.__stderr__)
    yield
    faulthandler.cancel_dump_traceback_later()


def used_megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if sys.platform == "darwin" else 1024) / 1000


def test_the_good_files_are_good_and_say_what_they_are_to_say(bundle):
    files = GOOD | SIGNED | {f"carried {name}": wrap(piece) for name, (piece, wrap) in carried().items()}
    found = dict(zip(files, Detector(bundle).detect_many(files.values()), strict=True))
    assert [one.error for one in found.values()] == [None] * len(files)
    for name, one in found.items():
        kinds = {item.kind for item in one.evidence}
        has_xmp = "xmp" in name or name == "avif"
        assert ("generator" in kinds) == (has_xmp or any(it in name for it in ("settings", "graph", "comment", "exif")))
        assert ("source_type" in kinds) == has_xmp
        assert ("credentials" in kinds) == (name in SIGNED or name == "carried credentials")
    assert all(item.data["valid"] for name in SIGNED for item in found[name].evidence if item.kind == "credentials")


def test_every_hostile_file_is_an_image_or_a_sentence_quickly_and_quietly(hostile, capfd):
    assert len(hostile) >= 700
    before = used_megabytes()
    codes: Counter[str] = Counter()
    for name, data in hostile.items():
        start = time.process_time()
        try:
            image = open_image(data, LIMITS, at_least=(32, 32))
        except ImageError as error:
            codes[error.code] += 1
            assert str(error)  # noqa: PT017 - each file is either
        else:
            codes["image"] += 1
            assert image.pixels.dtype == np.uint8, name
            assert image.pixels.size, name
            assert image.frames >= 1, name
        assert time.process_time() - start < SECONDS, name
        # Of damaged TIFFs alone, the C library speaks, and Pillow has no way to quiet it.
        assert capfd.readouterr() == ("", "") or data.startswith((b"II", b"MM")), name
    assert set(codes) == {"image", "corrupt", "unsupported_format", "too_many_pixels", "too_many_bytes", "empty"}
    assert codes["image"] > 40
    assert used_megabytes() - before < MEGABYTES


@pytest.mark.parametrize("small", [4_000_000, 0], ids=["from memory", "from disk"])
def test_a_batch_accounts_for_every_hostile_file(small, hostile, bundle, tmp_path, monkeypatch, capfd):
    """Files beyond a size stay on disk while they are decoded, which these would hardly reach."""
    monkeypatch.setattr("pyrite.image.files._SMALL", small)
    detector = Detector(bundle, limits=LIMITS)
    paths = []
    for i, data in enumerate(hostile.values()):
        paths.append(tmp_path / f"{i}.{('jpg', 'png', 'heic', 'txt')[i % 4]}")
        paths[-1].write_bytes(data)
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "missing.png")
    os.mkfifo(tmp_path / "pipe.png")
    others = ["folder.png", "loop.png", "nowhere.png", "pipe.png", "vanished.png"]
    paths += [tmp_path / name for name in others]
    before = used_megabytes()
    found = list(detector.detect_many(paths, batch_size=32))
    assert [one.path for one in found] == [str(path) for path in paths]
    for one in found:
        msgspec.json.encode(one)
        if one.error is None:
            assert math.isfinite(one.logit)
            assert one.width >= 1
            unread = {item.data["unread"] for item in one.evidence if item.kind == "reader"}
            assert unread <= {"EXIF", "XMP"}, one.path  # which are damaged; anything else is a reader that failed
        else:
            assert (one.logit, one.reason) == (None, Reason.UNREADABLE)
            assert one.error.message
    assert [one.error.code for one in found[-len(others) :]] == [
        "not_a_file",
        "unreadable",
        "not_found",
        "not_a_file",
        "not_found",
    ]
    assert used_megabytes() - before < MEGABYTES
    assert "warn" not in capfd.readouterr().err.lower()


def test_the_hostile_files_are_the_same_each_time(hostile):
    again = dict(mutate("png", GOOD["png"]))
    assert again == {name: hostile[name] for name in again}
    assert len(set(again.values())) > len(MUTATIONS) - 2


@pytest.mark.real_data
@pytest.mark.skipif(not PROVENANCE.is_dir(), reason=f"{PROVENANCE} is not there")
def test_a_thousand_mutants_of_files_with_provenance():
    paths = [
        path for path in sorted(PROVENANCE.glob("cases/*.*")) if find_spec("pillow_heif") or path.suffix != ".heic"
    ]
    rounds = -(-1000 // (len(paths) * len(MUTATIONS)))
    judged = 0
    for path in paths:
        for turn in range(rounds):
            for title, data in mutate(f"{path.name} {turn}", path.read_bytes()):
                try:
                    image = open_image(data, LIMITS, at_least=(32, 32))
                except ImageError:
                    continue
                start = time.process_time()
                found = read_evidence(image)
                assert time.process_time() - start < 1, title
                msgspec.json.encode(found)
                assert {item.data["unread"] for item in found if item.kind == "reader"} <= {"EXIF", "XMP"}, title
                # Nobody vouches for any of them, whatever was done to it.
                assert all(item.strength != "verified" for item in found), title
                judged += 1
    assert rounds * len(paths) * len(MUTATIONS) >= 1000
    assert judged > 300


def test_damaged_metadata_reaches_its_readers(bundle):
    """Otherwise nothing here would show that they can take it."""
    for name, (piece, wrap) in carried().items():
        files = [wrap(piece), *dict(mutate(f"carried {name}", piece, wrap)).values()]
        found = [one.evidence for one in Detector(bundle).detect_many(files) if one.error is None]
        assert len(found) > len(files) / 2, name
        assert len({repr(evidence) for evidence in found}) >= 3, name
