"""Pairs of photographs and reconstructions as a dataset: what is made, what is left out, and going on."""

import csv
import errno
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image
from tiny import take_photograph, write_tiny

from pyrite import Dataset, Labelling, MatchInfo, match
from pyrite.datasets import split
from pyrite.datasets.clusters import find_clusters
from pyrite.errors import DatasetError, PyriteError, SettingsError
from pyrite.matching.alignment import align_power
from pyrite.matching.autoencoder import open_autoencoder
from pyrite.matching.histories import HISTORIES, HistoryRange, draw_history
from pyrite.matching.records import COLUMNS
from pyrite.matching.views import draw_views
from pyrite.writing import locked

SIDE = 48
MODULE = sys.modules["pyrite.matching.match"]  # The name is the function's.


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny(tmp_path_factory.mktemp("decoders") / "tiny.onnx"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six photographs, of which the last is a PNG."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(6):
        take_photograph(folder / "2026" / f"{number}.{'png' if number == 5 else 'jpg'}", seed=number)
    return folder


def run(photos: Path, out: Path, *decoders: str, **settings: object) -> MatchInfo:
    return match(photos, out, decoders=decoders, **{"side": SIDE, "views": 2, **settings})  # type: ignore[arg-type]


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def contents(out: Path) -> dict[str, bytes]:
    """Return every file but `match.json`, which has the command and the commit."""
    files = (path for path in out.rglob("*") if path.is_file() and path.name != "match.json")
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


@pytest.mark.parametrize("align", [True, False])
def test_every_view_is_there_as_it_is_and_by_each_decoder(
    photos: Path, decoder: str, tmp_path: Path, align: bool
) -> None:
    out = tmp_path / "new" / "pairs"
    info = run(photos, out, decoder, f"{decoder}:twice", history="none", align=align)
    assert info.settings.aligned == align
    assert (info.finished, info.photographs, info.groups, info.left_out) == (True, 6, 12, ())
    rows = rows_of(out)
    assert tuple(rows[0]) == COLUMNS
    assert {path.relative_to(out).as_posix() for path in (out / "images").rglob("*.*")} == {r["path"] for r in rows}
    groups = defaultdict(list)
    for row in rows:
        groups[row["group"]].append(row)
    assert len(groups) == 12
    coders = [open_autoencoder(said, SIDE) for said in (decoder, f"{decoder}:twice")]
    for members in groups.values():
        assert [row["generator"] for row in members] == ["", "tiny", "tiny-twice"]
        assert [row["label"] for row in members] == ["real", "ai", "ai"]
        left, top, cut = (int(members[0][name]) for name in ("left", "top", "cut"))
        assert cut == SIDE
        with Image.open(photos / members[0]["photo_path"]) as image:
            native = np.asarray(image)[top : top + cut, left : left + cut]
        real, *fakes = (np.asarray(Image.open(out / row["path"])) for row in members)
        assert np.array_equal(real, native)
        for coder, fake in zip(coders, fakes, strict=True):
            made = coder.reconstruct(native, np.random.default_rng(0))
            assert np.array_equal(fake, align_power(made, native) if align else made)


def test_views_can_share_the_decoders_out_among_them(
    photos: Path, decoder: str, tmp_path: Path, run_pyrite: Callable[..., tuple[int, str, str]]
) -> None:
    named = [part for said in ("", ":twice", ":levels=8") for part in ("--decoder", f"{decoder}{said}")]
    command = ("match", photos, *named, "--side", SIDE, "--views", 3)
    for out, options in (("all", ()), ("some", ("--decoders-per-view", 2))):
        code, said, _ = run_pyrite(*command, "--out", tmp_path / out, *options)
        assert code == 0
    groups = 18
    assert f"each unchanged and reconstructed by 2 of tiny, tiny-twice, tiny-levels8: {3 * groups} images" in " ".join(
        said.split()
    )
    made, all_made = (contents(tmp_path / out) for out in ("some", "all"))
    images = {name for name in made if name.startswith("images")}
    # The same views and reconstructions, only fewer of these.
    assert all(made[name] == all_made[name] for name in images)
    by_view = defaultdict(list)
    for row in rows_of(tmp_path / "some"):
        by_view[row["group"]].append(row["generator"])
    assert {len(found) for found in by_view.values()} == {3}
    assert {"tiny", "tiny-twice", "tiny-levels8"} <= {name for found in by_view.values() for name in found}
    assert len({tuple(found) for found in by_view.values()}) > 1
    assert len(images) == 3 * groups


def test_the_dataset_opens_without_flags_and_no_photograph_straddles_a_split(
    photos: Path, decoder: str, tmp_path: Path
) -> None:
    run(photos, tmp_path / "pairs", decoder)
    dataset = Dataset.open(tmp_path / "pairs")
    assert dataset.describe()[:2] == ("pairs: 24 images, 12 real and 12 AI.", "Generators: tiny 12.")
    for column in ("group", "photo"):
        grouped = Dataset.open(tmp_path / "pairs", labelling=Labelling(group_column=column))
        hashes = [f"{number:064x}" for number in range(len(grouped))]
        clusters = find_clusters(grouped, hashes, None, lambda _done, _total: None).numbers
        parts = split(grouped, hashes, "pooled", (0.5, 0.25, 0.25), 0, clusters=clusters)
        sides = [{grouped.slices[column][i] for i in part} for part in (parts.train, parts.validation, parts.test)]
        assert sum(map(len, sides)) == len(set.union(*sides)) == (12 if column == "group" else 6)


@pytest.mark.parametrize("history", HISTORIES)
def test_nothing_in_a_file_tells_the_members_of_a_pair_apart(
    photos: Path, decoder: str, tmp_path: Path, history: str
) -> None:
    run(photos, tmp_path, decoder, history=history, views=3)
    kinds = defaultdict(set)
    for row in rows_of(tmp_path):
        with Image.open(tmp_path / row["path"]) as image:
            tables = getattr(image, "quantization", None)
            kinds[row["group"]].add((image.format, image.mode, image.size, str(tables), str(sorted(image.info)), str(
                [layer[1:3] for layer in getattr(image, "layer", ())])))  # fmt: skip
    assert all(len(found) == 1 for found in kinds.values())
    different = {next(iter(found)) for found in kinds.values()}
    assert all(kind[2] == (SIDE, SIDE) for kind in different)
    assert (len(different) == 1) == (history == "none")


def test_histories_are_as_their_table_says() -> None:
    rng, chosen = np.random.default_rng(0), HISTORIES["heavy"]
    drawn = [draw_history(chosen, 256, 5000, 8, rng) for _ in range(2000)]
    cuts = np.array([cut for cut, _ in drawn])
    assert not (cuts % 8).any()
    assert 256 / 1.25 - 4 <= cuts.min() < 215
    assert 600 < cuts.max() <= 640
    for cut, history in drawn:
        assert (history.kernel is None) == (cut == 256)
        assert history.quality in range(40, 96)
        assert history.blur == 0 or 0.3 <= history.blur <= 1.2
    shares = {
        "resized": np.mean(cuts != 256),
        "blurred": np.mean([history.blur > 0 for _, history in drawn]),
        "saved_twice": np.mean([history.first_quality > 0 for _, history in drawn]),
    }
    for name, share in shares.items():
        assert share == pytest.approx(getattr(chosen, name), abs=0.04)
    assert {history.kernel for _, history in drawn} == {None, "bilinear", "bicubic", "lanczos"}


def test_a_cut_fits_the_photograph() -> None:
    rng, always = np.random.default_rng(0), HistoryRange(resized=1, scales=(0.25, 0.3))
    assert draw_history(always, 256, 607, 8, rng)[0] == 600
    assert draw_history(always, 256, 256, 8, rng)[0] == 256


def test_views_lie_in_the_photograph_and_apart() -> None:
    draw = {"views": 8, "side": 64, "multiple": 8, "chosen": HISTORIES["light"], "decoders": ["a"], "per_view": None}
    found = draw_views(300, 500, "ab" * 32, seed=0, **draw)  # type: ignore[arg-type]
    assert len(found) == 8
    for i, view in enumerate(found):
        assert 0 <= view.left <= 500 - view.cut
        assert 0 <= view.top <= 300 - view.cut
        for other in found[:i]:
            assert 2 * max(abs(view.left - other.left), abs(view.top - other.top)) >= max(view.cut, other.cut)
    assert found == draw_views(300, 500, "ab" * 32, seed=0, **draw)  # type: ignore[arg-type]
    assert found != draw_views(300, 500, "ab" * 32, seed=1, **draw)  # type: ignore[arg-type]
    assert found != draw_views(300, 500, "ac" * 32, seed=0, **draw)  # type: ignore[arg-type]
    assert len(draw_views(64, 64, "ab" * 32, seed=0, **draw)) == 1  # type: ignore[arg-type]


def test_what_is_made_of_a_photograph_hangs_on_no_other(photos: Path, decoder: str, tmp_path: Path) -> None:
    run(photos, tmp_path / "all", f"{decoder}:noise=0.5")
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "renamed.jpg").write_bytes((photos / "2026" / "3.jpg").read_bytes())
    run(alone, tmp_path / "one", f"{decoder}:noise=0.5")
    every, one = contents(tmp_path / "all"), contents(tmp_path / "one")
    images = {name: data for name, data in one.items() if name.startswith("images")}
    assert len(images) == 4
    assert all(every[name] == data for name, data in images.items())


