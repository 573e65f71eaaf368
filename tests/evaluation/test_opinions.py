"""Scores for a calibration, which an interrupted run keeps."""

import errno
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from pyrite.bundle import Bundle, Panel, save_bundle
from pyrite.datasets import Dataset, content_hashes
from pyrite.errors import EvaluationError
from pyrite.evaluation.opinions import Scored, kept_beside, score_images
from pyrite.scores import calibrate_bundles


@pytest.fixture
def pictures(tmp_path: Path) -> Dataset:
    """60 real images, of which one is too small."""
    (tmp_path / "pictures").mkdir()
    for number in range(60):
        side = 8 if number == 7 else 32
        Image.new("RGB", (side, side), (number * 4,) * 3).save(tmp_path / "pictures" / f"{number:02}.png")
    return Dataset.open_real(tmp_path / "pictures")


@pytest.fixture
def panel(bundle: Bundle, tmp_path: Path) -> Panel:
    other = save_bundle(tmp_path / "other", msgspec.structs.replace(bundle.info, name="other"), bundle.files)
    return Panel((bundle, other))


def score(panel: Panel, dataset: Dataset, keep: Path, stop: int | None = None) -> tuple[Scored, list[int]]:
    judged: list[int] = []

    def progress(done: int, total: int) -> None:
        judged.append(done)
        if done == stop:
            raise KeyboardInterrupt

    return score_images(panel, dataset, keep=keep, progress=progress), judged


def test_an_interrupted_run_goes_on_where_it_was(panel: Panel, pictures: Dataset, tmp_path: Path) -> None:
    whole, judged = score(panel, pictures, tmp_path / "whole.scores")
    assert (judged, whole.resumed) == (list(range(1, 61)), 0)
    keep = tmp_path / "panel.json.scores"
    with pytest.raises(KeyboardInterrupt):
        score(panel, pictures, keep, stop=20)
    keep.write_bytes(keep.read_bytes()[:-5])  # As one that was killed while it wrote.
    again, judged = score(panel, pictures, keep)
    assert (judged, again.resumed) == (list(range(20, 61)), 19)
    assert again.indices.tolist() == whole.indices.tolist()
    for name, scores in whole.scores.items():
        assert np.array_equal(again.scores[name], scores, equal_nan=True)
        assert np.isnan(scores[7])
    assert keep.read_bytes() == (tmp_path / "whole.scores").read_bytes()
    assert score(panel, pictures, keep)[1] == []


def test_what_is_kept_is_not_written_anew_and_an_empty_file_is_begun(
    panel: Panel, pictures: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = tmp_path / "panel.json.scores"
    keep.touch()  # As one that was killed before it wrote anything.
    score(panel, pictures, keep)
    whole = keep.read_bytes()

    def refused(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refused)
    assert score(panel, pictures, keep)[0].resumed == 60
    assert keep.read_bytes() == whole


def test_a_file_that_can_be_read_too_late_is_unreadable(
    panel: Panel, pictures: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = content_hashes(pictures)
    monkeypatch.setattr("pyrite.evaluation.opinions.content_hashes", lambda dataset: ["", *hashes[1:-1], ""])
    for resumed in (0, 58):
        found, _ = score(panel, pictures, tmp_path / "late.scores")
        assert [file.path for file in found.unreadable] == ["00.png", "59.png"]
        assert (len(found.indices), found.resumed) == (58, resumed)
        assert "" not in found.hashes


def test_scores_by_other_bundles_are_not_taken(panel: Panel, bundle: Bundle, pictures: Dataset, tmp_path: Path) -> None:
    keep = tmp_path / "panel.json.scores"
    score(panel, pictures, keep)
    with pytest.raises(EvaluationError, match=r"has scores by other bundles\. Remove it"):
        score(Panel((bundle,)), pictures, keep)
    lines = keep.read_bytes().splitlines(keepends=True)
    for other in (b"a note of somebody's", b"one line\nand half"):
        keep.write_bytes(other)
        with pytest.raises(EvaluationError, match="has scores by other bundles"):
            score(panel, pictures, keep)
        assert keep.read_bytes() == other
    keep.write_bytes(b"".join([lines[0], b"{}\n", *lines[1:]]))
    with pytest.raises(EvaluationError, match=r"is damaged: .*Remove it"):
        score(panel, pictures, keep)
    (tmp_path / "folder").mkdir()
    with pytest.raises(EvaluationError, match=r"folder cannot be written: Is a directory"):
        score(panel, pictures, tmp_path / "folder")


def test_a_panel_that_is_calibrated_keeps_no_scores(panel: Panel, pictures: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "panel.json"
    calibrate_bundles(panel.bundles, pictures, out)
    assert out.exists()
    assert not kept_beside(out).exists()
