"""One unbroken run, looked at from all sides, and what a run refuses."""

import base64
import fcntl
import io
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from pyrite.bundle import load_bundle
from pyrite.datasets import Dataset, content_hashes, make_toy, recognise, split
from pyrite.detector import Detector
from pyrite.errors import DatasetError, ExportError, RecipeError, TrainingError
from pyrite.evaluation import evaluate
from pyrite.evaluation.choose import own_split
from pyrite.explanation import Spectra
from pyrite.golden import replay_golden
from pyrite.image import open_image
from pyrite.publishing.preparation import Stage
from pyrite.publishing.publish import publish
from pyrite.recipe import Recipe, load_recipe
from pyrite.spectrum import luma, radial_spectrum
from pyrite.training import train
from pyrite.training.checkpoint import load_checkpoint
from pyrite.training.curves import write_tensorboard
from pyrite.training.loop import Examples, Step
from runs import Run, assert_events_match, read_rows

run_module, publish_module = (sys.modules[verb.__module__] for verb in (train, publish))


def test_the_folder_holds_what_it_should(unbroken: Run) -> None:
    assert {entry.name for entry in unbroken.out.iterdir()} == {
        "bundle", "report", "recipe.toml", "provenance.json", "history.csv", "tensorboard", "checkpoint.npz",
    }  # fmt: skip
    assert load_recipe(unbroken.out / "recipe.toml") == unbroken.recipe
    assert (unbroken.out / "report" / "report.html").is_file()


def test_progress_is_told_per_stage_step_and_epoch(unbroken: Run) -> None:
    stages = [event.name for event in unbroken.events if isinstance(event, Stage)]
    assert list(dict.fromkeys(stages)) == [
        "Building the network", "Decoding", "Looking for near copies", "Exporting", "Calibrating",
        "Judging (test split)", "Measuring shortcuts (test split)", "Writing the bundle and the report",
    ]  # fmt: skip
    steps = [event for event in unbroken.events if isinstance(event, Step)]
    count = steps[0].steps
    assert [(s.epoch, s.step) for s in steps] == [(e, s) for e in (1, 2, 3) for s in range(1, count + 1)]
    assert {(s.epochs, s.steps) for s in steps} == {(3, count)}
    assert all(s.images_per_second > 0 and s.seconds_left >= 0 for s in steps)
    assert steps[-1].seconds_left == 0
    assert [len(state.history) for state in unbroken.states] == [1, 2, 3]
    # The last step's means are the epoch's.
    for step, row in zip(steps[count - 1 :: count], unbroken.states[-1].history, strict=True):
        assert (step.loss, step.accuracy) == (row.loss, row.accuracy)


def test_history_and_tensorboard_hold_the_same_numbers(unbroken: Run) -> None:
    history = unbroken.states[-1].history
    assert [row.epoch for row in history] == [1, 2, 3]
    assert tuple(read_rows(unbroken.out / "history.csv")) == history
    assert_events_match(unbroken.out / "tensorboard", history)
    assert load_checkpoint(unbroken.out / "checkpoint.npz")[0].history == history


def test_the_bundle_says_how_it_was_trained(unbroken: Run, toy: Path) -> None:
    bundle = load_bundle(unbroken.out / "bundle")
    training = bundle.info.training
    assert training is not None
    assert (bundle.info.name, training.recipe, training.seed, training.epochs) == ("tiny", "tiny", 0, 3)
    assert training.recipe_sha256 == unbroken.recipe.sha256()
    assert training.data.fingerprint == Dataset.open(toy).fingerprint
    assert training.data.train + training.data.validation + training.data.test == 160
    assert bundle.read("recipe.toml") == (unbroken.out / "recipe.toml").read_bytes()
    assert replay_golden(bundle).passed


def test_the_report_is_what_the_bundle_does(unbroken: Run, toy: Path) -> None:
    again = evaluate(unbroken.out / "bundle", toy)
    assert again.as_is.headline == unbroken.report.as_is.headline
    assert load_bundle(unbroken.out / "bundle").read("report.json") == unbroken.report.to_json()


