import io
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pyrite.bundle.preprocess import Pixels
from pyrite.datasets.degrade import (
    DEGRADATIONS,
    FAMILIES,
    Degradation,
    add_noise,
    blur,
    change_gamma,
    crop,
    degrade_at_random,
    mirror,
    resample,
    save_jpeg,
    save_twice,
    sharpen,
)

IDS = [degradation.name for degradation in DEGRADATIONS]
SHAPES = [(1, 1), (1, 300), (300, 1), (7, 5), (32, 32)]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def waves() -> Pixels:
    """24 × 40 pixels of waves, some of them fine."""
    y, x = np.mgrid[:24, :40]
    channels = (
        128 + 90 * np.sin(x * (y + 7) / 19),
        110 + 80 * np.cos(x / 3 - y / 2),
        128 + 60 * np.sin(x / 3) * np.cos(y / 4),
    )
    return np.stack(channels, -1).round().astype(np.uint8)


def change(pixels: Pixels, other: Pixels) -> float:
    return float(np.abs(pixels.astype(int) - other).mean())


# The mean absolute difference from `waves`, out of 255.
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("jpeg 90", 18.12), ("jpeg 70", 19.91), ("jpeg 50", 23.03), ("jpeg 30", 26.61), ("saved twice", 26.13),
        ("blur 0.6", 8.08), ("blur 1", 16.29), ("noise 4", 3.26), ("noise 8", 6.52), ("noise 16", 13.05),
        ("resize bilinear 0.75", 11.81), ("resize bilinear 0.625", 14.72), ("resize bicubic 0.75", 5.52),
        ("resize bicubic 0.625", 8.49), ("crop", 32.36), ("gamma 0.7", 26.73), ("gamma 1.4", 26.19),
        ("mirror", 58.95),
    ],
)  # fmt: skip
def test_how_far_each_takes_an_image(name: str, expected: float) -> None:
    degradation = DEGRADATIONS[IDS.index(name)]
    assert change(degradation.apply(waves(), rng()), waves()) == pytest.approx(expected, rel=0.03)


def test_the_grid_has_every_family_at_every_strength_under_a_name_of_its_own() -> None:
    assert len(set(IDS)) == len(IDS) == sum(len(family.strengths) for family in FAMILIES.values())
    assert Degradation("crop", 0.875).name == "crop"
    assert Degradation("blur", 1.0).name == "blur 1"


@pytest.mark.parametrize("degradation", DEGRADATIONS, ids=IDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_any_shape_and_content_keeps_its_shape_and_the_input(degradation: Degradation, shape: tuple[int, int]) -> None:
    noise = rng(1).integers(0, 256, (*shape, 3), np.uint8)
    for pixels in (noise, np.zeros_like(noise), np.full_like(noise, 255)):
        before = pixels.copy()
        found = degradation.apply(pixels, rng())
        assert found.shape == pixels.shape
        assert found.dtype == np.uint8
        assert np.array_equal(pixels, before)
        assert np.array_equal(found, degradation.apply(pixels, rng()))


@pytest.mark.parametrize("degradation", DEGRADATIONS, ids=IDS)
def test_the_layout_in_memory_makes_no_difference(degradation: Degradation) -> None:
    pixels = waves()
    for view in (pixels[::-1, ::2], np.asfortranarray(pixels), pixels.swapaxes(0, 1)):
        assert not view.flags.c_contiguous
        copy = np.ascontiguousarray(view)
        assert np.array_equal(degradation.apply(view, rng()), degradation.apply(copy, rng()))
    pixels.flags.writeable = False
    degradation.apply(pixels, rng())


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.neutral is not None])
def test_the_neutral_strength_changes_nothing(name: str) -> None:
    family = FAMILIES[name]
    assert family.neutral is not None
    assert np.array_equal(family.apply(waves(), family.neutral, rng()), waves())


@pytest.mark.parametrize("name", ["jpeg", "blur", "noise", "resize bilinear", "resize bicubic"])
def test_strengths_go_from_mild_to_strong(name: str) -> None:
    found = [change(FAMILIES[name].apply(waves(), s, rng()), waves()) for s in FAMILIES[name].strengths]
    assert all(mild < strong for mild, strong in pairwise(found))


@pytest.mark.parametrize("degradation", DEGRADATIONS, ids=IDS)
def test_only_noise_draws(degradation: Degradation) -> None:
    same = np.array_equal(degradation.apply(waves(), rng(1)), degradation.apply(waves(), rng(2)))
    assert same == (degradation.family != "noise")


def test_black_and_white_stay_where_nothing_can_change_them() -> None:
    for value in (0, 255):
        flat = np.full((9, 11, 3), value, np.uint8)
        for degradation in DEGRADATIONS:
            if degradation.family != "noise":
                # JPEG rounds.
                assert np.abs(degradation.apply(flat, rng()).astype(int) - value).max() <= 1, degradation.name


