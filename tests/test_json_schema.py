"""The published schemas are what the code says, and what it writes is what they say."""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pyrite import Detector, evaluate, scan
from pyrite.bundle import DEFAULT, Bundle, load_bundle
from pyrite.evidence import read_compression
from pyrite.golden import write_golden
from pyrite.image import open_image
from pyrite.json_schema import DIALECT, VERSIONS, schemas
from pyrite.rendering.formats import write_json
from pyrite.results import Reason, Strength, Verdict

ROOT = Path(__file__).parents[1]
PUBLISHED = ROOT / "docs" / "schemas"
EVIDENCE = ROOT / "tests" / "evidence"
XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/" xmlns:stEvt="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"><xmpMM:History>
<rdf:Seq><rdf:li stEvt:action="saved" stEvt:softwareAgent="Duckshop" stEvt:when="2024-05-01T10:00:00Z"/></rdf:Seq>
</xmpMM:History></rdf:Description></rdf:RDF></x:xmpmeta>"""


def check(name: str, value: object) -> None:
    validator = jsonschema_rs.validator_for(read(name))
    assert [f"{list(error.instance_path)}: {error.message}"[:300] for error in validator.iter_errors(value)] == []


def read(name: str) -> Any:
    return json.loads((PUBLISHED / f"{name}.json").read_text("utf-8"))


def test_the_files_are_what_make_docs_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    sys.modules.pop("schemas", None)
    from schemas import documents  # type: ignore[import-not-found]

    stale = [name for name, text in documents().items() if (PUBLISHED / name).read_text("utf-8") != text]
    assert stale == [], "Run make docs."
    assert {path.name for path in PUBLISHED.iterdir()} == set(documents())


@pytest.mark.parametrize("name", VERSIONS)
def test_each_is_a_schema_with_a_version(name: str) -> None:
    schema = schemas()[name]
    assert schema["$schema"] == DIALECT
    assert schema["$id"] == f"urn:pyrite:schema:{name}:{VERSIONS[name]}"
    jsonschema_rs.meta.validate(schema)
    formats = schema.get("properties", {}).get("format", {}).get("enum")
    assert formats in (None, [VERSIONS[name]])


@pytest.mark.parametrize("name", ["detections", "bundle", "scan-row"])
def test_every_field_says_what_it_is(name: str) -> None:
    schema = schemas()[name]
    for title, one in {name: schema, **schema["$defs"]}.items():
        told = {field for field, value in one.get("properties", {}).items() if value.get("description")}
        assert set(one.get("properties", {})) - told <= {"geometry"}, title


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """One for each verdict, reason and kind of evidence."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name, brightness in (("ai", 255), ("real", 0), ("uncertain", 127)):
        plain(brightness).save(folder / f"{name}.png")
    plain(0).resize((500, 300)).save(folder / "large.png")
    (folder / "none.png").write_text("no image")
    plain(0).save(folder / "frames.gif", save_all=True, append_images=[plain(255)])
    tags = Image.Exif()
    tags.update({0x010F: "Canon", 0x0110: "Canon EOS 5D"})
    tags.get_ifd(0x8769).update({0x829A: 0.008, 0x829D: 2.8, 0x8827: 200})
    plain(0).save(folder / "camera.jpg", exif=tags)
    plain(0).save(folder / "said.jpg", xmp=XMP.encode())
    plain(0).save(folder / "damaged.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")
    for place in ("watermarks/sd1.png", "watermarks/flux.png", "credentials/stamped.jpg"):
        (folder / Path(place).name).write_bytes((EVIDENCE / place).read_bytes())
    settings = PngInfo()
    settings.add_text("parameters", "a cat\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512")
    plain(0).save(folder / "generator.png", pnginfo=settings)
    return folder


def plain(brightness: int) -> Image.Image:
    return Image.new("RGB", (32, 32), (brightness,) * 3)


def paths(folder: Path) -> Iterator[str]:
    yield from map(str, sorted(folder.iterdir()))


def test_detections_of_every_verdict_and_kind_of_evidence(images: Path, bundle: Bundle, tmp_path: Path) -> None:
    pytest.importorskip("c2pa")
    found = [*Detector(bundle).detect_many(paths(images)), Detector(bundle).detect(np.zeros((32, 32, 3), np.uint8))]
    found += Detector(max_fpr=0.001).detect_many(write_golden(load_bundle(DEFAULT), tmp_path / "examples"))
    assert {one.verdict for one in found} == set(Verdict)
    assert {one.reason for one in found} >= {
        Reason.PIXELS, Reason.BORDERLINE, Reason.OUT_OF_SCOPE, Reason.ASSERTED, Reason.UNREADABLE
    }  # fmt: skip
    evidence = [item for one in found for item in one.evidence]
    assert {item.kind for item in evidence} == {
        "pixels", "frames", "credentials", "generator", "source_type", "watermark", "camera", "history", "reader"
    }  # fmt: skip
    assert {item.strength for item in evidence} >= {Strength.ASSERTED, Strength.INFERRED}
    stream = io.StringIO()
    write_json(found, stream)
    check("detections", json.loads(stream.getvalue()))


def test_evidence_that_is_read_where_it_is_asked_for() -> None:
    data = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (384, 384, 3), np.uint8)).save(data, "JPEG")
    [item] = read_compression(open_image(data.getvalue()))
    assert item.kind == "compression"
    evidence = {"$ref": "#/$defs/Evidence", "$defs": read("detections")["$defs"]}
    jsonschema_rs.validator_for(evidence).validate(json.loads(msgspec.json.encode(item)))


@pytest.mark.parametrize("change", [{"verdict": "fake"}, {"max_fpr": None}, {"error": "none"}])
def test_what_is_no_detection_is_refused(change: dict[str, object], images: Path, bundle: Bundle) -> None:
    stream = io.StringIO()
    write_json([Detector(bundle).detect(images / "ai.png")], stream)
    [one] = json.loads(stream.getvalue())
    validator = jsonschema_rs.validator_for(read("detections"))
    assert validator.is_valid([one])
    assert not validator.is_valid([one | change])
    assert not validator.is_valid([{name: value for name, value in one.items() if name not in change}])


@pytest.mark.parametrize("name", ["default", "photos"])
def test_the_shipped_bundles(name: str) -> None:
    manifest = json.loads((ROOT / "src" / "pyrite" / "bundles" / name / "bundle.json").read_text("utf-8"))
    check("bundle", manifest)
    assert not jsonschema_rs.validator_for(read("bundle")).is_valid(manifest | {"unknown": 1})


def test_a_report_on_toy_data(bundle: Bundle, toy: Path, tmp_path: Path) -> None:
    evaluate(bundle, toy, out=tmp_path / "report")
    check("report", json.loads((tmp_path / "report" / "report.json").read_text("utf-8")))


def test_rows_of_a_scan(images: Path, bundle: Bundle, tmp_path: Path) -> None:
    scan(str(images), str(tmp_path / "out"), bundle, engine="local")
    rows = pq.read_table(tmp_path / "out" / "detections").to_pylist()
    assert len(rows) == len(list(images.iterdir()))
    evidence = {"$defs": read("scan-row")["$defs"], **read("scan-row")["properties"]["evidence"]["contentSchema"]}
    for row in rows:
        check("scan-row", row)
        jsonschema_rs.validator_for(evidence).validate(json.loads(row["evidence"]))
