"""Geometries: exact, covering, and the same in JSON."""

import math

import msgspec
import numpy as np
import pytest
from PIL import Image

from pyrite.bundle.preprocess import Crops, Preprocess, Resize, ShorterSide

GRADIENT = np.broadcast_to(np.arange(0, 64, dtype=np.uint8)[None, :, None] * 4, (48, 64, 3)).copy()
FILTERS = ("nearest", "bilinear", "bicubic", "lanczos")


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def pillow(pixels, size, name):
    return Image.fromarray(pixels).resize(size, Image.Resampling[name.upper()])


def test_an_image_of_the_models_size_passes_untouched():
    (model_input,) = Resize(height=48, width=64).apply(GRADIENT)
    assert np.shares_memory(model_input, GRADIENT)


@pytest.mark.parametrize("name", FILTERS)
def test_resize_is_pillows_own(name):
    pixels = noise(37, 91)
    (resized,) = Resize(height=24, width=16, filter=name).apply(pixels)
    assert resized.dtype == np.uint8
    assert (resized == np.asarray(pillow(pixels, (16, 24), name))).all()


def test_bilinear_golden_values():
    row = Resize(height=1, width=8).apply(GRADIENT)[0, 0, :, 0]
    assert row.tolist() == [17, 46, 78, 110, 142, 174, 206, 235]


def test_enlarging_one_pixel_keeps_its_colour():
    pixels = np.array([[[1, 2, 3]]], np.uint8)
    assert (Resize(height=4, width=4).apply(pixels) == [1, 2, 3]).all()


@pytest.mark.parametrize(("left", "right"), [(0, 64), (0, 63.125), (0.875, 64), (16, 48)])
def test_a_box_says_where_the_image_lies(left, right):
    row = Resize(height=1, width=8).apply(GRADIENT, (left, 0, right, 48))[0, 0, :, 0]
    centres = left + (np.arange(8) + 0.5) * (right - left) / 8
    assert np.abs(row[1:-1] - 4 * (centres[1:-1] - 0.5)).max() <= 0.5


def test_a_box_counts_in_an_image_of_the_models_size_too():
    model = Resize(height=48, width=64)
    assert (model.apply(GRADIENT, (0, 0, 64, 48)) == GRADIENT).all()
    assert model.apply(GRADIENT, (0, 0, 32, 48)).max() < 130


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize(("height", "width"), [(90, 60), (60, 90), (61, 100), (30, 30), (44, 44)])
def test_shorter_side_is_pillows_resize_and_crop(name, height, width):
    pixels = noise(height, width)
    geometry = ShorterSide(shorter_side=44, height=38, width=32, filter=name)
    (found,) = geometry.apply(pixels)
    size = (44, 44 * height // width) if width <= height else (44 * width // height, 44)
    left, top = round((size[0] - 32) / 2), round((size[1] - 38) / 2)
    assert (found == np.asarray(pillow(pixels, size, name).crop((left, top, left + 32, top + 38)))).all()


def test_shorter_side_shows_the_centre():
    geometry = ShorterSide(shorter_side=44, height=38, width=38)
    assert geometry.regions(440, 880) == [(30, 250, 410, 630)]
    assert geometry.most == 1
    assert geometry.enough is None


def test_a_line_of_pixels_takes_no_more_memory_than_a_picture():
    (found,) = ShorterSide(shorter_side=2048, height=8, width=8).apply(noise(1, 60_000))
    assert found.shape == (8, 8, 3)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (8, 9), (33, 17), (64, 48), (31, 31), (16, 40)])
def test_crops_cover_the_image_and_are_its_own_pixels(height, width):
    pixels = noise(height, width)
    crops = Crops(height=8, width=8, most=64)
    inputs, regions = crops.apply(pixels), crops.regions(width, height)
    assert len(inputs) == len(regions) == math.ceil(height / 8) * math.ceil(width / 8)
    covered = np.zeros((height, width), np.bool_)
    for model_input, (left, top, right, bottom) in zip(inputs, regions, strict=True):
        assert (model_input == pixels[top:bottom, left:right]).all()
        covered[top:bottom, left:right] = True
    assert covered.all()


