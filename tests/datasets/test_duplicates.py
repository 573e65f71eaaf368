import io

import numpy as np
import pytest
from PIL import Image

from pyrite.bundle.preprocess import Pixels
from pyrite.datasets import duplicates
from pyrite.datasets.duplicates import Pairs, cluster, find_copies, find_near_copies


def draw(count: int, seed: int = 0) -> Pixels:
    """Return pictures of blocks and of detail, none like another."""
    random = np.random.default_rng(seed)
    coarse = random.normal(128, 30, (count, 8, 8, 3)).repeat(4, axis=1).repeat(4, axis=2)
    return (coarse + random.normal(0, 12, (count, 32, 32, 1))).clip(0, 255).astype(np.uint8)


def resave(pixels: Pixels, quality: int) -> Pixels:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality, subsampling=0)
    return np.asarray(Image.open(stream))


def pairs_of(found: Pairs) -> list[tuple[int, int]]:
    return list(zip(found.first.tolist(), found.second.tolist(), strict=True))


def test_files_of_the_same_bytes_are_grouped() -> None:
    groups = find_copies(["a", "b", "", "a", "c", "", "b", "a"])
    assert [group.tolist() for group in groups] == [[0, 3, 7], [1, 6]]
    assert find_copies(["", ""]) == []


def test_copies_are_found_however_they_were_saved_brightened_or_faded() -> None:
    pixels = draw(40)
    pixels[31] = resave(pixels[3], 85)
    pixels[7] = (pixels[20] * 0.8 + 30).astype(np.uint8)
    pixels[12] = pixels[13]
    found = find_near_copies(pixels, np.arange(40))
    assert pairs_of(found) == [(12, 13), (7, 20), (3, 31)]
    assert found.complete
    assert found.likeness[0] == pytest.approx(1, abs=1e-5)
    assert list(found.likeness) == sorted(found.likeness, reverse=True)


def test_the_likeness_is_the_correlation_of_the_details() -> None:
    pixels = draw(2)
    pixels[1] = resave(pixels[0], 85)
    cells = [image.reshape(8, 4, 8, 4, 3).mean(axis=(1, 3)) for image in pixels]
    details = [
        image - mean.repeat(4, axis=0).repeat(4, axis=1)
        for image, mean in zip(pixels.astype(float), cells, strict=True)
    ]
    found = find_near_copies(pixels, np.arange(2))
    assert found.likeness[0] == pytest.approx(np.corrcoef(details[0].ravel(), details[1].ravel())[0, 1], abs=1e-5)


def test_seas_and_skies_are_alike_and_no_copies() -> None:
    random = np.random.default_rng(0)
    sky = np.linspace(220, 60, 32)[:, None, None] * np.ones((1, 32, 3))
    pixels = (sky + random.normal(0, 6, (5, 32, 32, 3))).clip(0, 255).astype(np.uint8)
    assert pairs_of(find_near_copies(pixels, np.arange(5))) == []


def test_clear_skies_are_no_copies_and_a_resaved_picture_with_much_sky_is_one() -> None:
    random = np.random.default_rng(0)
    ends = random.uniform((150, 20), (255, 120), (8, 2))
    pixels = np.linspace(ends[:, 0], ends[:, 1], 32, axis=1)[:, :, None, None] * np.ones((1, 1, 32, 3))
    pixels[:, 8:20, 4:28] += random.normal(0, 12, (8, 12, 24, 1)) * (np.arange(8) >= 6)[:, None, None, None]
    skies = (pixels + random.normal(0, 1.5, pixels.shape)).clip(0, 255).astype(np.uint8)
    skies[7] = resave(skies[6], 85)
    assert pairs_of(find_near_copies(skies, np.arange(8))) == [(6, 7)]


def test_flat_images_and_those_not_chosen_are_not_compared() -> None:
    pixels = np.full((6, 32, 32, 3), 255, np.uint8)
    pixels[2:] = draw(1)
    assert pairs_of(find_near_copies(pixels, np.array([0, 1, 3, 5]))) == [(3, 5)]
    assert pairs_of(find_near_copies(pixels, np.array([], np.intp))) == []


def test_nothing_is_lost_between_the_parts_that_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = draw(60)
    pixels[30:] = pixels[:30][::-1]
    expected = [(i, 59 - i) for i in range(30)]
    for name, value in (("_ROWS", 7), ("_COLUMNS", 11), ("_PART", 3)):
        monkeypatch.setattr(duplicates, name, value)
    steps: list[tuple[int, int]] = []
    found = find_near_copies(pixels, np.arange(60), lambda done, total: steps.append((done, total)))
    assert sorted(pairs_of(found)) == expected
    assert steps == sorted(steps)
    assert steps[-1] == (60, 60)


def test_the_search_ends_where_everything_is_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "MAX_PAIRS", 10)
    monkeypatch.setattr(duplicates, "_PART", 8)
    found = find_near_copies(draw(1).repeat(50, axis=0), np.arange(50))
    assert not found.complete
    assert 10 <= len(found.first) < 20


def test_copies_of_copies_are_one_cluster() -> None:
    near = Pairs(np.array([1, 5]), np.array([4, 6]), np.ones(2, np.float32))
    numbers = cluster(8, [np.array([0, 1, 2])], near).tolist()
    assert numbers[0] == numbers[1] == numbers[2] == numbers[4]
    assert numbers[5] == numbers[6]
    assert len(set(numbers)) == 4
