"""Shards of every kind hold the same images as the folder that they were made from."""

import io
import json
import pickle
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pyrite.bundle.preprocess import Resize
from pyrite.datasets import Dataset, decode, make_toy
from pyrite.errors import DatasetError

SIZE = Resize(height=16, width=16)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("data") / "toy"
    make_toy(folder, count=60, size=16)
    return Dataset.open(folder)


def parts(dataset: Dataset) -> list[list[int]]:
    """Return which images go into which shard: those of the test split into the last one."""
    train = [i for i, split in enumerate(dataset.splits) if split == "train"]
    half = len(train) // 2
    return [train[:half], train[half:], [i for i, split in enumerate(dataset.splits) if split == "test"]]


def in_order(write: Callable[..., Path], dataset: Dataset) -> list[list[int]]:
    """Return the shards' images in the order of the shards' names."""
    first, second, test = parts(dataset)
    return [test, first, second] if write in (write_webdataset, write_parquet) else [first, second, test]


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def write_tars(folder: Path, dataset: Dataset) -> Path:
    folder.mkdir()
    for number, indices in enumerate(parts(dataset)):
        with tarfile.open(folder / f"shard-{number}.tar", "w") as archive:
            for i in indices:
                add(archive, dataset.paths[i], dataset.read(i))
    return folder


def write_webdataset(folder: Path, dataset: Dataset) -> Path:
    folder.mkdir()
    for number, indices in enumerate(parts(dataset)):
        side = "test" if number == 2 else "train"
        with tarfile.open(folder / f"{side}-{number:05}.tar.gz", "w:gz") as archive:
            for i in indices:
                add(archive, f"{i:06}.cls", str(dataset.labels[i]).encode())
                add(archive, f"{i:06}.json", b"{}")
                add(archive, f"{i:06}.png", dataset.read(i))
    return folder


