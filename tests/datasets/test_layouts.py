"""Datasets of this field open as their authors publish them, without a word from their user."""

import io
import json
import os
import shutil
import sys
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pyrite.bundle.preprocess import Resize
from pyrite.datasets import Dataset, Labelling, decode
from pyrite.errors import DatasetError

SIZE = Resize(height=16, width=16)
Run = Callable[..., tuple[int, str, str]]
Row = tuple[int, str | None, str]
"""Of an image: its class, its split, and what made it."""


def png(number: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (16, 16), (number % 256,) * 3).save(stream, "PNG")
    return stream.getvalue()


def draw(folder: Path, names: Iterable[str]) -> Path:
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(number))
    return folder


def rows(dataset: Dataset) -> Counter[Row]:
    made = dataset.slices.get("generator", ("",) * len(dataset))
    for i in range(len(dataset)):
        assert dataset.read(i).startswith(b"\x89PNG")
    return Counter(zip(map(int, dataset.labels), dataset.splits, made, strict=True))


def told(dataset: Dataset) -> str:
    return "\n".join([*dataset.describe(), *dataset.tally.left_out_lines()])


BY_FOLDERS: dict[str, dict[str, Row]] = {
    "GenImage": {
        "ADM/imagenet_ai_0508_adm/train/ai/0_adm_174.png": (1, "train", "ADM"),
        "ADM/imagenet_ai_0508_adm/train/nature/n01440764_1.png": (0, "train", ""),
        "ADM/imagenet_ai_0508_adm/val/ai/1.png": (1, "validation", "ADM"),
        "ADM/imagenet_ai_0508_adm/val/nature/2.png": (0, "validation", ""),
        "stable_diffusion_v_1_4/imagenet_ai_0419_sdv4/train/ai/3.png": (1, "train", "stable_diffusion_v_1_4"),
        "stable_diffusion_v_1_4/imagenet_ai_0419_sdv4/train/nature/4.png": (0, "train", ""),
    },
    "ForenSynths": {
        "progan/airplane/0_real/0.png": (0, None, ""),
        "progan/airplane/1_fake/1.png": (1, None, "progan"),
        "deepfake/0_real/2.png": (0, None, ""),
        "deepfake/1_fake/3.png": (1, None, ""),
        "biggan/0_real/4.png": (0, None, ""),
        "biggan/1_fake/5.png": (1, None, "biggan"),
    },
    "ForenSynths' deepfake alone": {
        "deepfake/0_real/2.png": (0, None, ""),
        "deepfake/1_fake/3.png": (1, None, ""),
    },
    "DiffusionForensics": {
        "images/train/lsun_bedroom/real/0.png": (0, "train", ""),
        "images/train/lsun_bedroom/adm/1.png": (1, "train", "adm"),
        "images/test/lsun_bedroom/ddpm/2.png": (1, "test", "ddpm"),
        "images/test/lsun_bedroom/iddpm/3.png": (1, "test", "iddpm"),
        "images/test/lsun_bedroom/pndm/4.png": (1, "test", "pndm"),
        "images/test/imagenet/real/5.png": (0, "test", ""),
        "images/test/imagenet/sdv1/6.png": (1, "test", "sdv1"),
        "images/test/celebahq/real/7.png": (0, "test", ""),
        "images/test/celebahq/if/8.png": (1, "test", "if"),
    },
    "Synthbuster beside RAISE": {
        "synthbuster/dalle2/r000da54ft.png": (1, None, "dalle2"),
        "synthbuster/midjourney-v5/r000da54ft.png": (1, None, "midjourney-v5"),
        "synthbuster/stable-diffusion-xl/r000da54ft.png": (1, None, "stable-diffusion-xl"),
        "synthbuster/firefly/r000da54ft.png": (1, None, "firefly"),
        "RAISE-1k/r000da54t.png": (0, None, ""),
        "RAISE-1k/r001d260dt.png": (0, None, ""),
    },
    "DRCT-2M beside MSCOCO": {
        "DRCT-2M/ldm-text2im-large-256/train2017/0.png": (1, "train", "ldm-text2im-large-256"),
        "DRCT-2M/stable-diffusion-xl-base-1.0/val2017/1.png": (1, "validation", "stable-diffusion-xl-base-1.0"),
        "DRCT-2M/lcm-lora-sdv1-5/val2017/2.png": (1, "validation", "lcm-lora-sdv1-5"),
        "DRCT-2M/controlnet-canny-sdxl-1.0/val2017/3.png": (1, "validation", "controlnet-canny-sdxl-1.0"),
        "MSCOCO/train2017/4.png": (0, "train", ""),
        "MSCOCO/val2017/5.png": (0, "validation", ""),
    },
    "DF40 beside FaceForensics++": {
        "DF40/fsgan/ff/frames/000_003/000.png": (1, None, "fsgan"),
        "DF40/sit/cdf/frames/001_870/000.png": (1, None, "sit"),
        "DF40/heygen/fake/frames/a/000.png": (1, None, "heygen"),
        "DF40/heygen/real/frames/b/000.png": (0, None, ""),
        "FaceForensics++/original_sequences/youtube/c23/frames/000/000.png": (0, None, ""),
        "FaceForensics++/manipulated_sequences/NeuralTextures/c23/frames/000_003/0.png": (1, None, "NeuralTextures"),
        "FaceForensics++/manipulated_sequences/Deepfakes/c23/frames/000_003/0.png": (1, None, "Deepfakes"),
    },
    "AI-ArtBench": {
        "train/AI_SD_art_nouveau/0.png": (1, "train", "SD"),
        "train/AI_LD_art_nouveau/1.png": (1, "train", "LD"),
        "train/art_nouveau/2.png": (0, "train", ""),
        "test/AI_SD_ukiyo-e/3.png": (1, "test", "SD"),
        "test/ukiyo_e/4.png": (0, "test", ""),
        "test/realism/5.png": (0, "test", ""),
        "test/AI_LD_realism/6.png": (1, "test", "LD"),
    },
    "WildRF": {
        "train/0_real/0.png": (0, "train", ""),
        "train/1_fake/1.png": (1, "train", ""),
        "val/0_real/2.png": (0, "validation", ""),
        "val/1_fake/3.png": (1, "validation", ""),
        "test/reddit/0_real/4.png": (0, "test", ""),
        "test/twitter/1_fake/5.png": (1, "test", ""),
        "test/facebook/1_fake/6.png": (1, "test", ""),
    },
    "AIGIBench, unpacked": {
        "train/car/0_real/0.png": (0, "train", ""),
        "train/sdv1.4/1_fake/1.png": (1, "train", "sdv1.4"),
        "test/FLUX1-dev/0_real/2.png": (0, "test", ""),
        "test/FLUX1-dev/1_fake/3.png": (1, "test", "FLUX1-dev"),
        "test/SocialRF/1_fake/4.png": (1, "test", ""),
    },
    "RAID": {
        "original/real/0.png": (0, None, ""),
        "original/gen_0/1.png": (1, None, "gen_0"),
        "epsilon32/real/2.png": (0, None, ""),
        "epsilon32/gen_3/3.png": (1, None, "gen_3"),
    },
    "Celeb-DF": {
        "Celeb-real/id0_0000/0.png": (0, None, ""),
        "Celeb-synthesis/id0_id1_0000/0.png": (1, None, "Celeb-synthesis"),
        "YouTube-real/00000/0.png": (0, None, ""),
    },
    "RAID's training data": {
        "train/real/0.png": (0, "train", ""),
        "train/gen_0/1.png": (1, "train", "gen_0"),
        "val/real/2.png": (0, "validation", ""),
        "val/gen_1/3.png": (1, "validation", "gen_1"),
    },
}


