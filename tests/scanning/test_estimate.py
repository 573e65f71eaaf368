"""A dry run lists what a scan would judge, and what it would take, and writes nothing."""

import io
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpora import PICTURES

from pyrite.bundle import Bundle
from pyrite.errors import ScanError
from pyrite.scanning import Columns, ScanSettings, estimate
from pyrite.scanning.display import estimate_lines
from pyrite.scanning.estimate import Estimate, PlannedShard, Trial
from pyrite.scanning.listing import Kind

Run = Callable[..., tuple[int, str, str]]


def write_tar(path: Path, count: int) -> None:
    with tarfile.open(path, "w") as tar:
        for number in range(count):
            for name, data in ((f"{number}.png", PICTURES[number]), (f"{number}.txt", b"a caption")):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def test_single_images_are_counted_and_their_sizes_summed(corpus: Path, bundle: Bundle) -> None:
    found = estimate(str(corpus), bundle, settings=ScanSettings(shard_size=20), workers=3, price=0.5)
    files = sorted(corpus.rglob("*.png"), key=lambda path: (path.parent != corpus, path))
    assert [(shard.kind, shard.inputs, shard.images) for shard in found.shards] == [
        (Kind.FILE, count, count) for count in (20, 20, 20, 1)
    ]
    assert [shard.bytes for shard in found.shards] == [
        sum(path.stat().st_size for path in files[start : start + 20]) for start in (0, 20, 40, 60)
    ]
    assert (found.images, found.exact, found.workers) == (61, True, 3)
    # 16 of each shard, and all of the last; one of them is no image.
    assert (found.trial.images, found.trial.errors) == (49, 1)
    assert found.images_per_second == pytest.approx(49 / found.trial.seconds)
    assert found.core_hours == pytest.approx(61 / 49 * found.trial.seconds / 3600)
    assert found.cost == pytest.approx(0.5 * (found.core_hours or 0))


def test_a_tars_images_are_extrapolated_and_a_tables_are_counted(bundle: Bundle, tmp_path: Path) -> None:
    root = tmp_path / "source"
    root.mkdir()
    for number in range(3):
        write_tar(root / f"{number}.tar", 40)
    pq.write_table(pa.table({"image": PICTURES[:7]}), root / "3.parquet", row_group_size=4)
    pq.write_table(pa.table({"key": ["0"], "url": ["x"]}), root / "0.parquet")
    found = estimate(str(root), bundle)
    assert [(shard.kind, shard.images) for shard in found.shards] == [
        *[(Kind.TAR, None)] * 3,
        (Kind.TABLE, 4),
        (Kind.TABLE, 3),
    ]
    assert found.shards[0].bytes == (root / "0.tar").stat().st_size
    assert found.set_aside == {"sidecar": 1}
    assert not found.exact
    assert found.images == pytest.approx(127, abs=8)  # A tar is padded at its end.


def test_a_small_tar_is_known_to_its_end(bundle: Bundle, tmp_path: Path) -> None:
    write_tar(tmp_path / "x.tar", 5)
    assert estimate(str(tmp_path / "x.tar"), bundle).images == pytest.approx(5, abs=1)


def test_columns_that_a_tar_lacks_are_counted_among_those_tried(bundle: Bundle, tmp_path: Path) -> None:
    write_tar(tmp_path / "x.tar", 5)
    found = estimate(str(tmp_path / "x.tar"), bundle, settings=ScanSettings(columns=Columns(keep=("url",))))
    assert found.trial.without == {"url": 5}


def test_what_cannot_be_known_is_said(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"no tar" * 1000)
    found = estimate(str(tmp_path / "x.tar"), bundle, price=1.0)
    assert (found.images, found.core_hours, found.cost) == (None, None, None)
    lines = list(estimate_lines(found))
    assert lines[1].startswith("  0: tar, ? images, 6.0 kB, ")
    assert "Images: not known" in lines


def test_a_column_that_is_missing_is_told(bundle: Bundle, tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": PICTURES[:1]}), tmp_path / "x.parquet")
    with pytest.raises(ScanError, match="no column `url` to keep"):
        estimate(str(tmp_path / "x.parquet"), bundle, settings=ScanSettings(columns=Columns(keep=("url",))))


def test_the_command_prints_it_and_writes_nothing(
    corpus: Path, bundle: Bundle, tmp_path: Path, run_pyrite: Run
) -> None:
    options = ("--bundle", bundle.path, "--shard-size", "30", "--dry-run", "--price-per-hour", "0.04", "--workers", "2")
    code, printed, said = run_pyrite("scan", corpus, "--out", tmp_path / "out", *options)
    lines = printed.splitlines()
    assert (code, said) == (0, "")
    assert lines[0].startswith("Shards: 3 of 61 inputs, ")
    assert lines[1].startswith("  0: file, 30 images, ")
    assert "Images: 61" in lines
    for beginning in ("Speed: ", "Time: about ", "Cost: less than 0.01 at 0.04 for an hour of a core"):
        assert any(line.startswith(beginning) for line in lines)
    assert lines[-1] == "Nothing was written."
    assert not (tmp_path / "out").exists()


def test_a_price_alone_is_refused(corpus: Path, bundle: Bundle, tmp_path: Path, run_pyrite: Run) -> None:
    code, _, said = run_pyrite(
        "scan", corpus, "--out", tmp_path / "out", "--bundle", bundle.path, "--price-per-hour", 1
    )
    assert code == 2
    assert "--price-per-hour is for --dry-run" in said


def test_the_lines_name_large_numbers_and_the_first_shards() -> None:
    shard = PlannedShard(kind=Kind.TABLE, name="s3://x/0.parquet", inputs=1, bytes=2_500_000_000, images=10_000)
    found = Estimate(
        shards=(shard,) * 25, set_aside={"sidecar": 4}, images=250_000, exact=True,
        trial=Trial(images=50, errors=2, seconds=1.0, without={'url': 3}), workers=4, price=0.04,
    )  # fmt: skip
    assert list(estimate_lines(found)) == [
        "Shards: 25 of 25 inputs, 62.5 GB",
        *(f"  {number}: table, 10,000 images, 2.5 GB, s3://x/0.parquet" for number in range(20)),
        "  and 5 more",
        "Set aside: 4 × sidecar",
        "Images: 250,000",
        "Speed: 50.0 images a second per worker, from 50 tried images, 2 of which could not be judged",
        "Column url: 3 of 50 tried images have no value",
        "Time: about 1.4 hours of a core; with 4 workers about 20.8 minutes",
        "Cost: about 0.06 at 0.04 for an hour of a core",
        "Nothing was written.",
    ]
    unknown = replace(found, shards=(replace(shard, bytes=None, images=None),), images=None)
    assert next(iter(estimate_lines(unknown))) == "Shards: 1 of 1 inputs, at least 0 bytes"
