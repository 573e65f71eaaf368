"""Datasets of the Hugging Face Hub, read over loopback."""

import io
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpora import PICTURES, read_rows

from hub import COMMIT, hub, run
from pyrite.bundle import Bundle
from web import web


def parquet(**columns: object) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream, row_group_size=4)
    return stream.getvalue()


def tar(start: int) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for number in range(start, start + 3):
            for name, data in ((f"{number}.png", PICTURES[number]), (f"{number}.json", b'{"caption": "x"}')):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


FILES = {
    "README.md": b"---\n---\n",
    "data/train-0.parquet": parquet(
        image=[{"bytes": PICTURES[number], "path": f"{number}.png"} for number in range(6)], caption=[*"abcdef"]
    ),
    "images/10.png": PICTURES[10],
    "images/11.png": PICTURES[11],
    "shards/00000.tar": tar(20),
    "shards/00000.parquet": parquet(key=["20", "21", "22"], caption=["k", "l", None]),
}


@pytest.mark.parametrize(
    ("source", "numbers", "captions"),
    [
        ("data", range(6), [*"abcdef"]),
        ("data/*.parquet", range(6), [*"abcdef"]),
        ("shards", range(20, 23), ["k", "l", None]),
        ("", range(11), [*"abcdef", None, None, "k", "l", None]),
    ],
)
def test_a_dataset_is_scanned_where_it_lies(
    source: str, numbers: range, captions: list[str | None], bundle: Bundle, tmp_path: Path
) -> None:
    asked: list[str] = []
    with web(hub("owner/pictures", FILES, asked, kind="datasets")) as address:
        code, said = run(
            "scan", f"hf://datasets/owner/pictures@{COMMIT}/{source}".rstrip("/"), "--out", tmp_path / "out",
            "--engine", "local", "--bundle", bundle.path, "--keep-columns", "caption",
            HF_ENDPOINT=address, HF_HOME=str(tmp_path / "home"),
        )  # fmt: skip
    assert code == 0, said
    rows = read_rows(tmp_path / "out")
    assert [row["logit"] is not None for row in rows] == [True] * len(numbers)
    assert [row["caption"] for row in rows] == captions
    assert all(row["path"].startswith(f"hf://datasets/owner/pictures@{COMMIT}/") for row in rows)
    assert any(path.startswith("/datasets/owner/pictures/resolve/") for path in asked)


def test_a_dataset_that_is_not_there_or_not_open(bundle: Bundle, tmp_path: Path) -> None:
    with web(hub("owner/pictures", FILES, [], kind="datasets")) as address:
        code, said = run(
            "scan", "hf://datasets/owner/other", "--out", tmp_path / "out", "--engine", "local",
            "--bundle", bundle.path, HF_ENDPOINT=address, HF_HOME=str(tmp_path / "home"),
        )  # fmt: skip
    assert code != 0
    assert "There is nothing at hf://datasets/owner/other. If it is private or gated, set HF_TOKEN." in " ".join(
        said.split()
    )
    assert not (tmp_path / "out").exists()