@pytest.mark.parametrize("name", BY_FOLDERS)
def test_folders_as_they_are_published(name: str, tmp_path: Path) -> None:
    expected = BY_FOLDERS[name]
    dataset = Dataset.open(draw(tmp_path / "data", expected))
    generators = dataset.slices.get("generator", ("",) * len(dataset))
    found = dict(zip(dataset.paths, zip(dataset.labels.tolist(), dataset.splits, generators, strict=True), strict=True))
    assert found == expected


def test_masks_are_no_images_of_a_class(tmp_path: Path) -> None:
    under = "manipulated_sequences/Deepfakes/c23"
    names = [f"{under}/frames/0/0.png", f"{under}/masks/0/0.png", "original_sequences/youtube/c23/frames/0/0.png"]
    dataset = Dataset.open(draw(tmp_path, names))
    assert len(dataset) == 2
    assert "Left out, pictures of masks: 1 (masks 1)." in told(dataset)


def test_what_was_guessed_is_said(tmp_path: Path) -> None:
    names = [*(f"MSCOCO/{i}.png" for i in range(3)), "DRCT-2M/sd-turbo/a.png", "DRCT-2M/sdxl-turbo/b.png"]
    dataset = Dataset.open(draw(tmp_path / "data", names))
    assert told(dataset).splitlines() == [
        "data: 5 images, 3 real and 2 AI.",
        "Generators: sd-turbo 1, sdxl-turbo 1.",
        "Taken for real: MSCOCO 3.",
        "Taken for AI: sd-turbo 1, sdxl-turbo 1.",
    ]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (
            ["real/a.png", "adm/b.png", "mystery/c.png"],
            ["1 pictures lie in no class folder: mystery (1 files)", "--ai"],
        ),
        (
            ["lsun/real/a.png", "lsun/adm/b.png", "lsun/ours/c.png"],
            ["1 pictures lie in no class folder: ours (1 files)"],
        ),
        (["ADM/ai/a.png", "ADM/nature/b.png", "ADM/c.png"], ["1 pictures lie in no class folder: ADM (1 files)"]),
        (["imagenet/adm/a.png", "celebahq/real/b.png"], ["imagenet/adm/a.png", "both classes (imagenet, adm)"]),
        (["cats/a.png", "dogs/b.png", "labels.csv"], ["Found no class folders", "opened by its own path: labels.csv"]),
        (["train/car.zip", "test/FLUX1.zip"], ["Found no class folders", "Unpack", "car.zip 1"]),
    ],
)
def test_what_cannot_be_guessed_is_refused_with_the_folders_and_the_flags(
    names: list[str], words: list[str], tmp_path: Path
) -> None:
    with pytest.raises(DatasetError) as caught:
        Dataset.open(draw(tmp_path, names))
    for word in (*words, "--real NAME"):
        assert word in str(caught.value)


