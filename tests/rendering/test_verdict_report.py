import json
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from pyrite.bundle import Bundle
from pyrite.detector import Detector
from pyrite.errors import PyriteError
from pyrite.rendering.verdict_report import VerdictReport, write_verdict_report
from pyrite.results import Detection, Failure


def read(path: Path) -> VerdictReport:
    return msgspec.json.decode(path.read_bytes(), type=VerdictReport)


def test_it_has_what_it_takes_to_see_the_verdict_again(bundle: Bundle, tmp_path: Path) -> None:
    image = tmp_path / "folder" / "a.png"
    image.parent.mkdir()
    Image.new("RGB", (32, 32), "white").save(image)
    found = Detector(bundle).detect(image)
    write_verdict_report(tmp_path / "report.json", found, [bundle])
    report = read(tmp_path / "report.json")
    assert report.detection == replace(found, path="a.png")
    assert report.expected is None
    assert report.pyrite == version("pyrite")
    assert [(one.name, one.version, one.sha256) for one in report.bundles] == [("brightness", "1", bundle.sha256)]
    # Neither the image nor where it lies.
    assert str(tmp_path) not in (tmp_path / "report.json").read_text("utf-8")


def test_what_cannot_be_read_and_names_of_any_bytes_are_reported_too(
    found: Detection, bundle: Bundle, tmp_path: Path
) -> None:
    failed = replace(found, path="odd\udcff.png", error=Failure("corrupt", "It is damaged."))
    write_verdict_report(tmp_path / "report.json", failed, [bundle])
    detection = read(tmp_path / "report.json").detection
    assert (detection.path, detection.error) == ("odd\\udcff.png", failed.error)


def test_a_place_that_cannot_be_written_is_told(found: Detection, bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(PyriteError, match="cannot be written"):
        write_verdict_report(tmp_path / "nowhere" / "report.json", found, [bundle])


def test_the_command_writes_it_beside_its_output_and_says_what_it_holds(
    bundle: Bundle, tmp_path: Path, run_pyrite: Callable[..., tuple[int, str, str]]
) -> None:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (32, 32), "white").save(tmp_path / name)
    detect = ("detect", "--bundle", bundle.path, "--report", tmp_path / "report.json", "--json")
    code, out, said = run_pyrite(*detect, tmp_path / "a.png")
    assert code == 0
    assert json.loads(out)[0]["sha256"] == read(tmp_path / "report.json").detection.sha256
    assert "The image is not in it" in said
    (tmp_path / "report.json").unlink()
    code, out, said = run_pyrite(*detect, tmp_path / "a.png", tmp_path / "b.png")
    assert code == 2
    assert "single image" in said
    assert not out
    assert not (tmp_path / "report.json").exists()
