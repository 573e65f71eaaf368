"""Every kind of source gives each image once, in the same order."""

import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpora import PICTURES, read_rows

from pyrite.bundle import Bundle
from pyrite.errors import ScanError
from pyrite.image import Limits
from pyrite.scanning import ScanSettings, scan

COUNT = 12
HASHES = [hashlib.sha256(data).hexdigest() for data in PICTURES[:COUNT]]


@pytest.fixture
def judge(bundle: Bundle, tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    def run(source: object, **settings: Any) -> list[dict[str, Any]]:
        out = tmp_path / f"out-{len(list(tmp_path.iterdir()))}"
        scan(str(source), out, bundle, settings=ScanSettings(shard_size=5, batch_size=4, **settings), engine="local")
        return read_rows(out)

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    for number in range(COUNT):
        path = root / f"{'ab'[number // 6]}" / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PICTURES[number])
    return root


def write_tar(path: Path, members: list[tuple[str, bytes]], mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def table_of_paths(*paths: str | None) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table({"path": pa.array(paths, pa.string())}), stream)
    return stream.getvalue()


def samples(numbers: range) -> list[tuple[str, bytes]]:
    """Return the members of a WebDataset shard: each image with its class and caption."""
    return [
        member
        for number in numbers
        for member in ((f"{number}.cls", b"0"), (f"{number}.png", PICTURES[number]), (f"{number}.json", b"{}"))
    ]


def test_a_glob_and_a_single_image(judge: Callable[..., Any], folder: Path) -> None:
    rows = judge(f"{folder}/*/0[0-7].png")
    assert [row["sha256"] for row in rows] == HASHES[:8]
    assert [row["partition"] for row in rows] == ["a"] * 6 + ["b"] * 2
    assert [row["sha256"] for row in judge(folder / "a/03.png")] == [HASHES[3]]


def test_hidden_files_are_left_out_and_names_that_are_no_text_are_not(judge: Callable[..., Any], folder: Path) -> None:
    (folder / ".hidden.png").write_bytes(PICTURES[0])
    with open(os.fsencode(folder) + b"/\xff.png", "wb") as stream:  # noqa: PTH123
        stream.write(PICTURES[0])
    rows = judge(folder)
    assert len(rows) == COUNT + 1
    assert [row["path"] for row in rows if "udcff" in row["path"]] == [f"{folder}/\\udcff.png"]
    assert all(row["error_code"] is None for row in rows)


@pytest.mark.parametrize(("name", "mode"), [("shard-{}.tar", "w"), ("shard-{}.tar.gz", "w:gz")])
def test_tar_shards_give_their_images_and_nothing_else(
    judge: Callable[..., Any], tmp_path: Path, name: str, mode: str
) -> None:
    for shard in range(3):
        write_tar(tmp_path / "shards" / name.format(shard), samples(range(4 * shard, 4 * shard + 4)), mode)
    rows = judge(tmp_path / "shards")
    assert [row["sha256"] for row in rows] == HASHES
    assert [row["shard"] for row in rows] == [0] * 4 + [1] * 4 + [2] * 4
    assert rows[5]["path"] == f"{tmp_path}/shards/{name.format(1)}/5.png"


