import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pyrite.datasets import Dataset
from pyrite.datasets.shortcuts import CONTAINER, STATISTICS, TRAITS, Facts, measure_facts
from pyrite.spectrum import BANDS


def measure(tmp_path: Path, *files: tuple[str, bytes]) -> Facts:
    for name, data in files:
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_bytes(data)
    return measure_facts(Dataset.open(tmp_path / "data"))


def encode(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def container(facts: Facts, row: int) -> dict[str, float]:
    return dict(zip(CONTAINER, facts.container[row], strict=True))


def test_what_files_say_without_their_picture(tmp_path: Path) -> None:
    pixels = np.zeros((20, 40, 3), np.uint8)
    exif = Image.Exif()
    exif[271] = "Maker"
    jpeg = encode(pixels, "JPEG", qtables=[[3] * 64, [7] * 64], subsampling="4:2:0", progressive=True, exif=exif)
    png = encode(pixels, "PNG", icc_profile=b"profile")
    facts = measure(tmp_path, ("ai/a.jpg", jpeg), ("real/b.png", png))
    first, second = container(facts, 0), container(facts, 1)
    assert first["bytes"] == pytest.approx(np.log(len(jpeg)))
    assert first["bytes per pixel"] == pytest.approx(np.log(len(jpeg) / 800))
    assert (first["width"], first["height"]) == pytest.approx((np.log(40), np.log(20)))
    assert (first["luma quantisation"], first["chroma quantisation"], first["subsampling"]) == (3, 7, 2)
    assert (first["progressive"], first["has EXIF"], first["has a colour profile"], first["is JPEG"]) == (1, 1, 0, 1)
    assert (second["has EXIF"], second["has a colour profile"], second["is JPEG"], second["is PNG"]) == (0, 1, 0, 1)
    assert second["subsampling"] == -1


def test_what_files_have_is_named(tmp_path: Path) -> None:
    pixels = np.zeros((128, 64, 3), np.uint8)
    exif = Image.Exif()
    exif[271] = "Maker"
    texts = PngInfo()
    texts.add_text("parameters", "a prompt")
    files = {
        "ai/a.jpg": encode(pixels, "JPEG", quality=83, subsampling="4:2:0", progressive=True, exif=exif),
        "ai/b.jpg": encode(pixels, "JPEG", qtables=[[3] * 64, [7] * 64], subsampling="4:4:4"),
        "real/c.png": encode(np.zeros((9, 9, 4), np.uint8), "PNG", pnginfo=texts, icc_profile=b"profile"),
        "real/d.png": encode(np.zeros((9, 10), np.uint8), "PNG"),
        "real/e.png": b"no image",
    }
    rows = [dict(zip(TRAITS, row, strict=True)) for row in measure(tmp_path, *files.items()).traits]
    assert rows[0] == {
        "format": "JPEG", "colour mode": "RGB", "size": "64 × 128", "shape": "", "grid": "64",
        "JPEG tables": "quality 83", "JPEG subsampling": "4:2:0", "JPEG scan": "progressive",
        "EXIF": "EXIF", "XMP": "", "colour profile": "", "comment or text": "",
    }  # fmt: skip
    assert rows[1]["JPEG tables"].startswith("tables ")
    assert (rows[1]["JPEG subsampling"], rows[1]["JPEG scan"], rows[1]["EXIF"]) == ("4:4:4", "", "")
    assert rows[2] == dict.fromkeys(TRAITS, "") | {
        "format": "PNG", "colour mode": "RGBA", "size": "9 × 9", "shape": "square",
        "colour profile": "colour profile", "comment or text": "comment or text",
    }  # fmt: skip
    assert (rows[3]["colour mode"], rows[3]["shape"]) == ("L", "")
    assert set(rows[4].values()) == {""}


def test_a_text_of_the_user_is_told_from_one_of_the_format(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    described = PngInfo()
    described.add_text("Software", "a generator")
    tiff, png = encode(pixels, "TIFF", compression="tiff_lzw"), encode(pixels, "PNG", pnginfo=described)
    facts = measure(tmp_path, ("ai/a.tif", tiff), ("real/b.png", png))
    assert [container(facts, row)["has a comment or text"] for row in (0, 1)] == [0, 1]


def test_statistics_by_hand(tmp_path: Path) -> None:
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:, 16:] = (255, 51, 51)
    facts = measure(tmp_path, ("ai/a.png", encode(pixels, "PNG")), ("real/b.png", encode(pixels, "PNG")))
    found = dict(zip(STATISTICS, facts.statistics[0], strict=True))
    assert (found["mean red"], found["mean green"], found["mean blue"]) == pytest.approx((0.5, 0.1, 0.1))
    assert (found["contrast of red"], found["contrast of green"]) == pytest.approx((0.5, 0.1))
    assert found["saturation"] == pytest.approx(0.4)
    assert (found["share of black"], found["share of white"]) == pytest.approx((0.5, 1 / 6))
    # One step of luma 0.299 + 0.2 · 0.701 in each of 32 rows of 32 pixels.
    assert found["gradient"] == pytest.approx(0.4392 / 32, rel=0.01)
    assert found["power near Nyquist"] == facts.spectrum[0, -1]


@pytest.mark.parametrize("side", [1, 7, 200, 1024])
def test_statistics_are_those_of_the_pixels(tmp_path: Path, side: int) -> None:
    """Against the definitions, pixel by pixel; sums of so many squares are apart by their rounding."""
    rng = np.random.default_rng(side)
    pixels = rng.integers(0, 256, (side, side, 3), np.uint8)
    pixels[rng.random((side, side)) < 0.2] = 255
    pixels[rng.random((side, side)) < 0.1] = 0
    facts = measure(tmp_path, ("ai/a.png", encode(pixels, "PNG")), ("real/b.png", encode(pixels, "PNG")))
    flat = pixels.reshape(-1, 3).astype(np.float64)
    expected = [
        *flat.mean(axis=0) / 255,
        *flat.std(axis=0) / 255,
        np.mean(flat.max(axis=1) - flat.min(axis=1)) / 255,
        np.mean(flat == 0),
        np.mean(flat == 255),
    ]
    assert facts.statistics[0, :9] == pytest.approx(expected, rel=1e-10, abs=1e-10)


def test_what_cannot_be_read_is_a_row_of_zeros(tmp_path: Path) -> None:
    good = encode(np.zeros((8, 8, 3), np.uint8), "PNG")
    facts = measure(tmp_path, ("ai/a.png", good), ("ai/b.png", b"no image"), ("real/c.png", b""))
    assert facts.readable.tolist() == [True, False, False]
    assert not facts.container[1:].any()
    assert not facts.statistics[1:].any()
    assert facts.spectrum.shape == (3, BANDS)


def test_a_large_image_is_measured_by_its_middle(tmp_path: Path) -> None:
    pixels = np.zeros((1030, 1100, 3), np.uint8)
    pixels[3:-3, 38:-38] = 255
    facts = measure(tmp_path, ("ai/a.png", encode(pixels, "PNG")), ("real/b.png", encode(pixels, "PNG")))
    assert facts.statistics[0, 0] == 1
    assert container(facts, 0)["width"] == pytest.approx(np.log(1100))