# Names that the user gives


def test_names_are_patterns_and_what_they_leave_out_is_counted(run_pyrite: Run, tmp_path: Path) -> None:
    names = [f"{folder}/{i}.png" for folder in ("coco", "ffhq", "sd_14", "SD_XL", "adm", "ddpm") for i in range(2)]
    draw(tmp_path / "data", [*names, "sd_14/notes.txt", "coco/more.zip", "root.png"])
    labelling = Labelling(real=("coco", "FFHQ"), ai=("sd_*",))
    dataset = Dataset.open(tmp_path / "data", labelling=labelling)
    assert rows(dataset) == {(0, None, ""): 4, (1, None, "sd_14"): 2, (1, None, "SD_XL"): 2}
    assert told(dataset).splitlines() == [
        "data: 8 images, 4 real and 4 AI.",
        "Generators: SD_XL 2, sd_14 2.",
        "Taken for AI: SD_XL 2, sd_14 2.",
        "Left out, archives inside, which are not opened: 1 (more.zip 1).",
        "Left out, no images: 1 (.txt 1).",
        "Left out, in folders that --real and --ai do not name: 5 (adm 2, ddpm 2, . 1).",
    ]
    flags = ("--real", "coco", "--real", "FFHQ", "--ai", "sd_*")
    code, _, err = run_pyrite("audit", tmp_path / "data", *flags)
    assert code == 0
    assert "data: 8 images, 4 real and 4 AI." in err
    assert "5 (adm 2, ddpm 2, . 1)" in err


def test_a_name_counts_more_than_a_pattern(tmp_path: Path) -> None:
    draw(tmp_path, ["train/real/a.png", "train/x/b.png", "train/y/c.png"])
    dataset = Dataset.open(tmp_path, labelling=Labelling(real=("real",), ai=("*",)))
    assert dict(zip(dataset.paths, dataset.labels.tolist(), strict=True)) == {
        "train/real/a.png": 0,
        "train/x/b.png": 1,
        "train/y/c.png": 1,
    }
    assert dataset.slices["generator"] == ("", "x", "y")
    with pytest.raises(DatasetError, match="fits both --real and --ai"):
        Dataset.open(tmp_path, labelling=Labelling(real=("r*",), ai=("*",)))


def test_a_path_may_be_a_name(tmp_path: Path) -> None:
    draw(tmp_path, ["core/a/1.png", "core/b/2.png", "other/b/3.png"])
    dataset = Dataset.open(tmp_path, labelling=Labelling(real=("core/a",), ai=("core/b",)))
    assert dataset.paths == ("core/a/1.png", "core/b/2.png")


