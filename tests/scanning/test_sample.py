"""The page of samples."""

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from corpora import PICTURES, read_rows
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pyrite.bundle import Bundle, save_bundle
from pyrite.golden import make_golden
from pyrite.scanning import scan


def remade(bundle: Bundle) -> dict[str, bytes]:
    """Return the files of a bundle whose info was changed."""
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)
    model = bundle.read("model.onnx")
    return {"model.onnx": model, "golden.json": make_golden(bundle.info, model, list(images))}


def read_sections(page: str) -> dict[str, str]:
    """Return what is under each heading, by its text without the number of samples."""
    return dict(re.findall(r"<h2>(.*?) \d+</h2>(.*?)</ol>", page, re.DOTALL))


def test_the_page_shows_who_is_most_and_least_certain(bundle: Bundle, corpus: Path, tmp_path: Path) -> None:
    scan(str(corpus), tmp_path / "out", bundle, engine="local")
    page = (tmp_path / "out/sample.html").read_text()
    rows = [row for row in read_rows(tmp_path / "out") if not row["error_code"]]
    real = sorted((row for row in rows if row["verdict"] == "real"), key=lambda row: row["probability"])
    ai = sorted((row for row in rows if row["verdict"] == "ai"), key=lambda row: -row["probability"])
    sections = read_sections(page)
    for heading, expected in (
        ("AI: the most certain", ai[:12]),
        ("AI: the least certain", ai[::-1][:12]),
        ("Real: the least certain", real[::-1][:12]),
        ("Real: the most certain", real[:12]),
    ):
        shown = re.findall(r'class="path">(.*?)<', sections[heading])
        assert shown == [row["path"] for row in expected]
    shown = re.findall(r'src="data:image/png;base64,(.*?)"', sections["AI: the most certain"])
    number = int(Path(ai[0]["path"]).stem)
    pixels = [np.asarray(Image.open(io.BytesIO(data))) for data in (base64.b64decode(shown[0]), PICTURES[number])]
    assert np.array_equal(*pixels)
    assert "notes.png" in sections["Not read: the first"]


def test_pictures_are_drawn_in_a_process_of_their_own(
    bundle: Bundle, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyrite.image.thumbnail.open_image", pytest.fail)
    scan(str(corpus), tmp_path / "out", bundle, engine="local")
    assert "data:image/" in (tmp_path / "out/sample.html").read_text()


def test_images_without_a_probability_come_after_and_are_counted(bundle: Bundle, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in (0, 59):
        (source / f"{number}.png").write_bytes(PICTURES[number])
    for number in range(13):
        Image.new("RGB", (100, 100), (10 * number, 0, 0)).save(source / f"large{number:02}.png")
    note = PngInfo()
    note.add_text("parameters", "a duck\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512")
    Image.open(io.BytesIO(PICTURES[1])).save(source / "words.png", pnginfo=note)
    scan(str(source), tmp_path / "out", bundle, engine="local")
    page = (tmp_path / "out/sample.html").read_text()
    shown = {name: re.findall(r"/([^/]*?)</p>\n  </li>", part) for name, part in read_sections(page).items()}
    assert shown["AI: the most certain"] == ["59.png"]
    assert shown["AI, without a probability: the first"] == ["words.png"]
    assert shown["Real: the most certain"] == ["0.png"]
    assert "<h2>Uncertain, without a probability: the first 12 of 13</h2>" in page
    assert "Uncertain: the nearest to a verdict" not in shown
    assert page.count("% AI") == 4  # Of the two that the pixels decided, among the most and the least certain.


def test_at_a_large_budget_the_most_certain_are_still_the_likeliest(
    bundle: Bundle, corpus: Path, tmp_path: Path
) -> None:
    # Half of all that is called AI has a probability below one half.
    calibration = msgspec.structs.replace(bundle.info.calibration, intercept=-4.0)
    shifted = replace(bundle, info=msgspec.structs.replace(bundle.info, calibration=calibration))
    saved = save_bundle(tmp_path / "shifted", shifted.info, remade(shifted))
    scan(str(corpus), tmp_path / "out", saved, engine="local")
    page = (tmp_path / "out/sample.html").read_text()
    rows = [row for row in read_rows(tmp_path / "out") if row["verdict"] == "ai"]
    assert min(row["probability"] for row in rows) < 0.5
    likeliest = sorted(rows, key=lambda row: -row["probability"])
    for heading, expected in (
        ("AI: the most certain", likeliest[:12]),
        ("AI: the least certain", likeliest[::-1][:12]),
    ):
        assert re.findall(r'class="path">(.*?)<', read_sections(page)[heading]) == [row["path"] for row in expected]
    assert "above the threshold of your budget" in read_sections(page)["AI: the least certain"]


def test_a_hostile_name_is_only_text(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/<img src=x onerror=alert(1)>.png").write_bytes(PICTURES[0])
    scan(str(tmp_path / "source"), tmp_path / "out", bundle, engine="local")
    page = (tmp_path / "out/sample.html").read_text()
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page
