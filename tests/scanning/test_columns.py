"""Which columns of a source are read, and which are passed through."""

import io
import json
import math
import tarfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpora import PICTURES, read_rows

from pyrite.bundle import Bundle
from pyrite.errors import ScanError
from pyrite.scanning import Columns, ScanSettings, scan
from pyrite.scanning.columns import as_text

FETCH_FIRST = "It holds addresses, not images. Download them first, as with img2dataset"


@pytest.fixture
def judge(bundle: Bundle, tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    def run(source: object, **columns: Any) -> list[dict[str, Any]]:
        out = tmp_path / f"out-{len(list(tmp_path.iterdir()))}"
        settings = ScanSettings(columns=Columns(**columns))
        scan(str(source), out, bundle, settings=settings, engine="local")
        return read_rows(out)

    return run


def write(path: Path, columns: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def test_another_column_of_images_and_of_their_names(judge: Callable[..., Any], tmp_path: Path) -> None:
    path = write(
        tmp_path / "x.parquet",
        {"image": [1, 2], "picture": PICTURES[:2], "name": ["a.png", "b.png"], "key": ["a", None]},
    )
    rows = judge(path, image="picture", path="name", keep=("image",))
    assert [row["path"] for row in rows] == [f"{path}/0/a.png", f"{path}/1/b.png"]
    assert [(row["error_code"], row["image"], row["key"]) for row in rows] == [(None, "1", "a"), (None, "2", None)]


def test_another_column_of_paths(judge: Callable[..., Any], tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"{number}.png").write_bytes(PICTURES[number])
    listed = write(tmp_path / "x.parquet", {"file": ["0.png", "1.png"], "key": [7, 8], "licence": ["CC0", None]})
    (tmp_path / "x.csv").write_text("file,key,licence\n0.png,7,CC0\n1.png,8,\n")
    for source in (listed, tmp_path / "x.csv"):
        rows = judge(source, path="file", keep=("licence",))
        assert [Path(row["path"]).name for row in rows] == ["0.png", "1.png"]
        assert [(row["key"], row["licence"]) for row in rows] == [("7", "CC0"), ("8", None)]


def test_the_key_of_a_file_is_its_name(judge: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.b.png").write_bytes(PICTURES[0])
    assert [row["key"] for row in judge(tmp_path / "images")] == ["a.b"]


def test_json_may_come_before_or_after_the_image_and_is_of_its_sample_alone(
    judge: Callable[..., Any], tmp_path: Path
) -> None:
    members = [
        ("a/0.png", PICTURES[0]),
        ("a/0.json", b'{"text": "after"}'),
        ("a/1.json", b'{"text": "before", "more": [1, null]}'),
        ("a/1.left.png", PICTURES[1]),
        ("a/1.right.png", PICTURES[2]),
        ("a/2.png", PICTURES[3]),
        ("a/3.png", PICTURES[4]),
        ("a/3.json", b"no JSON"),
        ("a/._4.png", b"x"),
        ("a/5.12", b"x"),
    ]
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    rows = judge(tmp_path / "x.tar", keep=("text", "more"))
    assert [(row["key"], row["text"], row["more"]) for row in rows] == [
        ("a/0", "after", None),
        ("a/1", "before", "[1,null]"),
        ("a/1", "before", "[1,null]"),
        ("a/2", None, None),
        ("a/3", None, None),
    ]
    summary = json.loads(next(tmp_path.glob("out-*/summary.json")).read_bytes())
    assert summary["set_aside"] == {"hidden file in a tar": 1, "other file in a tar": 1}
    assert summary["without"] == {"text": 2, "more": 3}


def test_a_tar_that_breaks_off_within_a_sample_keeps_its_image(judge: Callable[..., Any], tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name, data in (("0.png", PICTURES[0]), ("0.json", b'{"text": "x"}')):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        cut = tar.offset
    (tmp_path / "x.tar").write_bytes((tmp_path / "x.tar").read_bytes()[: cut - 1024 + 100])
    rows = judge(tmp_path / "x.tar", keep=("text",))
    assert [(row["key"], row["error_code"]) for row in rows] == [("0", None), (None, "damaged_shard")]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        (math.nan, None),
        ("", ""),
        ("text", "text"),
        (3, "3"),
        (0.5, "0.5"),
        (True, "true"),
        ([1, "a"], '[1,"a"]'),
        ({"a": None}, '{"a":null}'),
        (date(2026, 11, 30), "2026-11-30"),
    ],
)
def test_values_are_kept_as_text(value: object, text: str | None) -> None:
    assert as_text(value) == text


WRONG: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"image": PICTURES[:1], "text": ["a"]}, {"keep": ("caption",)}, "no column `caption` to keep; it has image, text"),
    ({"image": PICTURES[:1], "raw": [b"x"]}, {"keep": ("raw",)}, "The column `raw` of .* holds bytes"),
    ({"image": PICTURES[:1]}, {"image": "picture"}, "has no column `picture`; it has image"),
    ({"image": PICTURES[:1]}, {"path": "file"}, "has no column `file`; it has image"),
    ({"image": ["a.png"]}, {"image": "image"}, "The column `image` of .* holds no bytes"),
    ({"picture": PICTURES[:1]}, {}, "Name it with --image-column or --path-column"),
    ({"URL": ["https://example.org/a.jpg"], "TEXT": ["a"]}, {}, FETCH_FIRST),
    ({"image": PICTURES[:1]}, {"keep": ("sha256",)}, "`sha256` cannot be kept, since the table of results already"),
    ({"image": PICTURES[:1]}, {"keep": ("a", "a")}, "have `a` twice"),
    ({"image": PICTURES[:1]}, {"keep": ("",)}, "have an empty name"),
]
WRONG_PATHS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"path": ["a.png"]}, {"path": "file"}, "has no column `file`; it has path"),
    ({"path": ["a.png"]}, {"keep": ("caption",)}, "no column `caption` to keep; it has path"),
    ({"path": ["https://example.org/a.jpg"]}, {}, FETCH_FIRST),
    ({"url": ["HTTP://example.org/a.jpg"]}, {"path": "url"}, FETCH_FIRST),
]