@pytest.mark.parametrize("column", ["image_column", "label_column", "split_column"])
def test_folders_have_no_columns(column: str, tmp_path: Path) -> None:
    draw(tmp_path / "data", ["real/a.png", "fake/b.png"])
    webdataset(tmp_path / "shards" / "0.tar", [("real/a.png", png(0)), ("fake/b.png", png(1))])
    for source in (tmp_path / "data", tmp_path / "shards"):
        with pytest.raises(DatasetError, match="is read by its folders, and has no column 'x' for --"):
            Dataset.open(source, labelling=Labelling(**{column: "x"}))  # type: ignore[arg-type]
    assert Dataset.open(
        tmp_path / "data", labelling=Labelling(group_column="folder", real=("real",), ai=("f*",))
    ).groups


def test_one_class_may_be_named_alone(tmp_path: Path) -> None:
    draw(tmp_path, ["real/a.png", "gen_x/b.png", "coco/c.png"])
    dataset = Dataset.open(tmp_path, labelling=Labelling(ai=("gen_*",)))
    assert dict(zip(dataset.paths, dataset.labels.tolist(), strict=True)) == {
        "coco/c.png": 0,
        "gen_x/b.png": 1,
        "real/a.png": 0,
    }


def test_a_misspelt_name_is_refused(tmp_path: Path) -> None:
    draw(tmp_path, ["real/a.png", "adm/b.png"])
    with pytest.raises(DatasetError, match=r"^--ai amd matches no folder\. Found: adm, real\.$"):
        Dataset.open(tmp_path, labelling=Labelling(real=("real",), ai=("adm", "amd")))


# Tables


def write(folder: Path, name: str, header: str, *lines: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join([header, *lines, ""]))
    return folder


def test_artifact_has_a_table_for_each_generator(tmp_path: Path) -> None:
    for folder, target in (("coco", 0), ("big_gan", 1), ("stable_diffusion", 6)):
        inside = [f"a/img00000{i}.png" for i in range(2)]
        draw(tmp_path / folder, inside)
        lines = [f"{Path(path).name},{path},{target},vehicle" for path in inside]
        write(tmp_path / folder, "metadata.csv", "filename,image_path,target,category", *lines)
    draw(tmp_path, ["big_gan/a/extra.png"])
    dataset = Dataset.open(tmp_path)
    assert rows(dataset) == {(0, None, ""): 2, (1, None, "big_gan"): 2, (1, None, "stable_diffusion"): 2}
    assert dataset.slices["category"] == ("vehicle",) * 6
    assert "metadata.csv of 3 folders is read as ArtiFact is published." in told(dataset)
    assert "Left out, not listed in the table: 1 (a 1)." in told(dataset)


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_an_imagefolder_with_metadata(suffix: str, tmp_path: Path) -> None:
    for split in ("train", "test"):
        draw(tmp_path / split, ["a.png", "b.png"])
        if suffix == "csv":
            write(tmp_path / split, "metadata.csv", "file_name,label,text", "a.png,real,x", "b.png,fake,y")
        else:
            objects = [{"file_name": "a.png", "label": "real"}, {"file_name": "b.png", "label": "fake", "n": 1}]
            write(tmp_path / split, "metadata.jsonl", *map(json.dumps, objects))
    assert rows(Dataset.open(tmp_path)) == {(c, s, ""): 1 for c in (0, 1) for s in ("train", "test")}


def test_metadata_without_labels_leaves_the_class_to_folders(tmp_path: Path) -> None:
    draw(tmp_path, ["train/real/a.png", "train/fake/b.png"])
    write(tmp_path / "train", "metadata.csv", "file_name,text", "real/a.png,x", "fake/b.png,y")
    dataset = Dataset.open(tmp_path)
    assert rows(dataset) == {(0, "train", ""): 1, (1, "train", ""): 1}
    assert "Folders say the class: train/metadata.csv has no column of labels." in told(dataset)
    write(tmp_path / "train", "metadata.csv", "file_name,label", "real/a.png,cat", "fake/b.png,dog")
    dataset = Dataset.open(tmp_path)
    assert rows(dataset) == {(0, "train", ""): 1, (1, "train", ""): 1}
    assert "Folders say the class: train/metadata.csv, row 1: 'cat' is not a class" in told(dataset)
    (tmp_path / "train" / "fake").rename(tmp_path / "train" / "painter")
    with pytest.raises(DatasetError, match=r"row 1: 'cat' is not a class.* Found no AI images"):
        Dataset.open(tmp_path)


