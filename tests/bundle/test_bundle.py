import hashlib
import json
import os
import shutil
import struct
import zipfile
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

from pyrite.bundle import (
    DEFAULT,
    Calibration,
    Crops,
    DataInfo,
    ModelOrigin,
    ShorterSide,
    TrainingInfo,
    load_bundle,
    save_bundle,
)
from pyrite.decision import Scope
from pyrite.detector import Detector
from pyrite.errors import BundleError

PIXELS = np.full((32, 32, 3), 200, np.uint8)


@pytest.fixture
def folder(bundle, tmp_path):
    """A copy that a test may damage."""
    return Path(shutil.copytree(bundle.path, tmp_path / "copy"))


def test_default_is_the_included_bundle_unless_it_is_a_folder(bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_bundle("default").path == DEFAULT
    shutil.copytree(bundle.path, tmp_path / "default")
    assert load_bundle("default").path == tmp_path / "default"


def change(folder, edit):
    path = folder / "bundle.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def pack(folder, path, *, under="", compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for file in folder.iterdir():
            archive.write(file, under + file.name)
    return path


def refused(path, *parts):
    with pytest.raises(BundleError) as caught:
        load_bundle(path)
    for part in parts:
        assert part in str(caught.value)


def test_what_is_saved_is_loaded(bundle):
    loaded = load_bundle(bundle.path)
    assert loaded == bundle
    assert loaded.read("card.md") == b"# Card\n"
    assert loaded.info.files["card.md"] == hashlib.sha256(b"# Card\n").hexdigest()
    with pytest.raises(BundleError, match=r"brightness has no file 'report.json'"):
        loaded.read("report.json")


def test_the_bytes_of_a_bundle_depend_only_on_its_content(bundle, tmp_path):
    again = save_bundle(tmp_path / "again", bundle.info, bundle.files)
    assert (again.path / "bundle.json").read_bytes() == (bundle.path / "bundle.json").read_bytes()


def test_a_repr_does_not_show_whole_files(bundle):
    assert "brightness" in repr(bundle)
    assert "# Card" not in repr(bundle)


def test_training_survives(bundle, tmp_path):
    data = DataInfo(
        name="toy",
        sha256="ab",
        fingerprint="cd",
        protocol="pooled",
        fractions=(0.8, 0.1, 0.1),
        train=80,
        validation=10,
        test=10,
    )
    training = TrainingInfo(
        recipe="small",
        recipe_sha256="ef",
        data=data,
        seed=0,
        command="pyrite train toy",
        commit=None,
        packages={"keras": "3.10"},
        epochs=2,
    )
    info = msgspec.structs.replace(bundle.info, training=training)
    save_bundle(tmp_path / "b", info, bundle.files)
    assert load_bundle(tmp_path / "b").info.training == training


@pytest.mark.parametrize("under", ["", "brightness/"])
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_is_a_bundle_too(bundle, tmp_path, under, compression):
    loaded = load_bundle(pack(bundle.path, tmp_path / "b.zip", under=under, compression=compression))
    assert (loaded.info, loaded.files) == (bundle.info, bundle.files)


def test_linked_files_are_followed(bundle, tmp_path):
    for file in bundle.path.iterdir():
        (tmp_path / file.name).symlink_to(file)
    assert load_bundle(tmp_path).files == bundle.files


def test_paths_that_are_no_bundle(tmp_path):
    refused(tmp_path / "missing", "There is no bundle")
    refused(tmp_path, "has no bundle.json")
    (tmp_path / "text").write_text("text")
    refused(tmp_path / "text", "neither a folder nor a zip")
    refused("bad\0name", "bad")


def test_an_unknown_format_is_named_before_anything_else(folder):
    change(folder, lambda content: content.update(format=3, colour=True))
    refused(folder, "bundle format 3", "reads formats 1 to 2")


@pytest.mark.parametrize(
    ("place", "key", "near"),
    [((), "licens", "licence"), (("policy",), "max_fp", "max_fpr"), (("preprocess",), "filtr", "filter")],
)
def test_an_unknown_key_is_named_with_the_nearest(folder, place, key, near):
    def edit(content):
        for step in place:
            content = content[step]
        content[key] = 1

    change(folder, edit)
    refused(folder, f"`{key}`", f"Did you mean {near!r}?", ".".join(("$", *place)) if place else "")


@pytest.mark.parametrize(
    ("edit", "parts"),
    [
        (lambda c: c["policy"].update(max_fpr=2), ["$.policy.max_fpr"]),
        (lambda c: c.update(name=3), ["$.name"]),
        (lambda c: c["calibration"].update(slope="1"), ["$.calibration.slope"]),
        (lambda c: c["calibration"].update(real_logits=[]), ["real_logits", "$.calibration"]),
        (lambda c: c["scope"].update(min_side=99), ["min_side", "$.scope"]),
        (lambda c: c["preprocess"].update(height=-1), ["$.preprocess.height"]),
        (lambda c: c.pop("scope"), ["scope"]),
        (lambda c: c.pop("format"), ["format"]),
        (lambda c: c["files"].pop("model.onnx"), ["lists no model.onnx"]),
        (lambda c: c["files"].pop("golden.json"), ["lists no golden.json"]),
        (lambda c: c["files"].pop("card.md"), ["has card.md, which its bundle.json does not list"]),
        (lambda c: c["files"].update({"report.json": "00"}), ["has no report.json"]),
        (lambda c: c["files"].update({"report.jsn": "00"}), ["'report.jsn'", "Did you mean 'report.json'?"]),
        (lambda c: c["files"].update({"../secret": "00"}), ["'../secret'"]),
        (lambda c: c["files"].update({"card.md": "00"}), ["card.md", "SHA-256 differs"]),
    ],
)
def test_a_wrong_bundle_json_is_refused(folder, edit, parts):
    change(folder, edit)
    refused(folder, *parts)


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"null", b"3", b"{", b"\xff\xfe", b'{"format": 1, "name": "\xff"}', b'{"format": NaN}',
     b'{"x": ' + b"[" * 100_000, b'{"format": 1e999}'],
)  # fmt: skip
def test_a_bundle_json_that_is_no_json_object_is_refused(folder, text):
    (folder / "bundle.json").write_bytes(text)
    refused(folder, "bundle.json")


