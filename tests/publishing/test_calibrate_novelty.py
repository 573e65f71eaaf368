from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from novelties import bordered, textures
from pyrite.bundle import Bundle
from pyrite.bundle.novelty import measure_statistics
from pyrite.datasets import Dataset
from pyrite.errors import DatasetError
from pyrite.publishing.novelty import LEAST, calibrate_novelty


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    for number, pixels in enumerate(textures(LEAST + 10)):
        path = tmp_path / "data" / ("real", "ai")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return Dataset.open(tmp_path / "data")


def test_what_calibrated_a_bundle_is_typical_and_a_border_is_not(bundle: Bundle, dataset: Dataset) -> None:
    pytest.importorskip("sklearn")
    stages = []
    indices = np.arange(len(dataset))
    found = calibrate_novelty(bundle, dataset, indices, seed=0, watch=stages.append)
    assert found
    assert found.features is found.neighbours is None  # This model's last layer is a mean.
    assert {name: len(group.merged) for name, group in found.groups.items()} == {"as they are": 204, "degraded": 204}
    assert (stages[-1].done, stages[-1].total) == (len(dataset), len(dataset))
    new = textures(200, seed=1)
    assert np.mean(found.p_typical(measure_statistics(new), None) <= 0.01) <= 0.03
    assert np.mean(found.p_typical(measure_statistics(bordered(new)), None) <= 0.01) >= 0.9
    again = calibrate_novelty(bundle, dataset, indices, seed=0, watch=stages.append)
    assert again
    assert (again.p_typical(measure_statistics(new), None) == found.p_typical(measure_statistics(new), None)).all()


def test_too_few_images_tell_nothing(bundle: Bundle, dataset: Dataset) -> None:
    few = np.arange(LEAST - 1)
    stages: list[object] = []
    assert calibrate_novelty(bundle, dataset, few, seed=0, watch=stages.append) is None
    assert stages == []


def test_copies_of_a_picture_are_one_picture(bundle: Bundle, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    drawn = np.random.default_rng(0).integers(0, 256, (LEAST // 2 + 10, 16, 16, 3), np.uint8)
    for number, pixels in enumerate(drawn.repeat(2, 1).repeat(2, 2)):
        folder = tmp_path / "data" / ("real", "ai")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        Image.fromarray(pixels).save(folder / f"{number}.jpg", quality=95)
    dataset = Dataset.open(tmp_path / "data")
    assert len(dataset) > LEAST
    assert calibrate_novelty(bundle, dataset, np.arange(len(dataset)), seed=0, watch=lambda stage: None) is None


def test_an_image_that_is_gone_is_named(bundle: Bundle, dataset: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    (tmp_path / "data" / dataset.paths[3]).write_bytes(b"")
    with pytest.raises(DatasetError, match=f"{dataset.paths[3]} could be read before, and now cannot"):
        calibrate_novelty(bundle, dataset, np.arange(len(dataset)), seed=0, watch=lambda stage: None)