def stop_after(count: int) -> Callable[[int, int], None]:
    def progress(done: int, _total: int) -> None:
        if done == count:
            raise KeyboardInterrupt

    return progress


def test_a_run_that_was_killed_goes_on_and_comes_to_the_same(photos: Path, decoder: str, tmp_path: Path) -> None:
    run(photos, tmp_path / "unbroken", decoder)
    out = tmp_path / "killed"
    with pytest.raises(KeyboardInterrupt):
        run(photos, out, decoder, progress=stop_after(3))
    with pytest.raises(DatasetError):  # A part is not taken for the whole.
        Dataset.open(out)
    # What a process leaves that is killed while it writes: half a line, and a file without its name.
    times = {path: path.stat().st_mtime_ns for path in (out / "images").rglob("*.jpg")}
    with (out / "photos.jsonl").open("ab") as stream:
        stream.write(b'{"path":"2026/4.j')
    (next((out / "images").iterdir()) / ".partial-00").write_bytes(b"half")
    info = run(photos, out, decoder)
    assert info.photographs == 6
    assert contents(out) == contents(tmp_path / "unbroken")
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert run(photos, out, decoder) == info


def test_a_full_disk_is_a_sentence_and_loses_nothing(
    photos: Path, decoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []

    @contextmanager
    def full(path: Path) -> Iterator[Path]:
        written.append(path)
        with original(path) as draft:
            if len(written) > 6:
                draft.write_bytes(b"half")
                raise OSError(errno.ENOSPC, "No space left on device")
            yield draft

    original = MODULE.whole_file
    monkeypatch.setattr(MODULE, "whole_file", full)
    with pytest.raises(DatasetError, match=r"No space left on device\. Finished work is kept"):
        run(photos, tmp_path / "pairs", decoder)
    monkeypatch.undo()
    run(photos, tmp_path / "pairs", decoder)
    run(photos, tmp_path / "unbroken", decoder)
    assert contents(tmp_path / "pairs") == contents(tmp_path / "unbroken")


def test_photographs_that_are_added_are_made_too(photos: Path, decoder: str, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    take_photograph(folder / "b.jpg", seed=1)
    run(folder, tmp_path / "pairs", decoder)
    take_photograph(folder / "a.jpg", seed=2)
    info = run(folder, tmp_path / "pairs", decoder)
    assert info.photographs == 2
    assert [row["photo_path"] for row in rows_of(tmp_path / "pairs")][::4] == ["a.jpg", "b.jpg"]


def test_what_is_left_out_is_named_with_its_reason(decoder: str, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    whole = take_photograph(folder / "a.jpg").read_bytes()
    (folder / "b.jpg").write_bytes(whole)
    (folder / "c.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "d.jpg").write_bytes(b"")
    (folder / "e.png").write_bytes(b"no picture")
    (folder / "f.txt").write_text("no picture by its name")
    take_photograph(folder / "g.jpg", width=SIDE - 1)
    (folder / "h.png").write_bytes(take_photograph(tmp_path / "other.jpg", seed=1).read_bytes())  # Mislabelled.
    (folder / "i.jpg").symlink_to("nowhere")
    info = run(folder, tmp_path / "pairs", decoder)
    assert [(one.path, one.code) for one in info.left_out] == [
        ("b.jpg", "copy"),
        ("c.jpg", "corrupt"),
        ("d.jpg", "empty"),
        ("e.png", "unsupported_format"),
        ("g.jpg", "too_small"),
        ("i.jpg", "unreadable"),
    ]
    assert info.left_out[0].reason == "The file is a copy of a.jpg."
    assert info.left_out[4].reason == f"Its 47 × 120 pixels are fewer than a view of {SIDE}."
    assert info.other_files == ("Left out, no images: 1 (other files 1).",)
    assert info.photographs == 2
    assert msgspec.json.decode((tmp_path / "pairs" / "match.json").read_bytes(), type=MatchInfo) == info


def test_no_file_stands_under_both_labels(decoder: str, tmp_path: Path) -> None:
    """A wall of one colour may come back as it was."""
    folder, white = tmp_path / "photos", str(tmp_path / "white.onnx")
    take_photograph(folder / "a.jpg")
    Image.new("RGB", (160, 120), "white").save(folder / "b.png")
    Path(white).write_bytes(whitening())
    half = np.full((120, 160, 3), 255, np.uint8)
    half[:, :64] = np.random.default_rng(0).integers(0, 256, (120, 64, 3), np.uint8)
    Image.fromarray(half).save(folder / "c.png")
    info = run(folder, tmp_path / "pairs", white, decoder, history="none", views=20)
    assert [(one.path, one.code) for one in info.left_out] == [("b.png", "flat")]
    assert info.flat_views > 0
    rows = rows_of(tmp_path / "pairs")
    assert {row["photo_path"] for row in rows} == {"a.jpg", "c.png"}
    contents = defaultdict(set)
    for row in rows:
        contents[(tmp_path / "pairs" / row["path"]).read_bytes()].add(row["label"])
    assert all(len(labels) == 1 for labels in contents.values())
    assert sum(row["label"] == "real" for row in rows) == info.groups


def whitening(shape: tuple[object, ...] = ("N", 3, "H", "W")) -> bytes:
    """Return a network that makes every image white."""
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Constant", [], ["one"], value_float=1.0),
        helper.make_node("Max", ["x", "one"], ["y"]),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy"]
    graph = helper.make_graph(nodes, "white", values[:1], values[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


def test_how_close_a_decoder_comes_is_measured(tmp_path: Path, run_pyrite: Callable[..., tuple[int, str, str]]) -> None:
    photos, white = tmp_path / "photos", str(tmp_path / "white.onnx")
    take_photograph(photos / "a.jpg")
    Image.new("RGB", (64, 64), "black").save(photos / "b.png")
    Path(white).write_bytes(whitening())
    info = run(photos, tmp_path / "pairs", white, history="none", views=1)
    real = next(row["path"] for row in rows_of(tmp_path / "pairs") if row["label"] == "real")
    with Image.open(tmp_path / "pairs" / real) as image:
        error = np.mean((255 - np.asarray(image).astype(float)) ** 2)
    # Black made white is off by all there is: 0 dB.
    assert info.psnr == {"white": pytest.approx(10 * np.log10(255**2 / error) / 2, abs=0.01)}
    code, said, told = run_pyrite("match", photos, "--out", tmp_path / "close", "--side", SIDE, "--views", 1)
    assert code == 0
    assert "PSNR: taef2 " in said
    assert "reconstructs photographs at only" not in told


def test_nothing_to_match_is_an_error(decoder: str, tmp_path: Path) -> None:
    take_photograph(tmp_path / "photos" / "a.jpg", width=20)
    with pytest.raises(DatasetError, match=r"None of the 1 photographs of photos can be used, such as a.jpg: Its 20"):
        run(tmp_path / "photos", tmp_path / "pairs", decoder)
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("")
    with pytest.raises(DatasetError, match="texts holds no photographs"):
        run(tmp_path / "texts", tmp_path / "pairs", decoder)


def test_of_a_labelled_dataset_only_real_images_are_taken(decoder: str, tmp_path: Path) -> None:
    for folder in ("real", "fake"):
        take_photograph(tmp_path / "photos" / folder / "a.jpg", seed=len(folder) + (folder == "fake"))
    info = run(tmp_path / "photos", tmp_path / "pairs", decoder)
    assert (info.photographs, info.ai_images) == (1, 1)
    assert {row["photo_path"] for row in rows_of(tmp_path / "pairs")} == {"real/a.jpg"}
    labelling = Labelling(real=("fake",))
    other = run(tmp_path / "photos", tmp_path / "other", decoder, labelling=labelling)
    assert {row["photo_path"] for row in rows_of(tmp_path / "other")} == {"fake/a.jpg"}
    assert other.photographs == 1
    (tmp_path / "photos" / "real").rename(tmp_path / "photos" / "holidays")
    with pytest.raises(DatasetError, match="no class folder: holidays"):  # Is `fake` a place or a class?
        run(tmp_path / "photos", tmp_path / "third", decoder)


def test_ai_images_can_be_cut_into_views_too(
    photos: Path, decoder: str, tmp_path: Path, run_pyrite: Callable[..., tuple[int, str, str]]
) -> None:
    data = tmp_path / "data"
    for number in range(3):
        take_photograph(data / f"{number}.jpg", seed=number)
    table = "path,label,generator\n0.jpg,real,\n1.jpg,ai,flux\n2.jpg,ai,\n"
    (data / "manifest.csv").write_text(table)
    command = ("match", data, "--decoder", decoder, "--side", SIDE, "--views", 2)
    code, said, _ = run_pyrite(*command, "--out", tmp_path / "pairs", "--with-ai")
    assert code == 0
    assert "2 views of 1 photographs, each unchanged and reconstructed by tiny: 8 images" in " ".join(said.split())
    assert "Also 4 views of 2 AI images." in said
    found = [(row["photo_path"], row["label"], row["generator"]) for row in rows_of(tmp_path / "pairs")]
    pair = [("0.jpg", "real", ""), ("0.jpg", "ai", "tiny")]
    assert found == [*pair, *pair, *[("1.jpg", "ai", "flux")] * 2, *[("2.jpg", "ai", "ai")] * 2]
    opened = Dataset.open(tmp_path / "pairs")
    assert opened.describe()[0] == "pairs: 8 images, 2 real and 6 AI."
    # The photograph's views are those that there are without AI images.
    run_pyrite(*command, "--out", tmp_path / "alone")
    alone, both = (contents(tmp_path / out) for out in ("alone", "pairs"))
    assert all(both[name] == content for name, content in alone.items() if name.startswith("images"))
    (data / "manifest.csv").write_text("path,label\n0.jpg,real\n")
    code, _, told = run_pyrite(*command, "--out", tmp_path / "none", "--with-ai")
    assert (code, "has no AI images. Name them with --ai, or leave out --with-ai" in told) == (1, True)
    code, _, told = run_pyrite("match", photos, *command[2:], "--out", tmp_path / "none", "--with-ai")
    assert (code, "says which images are AI. Name them with --ai." in told) == (1, True)


def test_what_belongs_together_is_passed_on(photos: Path, decoder: str, tmp_path: Path) -> None:
    by_name = Labelling(group_pattern=r"(\d)\.")
    run(photos, tmp_path / "pairs", decoder, labelling=by_name)
    assert {(row["photo_path"], row["source"]) for row in rows_of(tmp_path / "pairs")} == {
        (f"2026/{number}.{'png' if number == 5 else 'jpg'}", str(number)) for number in range(6)
    }
    with pytest.raises(DatasetError, match="made with grouped_by"):
        run(photos, tmp_path / "pairs", decoder)
    with pytest.raises(DatasetError, match="no column 'owner'"):
        run(photos, tmp_path / "other", decoder, labelling=Labelling(group_column="owner"))


def test_a_folder_with_other_settings_or_other_things_is_left_alone(photos: Path, decoder: str, tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    run(photos, out, decoder)
    before = contents(out)
    other = str(write_tiny(tmp_path / "tiny.onnx", seed=1))
    for decoders, settings, sentence in (
        ((decoder,), {"views": 3}, "made with views 2, not 3"),
        ((decoder,), {"history": "heavy"}, "made with history light, not heavy"),
        ((decoder, f"{decoder}:twice"), {}, "made with decoders tiny, not tiny, tiny-twice"),
        ((other,), {}, "made with other files of the decoders tiny"),
    ):
        with pytest.raises(DatasetError, match=sentence):
            run(photos, out, *decoders, **settings)
    assert contents(out) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("")
    with pytest.raises(DatasetError, match=r"already holds something else \(notes.txt\)"):
        run(photos, tmp_path / "mine", decoder)
    with pytest.raises(DatasetError, match="lies among the photographs"):
        run(photos, photos / "pairs", decoder)
    with pytest.raises(DatasetError, match="cannot be read or written: "):
        run(photos, tmp_path / "mine" / "notes.txt", decoder)
    with locked(out, AssertionError()), pytest.raises(DatasetError, match="Another process is at work"):
        run(photos, out, decoder)


@pytest.mark.parametrize("file", ["match.json", "photos.jsonl"])
def test_damaged_records_are_told(photos: Path, decoder: str, tmp_path: Path, file: str) -> None:
    run(photos, tmp_path / "pairs", decoder)
    (tmp_path / "pairs" / file).write_text('{"no": 1}\n')
    with pytest.raises(DatasetError, match=rf"{file}.* is damaged: Object"):
        run(photos, tmp_path / "pairs", decoder)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"side": 16}, "from 32 to 2,048 pixels, not 16"),
        ({"views": 0}, "at least one view"),
        ({"seed": -1}, "The seed is 0 or more"),
        ({"history": "long"}, "There are none, light, heavy"),
        ({"decoders": ()}, "Name from 1 to 64 decoders"),
        ({"decoders": ("taef2", "taef2")}, "Two decoders are called taef2"),
        ({"decoders_per_view": 2}, "From 1 to 1 of the decoders named can reconstruct a view, not 2"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    photos: Path, tmp_path: Path, settings: dict[str, object], sentence: str
) -> None:
    with pytest.raises(SettingsError, match=sentence):
        match(photos, tmp_path / "pairs", **{"side": SIDE, **settings})  # type: ignore[arg-type]
    assert not (tmp_path / "pairs").exists()


def test_a_decoder_of_one_size_takes_no_history_that_resizes(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "fixed.onnx").write_bytes(whitening((1, 3, SIDE, SIDE)))
    with pytest.raises(PyriteError, match="images of one size only, and the history 'light' resizes"):
        run(photos, tmp_path / "pairs", str(tmp_path / "fixed.onnx"))
    assert run(photos, tmp_path / "pairs", str(tmp_path / "fixed.onnx"), history="none").groups == 12


def test_the_command_tells_what_was_made_and_left_out(
    photos: Path, decoder: str, tmp_path: Path, run_pyrite: Callable[..., tuple[int, str, str]]
) -> None:
    out = tmp_path / "pairs"
    command = ("match", photos, "--out", out, "--decoder", decoder, "--side", SIDE, "--views", 2)
    code, said, told = run_pyrite(*command)
    assert (code, told) == (
        0,
        "tiny reconstructs photographs at only 4.3 dB. Are its inputs and outputs in [0, 1]?\n",
    )
    assert "\nPSNR: tiny 4.3 dB\n" in said
    assert f"12 views of 6 photographs, each unchanged and reconstructed by tiny: 24 images in {out}" in said
    assert f"pyrite train {out} --recipe crops --group-column photo --out run" in said
    folder = tmp_path / "photos"
    take_photograph(folder / "a.jpg")
    take_photograph(folder / "small.jpg", width=20)
    (folder / "notes.txt").write_text("")
    code, _, told = run_pyrite("match", folder, "--out", tmp_path / "b", *command[4:])
    assert code == 0
    assert "Left out, no images: 1 (other files 1).\n" in told
    assert f"Left out: 1 (too_small 1), all listed in {tmp_path / 'b' / 'match.json'}." in told
    (folder / "bad[b].jpg").write_bytes(b"")
    code, _, told = run_pyrite("match", folder, "--out", tmp_path / "c", *command[4:])
    assert code == 1
    assert "bad[b].jpg: The file is empty" in told


def test_the_command_goes_on_after_ctrl_c(
    photos: Path,
    decoder: str,
    tmp_path: Path,
    run_pyrite: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    command = ("match", photos, "--out", tmp_path / "pairs", "--decoder", decoder, "--side", SIDE)
    monkeypatch.setattr(MODULE, "add_photo", stop)
    code, _, told = run_pyrite(*command)
    assert (code, told) == (130, "Error: Interrupted. Run the same command to continue.\n")
    monkeypatch.undo()
    assert run_pyrite(*command)[0] == 0