def test_itw_sm(tmp_path: Path) -> None:
    draw(tmp_path, ["images/a.png", "images/b.png"])
    write(tmp_path, "metadata.csv", "file_name,label", "images/a.png,0", "images/b.png,1")
    dataset = Dataset.open(tmp_path)
    assert dict(zip(dataset.paths, dataset.labels.tolist(), strict=True)) == {"images/a.png": 0, "images/b.png": 1}
    assert "In metadata.csv, 0 is taken for real and 1 for AI." in told(dataset)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.tsv", "path\tlabel\na b.png\treal\nc.png\tsdxl\n"),
        ("list.jsonl", '{"path": "a b.png", "label": "real"}\n\n{"path": "c.png", "label": "sdxl", "x": null}\n'),
        ("list.txt", "# path label\na b.png 0\n\nc.png 1\n"),
        ("list.txt", "a b.png, real\r\nc.png, fake\r\n"),
        ("list.txt", "a b.png\t0\nc.png\t1\n"),
        ("list.csv", "Label,File_Name\nreal,a b.png\nfake,c.png\n"),
    ],
)
def test_tables_of_other_kinds(name: str, text: str, tmp_path: Path) -> None:
    draw(tmp_path, ["a b.png", "c.png"])
    (tmp_path / name).write_bytes(text.encode())
    dataset = Dataset.open(tmp_path / name)
    assert (dataset.paths, dataset.labels.tolist()) == (("a b.png", "c.png"), [0, 1])


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.txt", "one\n", "a.txt, line 1: 'one' is not a path and a label"),
        ("a.jsonl", "[1]\n", "a.jsonl, line 1: it is not a JSON object"),
        ("a.jsonl", "{\n", "a.jsonl is not a file of JSON lines"),
        ("a.jsonl", "[" * 100_000, "a.jsonl is not a file of JSON lines"),
        ("a.tsv", "path\tlabel\nx\n", "a.tsv, row 1: 1 values for 2 columns"),
    ],
)
def test_damaged_tables(name: str, text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DatasetError) as caught:
        Dataset.open(tmp_path / name)
    assert words in str(caught.value)


FACES = "original_path,id,label,label_str,path"


def faces(folder: Path, *, with_words: bool = True) -> Path:
    """Write Kaggle's 140k-faces, where 1 is real, with or without the column that says so."""
    draw(folder, [f"train/{kind}/{i}.png" for kind in ("real", "fake") for i in range(3)])
    lines = [f"/x,{i},1,real,train/real/{i}.png" for i in range(3)]
    lines += [f"/y,{i},0,fake,train/fake/{i}.png" for i in range(3)]
    if not with_words:
        write(folder, "train.csv", "path,label", *(f"{line.split(',')[4]},{line.split(',')[2]}" for line in lines))
    else:
        write(folder, "train.csv", FACES, *lines)
    return folder / "train.csv"


@pytest.mark.parametrize("with_words", [True, False])
def test_labels_that_something_contradicts_are_refused_with_an_example(
    with_words: bool, run_pyrite: Run, tmp_path: Path
) -> None:
    table = faces(tmp_path, with_words=with_words)
    code, _, err = run_pyrite("audit", table)
    assert code == 1
    other = "label_str says 'real'" if with_words else "the folder says 'train/real/0.png'"
    assert f"train.csv, row 1: label is '1', which means AI, but {other}, and so in 6 of 6 rows" in err
    assert "--label-column NAME" in err
    assert "--real LABEL" in err


def test_the_user_decides_between_labels_that_contradict_each_other(run_pyrite: Run, tmp_path: Path) -> None:
    table = faces(tmp_path)
    right = {f"train/{kind}/{i}.png": kind == "fake" for kind in ("real", "fake") for i in range(3)}
    for labelling in (Labelling(label_column="label_str"), Labelling(real=("1",), ai=("0",))):
        dataset = Dataset.open(table, labelling=labelling)
        assert dict(zip(dataset.paths, dataset.labels.tolist(), strict=True)) == right
        assert "row 1" not in told(dataset)
    inverted = Dataset.open(table, labelling=Labelling(label_column="label"))
    assert inverted.labels.tolist() == [1, 1, 1, 0, 0, 0]
    assert "label is '1', which means AI, but label_str says 'real'; so do 6 of 6 rows." in told(inverted)
    code, _, err = run_pyrite("audit", table, "--label-column", "label_str")
    assert code == 0
    assert "6 images, 3 real and 3 AI." in err


