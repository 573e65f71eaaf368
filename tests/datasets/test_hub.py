"""Datasets of the Hugging Face Hub, over the loopback interface."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from hub import COMMIT, hub, run
from pyrite.datasets import Dataset
from pyrite.errors import DatasetError, MissingExtraError
from web import web

pytest.importorskip("huggingface_hub", reason="The extra hub is not installed: there is no huggingface_hub.")


def png(number: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (16, 16), (number,) * 3).save(stream, "PNG")
    return stream.getvalue()


def parquet(start: int) -> bytes:
    images = [{"bytes": png(start + i), "path": None} for i in range(4)]
    stream = io.BytesIO()
    pq.write_table(pa.table({"image": images, "label": ["real", "fake", "real", "fake"]}), stream)
    return stream.getvalue()


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {
        "PYRITE_CACHE": str(tmp_path / "cache"),
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }


def test_a_dataset_is_fetched_once_and_pinned(home: dict[str, str], tmp_path: Path) -> None:
    files = {
        "README.md": b"# Data",
        "core/test-00000.parquet": parquet(0),
        "core/train-00000.parquet": parquet(4),
        "reddit/test-00000.parquet": parquet(8),
        "more.zip": b"PK",
    }
    asked: list[str] = []
    with web(hub("lab/openfake", files, asked, kind="datasets")) as address:
        home["HF_ENDPOINT"] = address
        code, said = run("audit", "hf:lab/openfake", "--out", tmp_path / "audit", **home)
        assert code == 0, said
        assert "lab/openfake: 12 images, 6 real and 6 AI." in said
        assert "Splits: train 2 real and 2 AI; test 4 real and 4 AI." in said
        assert f"hf:lab/openfake at {COMMIT}." in said
        assert "Left out, archives on the Hub, which are not fetched: 1 (more.zip 1)." in said
        resolved = [path for path in asked if "/resolve/" in path]
        assert resolved
        assert all(f"/resolve/{COMMIT}/" in path for path in resolved)
        assert not any("more.zip" in path for path in asked)

        asked.clear()
        code, said = run("audit", f"hf:lab/openfake@{COMMIT}/core/test-*", **home)
        assert code == 0, said
        # The others lie in the same folder of the library's.
        assert "lab/openfake: 4 images" in said
        assert not any("/resolve/" in path for path in asked)

        code, said = run("audit", "hf:lab/openfake/core/train-00000.parquet", **home)
        assert (code, "4 images, 2 real and 2 AI." in said) == (0, True), said
        code, said = run("audit", "hf:lab/openfake/reddit", **home)
        assert (code, "4 images, 2 real and 2 AI." in said) == (0, True), said
        code, said = run("audit", "hf:lab/openfake/missing-*", **home)
        assert (code, "has no missing-*" in " ".join(said.split())) == (1, True), said
    code, said = run("audit", "hf:lab/openfake", **home, HF_HUB_OFFLINE="1")
    assert (code, "12 images" in said) == (0, True), said


def test_folders_of_images_on_the_hub(home: dict[str, str], tmp_path: Path) -> None:
    files = {f"train/{kind}/{i}.png": png(10 * i + (kind == "adm")) for kind in ("real", "adm") for i in range(3)}
    with web(hub("lab/pictures", files, [], kind="datasets")) as address:
        code, said = run("audit", "hf:lab/pictures", **home, HF_ENDPOINT=address)
    assert code == 0, said
    assert "lab/pictures: 6 images, 3 real and 3 AI." in said
    assert "Taken for AI: adm 3." in said


@pytest.mark.parametrize("source", ["hf:lab", "hf:", "hf:a/b@", "hf:a b/c"])
def test_other_forms_are_refused(source: str) -> None:
    with pytest.raises(DatasetError, match="is not of the form hf:OWNER/NAME"):
        Dataset.open(source)


def test_what_is_not_there_is_one_sentence(home: dict[str, str]) -> None:
    with web(hub("lab/there", {"real/a.png": b""}, [], kind="datasets")) as address:
        code, said = run("audit", "hf:lab/gone", **home, HF_ENDPOINT=address)
    assert (code, said.startswith("Error: The dataset lab/gone cannot be fetched from the Hub: ")) == (1, True), said
    code, said = run("audit", "hf:lab/gone", **home, HF_ENDPOINT="http://127.0.0.1:9")
    assert (code, said.startswith("Error: The dataset lab/gone cannot be fetched from the Hub: ")) == (1, True), said
    assert "Traceback" not in said


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"pyrite\[hub\]"):
        Dataset.open("hf:a/b")
