"""RivaGAN: files by its real writer where the real network is at hand, and the way to it with a small one.

`make_networks.py` says how the files were made. The real network is 1 MB and no part of the project: to test with it,
point PYRITE_TEST_WEIGHTS at the folder that `pyrite watermark fetch rivagan` put it in.
"""

import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from row_of_bits import encode, row_of_bits

from pyrite.evidence import fetch_weights, read_evidence
from pyrite.image import open_image
from pyrite.results import Verdict

GOLDEN = Path(__file__).parent
KNOWN = "".join(f"{byte:08b}" for byte in b"SDV2")
OTHER = "".join(f"{byte:08b}" for byte in b"test")
FETCHED = pytest.mark.parametrize("fetched", ["rivagan"], indirect=True)
BLUE = slice(2, 3)


def flipped(bits: str, places: range) -> str:
    return "".join("10"[int(bit)] if at in places else bit for at, bit in enumerate(bits))


def placed(bits: str, width: int = 256, height: int = 256) -> np.ndarray:
    """Return an image with the bits where the square in the middle begins."""
    pixels = np.full((height, width, 3), 128, np.uint8)
    top, left = (height - 256) // 2, (width - 256) // 2
    pixels[top : top + 256, left : left + 256] = row_of_bits(bits, 256, 256, BLUE)
    return pixels


@pytest.fixture
def real_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = Path(os.environ.get("PYRITE_TEST_WEIGHTS", ".")) / "rivagan_decoder.onnx"
    if not file.is_file():
        pytest.skip("needs RivaGAN's network: PYRITE_TEST_WEIGHTS names no folder that has it")
    monkeypatch.setenv("PYRITE_CACHE", str(tmp_path / "cache"))
    fetch_weights("rivagan", str(file))


@pytest.mark.real_data
@pytest.mark.usefixtures("real_network")
def test_marks_by_the_real_writer() -> None:
    (known,) = read_evidence(open_image(GOLDEN / "rivagan-sd2.jpg"))
    assert (known.kind, known.says, known.data["generator"]) == ("watermark", Verdict.AI, "Stable Diffusion")
    assert known.data["agreeing_bits"] == 32
    (other,) = read_evidence(open_image(GOLDEN / "rivagan-other.jpg"))
    assert (other.says, other.data["code"], other.data["text"]) == (None, b"test".hex(), "test")


@pytest.mark.real_data
@pytest.mark.usefixtures("real_network")
def test_the_real_network_finds_none_where_there_is_none() -> None:
    chance = np.random.default_rng(0)
    noise = chance.integers(0, 256, (256, 256, 3), np.uint8)
    flat = np.full((300, 300, 3), 200, np.uint8)
    for pixels in (noise, flat):
        assert read_evidence(open_image(encode(pixels))) == []


@FETCHED
def test_a_known_code_says_ai_with_nearly_all_bits(fetched: str) -> None:
    for wrong, told in ((range(0), True), (range(2), True), (range(3), False)):
        found = [
            item for item in read_evidence(open_image(encode(placed(flipped(KNOWN, wrong))))) if item.says is Verdict.AI
        ]
        assert bool(found) is told
        if told:
            assert found[0].data["agreeing_bits"] == 32 - len(wrong)
            assert found[0].data["generator"] == "Stable Diffusion"
            assert "RivaGAN mark with the code SDV2" in found[0].detail


@FETCHED
@pytest.mark.parametrize(("width", "height"), [(256, 256), (401, 300), (1000, 257)])
def test_the_square_in_the_middle_is_read_blue_first(fetched: str, width: int, height: int) -> None:
    (found,) = read_evidence(open_image(encode(placed(OTHER, width, height))))
    assert (found.says, found.data["code"], found.data["text"]) == (None, b"test".hex(), "test")
    assert "does not say whether the image was made with AI" in found.detail
    assert read_evidence(open_image(encode(placed(OTHER, width, height)[..., ::-1]))) == []


@FETCHED
def test_an_unknown_code_must_be_firm_in_every_bit(fetched: str) -> None:
    pixels = placed(OTHER)
    pixels[0, 5, 2] = 159  # An output of 2.47, which is 1.95 from the middle.
    assert read_evidence(open_image(encode(pixels))) == []


@FETCHED
def test_an_image_that_was_decoded_smaller_is_read_in_full(fetched: str) -> None:
    for container, options in (("PNG", {}), ("JPEG", {"quality": 100, "subsampling": 0})):
        pixels = placed(KNOWN, 2048, 2048)
        pixels[896] = np.where(pixels[896, :, 2:] == 128, 128, pixels[896, :, 2:])  # In grey, JPEG keeps it.
        image = open_image(encode(pixels, container, **options), at_least=(32, 32))
        assert image.pixels.shape[0] < 2048
        assert [item.says for item in read_evidence(image)] == [Verdict.AI]


@FETCHED
def test_small_images_are_not_read(fetched: str) -> None:
    for width, height in ((255, 300), (300, 255), (32, 32)):
        assert read_evidence(open_image(encode(np.full((height, width, 3), 255, np.uint8)))) == []


@FETCHED
def test_a_damaged_network_is_told_and_other_marks_are_read(fetched: str, tmp_path: Path) -> None:
    file = tmp_path / "cache" / "watermarks" / "rivagan_decoder.onnx"
    file.write_bytes(file.read_bytes()[:-1])
    with PillowImage.open(GOLDEN / "sdxl.png") as image:
        found = read_evidence(open_image(encode(np.asarray(image.convert("RGB")))))
    assert [(item.kind, item.says) for item in found] == [("watermark", Verdict.AI), ("reader", None)]
    assert "RivaGAN was not looked for" in found[1].detail
    assert "pyrite watermark fetch rivagan" in found[1].detail


@pytest.mark.usefixtures("published")
def test_what_was_not_fetched_costs_next_to_nothing() -> None:
    from pyrite.evidence.watermarks import read_watermarks

    image = open_image(encode(np.full((300, 300, 3), 128, np.uint8), "JPEG"))
    start = time.process_time()
    for _ in range(1000):
        assert read_watermarks(image) == []
    assert time.process_time() - start < 0.1