def test_columns_are_chosen_by_name(tmp_path: Path) -> None:
    draw(tmp_path, ["a.png", "b.png", "c.png"])
    lines = ("a.png,camera,train,v1", "b.png,sd-turbo,test,v1", "c.png,other,x,v2")
    write(tmp_path, "t.csv", "shot,kind,part,clip", *lines)
    labelling = Labelling(
        real=("camera",), ai=("sd*",), image_column="shot", label_column="kind", split_column="", group_column="clip"
    )
    dataset = Dataset.open(tmp_path / "t.csv", labelling=labelling)
    assert rows(dataset) == {(0, None, ""): 1, (1, None, ""): 1}
    assert dataset.groups == ("v1", "v1")
    assert "Groups: 1." in told(dataset)
    assert "Left out, rows with labels that --real and --ai do not name: 1 (other 1)." in told(dataset)
    assert dataset.select([1]).groups == ("v1",)
    for wrong, words in (
        (Labelling(image_column="x"), "no column 'x'; it has shot, kind, part, clip"),
        (Labelling(image_column="shot", label_column="y"), "no column 'y'"),
        (
            Labelling(image_column="shot", label_column="kind", real=("camera",), ai=("s",)),
            "--ai s matches no label in kind",
        ),
        (Labelling(image_column="shot", label_column="kind"), "row 3: 'other' is not a class"),
        (Labelling(("camera",), ("sd*",), "shot", "kind", "part"), "row 3: 'x' is not a split"),
        (Labelling(("camera",), ("sd*",), "shot", "kind", "", "gone"), "no column 'gone' for groups"),
    ):
        with pytest.raises(DatasetError) as caught:
            Dataset.open(tmp_path / "t.csv", labelling=wrong)
        assert words in str(caught.value)


def test_folders_may_be_asked_for_instead_of_a_column(tmp_path: Path) -> None:
    dataset = Dataset.open(faces(tmp_path), labelling=Labelling(label_column=""))
    assert dataset.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert dataset.splits == ("train",) * 6


def test_a_column_about_what_pictures_show_contradicts_nothing(tmp_path: Path) -> None:
    draw(tmp_path, ["photos/a.png", "photos/b.png"])
    write(tmp_path, "t.csv", "path,label,kind", "photos/a.png,real,photo", "photos/b.png,ai,photo")
    assert Dataset.open(tmp_path / "t.csv").labels.tolist() == [0, 1]


def test_a_folder_that_all_images_lie_in_contradicts_nothing(tmp_path: Path) -> None:
    draw(tmp_path, ["ai/x/a.png", "ai/x/b.png"])
    write(tmp_path, "t.csv", "path,label", f"{tmp_path}/ai/x/a.png,real", f"{tmp_path}/ai/x/b.png,ai")
    assert Dataset.open(tmp_path / "t.csv").labels.tolist() == [0, 1]
    write(tmp_path, "t.csv", "path,label", "ai/x/a.png,0", "ai/x/b.png,0")
    with pytest.raises(DatasetError, match="in 2 of 2 rows"):
        Dataset.open(tmp_path / "t.csv")


def test_real_against_the_rest(tmp_path: Path) -> None:
    draw(tmp_path, ["a.png", "b.png", "c.png"])
    write(tmp_path, "t.csv", "path,label", "a.png,real", "b.png,flux-dev", "c.png,Mystery 3")
    dataset = Dataset.open(tmp_path / "t.csv")
    assert dataset.labels.tolist() == [0, 1, 1]
    assert "Taken for AI: flux-dev 1, Mystery 3 1." in told(dataset)
    write(tmp_path, "t.csv", "path,label", "a.png,real", "b.png,drawing", "c.png,painting")
    with pytest.raises(DatasetError, match="row 2: 'drawing' is not a class"):
        Dataset.open(tmp_path / "t.csv")


def test_files_that_a_table_lists_and_are_not_there_are_told(tmp_path: Path) -> None:
    draw(tmp_path, ["a.png"])
    write(tmp_path, "t.csv", "path,label", "a.png,real", "b.png,ai")
    assert "Listed but missing: 1, such as b.png." in told(Dataset.open(tmp_path / "t.csv"))
    (tmp_path / "t.csv").rename(tmp_path / "manifest.csv")
    packed = shutil.make_archive(str(tmp_path.parent / "packed"), "zip", tmp_path)
    assert "Listed but missing: 1, such as b.png." in told(Dataset.open(packed))


