"""What fuzzing begins with: small good files of every kind, made by the tests' own code."""

import io
import json
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
for _folder in ("tests", "tests/evidence"):
    sys.path.insert(0, str(_ROOT / _folder))

_MOST = 20_000  # bytes of a seed


def make_seeds() -> Mapping[str, list[bytes]]:
    """Return the seeds of each target."""
    import containers as made

    from test_hostile_files import COMMENT, GOOD, NODES, SETTINGS, XMP, exif_of

    files = [data for data in GOOD.values() if len(data) <= _MOST]
    block = exif_of(x9286=COMMENT).tobytes()
    words = [
        *(f"parameters\0{SETTINGS}".encode(), f"prompt\0{NODES}".encode(), XMP),
        *(b'Comment\0{"AIGC": {"Label": "1"}}', made.iptc(d120=SETTINGS), made.photoshop(made.iptc(d120="x"))),
        *(
            made.samsung("PEg_Info", '{"genAIType": 1}'),
            b'sd-metadata\0{"model_weights": "x", "image": {"prompt": "x"}}',
        ),
    ]
    form = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\nabc\r\n'
    return {
        "image": files,
        "metadata": files,
        "evidence": files,
        "credentials": [*_signed(), *files[:3]],
        "c2pa_manifest": [json.dumps(said).encode() for said in _STATEMENTS],
        "exif": [block, block.removeprefix(b"Exif\0\0")],
        "words": words,
        "bundle": [_zip_of(_manifest()), _zip_of(b"{}"), _manifest()],
        "multipart": [b"x\n" + form + b"--x--\r\n", b"x\n" + form + form + b"--x--\r\n"],
        "dataset_manifest": [
            b"\0path,label,split\na.png,real,train\nb.png,fake,test\n",
            b"\1file\tclass\tgenerator\na.png\t0\tsd\n",
            b'\2{"image": "a.png", "label": 1}\n{"image": "b.png", "label": 0}\n',
            b"\3a/b.png 0\nc d.png, 1\n",
        ],
    }


def _signed() -> list[bytes]:
    return [path.read_bytes() for path in sorted((_ROOT / "tests/evidence/credentials").glob("*.jpg"))]


def _manifest() -> bytes:
    """Return the manifest of Pyrite's own bundle with few logits: a seed that is cut off is no JSON any more."""
    whole = json.loads((_ROOT / "src/pyrite/bundles/default/bundle.json").read_bytes())
    for kind in ("real", "ai"):
        groups = whole["calibration"][kind]
        whole["calibration"][kind] = {name: logits[:20] for name, logits in groups.items()}
    return json.dumps(whole).encode()


def _zip_of(manifest: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in (("bundle.json", manifest), ("model.onnx", b"{}"), ("card.md", b"{}")):
            archive.writestr(name, content)
    return stream.getvalue()


_TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_CAPTURED = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"
_ACTION = {
    "action": "c2pa.created",
    "digitalSourceType": _TRAINED,
    "softwareAgent": {"name": "model", "version": "1"},
    "parameters": {"ingredients": [{"url": "self#jumbf=x"}], "ingredientIds": ["a"]},
    "when": "2026-01-01T00:00:00Z",
}
_STATEMENTS = (
    {
        "actions": [
            _ACTION,
            {"action": "c2pa.edited", "digitalSourceType": _CAPTURED, "changes": [{"description": "x"}]},
        ]
    },
    {"@type": "CreativeWork", "author": [{"@type": "Person", "name": "x"}], "digitalSourceType": _TRAINED},
)
