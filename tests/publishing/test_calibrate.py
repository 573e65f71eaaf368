from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pyrite.bundle import Bundle, Calibration
from pyrite.datasets import Dataset
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
    return calibrate(bundle.info, model, dataset, indices, degraded=degraded, seed=0, watch=lambda stage: None)


def test_budgets_hold_for_images_as_they_are_and_for_degraded_ones(bundle: Bundle, dataset: Dataset) -> None:
    plain, both = (calibrated(bundle, dataset, degraded=degraded) for degraded in (False, True))
    assert (list(plain.real), list(plain.ai)) == (["all"], ["all"])
    assert (both.real["as they are"], both.ai["as they are"]) == (plain.real["all"], plain.ai["all"])
    assert (both.slope, both.intercept) == (plain.slope, plain.intercept)  # The probability is of images as they are.
    # Some histories brighten and darken, so images overlap that did not.
    assert max(plain.real["all"]) < max(both.real["degraded"])
    assert min(plain.ai["all"]) > min(both.ai["degraded"])
    logits = np.linspace(-9, 9, 100)
    assert np.all(both.p_real(logits) >= plain.p_real(logits))
    assert np.any(both.p_ai(logits) > plain.p_ai(logits))
    assert calibrated(bundle, dataset, degraded=True) == both


def test_an_image_that_cannot_be_degraded_is_in_the_other_group_alone(
    bundle: Bundle, dataset: Dataset, tmp_path: Path
) -> None:
    for number in range(6):  # Larger than a JPEG can be, which every third history saves.
        Image.new("RGB", (65_501, 1), (number, 0, 0)).save(tmp_path / f"data/real/wide{number}.png")
    found = calibrated(bundle, Dataset.open(tmp_path / "data"), degraded=True)
    assert len(found.real["as they are"]) == 66
    assert 60 < len(found.real["degraded"]) < 66