@pytest.mark.parametrize(("height", "width"), [(3000, 4000), (4000, 3000), (300, 9000), (2000, 2000)])
@pytest.mark.parametrize("most", [1, 2, 5, 16])
def test_few_crops_of_a_large_image_are_spread_over_it(height, width, most):
    regions = Crops(height=224, width=224, most=most).regions(width, height)
    assert most * 3 // 4 <= len(regions) <= most
    assert {(right - left, bottom - top) for left, top, right, bottom in regions} == {(224, 224)}
    # As many to either side of the middle.
    assert np.mean([left + 112 for left, *_ in regions]) == pytest.approx(width / 2, abs=1)
    assert np.mean([top + 112 for _, top, *_ in regions]) == pytest.approx(height / 2, abs=1)
    if most == 16 and width == height:
        assert len({left for left, *_ in regions}) == len({top for _, top, *_ in regions}) == 4


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 5), (5, 30), (8, 7)])
def test_a_side_that_is_too_short_is_mirrored(height, width):
    pixels = noise(height, width)
    crops = Crops(height=8, width=8)
    first = crops.apply(pixels)[0]
    assert first.shape == (8, 8, 3)
    rows, columns = ([*range(side), *reversed(range(side))] * 8 for side in (height, min(width, 8)))
    if width < 8:
        assert (first == pixels[np.array(rows[:8])][:, np.array(columns[:8])]).all()
    else:
        assert (first == pixels[np.array(rows[:8])][:, :8]).all()
    assert all(right <= width and bottom <= height for _, _, right, bottom in crops.regions(width, height))


@pytest.mark.parametrize(
    ("share", "expected"), [(1.0, 2.5), (0.0, 4.0), (0.5, 3.5), (0.26, 3.5), (0.25, 4.0), (0.75, 3.0)]
)
def test_crops_become_one_logit(share, expected):
    assert Crops(height=1, width=1, top_share=share).merge([1, 4, 2, 3]) == expected


def test_one_input_is_its_own_logit():
    assert Resize(height=1, width=1).merge(np.array([-2.5], np.float32)) == -2.5


@pytest.mark.parametrize(
    "geometry",
    [
        Resize(height=3, width=4, filter="lanczos", draft=False),
        ShorterSide(shorter_side=8, height=3, width=4),
        Crops(height=3, width=4, most=9, top_share=0.25),
    ],
)
def test_json_keeps_every_geometry(geometry):
    data = msgspec.json.encode(geometry)
    assert msgspec.json.decode(data, type=Preprocess) == geometry
    assert (
        msgspec.json.decode(data)["geometry"]
        == {Resize: "resize", ShorterSide: "shorter_side", Crops: "crops"}[type(geometry)]
    )


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('{"geometry": "resize", "height": 0, "width": 1}', "height"),
        ('{"geometry": "resize", "height": 1, "width": 1000000}', "width"),
        ('{"geometry": "resize", "height": 1, "width": 1, "filter": "box"}', "filter"),
        ('{"geometry": "squash", "height": 1, "width": 1}', "geometry"),
        ('{"height": 1, "width": 1}', "geometry"),
        ('{"geometry": "resize", "height": 1, "width": 1, "scale": 2}', "scale"),
        ('{"geometry": "shorter_side", "shorter_side": 4, "height": 5, "width": 1}', "shorter_side"),
        ('{"geometry": "crops", "height": 5, "width": 1, "most": 0}', "most"),
        ('{"geometry": "crops", "height": 5, "width": 1, "top_share": 1.5}', "top_share"),
    ],
)
def test_what_cannot_work_is_refused(text, key):
    with pytest.raises(msgspec.ValidationError, match=key):
        msgspec.json.decode(text, type=Preprocess)