@pytest.mark.parametrize(("table", "columns", "sentence"), [*WRONG, *WRONG_PATHS])
def test_what_is_wrong_with_a_table_is_said_before_work_begins(
    judge: Callable[..., Any], tmp_path: Path, table: dict[str, Any], columns: Any, sentence: str
) -> None:
    path = write(tmp_path / "tables/x.parquet", table)
    with pytest.raises(ScanError, match=sentence):
        judge(path, **columns)
    assert [entry.name for entry in tmp_path.iterdir()] == ["tables"]


@pytest.mark.parametrize(("table", "columns", "sentence"), WRONG)
def test_the_same_of_a_table_in_a_folder(
    judge: Callable[..., Any], tmp_path: Path, table: dict[str, Any], columns: Any, sentence: str
) -> None:
    path = write(tmp_path / "tables/x.parquet", table)
    with pytest.raises(ScanError, match=sentence):
        judge(path.parent, **columns)


@pytest.mark.parametrize(
    ("text", "columns", "sentence"),
    [
        ("url,caption\nhttps://example.org/a.jpg,a\n", {}, FETCH_FIRST),
        ("path\nhttps://example.org/a.jpg\n", {}, FETCH_FIRST),
        ("path\na.png\n", {"keep": ("caption",)}, "no column `caption` to keep; it has path"),
        ("path\na.png\n", {"path": "file"}, "no column `file`; it has path"),
    ],
)
def test_the_same_of_a_csv_file(
    judge: Callable[..., Any], tmp_path: Path, text: str, columns: Any, sentence: str
) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(ScanError, match=sentence):
        judge(tmp_path / "x.csv", **columns)


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"image": "picture"}, "holds no Parquet file with a column `picture` of images"),
        ({"path": "file"}, "is not a table with a column `file`"),
        ({"keep": ("caption",)}, "have no columns to keep: nothing beside them describes them"),
    ],
)
def test_an_option_that_a_folder_of_images_has_no_use_for_is_refused(
    judge: Callable[..., Any], tmp_path: Path, columns: Any, sentence: str
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.png").write_bytes(PICTURES[0])
    with pytest.raises(ScanError, match=sentence):
        judge(tmp_path / "images", **columns)


def test_a_table_of_addresses_among_images_is_set_aside_and_counted(judge: Callable[..., Any], tmp_path: Path) -> None:
    write(tmp_path / "images/urls.parquet", {"url": ["https://example.org/a.jpg"]})
    (tmp_path / "images/a.png").write_bytes(PICTURES[0])
    assert len(judge(tmp_path / "images")) == 1
    summary = json.loads(next(tmp_path.glob("out-*/summary.json")).read_bytes())
    assert summary["set_aside"] == {"table of addresses": 1}
