"""Folders as img2dataset writes them, in each of its formats: every image once, and the rest set aside and counted."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpora import PICTURES, read_rows

from pyrite.bundle import Bundle
from pyrite.errors import ScanError
from pyrite.scanning import Columns, ScanSettings, scan
from pyrite.scanning.sidecars import describes

SHARDS, EACH = 2, 4
FAILED = {1, 6}
"""What could not be fetched."""
KEYS = [f"{shard:05}{number:04}" for shard in range(SHARDS) for number in range(EACH)]
FETCHED = [key for i, key in enumerate(KEYS) if i not in FAILED]
FIELDS = {
    key: {
        "url": f"https://example.org/{i}.jpg",
        "caption": None if i == 2 else f"picture {i}",
        "key": key,
        "status": "failed_to_download" if i in FAILED else "success",
        "pwatermark": i / 8,
    }
    for i, key in enumerate(KEYS)
}
IMAGES = {key: PICTURES[i] for i, key in enumerate(KEYS) if i not in FAILED}


def table(rows: list[dict[str, Any]], path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path)


def write_webdataset(root: Path) -> None:
    for shard in range(SHARDS):
        rows = [FIELDS[key] for key in KEYS[shard * EACH : (shard + 1) * EACH]]
        table(rows, root / f"{shard:05}.parquet")
        (root / f"{shard:05}_stats.json").write_text("{}")
        with tarfile.open(root / f"{shard:05}.tar", "w") as tar:
            for row in rows:
                if row["key"] not in IMAGES:
                    continue
                for name, data in (
                    ("jpg", IMAGES[row["key"]]),
                    ("json", json.dumps(row).encode()),
                    ("txt", str(row["caption"]).encode()),
                ):
                    info = tarfile.TarInfo(f"{row['key']}.{name}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))


def write_files(root: Path) -> None:
    for shard in range(SHARDS):
        rows = [FIELDS[key] for key in KEYS[shard * EACH : (shard + 1) * EACH]]
        table(rows, root / f"{shard:05}.parquet")
        (root / f"{shard:05}_stats.json").write_text("{}")
        folder = root / f"{shard:05}"
        folder.mkdir()
        for row in rows:
            if row["key"] in IMAGES:
                (folder / f"{row['key']}.jpg").write_bytes(IMAGES[row["key"]])
                (folder / f"{row['key']}.json").write_text(json.dumps(row))
                (folder / f"{row['key']}.txt").write_text(str(row["caption"]))


def write_parquet(root: Path) -> None:
    for shard in range(SHARDS):
        rows = [FIELDS[key] for key in KEYS[shard * EACH : (shard + 1) * EACH]]
        (root / f"{shard:05}_stats.json").write_text("{}")
        table([{**row, "jpg": IMAGES.get(row["key"])} for row in rows], root / f"{shard:05}.parquet")


SET_ASIDE = {
    write_webdataset: {".json in a tar": 6, ".txt in a tar": 6, "sidecar": 4},
    write_files: {"sidecar": 16},
    write_parquet: {"row without an image": 2, "sidecar": 2},
}


@pytest.fixture(params=SET_ASIDE, ids=lambda write: write.__name__.removeprefix("write_"))
def fetched(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, dict[str, int]]:
    """Return the folder that img2dataset wrote in one of its formats, and what of it is no image."""
    root = tmp_path / "fetched"
    root.mkdir()
    request.param(root)
    return root, SET_ASIDE[request.param]


def test_each_image_has_one_row_and_the_rest_is_counted(
    fetched: tuple[Path, dict[str, int]],
    bundle: Bundle,
    tmp_path: Path,
    run_pyrite: Callable[..., tuple[int, str, str]],
) -> None:
    root, set_aside = fetched
    out = tmp_path / "out"
    code, printed, said = run_pyrite("scan", root, "--out", out, "--bundle", bundle.path, "--engine", "local")
    assert (code, said) == (0, "")
    rows = read_rows(out)
    assert [row["key"] for row in rows] == FETCHED
    assert [row["error_code"] for row in rows] == [None] * len(FETCHED)
    assert {row["partition"] for row in rows} == {"."}
    assert json.loads((out / "summary.json").read_bytes())["set_aside"] == set_aside
    assert "Set aside: " in printed
    assert all(f"{count} × {name}" in printed for name, count in set_aside.items())


def test_columns_are_passed_through_and_join_by_key(
    fetched: tuple[Path, dict[str, int]],
    bundle: Bundle,
    tmp_path: Path,
    run_pyrite: Callable[..., tuple[int, str, str]],
) -> None:
    root, out = fetched[0], tmp_path / "out"
    code, printed, _ = run_pyrite(
        "scan", root, "--out", out, "--bundle", bundle.path, "--engine", "local",
        "--keep-columns", "url, caption,pwatermark",
    )  # fmt: skip
    assert code == 0
    rows = read_rows(out)
    assert {row["key"]: (row["url"], row["caption"]) for row in rows} == {
        key: (FIELDS[key]["url"], FIELDS[key]["caption"]) for key in FETCHED
    }
    assert [float(row["pwatermark"]) for row in rows] == [FIELDS[key]["pwatermark"] for key in FETCHED]
    assert "Rows without a value: 1 of caption" in printed
    assert json.loads((out / "summary.json").read_bytes())["without"] == {"url": 0, "caption": 1, "pwatermark": 0}


def test_a_column_that_no_sidecar_has_is_refused_before_work_begins(
    fetched: tuple[Path, dict[str, int]], bundle: Bundle, tmp_path: Path
) -> None:
    settings = ScanSettings(columns=Columns(keep=("license",)))
    with pytest.raises(ScanError, match=r"00000\.parquet has no column `license` to keep; it has url, caption, key"):
        scan(str(fetched[0]), tmp_path / "out", bundle, settings=settings, engine="local")
    assert not (tmp_path / "out").exists()


def test_a_glob_of_all_sets_the_same_aside(
    fetched: tuple[Path, dict[str, int]], bundle: Bundle, tmp_path: Path
) -> None:
    found = scan(f"{fetched[0]}/*", tmp_path / "out", bundle, engine="local")
    assert (found.total.images, found.total.errors, found.set_aside) == (len(FETCHED), {}, fetched[1])


@pytest.mark.parametrize("write", [write_webdataset, write_files])
def test_without_the_sidecars_the_columns_come_from_the_samples_json(
    write: Callable[[Path], None], bundle: Bundle, tmp_path: Path
) -> None:
    root = tmp_path / "fetched"
    root.mkdir()
    write(root)
    for path in root.glob("*.parquet"):
        path.unlink()
    settings = ScanSettings(columns=Columns(keep=("url", "license")))
    found = scan(str(root), tmp_path / "out", bundle, settings=settings, engine="local")
    assert {row["key"]: row["url"] for row in read_rows(tmp_path / "out")} == {
        key: FIELDS[key]["url"] for key in FETCHED
    }
    assert found.without == {"url": 0, "license": len(FETCHED)}


def test_a_parquet_file_of_images_beside_a_tar_is_judged(bundle: Bundle, tmp_path: Path) -> None:
    root = tmp_path / "mixed"
    root.mkdir()
    write_webdataset(root)
    table([{"image": PICTURES[20]}], root / "00000.parquet")
    found = scan(str(root), tmp_path / "out", bundle, engine="local")
    assert found.total.images == len(FETCHED) + 1
    assert found.set_aside["sidecar"] == 3


def test_a_damaged_sidecar_is_named_where_its_columns_are_wanted(bundle: Bundle, tmp_path: Path) -> None:
    root = tmp_path / "fetched"
    root.mkdir()
    write_webdataset(root)
    (root / "00001.parquet").write_bytes(b"PAR1")
    settings = ScanSettings(columns=Columns(keep=("url",)))
    with pytest.raises(ScanError, match=r"00001\.parquet cannot be read, which has the columns to keep"):
        scan(str(root), tmp_path / "out", bundle, settings=settings, engine="local")


@pytest.mark.parametrize("suffix", [".JPG", ".Png", ".tiff"])
def test_what_lies_beside_an_image_is_set_aside_however_its_name_is_written(suffix: str) -> None:
    beside = {f"a{suffix}", "a.json", "a.TXT", "b.json"}
    assert [describes(name, beside) for name in ("a.json", "a.TXT", "b.json")] == [True, True, False]