def test_jpeg_is_what_pillow_saves_with_halved_colour() -> None:
    stream = io.BytesIO()
    Image.fromarray(waves()).save(stream, "JPEG", quality=50, subsampling="4:2:0")
    assert np.array_equal(save_jpeg(waves(), 50, rng()), np.asarray(Image.open(stream)))
    assert np.array_equal(save_twice(waves(), 80, rng()), save_jpeg(save_jpeg(waves(), 80, rng()), 60, rng()))


def test_an_image_too_long_for_a_jpeg_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="more than 65,500 pixels a side"):
        save_jpeg(np.zeros((1, 65_501, 3), np.uint8), 90, rng())
    assert save_jpeg(np.zeros((65_500, 1, 3), np.uint8), 90, rng()).shape == (65_500, 1, 3)
    assert capfd.readouterr() == ("", "")


def gaussian(pixels: Pixels, sigma: float) -> NDArray[np.float64]:
    """Blur by a kernel of four standard deviations to either side, over an image mirrored at its outermost pixels."""
    radius = int(4 * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    values = np.pad(pixels.astype(np.float64), ((radius, radius), (radius, radius), (0, 0)), mode="reflect")
    for axis in (0, 1):
        values = np.apply_along_axis(np.convolve, axis, values, kernel, "valid")
    return values


def test_blur_and_sharpening_are_those_of_the_formula() -> None:
    for sigma in (0.6, 1.0):
        assert np.abs(blur(waves(), sigma, rng()) - gaussian(waves(), sigma)).max() <= 0.51
    sharp = waves() + 0.5 * (waves() - gaussian(waves(), 1))
    assert np.abs(sharpen(waves(), 0.5, rng()) - sharp.clip(0, 255)).max() <= 0.51


def test_noise_has_the_spread_it_says() -> None:
    grey = np.full((200, 200, 3), 128, np.uint8)
    noise = add_noise(grey, 8, rng()).astype(float) - 128
    assert noise.std() == pytest.approx(8, rel=0.02)
    assert noise.mean() == pytest.approx(0, abs=0.1)
    # Neighbours and channels have nothing to do with each other.
    assert abs(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.02


def test_gamma_and_mirroring_by_hand() -> None:
    pixels = np.array([[[0, 1, 64], [128, 254, 255]]], np.uint8)
    # 255 · (v/255)^0.7, by hand.
    assert change_gamma(pixels, 0.7, rng()).tolist() == [[[0, 5, 97], [157, 254, 255]]]
    assert mirror(pixels, 1, rng()).tolist() == pixels[:, ::-1].tolist()


def test_resizing_and_cropping_by_hand() -> None:
    stripes = np.zeros((8, 8, 3), np.uint8)
    stripes[:, ::2] = 255
    # To half the size by a box, and back by nothing but repetition: the stripes' mean.
    assert set(resample(stripes, 0.5, Image.Resampling.BOX, Image.Resampling.NEAREST).ravel()) == {128}
    # The kernel reaches one pixel beyond the cut, which is two once it is enlarged.
    inner = np.zeros((16, 16, 3), np.uint8)
    inner[4:12, 4:12] = 200
    assert set(crop(inner, 0.5, rng())[2:-2, 2:-2].ravel()) == {200}
    corner = np.zeros((16, 16, 3), np.uint8)
    corner[8:, 8:] = 200
    assert set(crop(corner, 0.5, rng(), top=1, left=1)[2:, 2:].ravel()) == {200}


def test_a_random_history_hangs_on_the_generator_alone() -> None:
    histories = [degrade_at_random(waves(), rng(seed)) for seed in range(400)]
    assert all(np.array_equal(degrade_at_random(waves(), rng(seed)), histories[seed]) for seed in range(40))
    # A training run can be repeated only if these stay.
    changes = [change(history, waves()) for history in histories]
    first = [24.98, 11.93, 22.33, 19.65, 23.59, 25.39, 20.09, 43.92, 8.01, 0, 25.79, 46.69]
    assert changes[:12] == pytest.approx(first, abs=0.2)
    # Each step is left out by itself, so 0.3 · 0.8 · 0.8 · 0.55 · 0.85 of the images stay as they are: in the mean 36
    # of 400, give or take 6.
    assert changes.count(0) == 47
    assert np.mean(changes) == pytest.approx(20.87, rel=0.02)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_random_history_keeps_any_shape(shape: tuple[int, int]) -> None:
    pixels = rng(1).integers(0, 256, (*shape, 3), np.uint8)
    for seed in range(60):
        found = degrade_at_random(pixels, rng(seed))
        assert found.shape == pixels.shape
        assert found.dtype == np.uint8
