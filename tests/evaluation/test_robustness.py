import io
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pyrite.bundle import Bundle, Panel
from pyrite.datasets import Dataset, content_hashes
from pyrite.datasets.degrade import DEGRADATIONS
from pyrite.datasets.storage import Storage
from pyrite.detector import Detector
from pyrite.errors import EvaluationError
from pyrite.evaluation import Chosen, Part, evaluate, measure, plots
from pyrite.evaluation.robustness import MILD, Condition, LeftOut, Overall, Robustness

# The bundle's logit is (brightness - 127.5) / 10 and its probability sigmoid(logit + 0.5): AI above 122.5.
ALL = Part("all", "")
FLAT = {"REAL": (60, 80, 126, 180), "FAKE": (200, 90)}
STEADY = [degradation for degradation in DEGRADATIONS if degradation.family != "noise"]


def save(path: Path, pixels: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    for label, values in FLAT.items():
        for value in values:
            save(tmp_path / "flat" / label / f"{value}.png", np.full((32, 32, 3), value, np.uint8))
    return tmp_path / "flat"


@pytest.fixture(scope="module")
def textured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty images of noise around the brightnesses at which verdicts change, so that next to nothing changes some."""
    folder = tmp_path_factory.mktemp("textured")
    random = np.random.default_rng(0)
    for i in range(40):
        noise = random.normal(0, 30, (32, 32, 3))
        # Verdicts change at 123.5 and 131.5.
        pixels = (noise - noise.mean() + (123.5, 131.5)[i % 2] + random.uniform(-0.02, 0.02)).round().clip(0, 255)
        save(folder / ("REAL", "FAKE")[i // 20] / f"{i:02}.png", pixels.astype(np.uint8))
    return folder


def robustness(bundle: Bundle, data: Dataset | Path, seed: int = 0) -> Robustness:
    found = evaluate(bundle, data, robustness=True, seed=seed).robustness
    assert found
    return found


def named(found: Robustness) -> dict[str, Condition]:
    return {row.name: row for row in found.grid}


def test_flat_images_by_hand(bundle: Bundle, flat: Path) -> None:
    found = robustness(bundle, flat)
    rows = named(found)
    assert list(rows) == [degradation.name for degradation in DEGRADATIONS]
    assert found.clean.headline.accuracy.value == 3 / 6
    # Of one colour there is nothing to blur, cut, resize or mirror.
    for name in ("blur 1", "crop", "resize bilinear 0.75", "resize bicubic 0.625", "mirror"):
        assert rows[name].headline == found.clean.headline
    # 90 becomes 123 and is called AI; 126 becomes 95 and is called real.
    assert rows["gamma 0.7"].headline.accuracy.value == rows["gamma 1.4"].headline.accuracy.value == 4 / 6
    # 126 becomes 156: with 180 two of four real images get the verdict AI, where one did.
    assert (found.clean.headline.fpr, rows["gamma 0.7"].headline.fpr) != (None, None)
    assert [row.headline.fpr.value for row in (found.clean, rows["gamma 0.7"]) if row.headline.fpr] == [1 / 4, 2 / 4]
    assert found.flips_real is not None
    assert (found.flips_real.images, found.flips_real.changed.value) == (4, 0)
    assert found.flips_real.changed.high == pytest.approx(0.4899, abs=1e-4)  # Wilson's, of none in four


def test_every_row_is_what_the_detector_says_of_the_degraded_pixels(bundle: Bundle, textured: Path) -> None:
    found = robustness(bundle, textured)
    dataset = Dataset.open(textured)
    detector, strict = Detector(bundle, evidence=False), Detector(bundle, max_fpr=0.01, evidence=False)
    images = [np.asarray(Image.open(textured / path)) for path in dataset.paths]
    real = dataset.labels == 0
    verdicts = {"clean": np.array([str(d.verdict) for d in detector.detect_many(images)])}
    for degradation in STEADY:
        degraded = [degradation.apply(pixels, np.random.default_rng()) for pixels in images]
        said = list(detector.detect_many(degraded))
        verdicts[degradation.name] = np.array([str(detection.verdict) for detection in said])
        called = np.array([(detection.probability or 0) > 0.5 for detection in said])
        row = named(found)[degradation.name]
        assert (row.family, row.strength) == (degradation.family, degradation.strength)
        assert row.headline.accuracy.value == np.mean(called == ~real)
        assert row.headline.uncertain.value == np.mean(verdicts[degradation.name] == "uncertain")
        assert row.headline.fpr is not None
        assert row.headline.fnr is not None
        assert row.headline.fpr.value == np.mean(verdicts[degradation.name][real] == "ai")
        assert row.headline.fnr.value == np.mean(verdicts[degradation.name][~real] == "real")
        assert row.fpr_at_budget_1 is not None
        flagged = [str(d.verdict) == "ai" for d in strict.detect_many(degraded)]
        assert row.fpr_at_budget_1.value == np.mean(np.array(flagged)[real])
    before, after = verdicts["clean"], verdicts[MILD]
    assert any((before != others).any() for others in verdicts.values())
    assert found.resave == MILD
    for flips, chosen in ((found.flips_real, real), (found.flips_ai, ~real)):
        assert flips is not None
        assert flips.images == 20
        assert flips.changed.value == np.mean((before != after)[chosen])
        assert flips.real_to_ai.value == np.mean(((before == "real") & (after == "ai"))[chosen])
        assert flips.ai_to_real.value == np.mean(((before == "ai") & (after == "real"))[chosen])


def test_the_budget_of_the_verdicts_is_the_callers_and_that_of_one_percent_stays(bundle: Bundle, flat: Path) -> None:
    usual, tight = (evaluate(bundle, flat, robustness=True, max_fpr=rate).robustness for rate in (0.05, 0.01))
    assert usual
    assert tight
    assert [row.fpr_at_budget_1 for row in usual.grid] == [row.fpr_at_budget_1 for row in tight.grid]
    for row in tight.grid:
        assert row.headline.fpr is not None
        assert row.fpr_at_budget_1 is not None
        assert row.headline.fpr.value == row.fpr_at_budget_1.value


def test_a_calibration_too_small_for_one_percent_has_no_such_figure(bundle: Bundle, flat: Path) -> None:
    real = {"all": bundle.info.calibration.real["all"][:60]}
    calibration = msgspec.structs.replace(bundle.info.calibration, real=real)
    info = msgspec.structs.replace(bundle.info, calibration=calibration)
    found = robustness(replace(bundle, info=info), flat)
    assert {row.fpr_at_budget_1 for row in (found.clean, *found.grid)} == {None}
    assert found.mean.fpr_at_budget_1 is found.worst.fpr_at_budget_1 is None


def test_the_grid_in_one_figure_each(bundle: Bundle, flat: Path) -> None:
    found = robustness(bundle, flat)

    def values(name: str) -> list[float]:
        return [getattr(row.headline, name).value for row in found.grid]

    assert found.mean.accuracy == pytest.approx(np.mean(values("accuracy")))
    assert found.mean.ece == pytest.approx(np.mean(values("ece")))
    assert (found.worst.accuracy, found.worst.ece) == (min(values("accuracy")), max(values("ece")))
    assert (found.worst.auroc, found.worst.fpr) == (min(values("auroc")), max(values("fpr")))
    assert (found.worst.tpr, found.worst.fnr) == (min(values("tpr")), max(values("fnr")))
    assert named(found)[found.lowest].headline.accuracy.value == found.worst.accuracy
    assert isinstance(found.mean, Overall)


def test_a_new_family_leaves_no_line_of_the_figure_empty(
    bundle: Bundle, flat: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = robustness(bundle, flat)
    monkeypatch.setitem(plots.FAMILIES, "new", replace(plots.FAMILIES["blur"]))
    new = [replace(row, family="new") for row in found.grid if row.family == "blur"]
    # Seven panels and the wide one, which does not fit beside the seventh.
    picture = Image.open(io.BytesIO(plots.robustness(replace(found, grid=(*found.grid, *new))).png)).convert("L")
    third = np.asarray(picture)[-picture.height // 3 :]
    assert np.mean(third < 255) > 0.01


def brier(found: Robustness) -> NDArray[np.float64]:
    return np.array([row.headline.brier.value for row in (found.clean, *found.grid)])


def test_noise_hangs_on_the_seed_and_the_image_and_on_nothing_else(bundle: Bundle, textured: Path) -> None:
    dataset = Dataset.open(textured)
    hashes = content_hashes(dataset)

    def judge(indices: list[int], seed: int = 0) -> Robustness:
        report = measure(Panel((bundle,)), Chosen(dataset, hashes, np.array(indices), ALL), robustness=True, seed=seed)
        assert report.robustness
        return report.robustness

    both, again, other = judge([3, 30]), judge([3, 30]), judge([3, 30], seed=1)
    assert both == again
    noisy = np.array([False, *(degradation.family == "noise" for degradation in DEGRADATIONS)])
    assert (brier(both) != brier(other)).tolist() == noisy.tolist()
    # The mean of squares over two images is that of each by itself, if neither knows of the other.
    assert 2 * brier(both) == pytest.approx(brier(judge([3])) + brier(judge([30])), abs=1e-12)
    # Nor does the place of an image in the data matter.
    fewer = dataset.select(np.array([3, 30]))
    chosen = Chosen(fewer, content_hashes(fewer), np.array([0, 1]), ALL)
    assert measure(Panel((bundle,)), chosen, robustness=True).robustness == both


def test_progress_covers_the_grid(bundle: Bundle, flat: Path) -> None:
    (flat / "REAL" / "broken.png").write_bytes(b"no image")
    steps: list[tuple[int, int]] = []

    def watch(stage: str, done: int, total: int) -> None:
        if stage == "Judging degraded":
            steps.append((done, total))

    evaluate(bundle, flat, robustness=True, watch=watch)
    assert steps[-1] == (6 * len(DEGRADATIONS),) * 2
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert {total for _, total in steps} == {6 * len(DEGRADATIONS)}


def test_what_could_not_be_judged_is_in_no_row(bundle: Bundle, flat: Path) -> None:
    clean = robustness(bundle, flat)
    (flat / "REAL" / "broken.png").write_bytes(b"no image")
    # In scope or not, it can be judged as it is, but not as a JPEG.
    save(flat / "REAL" / "long.png", np.full((1, 70_000, 3), 255, np.uint8))
    report = evaluate(bundle, flat, robustness=True)
    assert report.as_is.headline.images == 7
    found = report.robustness
    assert found
    assert found.left_out == (LeftOut("REAL/long.png", "jpeg 90: A JPEG cannot have more than 65,500 pixels a side."),)
    assert {row.headline.images for row in (found.clean, *found.grid)} == {6}
    assert found.clean.headline == clean.clean.headline


class Vanishing:
    """A storage that has one of its files only once."""

    def __init__(self, storage: Storage, name: str) -> None:
        self.names = storage.names
        self.fingerprint = storage.fingerprint
        self._storage = storage
        self._once = name
        self._gone = False

    def read(self, name: str) -> bytes:
        if name == self._once:
            if self._gone:
                raise OSError("it is gone")
            self._gone = True
        return self._storage.read(name)


def test_a_file_that_vanishes_in_between_is_in_no_row(bundle: Bundle, flat: Path) -> None:
    dataset = Dataset.open(flat)
    hashes = content_hashes(dataset)
    vanishing = replace(dataset, storage=Vanishing(dataset.storage, "REAL/80.png"))
    found = measure(Panel((bundle,)), Chosen(vanishing, hashes, np.arange(6), ALL), robustness=True).robustness
    assert found
    assert found.left_out == (LeftOut("REAL/80.png", "The file cannot be read again: it is gone"),)
    assert {row.headline.images for row in (found.clean, *found.grid)} == {5}
    assert found.clean.headline.accuracy.value == 2 / 5


def test_nothing_that_could_be_degraded_is_an_error(bundle: Bundle, tmp_path: Path) -> None:
    for value, label in enumerate(("REAL", "FAKE")):
        save(tmp_path / label / "long.png", np.full((1, 70_000, 3), value, np.uint8))
    with pytest.raises(EvaluationError, match=r"None of the 2 images .* under all degradations\. The first: .*JPEG"):
        evaluate(bundle, tmp_path, robustness=True)


def test_one_class_alone(bundle: Bundle, flat: Path) -> None:
    dataset = Dataset.open(flat)
    indices = np.flatnonzero(dataset.labels == 1)
    report = measure(Panel((bundle,)), Chosen(dataset, content_hashes(dataset), indices, ALL), robustness=True)
    found = report.robustness
    assert found
    assert found.flips_real is None
    assert found.flips_ai is not None
    assert found.mean.auroc is found.mean.fpr is found.worst.fpr_at_budget_1 is None
    assert found.mean.tpr is not None


def test_copies_are_left_out_unless_there_is_nothing_else(bundle: Bundle, flat: Path) -> None:
    save(flat / "FAKE" / "copy.png", np.full((32, 32, 3), 200, np.uint8))
    report = evaluate(bundle, flat, robustness=True)
    assert report.copies == 1
    assert report.deduplicated
    assert report.robustness
    assert report.robustness.clean.headline == report.deduplicated.headline
    dataset = Dataset.open(flat)
    copy = np.array([dataset.paths.index("FAKE/copy.png")])
    alone = measure(Panel((bundle,)), Chosen(dataset, content_hashes(dataset), copy, ALL), robustness=True)
    assert alone.deduplicated is None
    assert alone.robustness
    assert alone.robustness.clean.headline == alone.as_is.headline


def test_nothing_is_degraded_unless_asked_for(bundle: Bundle, flat: Path) -> None:
    assert evaluate(bundle, flat).robustness is None
