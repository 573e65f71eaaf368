import io
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image, ImageOps
from rich.console import Console

import pyrite
from pyrite.auditing import Audit, audit
from pyrite.auditing.audit import KINDS
from pyrite.auditing.summary import summarize_audit
from pyrite.datasets import altered
from pyrite.errors import DatasetError, EvaluationError

SHARED = Path(__file__).parents[3] / "shared" / "data"


def paint(path: Path, seed: int, **options: object) -> None:
    random = np.random.default_rng(seed)
    coarse = random.normal(128, 30, (8, 8, 3)).repeat(4, axis=0).repeat(4, axis=1)
    pixels = (coarse + random.normal(0, 12, (32, 32, 1))).clip(0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """30 images of each class for training and 5 for testing, all different, PNG and alike in kind."""
    root = tmp_path / "data"
    for label, name in enumerate(("REAL", "FAKE")):
        for i in range(30):
            paint(root / "train" / name / f"{i:02}.png", 100 * label + i)
        for i in range(5):
            paint(root / "test" / name / f"{i:02}.png", 1000 + 100 * label + i)
    return root


def test_clean_data_gets_a_clean_bill(folder: Path) -> None:
    found = audit(folder)
    assert (found.images, found.real, found.ai) == (70, 35, 35)
    assert found.splits == {"test": 10, "train": 60}
    assert found.identical.pairs == found.near.pairs == 0
    assert found.identical.leaked == found.near.leaked == {"test": 0}
    assert found.floor.best is not None
    assert found.spectra is not None
    assert pyrite.audit is audit


def test_copies_are_counted_by_label_and_split(folder: Path) -> None:
    def copy(source: str, target: str) -> None:
        (folder / target).write_bytes((folder / source).read_bytes())

    copy("train/FAKE/00.png", "test/FAKE/00.png")
    copy("train/FAKE/00.png", "train/FAKE/01.png")
    copy("train/REAL/02.png", "train/FAKE/02.png")
    paint(folder / "test" / "REAL" / "03.jpg", 3, quality=90, subsampling=0)
    found = audit(folder)
    one, two, three = (found.identical.real, found.identical.ai, found.identical.both)
    assert (found.identical.pairs, one, two, three, found.identical.between) == (4, 0, 3, 1, 2)
    assert {frozenset(group) for group in found.identical_files} == {
        frozenset({"test/FAKE/00.png", "train/FAKE/00.png", "train/FAKE/01.png"}),
        frozenset({"train/FAKE/02.png", "train/REAL/02.png"}),
    }
    [pair] = found.near_pairs
    assert (pair.kind, pair.first, pair.second) == ("near", "test/REAL/03.jpg", "train/REAL/03.png")
    assert (found.near.pairs, found.near.real, found.near.between) == (1, 1, 1)
    assert (found.identical.leaked, found.near.leaked) == ({"test": 1}, {"test": 2})
    assert found.advice[0].startswith("1 pair of identical files stands under both labels")
    assert any(sentence.startswith("1 of the 11 test images stands in an earlier split") for sentence in found.advice)
    assert any(sentence.startswith("1 more test image has a near copy") for sentence in found.advice)


def test_a_leak_is_no_chain_of_copies_and_needs_two_splits(tmp_path: Path) -> None:
    random = np.random.default_rng(9)
    paint(tmp_path / "data" / "test" / "REAL" / "middle.png", 5)
    middle = np.asarray(Image.open(tmp_path / "data" / "test" / "REAL" / "middle.png"))
    # Either is near the one in the middle, and not near the other.
    for path in ("train/REAL/left.png", "test/REAL/right.png"):
        noise = random.normal(0, 8, (8, 4, 8, 4, 3))
        (tmp_path / "data" / path).parent.mkdir(parents=True, exist_ok=True)
        pixels = middle + (noise - noise.mean(axis=(1, 3), keepdims=True)).reshape(32, 32, 3)
        Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8)).save(tmp_path / "data" / path)
    for path in ("train/FAKE/a.png", "more/FAKE/a.png", "more/FAKE/b.png", "test/FAKE/c.png"):
        paint(tmp_path / "data" / path, 7)
    paint(tmp_path / "data" / "test" / "FAKE" / "d.jpg", 7, quality=90, subsampling=0)
    found = audit(tmp_path / "data")
    assert {frozenset((pair.first, pair.second)) for pair in found.near_pairs} == {
        frozenset({"test/REAL/middle.png", "train/REAL/left.png"}),
        frozenset({"test/REAL/middle.png", "test/REAL/right.png"}),
        # One stands for all, and what it stands for is in training.
        frozenset({"test/FAKE/d.jpg", "more/FAKE/a.png"}),
    }
    assert (found.identical.pairs, found.identical.between, found.near.between) == (6, 1, 1)
    assert (found.identical.leaked, found.near.leaked) == ({"test": 1}, {"test": 3})


