"""What files say in words, read by a browser and by Python: the same verdicts, sentences and details."""

import importlib
import json
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, product
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from static_site import Site, assert_alike, judge

from pyrite.detector import Detector

ROOT = Path(__file__).parents[3]
EVIDENCE = ROOT / "tests" / "evidence"
DATA = ROOT.parent / "shared" / "data"
sys.path += [str(EVIDENCE), str(EVIDENCE / "prompts")]

from containers import XMP_NAME, itxt, jpeg_with, packet, png_with, text, webp_with  # noqa: E402
from metadata_files import SETTINGS, Base, encode, exif, jpeg, png, xmp  # noqa: E402
from PIL.TiffImagePlugin import IFDRational  # noqa: E402
from test_read import BOMB, DEEP_NODES  # noqa: E402

if TYPE_CHECKING:
    from playwright.sync_api import Page

MODULES = (
    "camera", "china_labels", "comfyui", "damage", "forms", "generator", "history", "names", "places", "read",
)  # fmt: skip
"""The tests of evidence whose files the page reads as well."""
STARTS = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"GIF8", b"\0\0\0 ftypavif")
HIDDEN = ("automatic1111_stealth.png", "novelai_stealth.webp")
"""The files whose text is hidden in the pixels, where the page does not look."""
CHARSETS = (b"UNICODE\0", b"ASCII\0\0\0", b"\0" * 8, b"")
"""What may stand before a comment."""


def parametrized() -> Iterator[tuple[str, bytes]]:
    """Yield each file that is a parameter of a test of evidence, and a name for it."""
    for name in MODULES:
        for test, function in vars(importlib.import_module(f"test_{name}")).items():
            # What is hostile takes Python as long as the page.
            for mark in getattr(function, "pytestmark", ()) if "hostile" not in test else ():
                for i, values in enumerate(mark.args[1] if mark.name == "parametrize" else ()):
                    for value in values if isinstance(values, tuple) else (values,):
                        if isinstance(value, bytes) and value.startswith(STARTS):
                            yield f"{test}-{i}", value


def built() -> Iterator[tuple[str, bytes]]:
    """Yield files such as those that tests of evidence build within them."""
    chinese = SETTINGS.replace("a duck, by a lake", "一只鸭子，在湖边，水彩画")
    encodings = ("utf-8", "utf-16-le", "utf-16-be")
    for i, (words, charset, encoding) in enumerate(product((SETTINGS, chinese), CHARSETS, encodings)):
        yield f"charset-{i}", jpeg({}, {Base.UserComment: charset + words.encode(encoding)})
    for encoding, named in product(("utf-8", "utf-16", "utf-16-be", "utf-32"), (b"", XMP_NAME)):
        body = packet('<rdf:Description xmlns:p="http://ns.adobe.com/photoshop/1.0/" p:Credit="Made with Google AI"/>')
        yield f"xmp-{encoding}-{len(named)}.webp", webp_with((b"XMP ", named + body.decode().encode(encoding)))
    for i, term in enumerate(
        ("trainedAlgorithmicMedia", "compositeSynthetic/", "trainedAlgorithmicData", "digitalCapture", "duck")
    ):
        address = f"http://cv.iptc.org/newscodes/digitalsourcetype/{term}"
        for format in ("JPEG", "PNG", "WEBP", "GIF"):
            yield f"term-{i}.{format}", xmp(f'Iptc4xmpExt:DigitalSourceType="{address}">', format)
    for i, name in enumerate(("Nano Banana Pro", "FLUX.1 [dev]", "Edited with Google AI", "Made with AI", "Flux")):
        yield f"name-{i}", png(Software=name, Credit=name)
    photo = {Base.ExposureTime: IFDRational(1, 100), Base.FNumber: IFDRational(8, 1), Base.ISOSpeedRatings: 100}
    camera = exif({Base.Make: "Canon", Base.Model: "Canon EOS R5", Base.Software: "Lightroom"}, photo)
    camera.get_ifd(0x8825).update({1: "S", 2: (33.0, 51.0, 36.0), 3: "E", 4: (151.0, 12.0, 0.0)})
    yield "camera", encode(exif=camera)
    yield "exposure", jpeg({Base.Software: "00WW"}, photo)
    yield "cut.webp", encode("WEBP", exif=camera.tobytes()[:40])
    yield "cut", encode(xmp=b"<x:xmpmeta")
    yield "instruction.png", png_with(itxt("XML:com.adobe.xmp", packet("").decode().replace('"?>', '"??>', 1)))