def test_a_tar_that_breaks_off_gives_what_came_before_and_says_so(judge: Callable[..., Any], tmp_path: Path) -> None:
    path = write_tar(tmp_path / "shards/0.tar", samples(range(6)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    write_tar(tmp_path / "shards/1.tar", samples(range(6, 8)))
    (tmp_path / "shards/2.tar").write_bytes(b"no tar" * 1000)
    rows = judge(tmp_path / "shards")
    good = [row["sha256"] for row in rows if row["error_code"] is None]
    assert good == HASHES[: len(good) - 2] + HASHES[6:8]
    assert 4 < len(good) < 8
    bad = [row for row in rows if row["error_code"]]
    assert [(row["path"], row["error_code"]) for row in bad] == [
        (f"{tmp_path}/shards/{number}.tar", "damaged_shard") for number in (0, 2)
    ]
    assert f"after {len(good) - 2} images" in bad[0]["error_message"]


def test_damage_within_a_tar_is_not_taken_for_its_end(judge: Callable[..., Any], tmp_path: Path) -> None:
    path = write_tar(tmp_path / "shards/0.tar", [(f"{number}.png", PICTURES[number]) for number in range(4)])
    whole = path.read_bytes()
    with tarfile.open(path) as tar:
        third = tar.getmembers()[2].offset
    for data in (whole[:third] + b"x" * 512 + whole[third + 512 :], whole[:third], whole[: third + 100]):
        path.write_bytes(data)
        rows = judge(tmp_path / "shards")
        assert [row["error_code"] for row in rows] == [None, None, "damaged_shard"]
        assert "It breaks off after 2 images" in rows[-1]["error_message"]


def test_a_member_that_is_too_large_is_a_row_that_says_so(judge: Callable[..., Any], tmp_path: Path) -> None:
    write_tar(tmp_path / "x.tar", [("0.png", PICTURES[0]), ("1.png", b"x" * 50_000), ("2.png", PICTURES[2])])
    rows = judge(tmp_path / "x.tar", limits=Limits(max_bytes=10_000))
    assert [row["error_code"] for row in rows] == [None, "too_many_bytes", None]


def test_jpeg_xl_in_a_tar_is_told_and_not_passed_over(judge: Callable[..., Any], tmp_path: Path) -> None:
    write_tar(tmp_path / "x.tar", [("0.png", PICTURES[0]), ("1.jxl", b"\xff\x0a" + bytes(20))])
    rows = judge(tmp_path / "x.tar")
    assert [row["error_code"] for row in rows] == [None, "unsupported_format"]
    assert "JPEG XL" in rows[1]["error_message"]


def test_parquet_of_bytes_is_cut_at_its_row_groups(judge: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "images.parquet"
    table = pa.table({"image": [*PICTURES[:COUNT], None], "partition": [*"aaaaaabbbbbb", ""], "other": range(13)})
    pq.write_table(table, path, row_group_size=5)
    rows = judge(path)
    assert [row["sha256"] for row in rows] == [*HASHES, None]
    assert [row["shard"] for row in rows] == [0] * 5 + [1] * 5 + [2] * 3
    assert [row["path"] for row in rows] == [f"{path}/{row}" for row in range(13)]
    assert [row["partition"] for row in rows] == [*"aaaaaabbbbbb", "."]
    assert rows[-1]["error_code"] == "empty"


def test_parquet_as_hugging_face_writes_it_in_a_folder(judge: Callable[..., Any], tmp_path: Path) -> None:
    for part in range(2):
        images = [{"bytes": PICTURES[number], "path": f"{number}.png"} for number in range(6 * part, 6 * part + 6)]
        (tmp_path / "data").mkdir(exist_ok=True)
        pq.write_table(pa.table({"image": images, "label": [0] * 6}), tmp_path / f"data/train-{part}.parquet")
    (tmp_path / "data/train-2.parquet").write_bytes(b"PAR1 no table")
    rows = judge(tmp_path / "data")
    assert [row["sha256"] for row in rows] == [*HASHES, None]
    assert rows[7]["path"] == f"{tmp_path}/data/train-1.parquet/1/7.png"
    assert rows[-1]["error_code"] == "damaged_shard"


def test_tables_of_paths(judge: Callable[..., Any], folder: Path) -> None:
    paths = [f"{'ab'[number // 6]}/{number:02}.png" for number in range(COUNT)]
    mixed = [*paths[:11], str(folder / paths[11]), "absent.png"]
    (folder / "list.csv").write_text("partition,path\n" + "".join(f"p{i % 2},{path}\n" for i, path in enumerate(mixed)))
    pq.write_table(pa.table({"path": mixed}), folder / "list.parquet")
    pq.write_table(pa.table({"path": mixed, "partition": [0] * len(mixed)}), folder / "numbers.parquet")
    for name, partition in (("list.csv", "p1"), ("list.parquet", "."), ("numbers.parquet", "0")):
        rows = judge(folder / name)
        assert [row["sha256"] for row in rows] == [*HASHES, None]
        assert rows[1]["partition"] == partition
        assert rows[-1]["error_code"] == "not_found"
        assert rows[-1]["path"] == f"{folder}/absent.png"


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("x.csv", b"file\na.png\n", "no column `path`; it has file"),
        ("x.csv", b"path\n\xff\xfe\n", "not a CSV file in UTF-8"),
        ("x.csv", b"path,partition\n,a\n", "line 2: there is no path"),
        ("x.csv", b"path,caption\na.jpg,hello, world\n", "line 2: there are not as many values as columns"),
        ("x.csv", b"path,caption\na.jpg\n", "line 2: there are not as many values as columns"),
        ("x.parquet", b"PAR1", "cannot be read as Parquet"),
        ("x.parquet", table_of_paths("a.png", None), "has a row without a path"),
    ],
)
def test_a_table_that_names_nothing_is_refused(
    judge: Callable[..., Any], tmp_path: Path, name: str, data: bytes, sentence: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ScanError, match=sentence):
        judge(tmp_path / name)


def test_a_kind_of_storage_that_does_not_exist_is_refused(judge: Callable[..., Any]) -> None:
    with pytest.raises(ScanError, match="Protocol not known: nosuch"):
        judge("nosuch://bucket/images")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An S3-compatible server on loopback, and what is in it: a file system."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in (("ENDPOINT_URL", f"http://{host}:{port}"), ("KEY", "test"), ("SECRET", "test")):
        monkeypatch.setenv(f"FSSPEC_S3_{name}", value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    import fsspec
    from fsspec.config import conf, set_conf_env

    set_conf_env(conf)
    files = fsspec.filesystem("s3", use_listings_cache=False)
    files.mkdir("corpus")
    yield files
    conf.clear()
    type(files).clear_instance_cache()
    server.stop()


@pytest.mark.filterwarnings("ignore")  # moto's and botocore's own
def test_an_object_store_over_the_wire(store: Any, bundle: Bundle, folder: Path, tmp_path: Path) -> None:
    for path in sorted(folder.rglob("*.png")):
        store.pipe_file(f"corpus/images/{path.relative_to(folder)}", path.read_bytes())
    store.pipe_file("corpus/images/b/empty.png", b"")
    store.put_file(write_tar(tmp_path / "x.tar", samples(range(3))), "corpus/tars/x.tar")
    settings = ScanSettings(shard_size=5, batch_size=4)
    for source, hashes in (("images", [*HASHES, None]), ("tars", HASHES[:3]), ("images/a/*.png", HASHES[:6])):
        out = f"s3://corpus/out/{source.replace('/*', '')}"
        for _ in range(2):  # The second time, all of it is there.
            summary = scan(f"s3://corpus/{source}", out, bundle, settings=settings, engine="local")
        store.get(f"{out}/detections", str(tmp_path / source / "detections"), recursive=True)
        rows = read_rows(tmp_path / source)
        assert [row["sha256"] for row in rows] == hashes
        assert all(row["path"].startswith(f"s3://corpus/{source.partition('/')[0]}/") for row in rows)
        assert summary.total.images == len(rows)
    assert store.exists("s3://corpus/out/images/manifest.json")
