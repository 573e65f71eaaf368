from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from pyrite.datasets import Dataset
from pyrite.datasets.views import DETAILED, find_picture, read_views


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize(
    ("left", "top", "right", "bottom"), [(5, 5, 5, 5), (0, 20, 0, 20), (30, 0, 0, 0), (1, 2, 3, 4), (40, 40, 40, 40)]
)
@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (10, 200, 90)])
def test_a_border_is_found_to_the_pixel(
    left: int, top: int, right: int, bottom: int, colour: tuple[int, int, int]
) -> None:
    framed = ImageOps.expand(Image.fromarray(noise(70, 90)), (left, top, right, bottom), colour)
    assert find_picture(np.asarray(framed)) == (left, top, left + 90, top + 70)


def test_a_picture_without_a_border_or_with_next_to_nothing_within_has_none() -> None:
    assert find_picture(noise(70, 90)) is None
    assert find_picture(np.full((70, 90, 3), 255, np.uint8)) is None
    for side in (10, 30):  # A mark on a plain ground.
        framed = ImageOps.expand(Image.fromarray(noise(side, side)), 60, (255, 255, 255))
        assert find_picture(np.asarray(framed)) is None
    thin = ImageOps.expand(Image.fromarray(noise(400, 400)), 2, (0, 0, 0))
    assert find_picture(np.asarray(thin)) is None
    assert find_picture(noise(1, 1)) is None


def test_views_are_of_what_can_be_read_and_in_detail_of_what_is_wanted(tmp_path: Path) -> None:
    for label in ("ai", "real"):
        (tmp_path / label).mkdir()
    Image.fromarray(noise(80, 160)).save(tmp_path / "ai" / "0.png")
    ImageOps.expand(Image.fromarray(noise(64, 64, 1)), 16).save(tmp_path / "ai" / "1.png")
    (tmp_path / "ai" / "2.png").write_bytes(b"no image")
    Image.fromarray(noise(64, 64, 2)).save(tmp_path / "real" / "3.png")
    dataset = Dataset.open(tmp_path)
    assert [Path(path).stem for path in dataset.paths] == ["0", "1", "2", "3"]
    steps: list[tuple[int, int]] = []
    views = read_views(dataset, 32, np.array([0, 2, 3]), lambda done, total: steps.append((done, total)))
    assert views.bordered.tolist() == [1]
    picture = Image.fromarray(noise(64, 64, 1)).resize((32, 32), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(views.trimmed, np.asarray(picture)[None])
    assert views.detailed.tolist() == [0, 3]
    assert views.aspects.tolist() == [2, 1]
    assert views.pixels.shape == (2, DETAILED, DETAILED, 3)
    np.testing.assert_array_equal(views.pixels[1], noise(64, 64, 2))
    assert steps == [(4, 4)]