def test_the_page_shows_every_kind_of_pair(folder: Path, tmp_path: Path) -> None:
    # The first and the last of these have the same label, and the one between them another.
    for path in ("test/FAKE/x.png", "test/REAL/x.png", "train/FAKE/x.png"):
        paint(folder / path, 50)
    for i in range(20):
        paint(folder / "train" / "FAKE" / f"leak{i}.png", 100 + i, compress_level=0)
        (folder / "test" / "FAKE" / f"leak{i}.png").write_bytes((folder / f"train/FAKE/leak{i}.png").read_bytes())
        (folder / "train" / "REAL" / f"twin{i}.png").write_bytes((folder / f"train/REAL/{i:02}.png").read_bytes())
    found = audit(folder, out=tmp_path / "out")
    assert (found.identical.pairs, found.identical.both) == (43, 2)
    page = (tmp_path / "out" / "audit.html").read_text()
    identical = page[page.index("<h3>Identical files") :].split("</ul>")[0]
    assert identical.count("<li>") == 12
    assert identical.index("test/REAL/x.png") < identical.index("/leak") < identical.index("/twin")
    assert identical.count("<small>train/REAL/twin") == 4


def draw_picture(seed: int) -> Image.Image:
    """Return a picture with something of every size, unlike any other."""
    random = np.random.default_rng(seed)
    values = np.full((160, 160, 3), 128.0)
    for cells in (2, 4, 8, 16, 32, 64):
        noise = Image.fromarray(random.integers(0, 256, (cells, cells, 3), np.uint8))
        values += (np.asarray(noise.resize((160, 160), Image.Resampling.BICUBIC), float) - 128) / cells**0.5
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """Eight pictures for training, and of six of them a copy that was changed, half of them for testing."""
    root = tmp_path / "data"
    for folder in ("train/REAL", "train/FAKE", "test/REAL", "test/FAKE"):
        (root / folder).mkdir(parents=True)
    for i in range(8):
        draw_picture(i).save(root / "train" / ("REAL", "FAKE")[i % 2] / f"{i}.png")
    ImageOps.mirror(draw_picture(0)).save(root / "test" / "REAL" / "mirrored.jpg", quality=85)
    ImageOps.mirror(draw_picture(1)).save(root / "train" / "REAL" / "mirrored.jpg", quality=85)
    ImageOps.expand(draw_picture(2), 20, (255, 255, 255)).save(root / "test" / "FAKE" / "bordered.jpg", quality=85)
    ImageOps.expand(draw_picture(3), (30, 0, 30, 0)).save(root / "train" / "FAKE" / "bordered.jpg", quality=85)
    draw_picture(4).crop((20, 20, 140, 140)).save(root / "test" / "REAL" / "cropped.jpg", quality=85)
    draw_picture(5).crop((35, 35, 125, 125)).save(root / "train" / "FAKE" / "cropped.jpg", quality=85)
    return root


def test_changed_copies_are_counted_by_kind_label_and_split(changed: Path, tmp_path: Path) -> None:
    found = audit(changed, out=tmp_path / "out")
    counts = {
        kind: (copies.pairs, copies.real, copies.ai, copies.both, copies.between, copies.leaked["test"])
        for kind in KINDS
        if (copies := getattr(found, kind))
    }
    assert counts == {
        "near": (0, 0, 0, 0, 0, 0),
        "mirrored": (2, 1, 0, 1, 1, 1),
        "bordered": (2, 0, 1, 1, 1, 1),
        "cropped": (2, 1, 1, 0, 1, 1),
    }
    assert {(pair.kind, pair.first, pair.second) for pair in found.near_pairs} == {
        ("mirrored", "test/REAL/mirrored.jpg", "train/REAL/0.png"),
        ("mirrored", "train/FAKE/1.png", "train/REAL/mirrored.jpg"),
        ("bordered", "test/FAKE/bordered.jpg", "train/REAL/2.png"),
        ("bordered", "train/FAKE/3.png", "train/FAKE/bordered.jpg"),
        ("cropped", "test/REAL/cropped.jpg", "train/REAL/4.png"),
        ("cropped", "train/FAKE/5.png", "train/FAKE/cropped.jpg"),
    }
    assert [sentence.split(":")[0] for sentence in found.advice[:8]] == [
        "1 pair of mirrored copies stands under both labels",
        "1 pair of bordered copies stands under both labels",
        "1 more test image has a mirrored copy in an earlier split, which Pyrite's training does not see",
        "1 more test image has a bordered copy in an earlier split, which Pyrite's training does not see",
        "1 more test image has a cropped copy in an earlier split, which Pyrite's training does not see",
        "2 pairs of mirrored copies (1 real, 0 AI)",
        "2 pairs of bordered copies (0 real, 1 AI)",
        "2 pairs of cropped copies (1 real, 1 AI)",
    ]
    page = (tmp_path / "out" / "audit.html").read_text()
    for kind in ("Mirrored", "Bordered", "Cropped"):
        section = page[page.index(f"<h3>{kind} copies") :].split("</ul>")[0]
        assert section.count("<li>") == 2
        assert section.count("data:image/png") == 4
    assert "<h3>Near copies" not in page
    console = Console(file=io.StringIO(), width=200)
    console.print(summarize_audit(found))
    for row in ("Mirrored copies", "Bordered copies", "Cropped copies"):
        assert re.search(rf"{row} +│ +2 │", console.file.getvalue())


