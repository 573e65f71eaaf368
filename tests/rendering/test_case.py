"""The report of one image: what a reader finds there, and what it never does."""

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from PIL import Image

import pyrite
from pyrite.bundle import Bundle
from pyrite.errors import PyriteError
from pyrite.evidence import NO_PROVENANCE, Trust
from pyrite.rendering.case import Event, timeline, write_case
from pyrite.rendering.powers import POWERS, powers
from pyrite.results import Detection, Evidence, Failure, Reason, Strength, Verdict

LEDGER = Path(pyrite.__file__).parent / "serving" / "static" / "ledger.js"
SIGNED = Evidence(
    "credentials",
    Strength.VERIFIED,
    Verdict.AI,
    "Content credentials signed by A say that this image was changed with AI.",
    {"valid": True, "extent": "part", "signer": {"issuer": "A", "time": "2026-08-05T14:03:09+00:00"}},
)
CAMERA = Evidence("camera", Strength.ASSERTED, None, "It names a camera.", {"taken": "2026:08:01 09:10:11"})
EDITED = Evidence(
    "history",
    Strength.ASSERTED,
    None,
    "Its XMP tells of its history.",
    {"steps": [{"action": "saved", "when": "2026-08-03T10:00:00", "softwareAgent": "Photoshop"}, {"action": "opened"}]},
)


def written(found: Detection, bundle: Bundle, folder: Path, **settings: bool) -> str:
    write_case(folder / "case.html", found, [bundle], Trust.default(), **settings)
    return (folder / "case.html").read_text("utf-8")


def words(page: str) -> str:
    return " ".join(unescape(re.sub(r"<style>.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL)).split())


def test_a_reader_finds_what_it_takes_to_check_it(found: Detection, bundle: Bundle, tmp_path: Path) -> None:
    Image.new("RGB", (600, 300), "red").save(tmp_path / "photo.png")
    size = (tmp_path / "photo.png").stat().st_size
    found = replace(found, path=str(tmp_path / "photo.png"), width=600, height=300, evidence=(SIGNED, CAMERA, EDITED))
    page = written(found, bundle, tmp_path)
    text = words(page)
    for part in (
        "photo.png",
        f"{size:,} bytes",
        "600 × 300 pixels",
        found.sha256,
        "Changed with AI. Content credentials signed by A",
        "2026-08-01 09:10 Taken, as the camera's note says asserted",
        "2026-08-03 10:00 Saved with Photoshop asserted",
        "2026-08-05 14:03 Content credentials signed in the name of A verified",
        "It cannot show that the signer told the truth",
        "C2PA trust list of 2026-08-05",
        f"brightness 1. Made for: small images. Its model has the SHA-256 {bundle.model_sha256}",
        "pyrite ",
    ):
        assert str(part) in text, part
    assert 'src="data:image/jpeg;base64,' in page
    # Raw data stays folded, and nothing runs or is fetched.
    assert "<details open" not in page
    assert "<script" not in page
    assert not re.search(r"(?:src|href)=\"(?!data:)", page)


def test_without_provenance_it_says_so_and_what_to_do_next(found: Detection, bundle: Bundle, tmp_path: Path) -> None:
    pixels = Evidence("pixels", Strength.INFERRED, None, "The model cannot tell.", {"reason": "borderline"})
    found = replace(found, verdict=Verdict.UNCERTAIN, reason=Reason.BORDERLINE, evidence=(pixels,))
    text = words(written(found, bundle, tmp_path))
    assert NO_PROVENANCE in text
    assert "What you can do next" in text
    assert "Timeline" not in text
    assert "evidence is switched off" in words(written(found, bundle, tmp_path, evidence=False))


def test_what_cannot_be_read_has_a_report_as_well(found: Detection, bundle: Bundle, tmp_path: Path) -> None:
    gone = replace(
        found, path="gone\x00.png", error=Failure("empty", "The file is empty."), explanation="The file is empty.",
        sha256=None, format=None, width=None, height=None, frames=None, evidence=(), probability=None,
    )  # fmt: skip
    text = words(written(gone, bundle, tmp_path))
    assert "Unreadable" in text
    assert "The file is empty." in text
    assert "Evidence" not in text


def test_what_a_file_says_is_text_and_nothing_else(found: Detection, bundle: Bundle, tmp_path: Path) -> None:
    hostile = replace(
        CAMERA, detail="<img src=https://example.com/x>", data={"make": "</pre><script>alert(1)</script>"}
    )
    page = written(replace(found, path="<b>.png", evidence=(hostile,)), bundle, tmp_path)
    assert "<script" not in page
    assert "<img src=https" not in page
    assert "&lt;b&gt;.png" in page


def test_a_report_that_cannot_be_written_is_told(found: Detection, bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(PyriteError, match="cannot be written"):
        write_case(tmp_path / "missing" / "case.html", found, [bundle], Trust())


@pytest.mark.parametrize("when", ["", "yesterday", None, 3, "0000", "2026-8-1"])
def test_a_time_that_is_none_has_no_place_in_the_timeline(when: object) -> None:
    assert timeline([replace(CAMERA, data={"taken": when})]) == []


def test_times_are_in_order_whatever_their_form() -> None:
    assert timeline([SIGNED, EDITED, replace(CAMERA, data={"taken": "2026-08-04"})]) == [
        Event("2026-08-03 10:00", "Saved with Photoshop", Strength.ASSERTED),
        Event("2026-08-04", "Taken, as the camera's note says", Strength.ASSERTED),
        Event("2026-08-05 14:03", "Content credentials signed in the name of A", Strength.VERIFIED),
    ]


def test_the_page_has_the_same_words() -> None:
    script = re.sub(r"\s+", " ", LEDGER.read_text("utf-8"))
    for kind, sentences in POWERS.items():
        assert f"{kind}: " in script
        assert all(sentence in script for sentence in sentences), kind
    for data, strength in (
        ({"remote_url": "https://example.com"}, Strength.ASSERTED),
        ({}, Strength.ASSERTED),
        ({"valid": False}, Strength.ASSERTED),
        ({"valid": True}, Strength.ASSERTED),
        ({"valid": True, "trusted": True}, Strength.ASSERTED),
        ({"valid": True}, Strength.VERIFIED),
    ):
        told = powers(replace(SIGNED, strength=strength, data=data))
        assert told
        assert all(sentence in script for sentence in told)
        assert ("who signed" in told[0]) == data.get("trusted", False)


def test_a_score_that_decides_nothing_shows_nothing() -> None:
    assert powers(Evidence("pixels", Strength.INFERRED, None, "", {"reason": Reason.OUT_OF_SCOPE})) is None
    assert powers(Evidence("new", Strength.ASSERTED, None, "")) is None