def test_damaged_missing_and_extra_files_are_named(folder):
    model = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(model[:-1] + b"x")
    refused(folder, "model.onnx", "SHA-256 differs")
    (folder / "model.onnx").unlink()
    refused(folder, "has no model.onnx")
    (folder / "model.onnx").write_bytes(model)
    (folder / "notes.txt").write_text("notes")
    refused(folder, "notes.txt")
    (folder / "notes.txt").unlink()
    (folder / "more").mkdir()
    refused(folder, "more")


def test_pipes_are_never_opened(folder):
    for name, message in (("card.md", "has card.md"), ("bundle.json", "has no bundle.json")):
        (folder / name).unlink()
        os.mkfifo(folder / name)
        refused(folder, message)


def test_a_folder_that_is_too_large_is_refused(folder):
    with (folder / "model.onnx").open("wb") as stream:
        stream.truncate(4_000_000_001)
    refused(folder, "larger than the limit")


@pytest.mark.parametrize("name", ["../card.md", "/card.md", "a/../../card.md", "..\\card.md", "C:card.md"])
def test_a_zip_with_an_unsafe_name_is_refused(bundle, tmp_path, name):
    path = pack(bundle.path, tmp_path / "b.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, "")
    refused(path, "unsafe")


def test_a_zip_with_two_folders_or_a_name_twice_is_refused(bundle, tmp_path):
    path = pack(bundle.path, tmp_path / "b.zip", under="a/")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("b/card.md", "")
    refused(path, "same folder")
    path = pack(bundle.path, tmp_path / "c.zip")
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("card.md", "")
    refused(path, "two files named 'card.md'")


def test_a_zip_that_declares_too_much_is_refused(bundle, tmp_path):
    path = tmp_path / "b.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bundle.json", b"{}")
        with archive.open("model.onnx", "w") as stream:
            for _ in range(26):
                stream.write(bytes(10_000_000))
    assert path.stat().st_size < 1_000_000
    refused(path, "Unpack it, and name the folder")


