import io
import os
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pyrite.datasets import Dataset, Labelling, content_hashes, split
from pyrite.datasets.duplicates import find_copies
from pyrite.datasets.labels import CIFAR_OBJECTS
from pyrite.errors import DatasetError, MissingExtraError

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
CIFAKE = {
    f"{side}/{name}/{number:04d}{suffix}.jpg": f"{side} {name} {number} {suffix}".encode()
    for side in ("train", "test")
    for name in ("REAL", "FAKE")
    for number in range(2)
    for suffix in ("", *(f" ({k})" for k in range(2, 11)))
}
MANIFEST = b"path,label,split,source\nimages/b.png,ai,train,x\n./images/a.png,real,test,y\nimages/gone.png,ai,,x\n"
LISTED = {"manifest.csv": MANIFEST, "images/a.png": b"a", "images/b.png": b"b", "images/unlisted.png": b"c"}


def pack(kind, path, files, under=""):
    """Write a folder, or a zip or tar of one."""
    if kind == "folder":
        for name, data in files.items():
            file = path / "data" / under / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        return path / "data"
    if kind == "zip":
        with zipfile.ZipFile(path / "data.zip", "w") as archive:
            for name, data in files.items():
                archive.writestr(under + name, data)
        return path / "data.zip"
    with tarfile.open(path / f"data.{kind}", "w:" + kind.partition(".")[2]) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(under + name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path / f"data.{kind}"


def refused(source, *parts, **options):
    with pytest.raises(DatasetError) as caught:
        Dataset.open(source, **options)
    for part in parts:
        assert part in str(caught.value)


kinds = pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tar.gz"])
unders = pytest.mark.parametrize("under", ["", "cifake/", "./"])


@kinds
@unders
def test_the_layout_of_cifake(kind, under, tmp_path):
    source = pack(kind, tmp_path, CIFAKE, under)
    dataset = Dataset.open(str(source))
    assert (len(dataset), dataset.name) == (80, source.name)
    assert np.bincount(dataset.labels).tolist() == [40, 40]
    assert dataset.labels.dtype == np.int8
    assert list(dataset.slices) == ["object"]
    assert {value: dataset.slices["object"].count(value) for value in CIFAR_OBJECTS} == dict.fromkeys(CIFAR_OBJECTS, 8)
    for i in (0, 33, 79):
        side, name, number, suffix = (*dataset.read(i).decode().split(" ", 3),)
        assert dataset.splits[i] == side
        assert dataset.labels[i] == (name == "FAKE")
        assert dataset.slices["object"][i] == CIFAR_OBJECTS[int(suffix.strip(" ()") or 1) - 1]
        assert Path(dataset.paths[i]).name == f"{int(number):04d}{suffix}.jpg"


def test_other_folders_are_a_slice(tmp_path):
    files = {"ADM/ai/a.png": b"", "ADM/nature/b.png": b"", "VQDM/ai/c.png": b"", "VQDM/nature/d.png": b"", "x.txt": b""}
    dataset = Dataset.open(pack("zip", tmp_path, files))
    assert dataset.slices == {"folder": ("ADM", "ADM", "VQDM", "VQDM"), "generator": ("ADM", "", "VQDM", "")}
    assert dataset.labels.tolist() == [1, 0, 1, 0]


def test_classes_can_be_named(tmp_path):
    source = pack("folder", tmp_path, {"cats/a.png": b"", "dogs/b.png": b"", "manifest.csv": b"not looked at"})
    assert Dataset.open(source, classes={"cats": 1, "dogs": 0}).labels.tolist() == [1, 0]
    refused(source, "no column 'path'")


@kinds
def test_what_has_not_both_classes_is_refused(kind, tmp_path):
    refused(pack(kind, tmp_path, {"pictures/a.png": b""}), "Found no class folders", "pictures (1 files)")
    refused(pack(kind, tmp_path, {"real/a.png": b""}), "Found no AI images")
    refused(pack(kind, tmp_path, {"real/x/ai/a.png": b""}), "real/x/ai/a.png", "both classes")


def test_paths_that_are_no_dataset(tmp_path):
    refused(tmp_path / "missing.csv", "There is no dataset at", "missing.csv")
    refused(tmp_path, "Folders here: none")
    (tmp_path / "image.png").write_bytes(b"\x89PNG")
    refused(tmp_path / "image.png", "neither a folder nor a zip or tar archive")
    refused("nul\0l", "cannot be read")
    refused("x" * 5000, "cannot be read")
    if os.name != "nt":
        (tmp_path / "loop").symlink_to("loop")
        refused(tmp_path / "loop", "loop")


@kinds
@unders
def test_a_manifest_at_the_root_decides(kind, under, tmp_path):
    dataset = Dataset.open(pack(kind, tmp_path, LISTED, under))
    assert [Path(path).name for path in dataset.paths] == ["b.png", "a.png", "gone.png"]
    assert dataset.labels.tolist() == [1, 0, 1]
    assert dataset.splits == ("train", "test", None)
    assert dataset.slices == {"source": ("x", "y", "x")}
    assert [dataset.read(0), dataset.read(1)] == [b"b", b"a"]
    with pytest.raises(OSError, match=r"gone\.png"):
        dataset.read(2)


def test_a_manifest_beside_several_folders_is_at_the_root_or_nowhere(tmp_path):
    files = {"x/manifest.csv": MANIFEST, "real/a.png": b"", "ai/b.png": b""}
    assert Dataset.open(pack("zip", tmp_path, files)).labels.tolist() == [1, 0]


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_manifest_in_an_archive_reads_nothing_outside_it(kind, tmp_path):
    (tmp_path / "secret.png").write_bytes(b"secret")
    outside = [str(tmp_path / "secret.png"), "../secret.png", "x/../../secret.png", "", "."]
    table = b"path,label\n" + b"".join(b"%s,ai\n" % os.fsencode(path) for path in outside)
    dataset = Dataset.open(pack(kind, tmp_path, {"manifest.csv": table}))
    for i in range(len(outside)):
        with pytest.raises(OSError):  # noqa: PT011 - whatever it says
            dataset.read(i)


def test_a_manifest_on_its_own(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = pack("folder", tmp_path, LISTED)
    (tmp_path / "elsewhere.png").write_bytes(b"e")
    rows = {
        "path": ["images/a.png", "../elsewhere.png", str(tmp_path / "elsewhere.png")],
        "label": ["real", "ai", "ai"],
    }
    pq.write_table(pa.table(rows), folder / "table.parquet")
    (folder / "table.CSV").write_text("path,label\n" + "\n".join(map(",".join, zip(*rows.values(), strict=True))))
    for name in ("table.parquet", "table.CSV"):
        dataset = Dataset.open(folder / name)
        assert dataset.name == name
        assert [dataset.read(i) for i in range(3)] == [b"a", b"e", b"e"]
        assert dataset.labels.tolist() == [0, 1, 1]


@pytest.mark.parametrize("name", ["manifest.csv", "folder"])
def test_an_image_that_a_manifest_names_counts_in_the_fingerprint(name, tmp_path):
    folder = pack("folder", tmp_path, {"manifest.csv": b"path,label\n../.x/a.png,ai\n../b.png,real\n"})
    (tmp_path / ".x").mkdir()
    source = folder if name == "folder" else folder / name
    seen = {Dataset.open(source).fingerprint}
    for file in (tmp_path / ".x" / "a.png", tmp_path / "b.png"):
        file.write_bytes(b"now it is here")
        seen.add(Dataset.open(source).fingerprint)
    (folder / "manifest.csv").write_bytes(b"path,label\n../.x/a.png,real\n../b.png,ai\n")
    seen.add(Dataset.open(source).fingerprint)
    assert len(seen) == 4


def test_damaged_manifests_in_archives(tmp_path):
    source = pack("zip", tmp_path, LISTED)
    source.write_bytes(source.read_bytes().replace(b"./images/a.png,real", b"./images/a.png,fake"))
    refused(source, "cannot be read", "CRC", "manifest.csv")
    refused(pack("zip", tmp_path, {"manifest.csv": b"path;label\n"}), "manifest.csv has no column 'path'")
    with zipfile.ZipFile(tmp_path / "data.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.csv", bytes(100_000_100))
    refused(tmp_path / "data.zip", "manifest.csv is too large", "Unpack it")


@pytest.mark.skipif(sys.platform != "linux", reason="needs file names of any bytes")
def test_a_name_that_is_not_utf8_can_be_written_to_reports(tmp_path):
    folder = tmp_path / os.fsdecode(b"toy-\xff")
    pack("folder", tmp_path, {"ai/a.png": b"", "real/a.png": b""}).rename(folder)
    assert Dataset.open(folder).name == "toy-\\udcff"


def test_a_selection_keeps_every_column_in_step(tmp_path):
    dataset = Dataset.open(pack("folder", tmp_path, CIFAKE))
    chosen = np.array([70, 3, 3])
    part = dataset.select(chosen)
    assert part.paths == tuple(dataset.paths[i] for i in chosen)
    assert part.labels.tolist() == dataset.labels[chosen].tolist()
    assert part.splits == tuple(dataset.splits[i] for i in chosen)
    assert part.slices["object"] == tuple(dataset.slices["object"][i] for i in chosen)
    assert part.read(0) == dataset.read(70)
    assert part.fingerprint == dataset.fingerprint
    assert len(dataset.select(np.array([], np.intp))) == 0


def test_a_sample_keeps_the_proportions_and_grows(tmp_path):
    folders = {"train/ai": 400, "train/real": 200, "test/ai": 50, "test/real": 3}
    files = {f"{folder}/{i}.png": b"" for folder, count in folders.items() for i in range(count)}
    dataset = Dataset.open(pack("zip", tmp_path, files))
    small, large = dataset.sample(65), dataset.sample(300)
    assert set(small.paths) < set(large.paths) < set(dataset.paths)
    assert list(small.paths) == sorted(small.paths)
    counts = [sum(path.startswith(folder) for path in small.paths) for folder in folders]
    assert counts == [40, 20, 5, 1]
    assert dataset.sample(65).paths == small.paths
    assert dataset.sample(65, seed=1).paths != small.paths
    assert dataset.sample(10_000) is dataset


# Kaggle


def test_cifake_is_fetched_from_kaggle(tmp_path, monkeypatch):
    kagglehub = pytest.importorskip("kagglehub")
    folder = pack("folder", tmp_path, CIFAKE).rename(tmp_path / "3")  # kagglehub's folders are called by version
    asked = []

    def download(handle):
        asked.append(handle)
        return str(folder)

    monkeypatch.setattr(kagglehub, "dataset_download", download)
    monkeypatch.chdir(tmp_path)
    dataset = Dataset.open("cifake")
    assert asked == ["birdy654/cifake-real-and-ai-generated-synthetic-images"]
    assert (dataset.name, len(dataset), list(dataset.slices)) == ("cifake", 80, ["object"])
    folder.rename(tmp_path / "cifake")
    assert len(Dataset.open("cifake")) == 80
    assert len(asked) == 1


def test_when_kaggle_cannot_be_reached_the_way_by_hand_is_told(tmp_path, monkeypatch):
    kagglehub = pytest.importorskip("kagglehub")

    def fail(handle):
        raise ConnectionError("no route")

    monkeypatch.setattr(kagglehub, "dataset_download", fail)
    monkeypatch.chdir(tmp_path)
    refused(
        "cifake",
        "could not be downloaded from Kaggle: no route",
        "https://www.kaggle.com/datasets/birdy654/cifake-real",
    )


def test_without_kagglehub_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingExtraError, match=r"pyrite\[kaggle\]"):
        Dataset.open("cifake")


# Real data


@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "cifake.zip").exists(), reason="../shared/data/cifake.zip is not here")
def test_the_real_cifake():
    dataset = Dataset.open(SHARED / "cifake.zip")
    sides = np.array(dataset.splits)
    counts = {side: np.bincount(dataset.labels[sides == side]).tolist() for side in ("train", "test")}
    assert counts == {"train": [50_000, 50_000], "test": [4975, 4906]}
    assert list(dataset.slices) == ["object"]
    objects = np.array(dataset.slices["object"])
    for name in CIFAR_OBJECTS:
        assert np.bincount(dataset.labels[(sides == "train") & (objects == name)]).tolist() == [5000, 5000]
    hashes = content_hashes(dataset)
    groups = find_copies(hashes)
    assert sum(len(group) * (len(group) - 1) // 2 for group in groups) == 1106
    assert all(dataset.labels[group].all() for group in groups)
    parts = split(dataset, hashes, "official", (0.8, 0.1, 0.1), 0)
    assert parts.dropped == 176
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (88_950, 10_874, 9881)
    assert set(dataset.labels[sides == "train"][[0, -1]]) == {0, 1}


@pytest.mark.real_data
@pytest.mark.skipif(not (SHARED / "unseen32.zip").exists(), reason="../shared/data/unseen32.zip is not here")
def test_other_generators_at_cifakes_size():
    dataset = Dataset.open(SHARED / "unseen32.zip")
    assert list(dataset.slices) == ["source", "generator", "kernel"]
    assert np.bincount(dataset.labels).tolist() == [629, 691]
    assert all(content_hashes(dataset))


BY_HAND = b"path,label,Generator\na.png,ai,SDXL\nb.png,ai, \nc.png,real,\nd.png,real,X100\n"


def test_a_generator_is_named_where_nothing_says_it(tmp_path):
    files = {"manifest.csv": BY_HAND, **{f"{name}.png": name.encode() for name in "abcd"}}
    source = pack("folder", tmp_path, files)
    plain = Dataset.open(source)
    named = Dataset.open(source, labelling=Labelling(generator=" A painter ", group_column="Generator"))
    assert named.slices == {"generator": ("SDXL", "A painter", "", "X100")}
    assert named.groups == named.generators
    assert "Generators: SDXL 1, A painter 1." in named.describe()
    assert named.fingerprint == plain.fingerprint
    folders = Dataset.open(pack("zip", tmp_path, CIFAKE), labelling=Labelling(generator="Stable Diffusion 1.4"))
    assert list(folders.slices) == ["object", "generator"]
    assert folders.generators == tuple("Stable Diffusion 1.4" if label else "" for label in folders.labels)


@pytest.mark.parametrize(
    ("table", "name", "sentence"),
    [
        (BY_HAND, " ", "The name of the generator is empty."),
        (
            BY_HAND.replace(b" \n", b"FLUX\n"),
            "x",
            "data says of each AI image what made it. Leave out the generator 'x'.",
        ),
        (BY_HAND.replace(b"ai", b"real"), "x", "data has no AI images. Leave out the generator 'x'."),
    ],
)
def test_a_name_for_no_image_is_refused(table, name, sentence, tmp_path):
    source = pack("folder", tmp_path, {"manifest.csv": table, **{f"{name}.png": b"" for name in "abcd"}})
    with pytest.raises(DatasetError) as caught:
        Dataset.open(source, labelling=Labelling(generator=name), one_class=True)
    assert str(caught.value) == sentence
