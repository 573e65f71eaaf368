"""Datasets of the Hugging Face Hub, over the loopback interface."""

import io
import os
import subprocess
import sys
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


PROGRAM = """
import sys
from pyrite.datasets import Dataset
from pyrite.errors import PyriteError
for source in sys.argv[1:]:
    try:
        dataset = Dataset.open(source)
    except PyriteError as error:
        print(error)
    else:
        assert all(dataset.read(i) for i in range(len(dataset)))
        print(*dataset.describe(), *dataset.tally.left_out_lines())
"""


def opened(*sources: str, **environment: str) -> list[str]:
    """Open datasets in a process of its own, since the Hub's library reads the environment as it starts."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *sources],
        capture_output=True,
        text=True,
        env=os.environ | {"no_proxy": "*", "HF_HUB_DISABLE_TELEMETRY": "1"} | environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


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
        parts = (f"@{COMMIT}/core/test-*", "/core/train-00000.parquet", "/reddit", "/missing-*")
        said_of = opened(*(f"hf:lab/openfake{part}" for part in parts), **home)
        # All files lie in one folder of the library's by now, and only those that are meant are opened.
        assert not any("/resolve/" in path for path in asked)
        assert ["4 images, 2 real and 2 AI." in line for line in said_of] == [True, True, True, False]
        assert "has no missing-*" in said_of[3]
    assert "12 images" in opened("hf:lab/openfake", **home, HF_HUB_OFFLINE="1")[0]


def test_folders_of_images_on_the_hub(home: dict[str, str]) -> None:
    files = {f"train/{kind}/{i}.png": png(10 * i + (kind == "adm")) for kind in ("real", "adm") for i in range(3)}
    with web(hub("lab/pictures", files, [], kind="datasets")) as address:
        told, gone = opened("hf:lab/pictures", "hf:lab/gone", **home, HF_ENDPOINT=address)
    assert told.startswith("lab/pictures: 6 images, 3 real and 3 AI.")
    assert "Taken for AI: adm 3." in told
    assert gone.startswith("The dataset lab/gone cannot be fetched from the Hub: ")


@pytest.mark.parametrize("source", ["hf:lab", "hf:", "hf:a/b@", "hf:a b/c"])
def test_other_forms_are_refused(source: str) -> None:
    with pytest.raises(DatasetError, match="is not of the form hf:OWNER/NAME"):
        Dataset.open(source)


def test_a_hub_that_cannot_be_reached_is_one_sentence(home: dict[str, str]) -> None:
    (said,) = opened("hf:lab/gone", **home, HF_ENDPOINT="http://127.0.0.1:9")
    assert said.startswith("The dataset lab/gone cannot be fetched from the Hub: ")


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"pyrite\[hub\]"):
        Dataset.open("hf:a/b")