def write_parquet(folder: Path, dataset: Dataset) -> Path:
    """Write as Hugging Face's `datasets` does, with FAKE as 0."""
    (folder / "data").mkdir(parents=True)
    (folder / "README.md").write_text("# A dataset")
    features = {"label": {"names": ["FAKE", "REAL"], "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    for number, indices in enumerate(parts(dataset)):
        images = [{"bytes": dataset.read(i), "path": f"{i}.png"} for i in indices]
        labels = [1 - int(dataset.labels[i]) for i in indices]
        table = pa.table({"image": images, "label": labels}).replace_schema_metadata(metadata)
        side = "test" if number == 2 else "train"
        pq.write_table(table, folder / "data" / f"{side}-0000{number}-of-00003.parquet", row_group_size=7)
    return folder


def write_bytes(folder: Path, dataset: Dataset) -> Path:
    """Write plain bytes, with the split and one more column."""
    folder.mkdir()
    for number, indices in enumerate(parts(dataset)):
        columns = {
            "label": ["ai" if dataset.labels[i] else "real" for i in indices],
            "image": [dataset.read(i) for i in indices],
            "split": [dataset.splits[i] for i in indices],
            "camera": [f"X{i % 3}" for i in indices],
        }
        pq.write_table(pa.table(columns), folder / f"part-{number}.parquet")
    return folder


writers = pytest.mark.parametrize("write", [write_tars, write_webdataset, write_parquet, write_bytes])


@writers
def test_shards_hold_the_same_images(write: Callable[..., Path], plain: Dataset, tmp_path: Path) -> None:
    found = Dataset.open(write(tmp_path / "shards", plain))
    order = [i for indices in in_order(write, plain) for i in indices]
    assert [found.read(i) for i in range(len(found))] == [plain.read(i) for i in order]
    assert found.labels.tolist() == plain.labels[order].tolist()
    assert list(found.splits) == [plain.splits[i] for i in order]
    assert set(found.slices) == ({"camera"} if write is write_bytes else set())
    np.testing.assert_array_equal(decode(found, SIZE).pixels, decode(plain, SIZE).pixels[order])


@writers
def test_what_goes_to_another_process_does_not_grow_with_the_images(
    write: Callable[..., Path], plain: Dataset, tmp_path: Path
) -> None:
    dataset = Dataset.open(write(tmp_path / "shards", plain))
    packed = pickle.dumps(dataset.storage)
    assert len(packed) < 1000
    again = pickle.loads(packed)
    assert [again.read(path) for path in reversed(dataset.paths)] == [
        dataset.storage.read(p) for p in dataset.paths[::-1]
    ]


def test_an_altered_shard_is_another_dataset(plain: Dataset, tmp_path: Path) -> None:
    folder = write_bytes(tmp_path / "shards", plain)
    before = Dataset.open(folder).fingerprint
    shutil.copy(folder / "part-0.parquet", folder / "part-3.parquet")
    assert Dataset.open(folder).fingerprint != before


@writers
def test_a_shard_that_is_damaged_later_costs_its_images_alone(
    write: Callable[..., Path], plain: Dataset, tmp_path: Path
) -> None:
    folder = write(tmp_path / "shards", plain)
    dataset = Dataset.open(folder)
    last = max(path for path in folder.rglob("*") if path.suffix in {".tar", ".gz", ".parquet"})
    last.write_bytes(b"gone")
    decoded = decode(dataset, SIZE)
    lost = len(in_order(write, plain)[-1])
    assert list(decoded.failures) == list(range(len(dataset) - lost, len(dataset)))
    assert {failure.code for failure in decoded.failures.values()} == {"unreadable"}


def test_a_row_without_bytes_is_a_failure(plain: Dataset, tmp_path: Path) -> None:
    table = {"image": [plain.read(0), None, b"no image"], "label": [0, 1, 1]}
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    decoded = decode(Dataset.open(tmp_path), SIZE)
    assert {i: failure.code for i, failure in decoded.failures.items()} == {1: "unreadable", 2: "unsupported_format"}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (
            {"a.parquet": {"picture": [b"x"], "mask": [b"x"], "label": [0]}},
            "a.parquet has no column 'image' of bytes; it has picture, mask, label. Choose one with --image-column",
        ),
        ({"a.parquet": {"image": ["a.png"], "label": [0]}}, "a.parquet has no column 'image' of bytes"),
        ({"a.parquet": {"image": [b"x"]}}, "has no column 'label'"),
        ({"a.parquet": {"image": [b"x"], "label": ["maybe"]}}, "row 1: 'maybe' is not a class"),
        (
            {"a.parquet": {"image": [b"x"], "label": [0]}, "b.parquet": {"image": [b"x"], "label": [0], "more": [1]}},
            "b.parquet has other columns than a.parquet",
        ),
        ({"a.parquet": b"PAR1 cut short"}, "a.parquet is not a Parquet file"),
        ({"a.tar": b"cut short"}, "a.tar is neither a folder nor"),
        ({"a.tar": {"notes/readme.txt": b"x"}}, "Found no class folders"),
        ({"a.tar": {"x.png": b"x"}}, "Found no class folders"),
        ({"a.tar": {"real/x.png": b"x", "painter/y.png": b"x"}}, "1 pictures lie in no class folder"),
        ({"a.tar": {"x.cls": b"7", "x.png": b"x"}}, "row 1: '7' is not a class"),
        ({"a.tar": {"real/x.png": b"x"}, "b.parquet": b""}, "tar and Parquet files side by side"),
    ],
)
def test_shards_that_make_no_sense_are_refused(
    files: dict[str, bytes | dict[str, object]], words: str, tmp_path: Path
) -> None:
    for name, content in files.items():
        if isinstance(content, bytes):
            (tmp_path / name).write_bytes(content)
        elif name.endswith(".parquet"):
            pq.write_table(pa.table(content), tmp_path / name)
        else:
            with tarfile.open(tmp_path / name, "w") as archive:
                for inside, data in content.items():
                    add(archive, inside, data)
    with pytest.raises(DatasetError) as caught:
        Dataset.open(tmp_path)
    assert words in str(caught.value)


def test_a_folder_of_images_may_hold_an_archive_too(plain: Dataset, tmp_path: Path) -> None:
    make_toy(tmp_path / "toy", count=20)
    (tmp_path / "toy" / "old.tar").write_bytes(b"")
    assert len(Dataset.open(tmp_path / "toy")) == 20