def test_a_zip_that_declares_less_than_it_holds_is_refused(bundle, tmp_path):
    path = tmp_path / "b.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bundle.json", bytes(3_000_000))
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<I", 3_000_000), struct.pack("<I", 10)))
    refused(path, "damaged")


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packing_without_a_bound_is_refused(bundle, tmp_path, compression):
    refused(pack(bundle.path, tmp_path / "b.zip", compression=compression), "other than deflate")


def test_every_cut_of_a_zip_is_a_bundle_error(bundle, tmp_path):
    data = pack(bundle.path, tmp_path / "b.zip").read_bytes()
    for end in range(0, len(data) - 22, len(data) // 40):
        (tmp_path / "cut.zip").write_bytes(data[:end])
        refused(tmp_path / "cut.zip")


def test_a_zip_with_flipped_bytes_is_refused(bundle, tmp_path):
    data = pack(bundle.path, tmp_path / "b.zip").read_bytes()
    for place in range(60, len(data) // 2, 97):
        (tmp_path / "bad.zip").write_bytes(data[:place] + bytes([data[place] ^ 255]) + data[place + 1 :])
        refused(tmp_path / "bad.zip")


def test_saving_refuses_what_exists(bundle, tmp_path):
    with pytest.raises(BundleError, match="already exists"):
        save_bundle(tmp_path, bundle.info, bundle.files)
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(BundleError, match="already exists"):
        save_bundle(tmp_path / "link", bundle.info, bundle.files)


def test_saving_makes_parents(bundle, tmp_path):
    assert load_bundle(save_bundle(tmp_path / "a" / "b", bundle.info, bundle.files).path) == load_bundle(
        tmp_path / "a" / "b"
    )


def test_saving_refuses_what_loading_would_and_leaves_nothing(bundle, tmp_path):
    for info, files, message in (
        (bundle.info, {"model.onnx": b""}, "golden.json"),
        (bundle.info, {**bundle.files, "notes.txt": b""}, "notes.txt"),
        (msgspec.structs.replace(bundle.info, name=""), bundle.files, "name"),
    ):
        with pytest.raises(BundleError, match=message):
            save_bundle(tmp_path / "b", info, files)
    (tmp_path / "file").touch()
    with pytest.raises(BundleError, match="cannot be written"):
        save_bundle(tmp_path / "file" / "b", bundle.info, bundle.files)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def as_format_1(folder):
    def edit(content):
        kept = content["calibration"]
        content["format"] = 1
        content["calibration"] = {
            "slope": kept["slope"],
            "intercept": kept["intercept"],
            "real_logits": kept["real"]["all"],
            "ai_logits": kept["ai"]["all"],
        }
        for key in ("knows", "one_by_one", "origin"):
            del content[key]
        del content["preprocess"]["draft"]

    change(folder, edit)


def test_format_1_is_read_as_what_it_meant(bundle, folder):
    as_format_1(folder)
    assert load_bundle(folder).info == bundle.info


@pytest.mark.parametrize(
    ("edit", "parts"),
    [
        (lambda content: content["calibration"].update(real_logits=[2, 1]), ["ascending", "$.calibration"]),
        (lambda content: content.update(knows=[]), ["`knows`"]),
        (lambda content: content["preprocess"].update(geometry="crops"), ["geometry"]),
    ],
)
def test_format_1_is_as_strict_as_it_was(folder, edit, parts):
    as_format_1(folder)
    change(folder, edit)
    refused(folder, *parts)


@pytest.mark.parametrize(
    "changes",
    [
        {"preprocess": ShorterSide(shorter_side=440, height=384, width=384)},
        {"preprocess": Crops(height=96, width=96, top_share=0.25)},
        {"scope": Scope(min_side=96, max_side=None, description="photographs")},
        {"calibration": Calibration(real={"phone": (-1.0, 2.0), "film": (0.0,)})},
        {"calibration": Calibration()},
        {"knows": ("Stable Diffusion 1.4",), "one_by_one": True},
        {"origin": ModelOrigin(source="https://example.org/model.onnx", sha256="ab", allows="free", threshold=0.4)},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_what_format_2_can_say_survives(bundle, tmp_path, changes):
    info = msgspec.structs.replace(bundle.info, **changes)
    saved = save_bundle(tmp_path / "b", info, bundle.files)
    assert load_bundle(tmp_path / "b") == saved
    for name, value in changes.items():
        assert getattr(saved.info, name) == value


@pytest.fixture
def on_disk(monkeypatch):
    """Every model is a large one."""
    monkeypatch.setattr("pyrite.bundle.bundle.LARGE", 100)


def test_a_large_model_stays_on_disk_and_judges_the_same(bundle, on_disk, monkeypatch):
    expected = Detector(bundle).detect(PIXELS)
    monkeypatch.chdir(bundle.path.parent)
    loaded = load_bundle(bundle.path.name)
    assert "model.onnx" not in loaded.files
    assert loaded.model_sha256 == bundle.model_sha256
    assert loaded.read("model.onnx") == bundle.read("model.onnx")
    assert Detector(loaded).detect(PIXELS) == expected
    monkeypatch.chdir("/")
    assert Detector(loaded).detect(PIXELS) == expected


def test_a_large_model_that_was_changed_is_refused(folder, on_disk):
    with (folder / "model.onnx").open("ab") as stream:
        stream.write(b"x")
    refused(folder, "model.onnx", "SHA-256 differs")


def test_a_bundle_is_saved_from_files_where_they_lie(bundle, tmp_path, on_disk):
    files = {name: bundle.path / name for name in bundle.files}
    saved = save_bundle(tmp_path / "b", bundle.info, files)
    assert saved == load_bundle(tmp_path / "b")
    assert "model.onnx" not in saved.files


def test_what_is_too_large_is_refused_before_it_is_written(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr("pyrite.bundle.bundle.MAX_BYTES", 1000)
    with pytest.raises(BundleError, match="larger than the limit of 1,000 bytes"):
        save_bundle(tmp_path / "b", bundle.info, bundle.files)
    assert not list(tmp_path.iterdir())


def with_weights_outside(model, folder, location):
    """Write a model whose numbers lie in another file, as `location` says; return that file's content."""
    loaded = onnx.load_model_from_string(model)
    content = b""
    for tensor in loaded.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            data = onnx.numpy_helper.to_array(tensor).tobytes()
            tensor.ClearField("float_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            for key, value in (("location", location), ("offset", len(content)), ("length", len(data))):
                tensor.external_data.add(key=key, value=str(value))
            content += data
    (folder / "model.onnx").write_bytes(loaded.SerializeToString())
    return content


def test_weights_may_lie_beside_the_model(bundle, model, tmp_path):
    (tmp_path / "model.onnx.data").write_bytes(with_weights_outside(model, tmp_path, "model.onnx.data"))
    files = {
        "model.onnx": tmp_path / "model.onnx",
        "model.onnx.data": tmp_path / "model.onnx.data",
        "golden.json": bundle.files["golden.json"],
    }
    save_bundle(tmp_path / "b", bundle.info, files)
    loaded = load_bundle(tmp_path / "b")
    assert set(loaded.files) == {"golden.json"}
    assert Detector(loaded).detect(PIXELS).logit == Detector(bundle).detect(PIXELS).logit
    refused(pack(tmp_path / "b", tmp_path / "b.zip"), "Unpack it")
    (tmp_path / "b" / "model.onnx.data").write_bytes(b"other")
    refused(tmp_path / "b", "model.onnx.data", "SHA-256 differs")


@pytest.mark.parametrize("location", ["../secret", "{folder}/secret"])
def test_weights_outside_of_the_bundle_are_not_read(bundle, model, tmp_path, location):
    (tmp_path / "source").mkdir()
    content = with_weights_outside(model, tmp_path / "source", location.format(folder=tmp_path))
    (tmp_path / "secret").write_bytes(content)
    files = {
        "model.onnx": tmp_path / "source" / "model.onnx",
        "model.onnx.data": tmp_path / "secret",
        "golden.json": bundle.files["golden.json"],
    }
    save_bundle(tmp_path / "b", bundle.info, files)
    with pytest.raises(BundleError, match=r"cannot be loaded.*([Ee]scapes|outside|absolute|not allowed)"):
        Detector(load_bundle(tmp_path / "b"))
