"""A bundle, calibrated by a user's own images."""

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from novelties import bordered, textures
from pyrite.bundle import NOVELTY, Bundle, Calibration, fit_calibration, load_bundle, save_bundle
from pyrite.datasets import Dataset, content_hashes, recognise, remember
from pyrite.detector import Detector
from pyrite.errors import BundleError, DatasetError, EvaluationError
from pyrite.golden import replay_golden
from pyrite.publishing import recalibrate
from pyrite.results import Reason, Verdict

pytest.importorskip("sklearn")
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """120 real images in two folders, a copy, one that is too small, and a file that is none."""
    folder = tmp_path / "pictures"
    for number in range(120):
        path = folder / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (number + 8,) * 3).save(path)
    (folder / "a" / "copy.png").write_bytes((folder / "a" / "0.png").read_bytes())
    Image.new("RGB", (8, 8), "white").save(folder / "a" / "small.png")
    (folder / "notes.txt").write_text("no image")
    return folder


def test_real_images_alone_set_the_budget(bundle: Bundle, pictures: Path, run_pyrite: Run, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    assert bundle.path
    code, said, error = run_pyrite("bundle", "calibrate", bundle.path, pictures, "--real-only", "--out", out)
    assert code == 1  # For the file that is no image.
    assert "notes.txt" in error
    assert "Calibrated on 120 real and 0 AI images." in said
    assert "Images left out because of their size: 1" in said
    assert "Copies of other images left out: 1" in said
    assert "Smallest error budget it can keep: 0.83%" in said
    assert "1% needs 99 real images of each group, and 0.1% needs 999." in said
    mine = load_bundle(out)
    assert len(mine.info.calibration.real["all"]) == 120
    assert mine.info.calibration.ai == {}
    assert mine.info.calibration.slope is None
    assert replay_golden(mine).passed
    found = Detector(mine, max_fpr=0.01).detect(np.full((32, 32, 3), 140, np.uint8))
    assert (found.verdict, found.reason, found.probability) == (Verdict.AI, Reason.PIXELS, None)
    assert found.p_real == pytest.approx(1 / 121)
    # What the figures of its training are of is another calibration.
    assert "report.json" not in mine.files
    assert "## Recalibration\n\nCalibrated with 120 real images of pictures." in mine.files["card.md"].decode()


def test_folders_can_be_groups(bundle: Bundle, pictures: Path, tmp_path: Path) -> None:
    dataset = Dataset.open_real(pictures)
    found = recalibrate(bundle, dataset.grouped_by("folder"), tmp_path / "mine")
    assert {name: len(kept) for name, kept in found.bundle.info.calibration.real.items()} == {"a": 60, "b": 60}
    with pytest.raises(DatasetError, match="has no column 'camera' for groups; it has folder"):
        dataset.grouped_by("camera")


def test_it_remembers_what_calibrated_it_and_leaves_out_what_trained_it(
    bundle: Bundle, pictures: Path, tmp_path: Path
) -> None:
    dataset = Dataset.open_real(pictures)
    hashes = content_hashes(dataset)
    trained = save_bundle(tmp_path / "trained", bundle.info, {**bundle.files, "trained_on.bin": remember(hashes[:11])})
    found = recalibrate(trained, dataset, tmp_path / "mine")
    assert (found.scored.trained, found.real) == (12, 109)  # With the copy of one of them.
    assert recognise(found.bundle.files["trained_on.bin"], hashes).all() or found.scored.unreadable
    again = recalibrate(trained, dataset, tmp_path / "again")
    assert again.bundle.info == found.bundle.info
    seen = dataset.select(np.flatnonzero([path.endswith("png") for path in dataset.paths]))
    with pytest.raises(EvaluationError, match=r"None of the 122 images of pictures is left: 122 trained a bundle"):
        recalibrate(found.bundle, seen, tmp_path / "no")


def test_images_of_both_classes_give_a_probability_again(bundle: Bundle, tmp_path: Path) -> None:
    for number in range(60):
        for name, brightness in (("real", number), ("ai", 140 + number)):
            path = tmp_path / "data" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 32), (brightness,) * 3).save(path)
    found = recalibrate(bundle, Dataset.open(tmp_path / "data"), tmp_path / "mine")
    assert (found.real, found.ai) == (60, 60)
    dataset = Dataset.open(tmp_path / "data")
    logits = np.array([one.logit for one in Detector(bundle).detect_many(map(dataset.read, range(120)))])
    assert found.bundle.info.calibration == fit_calibration(logits, dataset.labels)


def test_enough_images_tell_what_is_foreign(bundle: Bundle, tmp_path: Path) -> None:
    for number, pixels in enumerate(textures(420)):
        path = tmp_path / "data" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)
    found = recalibrate(bundle, Dataset.open_real(tmp_path / "data"), tmp_path / "mine").bundle
    assert NOVELTY in found.files
    said = Detector(found).detect(bordered(textures(1, seed=9))[0])
    assert said.reason is Reason.OUT_OF_SCOPE
    # What was foreign then calibrates it all the same.
    for number, pixels in enumerate(bordered(textures(30, seed=1))):
        path = tmp_path / "framed" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)
    framed = recalibrate(found, Dataset.open_real(tmp_path / "framed"), tmp_path / "other")
    assert (framed.real, framed.out_of_scope) == (30, 0)


def test_a_folder_that_is_there_is_refused_before_anything_is_judged(
    bundle: Bundle, pictures: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(BundleError, match="mine already exists"):
        recalibrate(bundle, Dataset.open_real(pictures), tmp_path / "mine", watch=pytest.fail)


def test_what_allows_no_calibration_is_one_sentence(bundle: Bundle, pictures: Path, tmp_path: Path) -> None:
    large = msgspec.structs.replace(bundle.info, scope=msgspec.structs.replace(bundle.info.scope, min_side=40))
    with pytest.raises(EvaluationError, match="brightness has none of the 121 images in scope: small images"):
        recalibrate(Bundle(large, bundle.files), Dataset.open_real(pictures), tmp_path / "no")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="holds no files"):
        Dataset.open_real(tmp_path / "empty")
    assert not (tmp_path / "no").exists()


def test_the_budget_holds_on_the_rest_of_a_source_and_not_on_another(bundle: Bundle) -> None:
    """Over 200 draws of calibration images: that is the theorem, and across sources there is none."""
    rng = np.random.default_rng(0)
    own, other = rng.normal(-4, 1.5, 1000), rng.normal(-2.5, 1.5, 1000)
    rates = []
    for _ in range(200):
        order = rng.permutation(1000)
        kept = Calibration(real={"all": tuple(np.sort(own[order[:100]]).tolist())})
        alarms = [np.mean(p <= 0.05) for p in (kept.p_real(own[order[100:]]), kept.p_real(other)) if p is not None]
        rates.append(alarms)
    here, there = np.mean(rates, axis=0)
    assert here <= 0.05 + 3 * np.std([rate for rate, _ in rates]) / np.sqrt(200)
    assert there > 0.15


def test_the_detection_of_an_imported_or_calibrated_bundle_is_json(
    bundle: Bundle, pictures: Path, run_pyrite: Run, tmp_path: Path
) -> None:
    recalibrate(bundle, Dataset.open_real(pictures), tmp_path / "mine")
    code, said, _ = run_pyrite("detect", pictures / "a" / "0.png", "--bundle", tmp_path / "mine", "--json")
    assert code == 0
    [found] = json.loads(said)
    assert (found["verdict"], found["p_ai"]) == ("uncertain", None)