@pytest.mark.skipif(sys.platform != "linux", reason="needs file names of any bytes")
def test_names_that_are_not_utf8_are_told(run_pyrite: Run, tmp_path: Path) -> None:
    strange = os.fsdecode(b"sd-\xff")
    draw(tmp_path, [f"{strange}/a.png", "real/b.png"])
    code, _, err = run_pyrite("audit", tmp_path, "--real", "real", "--ai", "sd*")
    assert code == 0
    assert "Taken for AI: sd-\\udcff 1." in err


# Shards


def table(path: Path, columns: dict[str, list[object]], names: dict[str, list[str]] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    written = pa.table(columns)
    if names:
        features = {column: {"names": known, "_type": "ClassLabel"} for column, known in names.items()}
        written = written.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(written, path)


def images(count: int, start: int = 0) -> list[object]:
    return [{"bytes": png(start + i), "path": f"{i}.png"} for i in range(count)]


def test_community_forensics(tmp_path: Path) -> None:
    for number, name in enumerate(("systematic", "manual")):
        columns: dict[str, list[object]] = {
            "image_name": ["0.png", "1.png"],
            "image_data": [png(2 * number), png(2 * number + 1)],
            "model_name": ["stabilityai/sdxl-turbo", "real"],
            "real_source": ["LAION", "LAION"],
            "split": ["train", "train"],
            "label": [1, 0],
            "architecture": ["LatDiff", "real"],
        }
        table(tmp_path / "data" / name / f"part-{number}.parquet", columns)
    (tmp_path / "data" / "metadata").mkdir()
    (tmp_path / "data" / "metadata" / "systematic_set_metadata.csv").write_text("model\n")
    dataset = Dataset.open(tmp_path)
    assert rows(dataset) == {(1, "train", "stabilityai/sdxl-turbo"): 2, (0, "train", "real"): 2}
    assert set(dataset.slices["folder"]) == {"systematic", "manual"}
    assert "is read as Community Forensics is published." in told(dataset)
    assert "Generators: stabilityai/sdxl-turbo 2." in told(dataset)


def test_openfake(tmp_path: Path) -> None:
    for folder, name in (("core", "train-00000-of-00001"), ("core", "test-00000-of-00001"), ("reddit", "test-00000")):
        columns: dict[str, list[object]] = {
            "image": images(2),
            "prompt": ["", "a cat"],
            "label": ["real", "fake"],
            "model": ["", "flux.1-dev"],
            "type": ["", "base"],
            "release_date": ["", "2024-08"],
        }
        table(tmp_path / folder / f"{name}.parquet", columns)
    (tmp_path / "README.md").write_text("# OpenFake")
    dataset = Dataset.open(tmp_path)
    assert rows(dataset) == {
        (0, "train", ""): 1, (1, "train", "flux.1-dev"): 1, (0, "test", ""): 2, (1, "test", "flux.1-dev"): 2,
    }  # fmt: skip
    assert Counter(dataset.slices["folder"]) == {"core": 4, "reddit": 2}


def test_defactify(tmp_path: Path) -> None:
    columns: dict[str, list[object]] = {"id": [1, 2], "Caption": ["", ""], "Image": images(2)}
    table(tmp_path / "data" / "train-0.parquet", {**columns, "Label_A": [0, 1], "Label_B": [0, 4]})
    dataset = Dataset.open(tmp_path)
    assert rows(dataset) == {(0, "train", ""): 1, (1, "train", ""): 1}
    assert dataset.slices["Label_B"] == ("0", "4")


def test_a_class_label_with_many_generators(tmp_path: Path) -> None:
    names = {"label": ["glide", "real", "sd21", "ours"]}
    table(tmp_path / "a.parquet", {"image": images(4), "label": [1, 0, 2, 3]}, names)
    dataset = Dataset.open(tmp_path / "a.parquet")
    assert dataset.name == "a.parquet"
    assert dataset.labels.tolist() == [0, 1, 1, 1]
    assert [dataset.read(i) for i in range(4)] == [png(i) for i in range(4)]
    named = Dataset.open(tmp_path / "a.parquet", labelling=Labelling(real=("real",), ai=("sd*", "glide")))
    assert named.labels.tolist() == [0, 1, 1]
    assert "Left out, rows with labels that --real and --ai do not name: 1 (ours 1)." in told(named)


def test_a_column_of_images_is_chosen_by_name(tmp_path: Path) -> None:
    table(tmp_path / "a.parquet", {"gen0": images(2), "gen1": images(2, 9), "kind": ["real", "fake"]})
    with pytest.raises(DatasetError, match="Choose one with --image-column: gen0, gen1"):
        Dataset.open(tmp_path / "a.parquet")
    dataset = Dataset.open(tmp_path / "a.parquet", labelling=Labelling(image_column="gen1", label_column="kind"))
    assert [dataset.read(i) for i in range(2)] == [png(9), png(10)]
    first = Dataset.open(tmp_path / "a.parquet", labelling=Labelling(image_column="gen0", label_column="kind"))
    assert decode(first, SIZE).pixels[0, 0, 0].tolist() == [0, 0, 0]
    assert decode(dataset, SIZE).pixels[0, 0, 0].tolist() == [9, 9, 9]
    assert "Left out, other columns of bytes: 2 (gen0 2)." in told(dataset)


def webdataset(path: Path, samples: Iterable[tuple[str, bytes]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in samples:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


@pytest.mark.parametrize("alone", [True, False])
def test_webdataset_with_labels_in_json(alone: bool, tmp_path: Path) -> None:
    samples = []
    for i, label in enumerate(["real", "fake"]):
        said = {"label": label, "generator": "flux" if i else None, "caption": "x", "clip": f"v{i}"}
        samples += [(f"{i:05}.png", png(i)), (f"{i:05}.json", json.dumps(said).encode()), (f"{i:05}.txt", b"x")]
    samples.append(("lost.png", png(7)))
    webdataset(tmp_path / "train" / "00000.tar", samples)
    source = tmp_path / "train" / "00000.tar" if alone else tmp_path
    dataset = Dataset.open(source, labelling=Labelling(group_column="clip"))
    assert rows(dataset) == {(0, None if alone else "train", ""): 1, (1, None if alone else "train", "flux"): 1}
    assert dataset.groups == ("v0", "v1")
    assert "Left out, files with no label beside them: 1 (.png 1)." in told(dataset)


def test_other_files_of_a_sample_are_no_images(tmp_path: Path) -> None:
    samples = [("0.cls", b"real"), ("0.png", png(0)), ("0.npy", b"x"), ("1.cls", b"ai"), ("1.png", png(1))]
    webdataset(tmp_path / "0.tar", samples)
    assert "Left out, no images: 1 (.npy 1)." in told(Dataset.open(tmp_path))
    webdataset(tmp_path / "0.tar", [*samples, ("1.mask.png", png(2))])
    with pytest.raises(DatasetError, match=r"several images of one sample, 1\.png and 1\.mask\.png.*--image-column"):
        Dataset.open(tmp_path)
    dataset = Dataset.open(tmp_path, labelling=Labelling(image_column="png"))
    assert [dataset.read(i) for i in range(len(dataset))] == [png(0), png(1)]
    assert "Left out, other files of samples: 1 (mask.png 1)." in told(dataset)


def test_class_folders_in_shards_may_be_named(tmp_path: Path) -> None:
    webdataset(tmp_path / "0.tar", [("a/x.png", png(0)), ("b_1/y.png", png(1)), ("c/z.png", png(2))])
    webdataset(tmp_path / "1.tar", [("a/x.png", png(3)), ("b_2/y.png", png(4))])
    dataset = Dataset.open(tmp_path, labelling=Labelling(real=("a",), ai=("b_*",)))
    assert rows(dataset) == {(0, None, ""): 2, (1, None, "b_1"): 1, (1, None, "b_2"): 1}
    assert "Left out, in folders that --real and --ai do not name: 1 (c 1)." in told(dataset)


def test_tables_beside_tars_are_told(tmp_path: Path) -> None:
    webdataset(tmp_path / "00000.tar", [("0.png", png(0)), ("0.cls", b"0"), ("1.png", png(1)), ("1.cls", b"1")])
    table(tmp_path / "00000.parquet", {"url": ["https://a", "https://b"], "key": ["0", "1"]})
    (tmp_path / "00000_stats.json").write_text("{}")
    dataset = Dataset.open(tmp_path)
    assert rows(dataset) == {(0, None, ""): 1, (1, None, ""): 1}
    assert "Left out, tables beside shards: 1 (00000.parquet 1)." in told(dataset)
    assert "Left out, no images: 1 (.json 1)." in told(dataset)
