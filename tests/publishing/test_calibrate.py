from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pyrite.bundle import Bundle, Calibration
from pyrite.datasets import Dataset
from pyrite.datasets.augment import RandomHistory
from pyrite.publishing.calibrate import calibrate


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Plain images, real ones dark and AI ones bright, of which a bundle tells the brightness."""
    for number in range(120):
        label = number % 2
        path = tmp_path / "data" / ("real", "ai")[label] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (24, 24), (100 + 30 * label + number // 6,) * 3).save(path)
    return Dataset.open(tmp_path / "data")


def calibrated(bundle: Bundle, dataset: Dataset, *, degraded: bool) -> Calibration:
    indices = np.arange(len(dataset))
    model = bundle.read("model.onnx")
    return calibrate(
        bundle.info,
        model,
        dataset,
        indices,
        change=RandomHistory() if degraded else None,
        seed=0,
        watch=lambda stage: None,
    )


def test_half_of_the_images_are_degraded_where_budgets_are_for_those_too(bundle: Bundle, dataset: Dataset) -> None:
    plain, mixed = (calibrated(bundle, dataset, degraded=degraded) for degraded in (False, True))
    assert (mixed.slope, mixed.intercept) == (plain.slope, plain.intercept)  # The probability is of images as they are.
    for before, after in ((plain.real, mixed.real), (plain.ai, mixed.ai)):
        assert len(before["all"]) == len(after["all"]) == 60
        # Of 30, most histories leave the mean brightness as it was.
        assert 3 <= len(set(after["all"]) - set(before["all"])) <= 30
    # Others brighten and darken, so images overlap that did not.
    assert max(plain.real["all"]) < max(mixed.real["all"])
    assert min(plain.ai["all"]) > min(mixed.ai["all"])
    assert calibrated(bundle, dataset, degraded=True) == mixed


def test_an_image_that_cannot_be_degraded_calibrates_as_it_is(bundle: Bundle, dataset: Dataset, tmp_path: Path) -> None:
    for number in range(30):  # Larger than a JPEG can be, as which every other history saves.
        Image.new("RGB", (65_501, 1), (200 + number, 0, 0)).save(tmp_path / f"data/real/wide{number}.png")
    found = calibrated(bundle, Dataset.open(tmp_path / "data"), degraded=True)
    assert (len(found.real["all"]), len(found.ai["all"])) == (90, 60)
