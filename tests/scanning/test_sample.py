"""The page of samples."""

import base64
import io
import re
from pathlib import Path

import numpy as np
from corpora import PICTURES, read_rows
from PIL import Image

from pyrite.bundle import Bundle
from pyrite.scanning import scan


def test_the_page_shows_who_is_most_and_least_certain(bundle: Bundle, corpus: Path, tmp_path: Path) -> None:
    scan(str(corpus), tmp_path / "out", bundle, engine="local")
    page = (tmp_path / "out/sample.html").read_text()
    rows = [row for row in read_rows(tmp_path / "out") if not row["error_code"]]
    real = sorted((row for row in rows if row["verdict"] == "real"), key=lambda row: row["probability"])
    ai = sorted((row for row in rows if row["verdict"] == "ai"), key=lambda row: -row["probability"])
    sections = dict(re.findall(r"<h2>(.*?) \d+</h2>(.*?)</ol>", page, re.DOTALL))
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


def test_a_hostile_name_is_only_text(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/<img src=x onerror=alert(1)>.png").write_bytes(PICTURES[0])
    scan(str(tmp_path / "source"), tmp_path / "out", bundle, engine="local")
    page = (tmp_path / "out/sample.html").read_text()
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page
