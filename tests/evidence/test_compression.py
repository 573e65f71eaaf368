"""Whose tables a JPEG has, and whether it was saved as JPEG before."""

import io

import numpy as np
import pytest
from documented import check_documented
from metadata_files import encode
from PIL import Image as PillowImage

from pyrite.evidence import read_compression
from pyrite.evidence.compression import PERIODIC, measure_period
from pyrite.image import open_image
from pyrite.results import Evidence


def photo(seed: int = 0, side: int = 384) -> PillowImage.Image:
    """Return a picture with detail at every scale, as photographs have it."""
    chance = np.random.default_rng(seed)
    planes = np.zeros((side, side))
    for size in (6, 12, 24, 48, 96, 192):
        layer = PillowImage.fromarray(chance.normal(0, 1, (size, size)).astype(np.float32))
        planes += np.asarray(layer.resize((side, side), PillowImage.Resampling.BICUBIC)) * (60 / size**0.5)
    return PillowImage.fromarray(np.clip(128 + planes, 0, 255).astype(np.uint8)).convert("RGB")


def save(image: PillowImage.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", **options)
    return stream.getvalue()


def read(data: bytes) -> Evidence:
    [found] = read_compression(open_image(data, at_least=(32, 32)))
    check_documented(found)
    assert found.says is None
    return found


@pytest.mark.parametrize("quality", [1, 10, 49, 50, 75, 85, 95, 100])
def test_libjpegs_quality_is_told(quality: int) -> None:
    found = read(save(photo(), quality=quality))
    assert found.data["quality"] == quality
    assert f"libjpeg's at quality {quality}" in found.detail


def test_photoshops_presets_and_other_tables_are_told() -> None:
    assert read(save(photo(), quality="web_high")).data["preset"] == "web_high"
    own = read(save(photo(), qtables=[[7] * 64, [9] * 64]))
    assert "preset" not in own.data
    assert "quality" not in own.data
    assert "a program's own" in own.detail
    assert own.data["table"] == [7] * 8


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("quality", [75, 85, 95])
def test_a_jpeg_saved_once_shows_no_period(seed: int, quality: int) -> None:
    found = read(save(photo(seed), quality=quality))
    assert found.data["period"] < PERIODIC
    assert not found.data["saved_before"]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("first", "second"), [(60, 85), (75, 95), (85, 95)])
def test_a_jpeg_saved_more_coarsely_before_does(seed: int, first: int, second: int) -> None:
    with PillowImage.open(io.BytesIO(save(photo(seed), quality=first))) as once:
        found = read(save(once, quality=second))
    assert found.data["saved_before"]
    assert "not a sign of forgery" in found.detail


def test_what_has_too_little_to_count_or_is_no_jpeg() -> None:
    assert "period" not in read(encode("JPEG")).data
    assert measure_period(np.zeros((7, 400), np.float32), np.ones((8, 8), np.int64)) is None
    assert read_compression(open_image(encode("PNG"))) == []
    assert read_compression(open_image(np.zeros((64, 64, 3), np.uint8))) == []


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_colours(mode: str) -> None:
    assert read(save(photo().convert(mode), quality=80)).data["quality"] == 80
