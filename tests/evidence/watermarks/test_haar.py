"""Marks in the pixels, made by their real writer: `make.py` says how."""

import io
import time
from pathlib import Path

import numpy as np
import pytest
from metadata_files import encode, only
from PIL import Image as PillowImage

from pyrite.evidence import read_evidence
from pyrite.evidence.watermarks.haar import MARKS, read_votes
from pyrite.image import open_image
from pyrite.results import Verdict

GOLDEN = Path(__file__).parent
NAMES = {"sdxl": "Stable Diffusion XL", "flux": "FLUX", "sd1": "Stable Diffusion", "sd2": "Stable Diffusion"}


def save(image: PillowImage.Image, name: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, name, **options)
    return stream.getvalue()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("container", "mode"), [("PNG", "RGB"), ("PNG", "RGBA"), ("WEBP", "RGB"), ("TIFF", "RGB"), ("BMP", "RGB")]
)
def test_a_mark_is_found_in_every_lossless_container(name: str, container: str, mode: str) -> None:
    with PillowImage.open(GOLDEN / f"{name}.png") as image:
        data = save(image.convert(mode), container, **({"lossless": True} if container == "WEBP" else {}))
    found = only(data)
    assert (found.kind, found.says, found.data["generator"]) == ("watermark", Verdict.AI, NAMES[name])
    assert found.data["agreeing_bits"] >= found.data["bits"] - 1
    assert found.data["extent"] == "whole"
    assert "survives only in lossless files" in found.detail


def test_a_mark_is_found_in_an_image_that_is_decoded_smaller() -> None:
    found = read_evidence(open_image((GOLDEN / "sdxl.png").read_bytes(), at_least=(8, 8)))
    assert [item.kind for item in found] == ["watermark"]


@pytest.mark.parametrize("seed", range(8))
def test_noise_and_slopes_have_no_mark(seed: int) -> None:
    chance = np.random.default_rng(seed)
    noise = chance.integers(0, 256, (320, 320, 3), np.uint8)
    slope = np.clip(
        np.add.outer(np.arange(320), np.arange(320))[..., None] / 3 + chance.normal(0, 4, (320, 320, 3)), 0, 255
    )
    for pixels in (noise, slope.astype(np.uint8)):
        assert read_evidence(open_image(save(PillowImage.fromarray(pixels), "PNG"))) == []


def test_a_mark_does_not_survive_jpeg_and_is_not_looked_for_there() -> None:
    with PillowImage.open(GOLDEN / "sdxl.png") as image:
        assert read_evidence(open_image(save(image.convert("RGB"), "JPEG", quality=95))) == []


def test_a_small_image_has_none() -> None:
    assert read_evidence(open_image(encode("PNG"))) == []


def test_votes_agree_with_the_writers_own_reader() -> None:
    """Of noise, whose blocks the writer's reader gave these votes: the first 64 of 1,122, in hexadecimal."""
    votes = read_votes(np.random.default_rng(0).integers(0, 256, (264, 272, 3), np.uint8))
    assert len(votes) == 33 * 34
    assert np.packbits(votes[:64]).tobytes().hex() == "a52cd4e167996ccb"


def test_bits_are_those_of_the_reference_code() -> None:
    assert [len(mark.bits) for mark in MARKS] == [48, 46, 136, 32]
    assert bytes(int(MARKS[2].bits[at : at + 8], 2) for at in range(0, 136, 8)) == b"StableDiffusionV1"


def test_a_large_png_costs_little() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    image = open_image(
        save(PillowImage.fromarray(np.tile(noise, (40, 40, 1))), "PNG", compress_level=1), at_least=(8, 8)
    )
    start = time.process_time()
    assert read_evidence(image) == []
    assert time.process_time() - start < 0.5
