"""The table: every image once, and the same however the scan was cut short."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow.parquet as pq
import pytest
from corpora import PICTURES, kill_after_parts, read_rows

from pyrite.bundle import Bundle, save_bundle
from pyrite.detector import Detector
from pyrite.errors import PyriteError, ScanError
from pyrite.scanning import ScanSettings, scan
from pyrite.scanning.listing import UNKNOWN, Input, Kind, ListingReader, write_listing
from pyrite.writing import locked

SHARDS = ScanSettings(shard_size=7, batch_size=3)


def run(corpus: Path, out: Path, bundle: Bundle, settings: ScanSettings = SHARDS, **options: Any) -> Any:
    return scan(str(corpus), out, bundle, settings=settings, engine="local", **options)


@pytest.fixture(scope="module")
def scanned(corpus: Path, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scan") / "out"
    run(corpus, out, bundle)
    return out


def test_every_image_has_one_row_with_what_detect_says(corpus: Path, bundle: Bundle, scanned: Path) -> None:
    rows = read_rows(scanned)
    paths = [str(path) for path in [corpus / "notes.png", *sorted(corpus.glob("*/*.png"))]]
    assert [row["path"] for row in rows] == paths
    detector = Detector(bundle)
    for row in rows:
        expected = asdict(detector.detect(row["path"]))
        error = expected.pop("error")
        assert (row["error_code"], row["error_message"]) == ((error or {}).get("code"), (error or {}).get("message"))
        model = expected.pop("model")
        assert (row["model_name"], row["model_version"]) == (model["name"], model["version"])
        evidence = [item | {"strength": str(item["strength"])} for item in expected.pop("evidence")]
        assert json.loads(row["evidence"]) == evidence
        assert {name: row[name] for name in expected} == pytest.approx(expected, abs=1e-9)
    assert {row["verdict"] for row in rows} == {"ai", "real", "uncertain"}


def test_rows_tell_shard_position_partition_and_what_the_pixels_say(scanned: Path) -> None:
    rows = read_rows(scanned)
    assert [(row["shard"], row["position"]) for row in rows] == [divmod(i, 7) for i in range(61)]
    assert [row["partition"] for row in rows] == [".", *["dark"] * 30, *["light"] * 30]
    assert all(row["pixels_say"] == row["verdict"] and row["in_scope"] for row in rows[1:])
    assert (rows[0]["pixels_say"], rows[0]["in_scope"]) == (None, None)
    assert (rows[0]["error_code"], rows[0]["verdict"]) == ("unsupported_format", "uncertain")


def test_other_programs_read_the_table(scanned: Path) -> None:
    found = duckdb.sql(f"SELECT count(*), count(DISTINCT path) FROM '{scanned}/detections/*.parquet'").fetchall()
    assert found == [(61, 61)]
    assert pq.read_table(scanned / "detections").to_pandas()["verdict"].isin(["ai", "real", "uncertain"]).all()


def test_the_summary_counts_what_the_table_holds(corpus: Path, bundle: Bundle, scanned: Path) -> None:
    summary = json.loads((scanned / "summary.json").read_bytes())
    verdicts = [row["verdict"] for row in read_rows(scanned)[1:]]
    assert {name: summary["total"][name] for name in ("ai", "real", "uncertain")} == {
        name: verdicts.count(name) for name in ("ai", "real", "uncertain")
    }
    assert summary["total"]["images"] == 61
    assert summary["total"]["errors"] == {"unsupported_format": 1}
    assert list(summary["partitions"]) == [".", "dark", "light"]
    assert sum(part["images"] for part in summary["partitions"].values()) == 61


def test_what_is_done_is_not_done_again(corpus: Path, bundle: Bundle, tmp_path: Path) -> None:
    run(corpus, tmp_path / "out", bundle)
    parts = sorted((tmp_path / "out/detections").iterdir())
    before = {part: part.stat().st_mtime_ns for part in parts}
    rows = read_rows(tmp_path / "out")
    parts[4].unlink()
    seen = []
    run(corpus, tmp_path / "out", bundle, watch=seen.append)
    assert [(progress.shards, progress.images) for progress in seen] == [(9, 7)]
    assert [part for part in parts if part.stat().st_mtime_ns != before[part]] == [parts[4]]
    assert read_rows(tmp_path / "out") == rows


def test_images_that_come_or_go_after_the_listing_change_nothing_but_themselves(
    corpus: Path, bundle: Bundle, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(6):
        (source / f"{number}.png").write_bytes(PICTURES[number])
    settings = ScanSettings(shard_size=2)
    run(source, tmp_path / "out", bundle, settings)
    (tmp_path / "out/detections/part-00000001.parquet").unlink()
    (source / "1a.png").write_bytes(PICTURES[9])
    (source / "3.png").unlink()
    run(source, tmp_path / "out", bundle, settings)
    rows = read_rows(tmp_path / "out")
    assert [Path(row["path"]).name for row in rows] == [f"{number}.png" for number in range(6)]
    assert [row["error_code"] for row in rows] == [None, None, None, "not_found", None, None]


def test_killed_outright_the_same_command_goes_on(
    corpus: Path, scanned: Path, tmp_path: Path, start: Any, finish: Any
) -> None:
    out = tmp_path / "out"
    command = (corpus, "--out", out, "--engine", "local", "--shard-size", "7", "--batch-size", "3")
    done = kill_after_parts(start(*command), out, 1)
    (out / "detections/.partial-x").touch()
    kept = {part: part.stat().st_mtime_ns for part in out.glob("detections/part-*")}
    assert 0 < done < 9
    code, printed, _ = finish(*command)
    assert code == 1  # One file is no image.
    assert "61 images" in printed
    assert len(list((out / "detections").iterdir())) == 9
    assert all(part.stat().st_mtime_ns == time for part, time in kept.items())
    assert read_rows(out) == read_rows(scanned)


@pytest.mark.parametrize(
    ("change", "what"),
    [({"max_fpr": 0.1}, "settings"), ({"shard_size": 8}, "settings"), ({"evidence": False}, "settings")],
)
def test_a_scan_of_other_settings_is_refused(
    change: dict[str, Any], what: str, corpus: Path, bundle: Bundle, scanned: Path
) -> None:
    with pytest.raises(ScanError, match=rf"another {what}\. Choose another"):
        run(corpus, scanned, bundle, ScanSettings(**{"shard_size": 7, "batch_size": 3} | change))


def test_a_scan_that_other_versions_began_is_refused(corpus: Path, bundle: Bundle, tmp_path: Path) -> None:
    run(corpus, tmp_path / "out", bundle)
    path = tmp_path / "out/manifest.json"
    manifest = json.loads(path.read_bytes())
    manifest["packages"]["pillow"] = "1.2"
    del manifest["packages"]["onnxruntime"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(ScanError, match=r"holds a scan with no onnxruntime, pillow 1\.2\. Install that"):
        run(corpus, tmp_path / "out", bundle)


def test_a_listing_gives_each_shard_whichever_row_group_it_is_in(tmp_path: Path) -> None:
    inputs = [Input(Kind.FILE, f"{number}.png", number, "a") for number in range(40_000)]
    containers = [Input(Kind.TAR, f"{number}.tar", UNKNOWN, "b") for number in range(3)]
    listing = write_listing([*inputs[:50], *containers, *inputs[50:]], str(tmp_path / "listing"), 7000)
    assert pq.read_metadata(tmp_path / "listing").num_row_groups == 2
    reader = ListingReader(str(tmp_path / "listing"))
    shards = [reader.read(shard) for shard in range(listing.shards)]
    assert [item for shard in shards for item in shard] == [*inputs[:50], *containers, *inputs[50:]]
    assert [len(shard) for shard in shards] == [50, 1, 1, 1, 7000, 7000, 7000, 7000, 7000, 4950]


def test_a_scan_of_another_source_is_refused(bundle: Bundle, scanned: Path, tmp_path: Path) -> None:
    with pytest.raises(ScanError, match="another source"):
        run(tmp_path, scanned, bundle)


def test_a_folder_of_something_else_is_refused_and_left_alone(corpus: Path, bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(ScanError, match=r"already holds something else \(mine\.txt\)"):
        run(corpus, tmp_path, bundle)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_two_scans_do_not_share_a_folder(corpus: Path, bundle: Bundle, tmp_path: Path) -> None:
    with locked(tmp_path, OSError()), pytest.raises(ScanError, match="Another process is scanning to"):
        scan(str(corpus), tmp_path, bundle, engine="local")
    assert list(tmp_path.iterdir()) == []
    scan(str(corpus), tmp_path, bundle, engine="local")


def test_a_source_without_images_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ScanError, match="holds no images"):
        run(tmp_path / "empty", tmp_path / "out", bundle)
    with pytest.raises(ScanError, match="There is nothing at"):
        run(tmp_path / "absent", tmp_path / "out", bundle)
    assert not (tmp_path / "out").exists()


def test_a_setting_that_cannot_be_used_is_refused_at_once(corpus: Path, bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(PyriteError, match=r"Choose max_fpr of at least 0\.01"):
        run(corpus, tmp_path / "out", bundle, ScanSettings(max_fpr=1e-6))
    for setting, value in (("batch_size", 0), ("timeout", math.nan), ("timeout", math.inf)):
        with pytest.raises(ScanError, match=f"{setting} must be a number greater than 0"):
            run(corpus, tmp_path / "out", bundle, ScanSettings(**{setting: value}))
    assert not (tmp_path / "out").exists()


def test_progress_is_logged_as_lines_of_json(
    corpus: Path, bundle: Bundle, tmp_path: Path, run_pyrite: Callable[..., tuple[int, str, str]]
) -> None:
    log = tmp_path / "log.jsonl"
    options = ("--engine", "local", "--bundle", bundle.path, "--shard-size", "20", "--progress", log)
    run_pyrite("scan", corpus, "--out", tmp_path / "out", *options)
    lines = [json.loads(line) for line in log.read_bytes().splitlines()]
    assert [(line["shards"], line["of_shards"], line["images"], line["errors"]) for line in lines] == [
        (1, 4, 20, 1),
        (2, 4, 40, 1),
        (3, 4, 60, 1),
        (4, 4, 61, 1),
    ]
    assert lines[-1]["seconds_left"] == 0
    assert all(line["images_per_second"] > 0 for line in lines)


def test_bundles_with_different_budgets_need_one_for_all(bundle: Bundle, corpus: Path, tmp_path: Path) -> None:
    policy = msgspec.structs.replace(bundle.info.policy, max_fpr=0.02)
    info = msgspec.structs.replace(bundle.info, name="strict", policy=policy)
    strict = save_bundle(tmp_path / "strict", info, bundle.files)
    with pytest.raises(ScanError, match=r"different error budgets, 0\.02 and 0\.05\. Choose one with --max-fpr"):
        scan(str(corpus), tmp_path / "out", bundles=[bundle, strict], engine="local")
    assert not (tmp_path / "out").exists()


def test_a_shard_of_over_a_million_images_is_listed_whole(tmp_path: Path) -> None:
    count = 1024 * 1024 + 1  # What pyarrow puts into a group of rows, and one more.
    listing = write_listing((Input(Kind.FILE, "a.png", 1, ".") for _ in range(count)), str(tmp_path / "x"), count)
    assert (listing.shards, listing.inputs) == (1, count)
    assert len(ListingReader(str(tmp_path / "x")).read(0)) == count