def hostile() -> Iterator[tuple[str, bytes]]:
    """Yield files that are meant to take a reader's time or memory."""
    yield "long", png_with(text("parameters", b"a" * 20_000_000))
    yield "open", png_with(text("prompt", b"[" * 20_000_000))
    yield "dots", png_with(text("parameters", ". " * 900_000 + "x" + SETTINGS.partition("\n")[2]))
    yield "commas", png_with(text("parameters", "Steps: 1" + ',a:"b' * 400_000))
    bomb = b"parameters\0\0" + zlib.compress(b"a" * 30_000_000)
    yield "bombs", png_with(*[(b"zTXt", bomb)] * 8)
    yield "entities.webp", webp_with((b"XMP ", BOMB.encode()))
    yield "deep", png_with(text("prompt", DEEP_NODES))
    yield "keys", png_with(text("Comment", json.dumps({f"k{i}": i for i in range(20_000)})))
    yield "instructions.webp", webp_with((b"XMP ", b"<?" * 900_000))
    yield "segments", jpeg_with(*[(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + b"\xff" * 60_000)] * 10)


@pytest.fixture
def placed(tmp_path: Path) -> Callable[[Iterable[tuple[str, bytes]]], dict[str, Path]]:
    """Write files, since a browser is sent no more than 50 MB otherwise."""

    def place(files: Iterable[tuple[str, bytes]]) -> dict[str, Path]:
        found = {}
        for name, content in files:
            found[name] = tmp_path / name
            found[name].write_bytes(content)
        return found

    return place


def test_metadata_counts_as_in_python(
    visit: Callable[..., "Page"],
    host: Callable[..., Site],
    served_bundle: Path,
    placed: Callable[..., dict[str, Path]],
) -> None:
    files = placed(chain(parametrized(), built()))
    assert len(files) > 220
    detector, page = Detector(served_bundle), visit(host(served_bundle))
    libraries = list[str]()
    page.on("request", lambda request: "/metadata/" in request.url and libraries.append(request.url))
    assert_alike(page, detector, {"none.jpg": encode()})
    assert libraries == [], "They are loaded for the first file with metadata."
    page.locator("#clear").evaluate("button => button.click()")
    assert_alike(page, detector, files)
    assert len(libraries) == 2


@pytest.mark.real_data
@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not there")
def test_what_real_programs_and_cameras_wrote_counts_as_in_python(
    visit: Callable[..., "Page"], host: Callable[..., Site], served_bundle: Path
) -> None:
    folders = (DATA / "provenance" / "cases", DATA / "provenance" / "real", DATA / "fixtures" / "generator",
               DATA / "fixtures" / "camera")  # fmt: skip
    paths = [path for folder in folders for path in sorted(folder.rglob("*.*")) if path.is_file()]
    files = {path.name: path for path in paths if path.suffix.lower() not in (".heic", ".heif") and path.stat().st_size}
    assert len(files) > 80
    hidden = {name: files.pop(name) for name in HIDDEN}
    detector, page = Detector(served_bundle), visit(host(served_bundle))
    assert_alike(page, detector, files)
    page.locator("#clear").evaluate("button => button.click()")
    for name, found in judge(page, hidden).items():
        assert detector.detect(hidden[name]).verdict == "ai" != found["verdict"]


def test_hostile_metadata_keeps_no_verdict_from_the_pixels(
    visit: Callable[..., "Page"],
    host: Callable[..., Site],
    served_bundle: Path,
    placed: Callable[..., dict[str, Path]],
) -> None:
    for name, one in judge(visit(host(served_bundle)), placed(hostile())).items():
        pixels = one["evidence"][-1]
        assert (one["error"], pixels["kind"], pixels["data"]["logit"] is None) == (None, "pixels", False), name
        assert (one["verdict"] == "ai", one["reason"] == "asserted") == (name == "dots", name == "dots"), name
