"""Maps of error levels, noise and JPEG ghosts: their formulas, and that they show what they are for."""

import io

import numpy as np
import pytest
from PIL import Image

from pyrite.bundle.preprocess import Pixels
from pyrite.evidence.compression import COSINES, scale_table
from pyrite.explanation.traces import CELL, error_levels, find_ghost, noise_levels, requantise, thin


def photo(seed: int = 0, side: int = 384) -> Pixels:
    """Return a picture (side, side, 3) with detail at every scale, as photographs have it."""
    chance = np.random.default_rng(seed)
    planes = np.zeros((side, side))
    for size in (6, 12, 24, 48, 96, 192):
        layer = Image.fromarray(chance.normal(0, 1, (size, size)).astype(np.float32))
        planes += np.asarray(layer.resize((side, side), Image.Resampling.BICUBIC)) * (60 / size**0.5)
    grey = np.clip(128 + planes, 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def resave(pixels: Pixels, quality: int) -> Pixels:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    with Image.open(stream) as image:
        return np.asarray(image)


def splice(whole: Pixels, part: Pixels) -> Pixels:
    """Return an image of 24 × 24 cells with those from 8 to 16 from another."""
    spliced = whole.copy()
    spliced[128:256, 128:256] = part[:128, :128]
    return spliced


INSIDE = np.zeros((24, 24), np.bool_)
INSIDE[9:15, 9:15] = True
OUTSIDE = np.ones((24, 24), np.bool_)
OUTSIDE[6:18, 6:18] = False


def test_error_levels_are_the_mean_change_of_a_pixel() -> None:
    pixels = photo(side=96)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=95, subsampling=0)
    with Image.open(stream) as image:
        changes = np.abs(pixels.astype(int) - np.asarray(image))
    levels = error_levels(pixels)
    assert (levels.shape, levels.dtype) == ((6, 6), np.float32)
    assert levels[1, 2] == pytest.approx(changes[16:32, 32:48].mean(), abs=1e-5)
    assert levels.mean() == pytest.approx(changes.mean(), abs=1e-5)


def test_a_part_that_was_never_saved_has_higher_error_levels() -> None:
    levels = error_levels(splice(resave(photo(0), 70), photo(1)))
    assert np.median(levels[INSIDE]) > 1.5 * np.median(levels[OUTSIDE])


@pytest.mark.parametrize("sigma", [2.0, 8.0])
def test_noise_levels_are_the_standard_deviation_of_the_noise(sigma: float) -> None:
    noise = np.random.default_rng(0).normal(128, sigma, (384, 384))
    pixels = np.repeat(np.clip(noise.round(), 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    levels = noise_levels(pixels)
    assert (levels.shape, levels.dtype) == ((24, 24), np.float32)
    assert levels.mean() == pytest.approx(sigma, rel=0.05)


def test_the_noise_of_one_cell_by_hand() -> None:
    pixels = np.full((16, 16, 3), 100, np.uint8)
    pixels[::2, ::2] = 106  # So each 2 × 2 pixels have |HH| of 6 / 2.
    assert noise_levels(pixels).item() == pytest.approx(3 / 0.6745, abs=1e-3)


def test_a_pasted_part_with_other_noise_lights_up() -> None:
    clean = np.asarray(Image.fromarray(photo(0, 96)).resize((384, 384), Image.Resampling.BICUBIC))
    chance = np.random.default_rng(1)

    def noisy(sigma: float) -> Pixels:
        return np.clip(clean + chance.normal(0, sigma, clean.shape), 0, 255).astype(np.uint8)

    levels = noise_levels(splice(noisy(2), noisy(6)[128:, 128:]))
    assert levels[INSIDE].min() > 1.5 * levels[OUTSIDE].mean()


def test_requantising_is_what_a_save_does_to_pixels() -> None:
    pixels = photo(side=64)
    light = pixels[..., 0].astype(np.float64) - 128
    table = scale_table(60)
    for row, column in ((0, 0), (3, 2)):
        wanted = 0.0
        for y, x in ((0, 0), (0, 8), (8, 0), (8, 8)):
            block = light[row * CELL + y :, column * CELL + x :][:8, :8]
            steps = COSINES @ block @ COSINES.T / table
            rest = (steps - np.rint(steps)) * table
            rest[0, 0] = 0
            wanted += (rest**2).sum() / CELL**2
        assert requantise(pixels, [40, 60])[1, row, column] == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize(("first", "last"), [(60, 85), (70, 90), (75, 95), (70, None)])
def test_the_past_of_all_but_a_pasted_part_shows(first: int, last: int | None) -> None:
    spliced = splice(resave(photo(0), first), photo(1))
    ghost = find_ghost(resave(spliced, last) if last else spliced, last)
    assert ghost is not None
    assert ghost.quality == pytest.approx(first, abs=3)
    assert np.nanmedian(ghost.dips[INSIDE]) < 0.2
    assert np.nanmedian(ghost.dips[OUTSIDE]) > 0.6
    assert 0.5 < ghost.share < 0.95


def test_the_past_of_a_pasted_part_alone_shows() -> None:
    ghost = find_ghost(resave(splice(photo(0), resave(photo(1), 65)), 92), 92)
    assert ghost is not None
    assert ghost.quality == pytest.approx(65, abs=2)
    assert np.nanmedian(ghost.dips[INSIDE]) > 0.6 > 0.2 > np.nanmedian(ghost.dips[OUTSIDE])
    assert ghost.share < 0.3


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("last", [75, 85, 95, None])
def test_an_image_that_was_saved_once_or_never_has_no_ghost(seed: int, last: int | None) -> None:
    assert find_ghost(resave(photo(seed), last) if last else photo(seed), last) is None


def test_no_ghost_is_looked_for_above_the_quality_of_the_file_or_in_flat_images() -> None:
    assert find_ghost(photo(), 40) is None
    assert find_ghost(np.full((128, 128, 3), 255, np.uint8)) is None


def test_smooth_parts_of_a_ghost_are_unknown() -> None:
    image = resave(photo(0), 70).copy()
    image[:, :128] = 200
    ghost = find_ghost(image)
    assert ghost is not None
    assert np.isnan(ghost.dips[:, :7]).all()
    assert np.isnan(ghost.dips[:, 8:]).mean() < 0.05


def test_of_a_large_image_cells_at_equal_distances_are_left() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16 * 7 + 3, 16 * 9 + 5, 3), np.uint8)
    whole, apart = thin(pixels)
    assert apart == (1, 1)
    np.testing.assert_array_equal(whole, pixels[:112, :144])
    few, apart = thin(pixels, most=16 * 16 * 16)
    assert (few.shape, apart) == ((48, 64, 3), (2, 2))
    np.testing.assert_array_equal(few[16:32, 48:64], pixels[32:48, 96:112])
    np.testing.assert_array_equal(thin(pixels.swapaxes(0, 1))[0], pixels[:112, :144].swapaxes(0, 1))


def test_a_long_strip_keeps_cells_and_is_searched() -> None:
    strip = np.tile(resave(photo(0), 70)[:64], (1, 200, 1))
    few, apart = thin(strip, most=100_000)
    assert few.shape[0] >= CELL
    assert few.shape[0] * few.shape[1] <= 100_000
    assert apart[0] <= 4 < apart[1]
    ghost = find_ghost(strip)
    assert ghost is not None
    assert ghost.quality == pytest.approx(70, abs=2)