def test_the_card_has_the_reports_figures(unbroken: Run) -> None:
    card = (unbroken.out / "bundle" / "card.md").read_text()
    accuracy = unbroken.report.as_is.headline.accuracy
    assert f"| Accuracy | {accuracy.value:.4f} | {accuracy.low:.4f} to {accuracy.high:.4f} |" in card
    assert "# tiny 1\n" in card
    assert "What it is not for" in card


def test_the_bundle_remembers_what_it_learnt_from_and_nothing_else(unbroken: Run, toy: Path) -> None:
    dataset = Dataset.open(toy)
    hashes = content_hashes(dataset)
    parts = split(dataset, hashes, unbroken.recipe.protocol, unbroken.recipe.fractions, unbroken.recipe.seed)
    seen = recognise(load_bundle(unbroken.out / "bundle").read("trained_on.bin"), hashes)
    assert np.flatnonzero(seen).tolist() == sorted([*parts.train, *parts.validation])
    assert evaluate(unbroken.out / "bundle", toy / "train").part.caution is not None


def test_the_bundle_has_the_spectra_of_what_it_was_trained_on(unbroken: Run, toy: Path) -> None:
    dataset = Dataset.open(toy)
    parts = split(
        dataset, content_hashes(dataset), unbroken.recipe.protocol, unbroken.recipe.fractions, unbroken.recipe.seed
    )
    spectra = msgspec.json.decode(load_bundle(unbroken.out / "bundle").read("spectra.json"), type=Spectra)
    for label, of in enumerate((spectra.real, spectra.ai)):
        chosen = [int(i) for i in parts.train if dataset.labels[i] == label]
        powers = [radial_spectrum(luma(open_image(dataset.read(i)).pixels)) for i in chosen]
        assert of.images == len(chosen)
        np.testing.assert_allclose(of.mean, np.mean(powers, 0), atol=1e-4)
        np.testing.assert_allclose(of.deviation, np.std(powers, 0), atol=1e-4)


def test_the_bundle_says_how_well_it_was_exported(unbroken: Run) -> None:
    training = load_bundle(unbroken.out / "bundle").info.training
    assert training is not None
    assert training.parity is not None
    assert 0 <= training.parity <= 1e-3


