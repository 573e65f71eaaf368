"""`pyrite watermark`, and what it changes for `pyrite detect`."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from row_of_bits import encode, row_of_bits

from pyrite.bundle import Bundle
from pyrite.detector import Detector
from pyrite.evidence.watermarks import weights
from web import send, web

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(run_pyrite: Run) -> Run:
    """With stderr on one line."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code, out, err = run_pyrite(*arguments)
        return code, out, " ".join(err.split())

    return run


def test_a_mark_is_told_once_its_network_was_fetched(run: Run, published, bundle: Bundle, tmp_path: Path) -> None:
    pixels = row_of_bits("".join(f"{byte:08b}" for byte in b"SDV2"), 256, 256, slice(2, 3))
    (tmp_path / "marked.png").write_bytes(encode(pixels))
    (tmp_path / "package.whl").write_bytes(published.package)
    detector = Detector(bundle)  # The command reads in a process of its own, which knows the real networks alone.
    assert "RivaGAN" not in repr(detector.detect(tmp_path / "marked.png"))
    assert "RivaGAN: read once you run pyrite watermark fetch rivagan" in run("watermark")[1]
    code, out, _ = run("watermark", "fetch", "rivagan", "--from", tmp_path / "package.whl")
    assert code == 0
    assert out.startswith("rivagan_decoder.onnx: ")
    assert "RivaGAN: read here" in run("watermark", "list")[1]
    found = detector.detect(tmp_path / "marked.png")
    assert found.verdict == "ai"
    assert "The pixels hold a RivaGAN mark with the code SDV2 (32 of 32 bits)" in repr(found)


def test_an_identifier_is_context(run: Run, published, bundle: Bundle, tmp_path: Path) -> None:
    words = json.loads((Path(__file__).parent / "trustmark.json").read_text())
    (tmp_path / "marked.png").write_bytes(encode(row_of_bits(words[0]["word"], 256, 256)))
    for name in ("decoder_Q.onnx", "decoder_P.onnx"):
        (tmp_path / name).write_bytes(published.files[name])
        assert run("watermark", "fetch", "trustmark", "--from", tmp_path / name)[0] == 0
    evidence = Detector(bundle).detect(tmp_path / "marked.png").evidence
    (found,) = [item for item in evidence if item.kind == "watermark"]
    assert (found.says, found.data["identifier"]) == (None, words[0]["identifier"])


def test_what_cannot_be_fetched_ends_with_a_sentence(run: Run, published, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = run("watermark", "fetch", "synthid")
    assert (code, out) == (1, "")
    assert err == "Error: There is nothing to download for 'synthid', only for rivagan and trustmark."
    with web(send(b"", status=404)) as address:
        (known,) = weights.weights_of("rivagan")
        monkeypatch.setattr(weights, "WEIGHTS", (replace(known, source=f"{address}/a.onnx"),))
        code, _, err = run("watermark", "fetch", "rivagan")
    assert code == 1
    assert "cannot be fetched: the server answered 404 Not Found" in err


def test_marks_as_json(run: Run, published) -> None:
    code, out, _ = run("watermark", "list", "--json")
    assert code == 0
    marks = {item["mark"]: item for item in json.loads(out)}
    assert marks["SynthID"]["readable"] is False
    assert marks["TrustMark"]["fetch"] == "pyrite watermark fetch trustmark"
    assert all(item["writer"] and item["survives"] for item in marks.values())
