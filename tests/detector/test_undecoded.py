"""Files whose pixels are not decoded here, and that say something all the same: JPEG XL."""

import hashlib
import io
import json
import struct
import sys
from pathlib import Path

import pytest

from pyrite.bundle import Bundle
from pyrite.cli import main
from pyrite.detector import Detector
from pyrite.results import Reason, Verdict

START = b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0\0\0\x14ftypjxl \0\0\0\0jxl "
PIXELS = struct.pack(">I4s", 12, b"jxlc") + b"\xff\x0a\x00\x10"


def jxl(credit: str) -> bytes:
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" '
        f'photoshop:Credit="{credit}"/></rdf:RDF></x:xmpmeta>'
    ).encode()
    return START + struct.pack(">I4s", 8 + len(packet), b"xml ") + packet + PIXELS


def test_what_the_file_says_decides_without_the_pixels(bundle: Bundle, tmp_path: Path) -> None:
    data = jxl("Made with Google AI")
    (tmp_path / "a.jxl").write_bytes(data)
    for source in (tmp_path / "a.jxl", data):
        found = Detector(bundle).detect(source)
        assert (found.verdict, found.reason, found.error) == (Verdict.AI, Reason.ASSERTED, None)
        assert (found.probability, found.logit, found.p_real, found.width) == (None,) * 4
        assert found.sha256 == hashlib.sha256(data).hexdigest()
        assert [item.kind for item in found.evidence] == ["generator", "reader"]
        assert found.explanation == found.evidence[0].detail
        assert found.evidence[1].detail.startswith(
            "The pixels were not judged. Pyrite does not decode the pixels of JPEG XL"
        )


@pytest.mark.parametrize("data", [jxl("Somebody"), START + PIXELS, b"\xff\x0a\x00\x10"])
def test_a_file_that_says_nothing_of_ai_is_unreadable(data: bytes, bundle: Bundle) -> None:
    found = Detector(bundle).detect(data)
    assert (found.verdict, found.reason) == (Verdict.UNCERTAIN, Reason.UNREADABLE)
    assert found.error
    assert found.error.code == "unsupported_format"
    assert "Convert the image to PNG" in found.error.message


def test_without_evidence_or_from_a_stream_only_the_pixels_count(bundle: Bundle) -> None:
    data = jxl("Made with Google AI")
    assert Detector(bundle, evidence=False).detect(data).reason is Reason.UNREADABLE
    assert Detector(bundle).detect(io.BytesIO(data)).reason is Reason.UNREADABLE


def test_on_the_command_line(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jxl").write_bytes(jxl("Made with Google AI"))
    (tmp_path / "b.jxl").write_bytes(START + PIXELS)

    def run(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["pyrite", "detect", "--bundle", str(bundle.path), *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    assert run(tmp_path / "a.jxl", tmp_path / "b.jxl", "--json", "--html", tmp_path / "page.html") == 1
    ai, unread = json.loads(capsys.readouterr().out)
    assert (ai["verdict"], ai["reason"], ai["error"]) == ("ai", "asserted", None)
    assert unread["error"]["code"] == "unsupported_format"
    assert "The pixels were not judged" in (tmp_path / "page.html").read_text("utf-8")
    assert run(tmp_path / "a.jxl", "--html", tmp_path / "case.html") == 0
    assert "Made with Google AI" in (tmp_path / "case.html").read_text("utf-8")