def test_crops_are_looked_for_among_so_many_and_that_is_said(
    changed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (changed / "train" / "REAL" / "same.png").write_bytes((changed / "train" / "REAL" / "0.png").read_bytes())
    monkeypatch.setattr(altered, "MAX_CROPPED", 4)
    found = audit(changed, out=tmp_path / "out")
    assert (found.identical.compared, found.near.compared, found.cropped.compared) == (15, 14, 4)
    assert (found.mirrored.complete, found.bordered.complete, found.cropped.complete) == (True, True, False)
    assert (found.mirrored.pairs, found.bordered.pairs) == (2, 2)
    said = (
        "Cropped copies were looked for among 4 of 14 images, drawn at random, since it takes long: there may be more."
    )
    assert said in found.advice
    page = (tmp_path / "out" / "audit.html").read_text()
    assert re.search(r"among\s+4 of 14 images that are not identical, drawn at random\.", page)
    console = Console(file=io.StringIO(), width=200)
    console.print(summarize_audit(found))
    assert "Cropped copies, at least" in console.file.getvalue()


def test_a_changed_copy_is_no_different_image_for_the_floor(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for label, name in enumerate(("REAL", "FAKE")):
        (root / name).mkdir(parents=True)
        for i in range(12):
            picture = draw_picture(100 * label + i)
            picture.save(root / name / f"{i}.png")
            ImageOps.mirror(picture).save(root / name / f"{i}-mirrored.png")
    found = audit(root)
    assert (found.mirrored.pairs, found.near.pairs) == (24, 0)
    assert (
        found.floor.note == "Not measured: it takes 20 different images of each class, and here are 12 real and 12 AI."
    )


def test_a_page_that_cannot_be_written_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "audit.html").mkdir(parents=True)
    with pytest.raises(EvaluationError, match=r"audit\.html cannot be written"):
        audit(folder, out=tmp_path / "out")


def test_a_name_like_markup_is_printed_as_it_is(folder: Path) -> None:
    folder = folder.rename(folder.with_name("data[bold]"))
    console = Console(file=io.StringIO(), width=200)
    console.print(summarize_audit(audit(folder)))
    assert "data[bold]: 70 images" in console.file.getvalue()


def test_a_shortcut_in_the_files_is_named(folder: Path) -> None:
    for path in folder.rglob("FAKE/*.png"):
        Image.open(path).save(path.with_suffix(".jpg"), quality=95, subsampling=0)
        path.unlink()
    found = audit(folder)
    assert found.floor.best is not None
    assert found.floor.best.auroc.value > 0.99
    assert any("The files alone tell the classes apart (AUROC 1.000; in AI images" in said for said in found.advice)
    assert any(sentence.startswith("The shortcut floor is an AUROC of 1.000") for sentence in found.advice)


def test_what_splits_the_classes_is_said_in_words_on_the_page_and_in_the_json(folder: Path, tmp_path: Path) -> None:
    for path in folder.rglob("FAKE/*.png"):
        Image.open(path).convert("RGBA").save(path)
    for path in [*folder.rglob("REAL/*.png")][:-1]:
        Image.open(path).save(path.with_suffix(".jpg"), quality=95)
        path.unlink()
    found = audit(folder, out=tmp_path / "out")
    assert [(bias.fact, bias.value, bias.real, bias.ai) for bias in found.biases] == [
        ("colour mode", "RGBA", 0, 35), ("format", "PNG", 1, 35),
    ]  # fmt: skip
    mode, kind = (
        "Every AI image (35) has the colour mode RGBA, and no real one (35) has.",
        "All of the AI images (35 of 35) are stored as PNG, 3% of the real ones (1 of 35).",
    )
    assert found.advice[:2] == (
        f"{mode} Convert both classes to RGB, and re-save them alike.",
        f"{kind} Re-save both classes alike, in one format at one quality, and train with a recipe that degrades both "
        "(`degrade`), which saves them as JPEG at random.",
    )
    page = (tmp_path / "out" / "audit.html").read_text()
    assert mode in page
    assert kind in page
    assert msgspec.json.decode((tmp_path / "out" / "audit.json").read_bytes(), type=Audit).biases == found.biases


def test_one_remedy_is_said_once_for_all_that_it_mends(folder: Path) -> None:
    for path in folder.rglob("*.png"):
        fake = path.parent.name == "FAKE"
        Image.open(path).save(path.with_suffix(".jpg"), quality=75 if fake else 95, progressive=fake)
        path.unlink()
    [said] = [sentence for sentence in audit(folder).advice if "Re-save both classes alike, in one" in sentence]
    assert said.startswith(
        "Of the JPEG files, every AI image (35) has the JPEG quality 75, and no real one (35) has. "
        "Of the JPEG files, every AI image (35) is progressive, and no real one (35) is. Re-save"
    )


def test_the_page_and_the_json_hold_all_of_it(folder: Path, tmp_path: Path) -> None:
    hostile = folder / "train" / "REAL" / "<script>alert(1)<x>.png"
    paint(hostile, 0)
    (folder / "test" / "FAKE" / "<b>.png").write_bytes(b"no image")
    stages: list[str] = []
    out = tmp_path / "deep" / "out"
    found = audit(folder, out=out, watch=lambda stage, done, total: stages.append(stage))
    assert sorted(path.name for path in out.iterdir()) == ["audit.html", "audit.json"]
    data = (out / "audit.json").read_bytes()
    assert msgspec.json.decode(data, type=Audit) == found
    assert b"NaN" not in data
    page = (out / "audit.html").read_text()
    assert page.count("data:image/png") == 2
    assert "<script" not in page
    assert "<b>.png" not in page
    assert not re.search(r"url\((?!#)|@import|https?://(?!www\.w3\.org)", page)
    for words in ("What to do", "The shortcut floor", "Spectra of both classes", "Unreadable files"):
        assert words in page
    assert list(dict.fromkeys(stages)) == [
        "Decoding", "Looking for near copies", "Looking for mirrored copies", "Looking for borders",
        "Looking for bordered copies", "Looking for cropped copies", "Measuring shortcuts", "Validating shortcuts",
        "Writing the page",
    ]  # fmt: skip


def test_unreadable_files_are_listed_and_count_nowhere(folder: Path) -> None:
    for name in ("a", "b"):
        (folder / "test" / "REAL" / f"{name}.png").write_bytes(b"the same")
    found = audit(folder)
    assert [(file.path, file.code) for file in found.unreadable] == [
        ("test/REAL/a.png", "unsupported_format"), ("test/REAL/b.png", "unsupported_format"),
    ]  # fmt: skip
    assert (found.images, found.identical.pairs) == (70, 0)
    assert any("2 files cannot be read" in sentence for sentence in found.advice)


def test_few_images_or_one_class_leave_the_floor_out(tmp_path: Path) -> None:
    for i in range(3):
        paint(tmp_path / "few" / "real" / f"{i}.png", i)
    (tmp_path / "few" / "fake").mkdir()
    (tmp_path / "few" / "fake" / "0.png").write_bytes(b"")
    found = audit(tmp_path / "few", out=tmp_path / "out")
    assert (found.real, found.ai, found.floor.best, found.spectra) == (3, 0, None, None)
    assert any(sentence.startswith("Shortcuts: not measured: it takes 20") for sentence in found.advice)
    assert "here are 3 real and 0 AI." in (tmp_path / "out" / "audit.html").read_text()


def test_nothing_to_audit_is_one_sentence(tmp_path: Path) -> None:
    for name in ("real", "fake"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "0.png").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"None of the 2 files of data .* fake/0\.png: The file is empty"):
        audit(tmp_path / "data")
    (tmp_path / "file").touch()
    with pytest.raises(EvaluationError, match="cannot hold a report"):
        audit(tmp_path / "data", out=tmp_path / "file")


@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "unseen32.zip").exists(), reason="../shared/data/unseen32.zip is not here")
def test_real_images_of_other_generators() -> None:
    found = audit(SHARED / "unseen32.zip")
    assert (found.real, found.ai) == (629, 691)
    assert found.floor.best is not None
    assert 0.5 < found.floor.best.auroc.low < found.floor.best.auroc.high < 1