def test_frames_of_a_video_stay_together_and_the_report_says_how_few_there_are(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for video in range(16):
        scene = rng.integers(0, 256, (8, 8, 3), np.uint8)
        folder = tmp_path / "data" / ("real", "ai")[video % 2] / f"video {video}"
        folder.mkdir(parents=True)
        for frame in range(12):
            picture = Image.fromarray(scene).resize((32, 32), Image.Resampling.BICUBIC)
            noise = rng.normal(scale=2, size=(32, 32, 3))
            Image.fromarray(np.clip(picture + noise, 0, 255).astype(np.uint8)).save(folder / f"{frame}.png")
    dataset = Dataset.open(tmp_path / "data")
    report = train(dataset, load_recipe("tiny", ["epochs=1"]), tmp_path / "out")
    assert report is not None
    assert report.part.why.endswith("None of its images has a copy or near copy in training.")
    assert report.part.caution is not None
    assert report.part.caution.startswith("The 24 images are of 2 groups: copies, near copies, or one source.")
    bundle = load_bundle(tmp_path / "out" / "bundle")
    hashes = content_hashes(dataset)
    parts = own_split(bundle, dataset, hashes)
    assert parts is not None
    videos = [
        {Path(dataset.paths[i]).parent.name for i in side} for side in (parts.train, parts.validation, parts.test)
    ]
    assert len(set.union(*videos)) == sum(map(len, videos)) == 16
    again = evaluate(bundle, dataset)
    assert again.as_is.headline.images == 24
    assert (report.part.dropped, again.part.dropped) == (0, None)
    assert again.as_is.headline.accuracy.value == report.as_is.headline.accuracy.value


@pytest.mark.parametrize("protocol", ["pooled", "official"])
def test_the_test_split_neither_trains_nor_chooses_nor_calibrates(
    protocol: str, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[int] = []

    def note(module: Any, name: str) -> None:
        original = getattr(module, name)

        def noted(*arguments: Any, **options: Any) -> Any:
            for argument in arguments:
                if isinstance(argument, Examples):
                    used.extend([*argument.train, *argument.validation])
                elif isinstance(argument, np.ndarray) and argument.ndim == 1 and argument.dtype == np.intp:
                    used.extend(argument.tolist())
            return original(*arguments, **options)

        monkeypatch.setattr(module, name, noted)

    for name in ("fit", "check_parity"):
        note(run_module, name)
    note(publish_module, "calibrate")
    recipe = load_recipe("tiny", ["epochs=1", f"protocol={protocol}"])
    train(toy, recipe, tmp_path / "out")
    dataset = Dataset.open(toy)
    parts = split(dataset, content_hashes(dataset), recipe.protocol, recipe.fractions, recipe.seed)
    assert set(used) == {*parts.train.tolist(), *parts.validation.tolist()}
    assert not set(used) & set(parts.test.tolist())


def test_an_export_that_differs_ends_the_run(
    toy: Path, tmp_path: Path, build_model: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyrite.training.export.export_onnx", lambda model: build_model(scale=10.0))
    with pytest.raises(ExportError, match="differs from the trained one"):
        train(toy, load_recipe("tiny", ["epochs=1"]), tmp_path / "out")
    assert not (tmp_path / "out" / "bundle").exists()
    assert (tmp_path / "out" / "checkpoint.npz").exists()


def test_a_limit_lets_no_copy_of_a_test_image_into_training(tmp_path: Path) -> None:
    make_toy(tmp_path / "data", count=200)
    for path in sorted((tmp_path / "data" / "test").rglob("*.png")):
        shutil.copy(path, tmp_path / "data" / "train" / path.parent.name / f"copy-{path.name}")
    train(tmp_path / "data", load_recipe("tiny", ["epochs=1", "protocol=official", "limit=150"]), tmp_path / "out")
    dataset = Dataset.open(tmp_path / "data")
    seen = recognise(load_bundle(tmp_path / "out" / "bundle").read("trained_on.bin"), content_hashes(dataset))
    assert seen.any()
    assert not [path for path, known in zip(dataset.paths, seen, strict=True) if known and "copy-" in path]


def test_the_scope_is_that_of_what_was_learnt_from(tmp_path: Path) -> None:
    make_toy(tmp_path / "data", count=100, size=48)
    Image.new("RGB", (900, 900)).save(tmp_path / "data" / "test" / "REAL" / "0000.png")
    train(tmp_path / "data", load_recipe("tiny", ["epochs=1", "protocol=official"]), tmp_path / "out")
    bundle = load_bundle(tmp_path / "out" / "bundle")
    assert (bundle.info.scope.min_side, bundle.info.scope.max_side) == (48, 48)
    # The golden images go through the resizing too, so they have the size of the data.
    vectors = msgspec.json.decode(bundle.read("golden.json"))["vectors"]
    assert {Image.open(io.BytesIO(base64.b64decode(vector["png"]))).size for vector in vectors} == {(48, 48)}
    assert replay_golden(bundle).passed
    assert "Images of any other size are first resized to 32 × 32 pixels." in bundle.read("card.md").decode()


def test_a_run_that_was_killed_as_it_began_can_begin_again(toy: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in ("provenance.json", ".partial-0123"):
        (out / name).write_text("{")
    train(toy, load_recipe("tiny", ["epochs=1"]), out)
    assert (out / "bundle").exists()


def test_signal_handlers_are_put_back(unbroken: Run) -> None:
    assert unbroken.report
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_an_existing_folder_is_left_alone(unbroken: Run, toy: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in unbroken.out.rglob("*")}
    with pytest.raises(TrainingError, match=r"already exists. Continue it with --resume, or choose another --out."):
        train(toy, unbroken.recipe, unbroken.out)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(TrainingError, match="already exists"):
        train(toy, unbroken.recipe, tmp_path / "file")
    assert {path: path.stat().st_mtime_ns for path in unbroken.out.rglob("*")} == before


def test_a_complete_run_is_not_resumed(unbroken: Run, toy: Path) -> None:
    with pytest.raises(TrainingError, match=r"is complete: its bundle is .*bundle"):
        train(toy, unbroken.recipe, unbroken.out, resume=True)


def test_nothing_is_resumed_where_nothing_began(toy: Path, recipe: Recipe, tmp_path: Path) -> None:
    for out in (tmp_path, tmp_path / "missing"):
        with pytest.raises(TrainingError, match="holds no run that could be resumed"):
            train(toy, recipe, out, resume=True)
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        (["architecture=tinny"], RecipeError, "no architecture 'tinny': did you mean 'tiny'?"),
        (["architecture=vit"], RecipeError, "there are backbone, compact, efficientnet_lite0, resnet50, tiny"),
        (["weights=imagenet"], RecipeError, "tiny has no pretrained weights; use weights = 'none'."),
        (["architecture=resnet50", "height=16"], RecipeError, "at least 32×32 pixels, not 16×32"),
        (["limit=8"], DatasetError, "raise the limit where one is set"),
        (["limit=2"], DatasetError, "add images, or raise the limit"),
    ],
)
def test_what_is_refused_leaves_nothing_behind(
    settings: list[str], error: type[Exception], words: str, toy: Path, tmp_path: Path
) -> None:
    with pytest.raises(error) as caught:
        train(toy, load_recipe("tiny", settings), tmp_path / "out")
    assert words in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_bfloat16_is_refused_where_onednn_may_not_use_it(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "avx2")
    with pytest.raises(RecipeError, match="ONEDNN_MAX_CPU_ISA=AVX2 switches bfloat16 off"):
        train(toy, load_recipe("tiny", ["precision=bfloat16"]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_class_that_cannot_be_read_is_missing(recipe: Recipe, tmp_path: Path) -> None:
    make_toy(tmp_path / "data", count=60)
    for number, path in enumerate(sorted((tmp_path / "data").rglob("FAKE/*.png"))):
        path.write_bytes(b"no image, though the bytes differ: %d" % number)
    with pytest.raises(DatasetError, match=r"train split of data has 0 AI images that can be read"):
        train(tmp_path / "data", recipe, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_a_plain_error(toy: Path, recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="cannot be written: Not a directory"):
        train(toy, recipe, tmp_path / "file" / "out")


def test_two_processes_do_not_share_a_folder(toy: Path, recipe: Recipe, tmp_path: Path) -> None:
    other = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(TrainingError, match="Another process is training in"):
            train(toy, recipe, tmp_path)
    finally:
        os.close(other)
    assert list(tmp_path.iterdir()) == []


def test_a_loss_that_is_not_finite_is_an_error(toy: Path, tmp_path: Path) -> None:
    recipe = load_recipe("tiny", ["learning_rate=1e30", "warmup=0", "batch_size=8"])
    with pytest.raises(
        TrainingError, match=r"Training has diverged: start again in a new folder, with a learning_rate"
    ):
        train(toy, recipe, tmp_path / "out")
    assert not (tmp_path / "out" / "bundle").exists()


def test_fewer_images_than_a_batch_and_an_odd_name(tmp_path: Path) -> None:
    data = tmp_path / os.fsdecode(b"toy-\xff" if os.uname().sysname == "Linux" else b"toy")
    make_toy(data, count=100)
    recipe = load_recipe("tiny", ["batch_size=512", "epochs=1", "limit=90", 'version="2"'])
    steps: list[Step] = []
    train(data, recipe, tmp_path / "out", watch=lambda event: steps.append(event) if isinstance(event, Step) else None)
    [step] = steps
    assert step.steps == 1
    bundle = load_bundle(tmp_path / "out" / "bundle")
    assert bundle.info.version == "2"
    assert bundle.info.training is not None
    assert bundle.info.training.data.train < 512
    [row] = read_rows(tmp_path / "out" / "history.csv")
    assert row.images_per_second * row.seconds == pytest.approx(bundle.info.training.data.train)
    found = Detector(bundle).detect(np.zeros((32, 32, 3), np.uint8))
    assert found.error is None


def test_tensorboard_events_are_neither_lost_nor_doubled(unbroken: Run, tmp_path: Path) -> None:
    history = unbroken.states[-1].history
    write_tensorboard(tmp_path / "tb", history[:1])
    (tmp_path / "tb" / "partial").write_bytes(b"what a killed process leaves")
    write_tensorboard(tmp_path / "tb", history)
    write_tensorboard(tmp_path / "tb", history)
    assert_events_match(tmp_path / "tb", history)
