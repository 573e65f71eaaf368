import numpy as np
import pytest
from PIL import Image, ImageFilter

from pyrite.matching.alignment import align_power
from pyrite.spectrum import luma, radial_spectrum


@pytest.fixture
def view() -> np.ndarray:
    rng = np.random.default_rng(0)
    fine, coarse = rng.normal(128, 20, (96, 128, 3)), rng.normal(0, 30, (12, 16, 3)).repeat(8, 0).repeat(8, 1)
    return (fine + coarse).clip(0, 255).astype(np.uint8)


def test_a_blurred_image_gets_its_detail_back_and_not_its_view(view: np.ndarray) -> None:
    blurred = np.asarray(Image.fromarray(view).filter(ImageFilter.GaussianBlur(0.7)))
    aligned = align_power(blurred, view)
    before, after, wanted = (radial_spectrum(luma(image)) for image in (blurred, aligned, view))
    assert np.abs(before - wanted).max() > 2
    assert np.abs(after - wanted).max() < 0.2
    assert not np.array_equal(aligned, view)
    assert aligned.mean((0, 1)) == pytest.approx(blurred.mean((0, 1)), abs=0.5)


def test_a_grid_stays_a_grid(view: np.ndarray) -> None:
    marked = view.astype(np.float64)
    marked[:, ::2] += 12  # A column of two: at half a cycle per pixel, along rows alone.
    aligned = align_power(marked.clip(0, 255).astype(np.uint8), view).astype(np.float64)

    def grid(image: np.ndarray) -> float:
        return float(abs(image[:, ::2].mean() - image[:, 1::2].mean()))

    assert grid(view.astype(np.float64)) < 1
    assert grid(aligned) > 5


@pytest.mark.parametrize("shape", [(32, 32), (40, 24), (33, 47)])
def test_what_is_aligned_already_stays_as_it_is(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    np.testing.assert_array_equal(align_power(image, image), image)


def test_flat_images_stay_flat() -> None:
    flat = np.full((32, 32, 3), 90, np.uint8)
    np.testing.assert_array_equal(align_power(flat, flat), flat)
    noisy = np.random.default_rng(2).integers(80, 100, (32, 32, 3), np.uint8)
    assert np.ptp(align_power(noisy, flat)) <= 3
