import msgspec
import numpy as np
import pytest

from pyrite.bundle.preprocess import Preprocess

GRADIENT = np.broadcast_to(np.arange(0, 64, dtype=np.uint8)[None, :, None] * 4, (48, 64, 3)).copy()


def test_an_image_of_the_models_size_passes_untouched():
    assert Preprocess(height=48, width=64).apply(GRADIENT) is GRADIENT


@pytest.mark.parametrize("name", ["nearest", "bilinear", "bicubic", "lanczos"])
def test_other_sizes_are_resized(name):
    resized = Preprocess(height=24, width=16, filter=name).apply(GRADIENT)
    assert resized.shape == (24, 16, 3)
    assert resized.dtype == np.uint8
    assert np.ptp(resized, axis=0).max() == 0
    assert (np.diff(resized[0, :, 0].astype(int)) > 0).all()


def test_bilinear_golden_values():
    row = Preprocess(height=1, width=8).apply(GRADIENT)[0, :, 0]
    assert row.tolist() == [17, 46, 78, 110, 142, 174, 206, 235]


def test_enlarging_one_pixel_keeps_its_colour():
    pixels = np.array([[[1, 2, 3]]], np.uint8)
    assert (Preprocess(height=4, width=4).apply(pixels) == [1, 2, 3]).all()


@pytest.mark.parametrize(("left", "right"), [(0, 64), (0, 63.125), (0.875, 64), (16, 48)])
def test_a_box_says_where_the_image_lies(left, right):
    row = Preprocess(height=1, width=8).apply(GRADIENT, (left, 0, right, 48))[0, :, 0]
    centres = left + (np.arange(8) + 0.5) * (right - left) / 8
    assert np.abs(row[1:-1] - 4 * (centres[1:-1] - 0.5)).max() <= 0.5


def test_a_box_counts_in_an_image_of_the_models_size_too():
    model = Preprocess(height=48, width=64)
    assert model.apply(GRADIENT, (0, 0, 64, 48)) is GRADIENT
    assert model.apply(GRADIENT, (0, 0, 32, 48)).max() < 130


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('{"height": 0, "width": 1}', "height"),
        ('{"height": 1, "width": 1000000}', "width"),
        ('{"height": 1, "width": 1, "filter": "box"}', "filter"),
        ('{"height": 1, "width": 1, "geometry": "squash"}', "geometry"),
        ('{"height": 1, "width": 1, "scale": 2}', "scale"),
    ],
)
def test_what_cannot_work_is_refused(text, key):
    with pytest.raises(msgspec.ValidationError, match=key):
        msgspec.json.decode(text, type=Preprocess)
