"""Teachers: what they are asked, that they are asked once, and that none of them gives test labels away."""

import os
import shutil
import signal
from pathlib import Path

import msgspec
import numpy as np
import pytest

from pyrite.bundle import Bundle, Resize, ShorterSide, load_bundle, save_bundle
from pyrite.datasets import Dataset, content_hashes, make_toy, recognise, remember
from pyrite.errors import BundleError, Interrupted, TrainingError
from pyrite.publishing.preparation import Stage
from pyrite.recipe import Recipe, load_recipe
from pyrite.runtime import Session
from pyrite.training import train
from pyrite.training.batches import train_batches
from pyrite.training.checkpoint import State
from pyrite.training.distillation import ask_teachers, draws_of
from pyrite.training.lessons import Lessons
from pyrite.training.loop import Examples, Step
from runs import Run, Trained, assert_trained_alike, stop_once_trained

HASHES = [f"{i + 1:064x}"[::-1] for i in range(40)]
RNG = np.random.default_rng(0)
EXAMPLES = Examples(
    RNG.integers(0, 256, (40, 32, 32, 3), np.uint8), (np.arange(40) % 2).astype(np.int8), np.arange(5, 35), np.arange(5)
)
SETTINGS = ("epochs=3", "batch_size=8", "distillation_variants=2", "shift=1", "degrade=0.5")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYRITE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def with_teacher(*settings: str) -> Recipe:
    return load_recipe("tiny", ["teacher=a", "batch_size=8", *settings])


def ask(*teachers: Bundle, recipe: Recipe, told: list[tuple[int, int]] | None = None) -> np.ndarray:
    return ask_teachers(
        teachers, EXAMPLES, HASHES, recipe, lambda *event: told.append(event) if told is not None else None
    )


def test_images_that_nothing_changes_get_the_mean_logit_of_all_teachers_and_views(bundle: Bundle, info, model) -> None:  # type: ignore[no-untyped-def]
    narrow = Bundle(msgspec.structs.replace(info, preprocess=Resize(height=32, width=32)), {"model.onnx": model})
    recipe = with_teacher("distillation_variants=3", "vertical_flip=false", "distillation_views=6")
    logits = ask(bundle, narrow, recipe=recipe)
    assert logits.shape == (3, 40)
    assert np.isnan(logits[:, [0, 1, 2, 3, 4, 35, 39]]).all()
    session, images = Session(model), EXAMPLES.pixels[5:35]
    views = []
    for moved in (0, 1, -1):
        for view in (images, images[:, :, ::-1]):
            padded = np.pad(view, ((0, 0), (1, 1), (1, 1), (0, 0)), "edge")
            views.append(session.logits(padded[:, 1 - moved : 33 - moved, 1 - moved : 33 - moved]))
    for variant in range(3):
        np.testing.assert_allclose(logits[variant, 5:35], np.mean(views, 0), atol=1e-5)


def test_a_teacher_sees_what_the_network_sees(bundle: Bundle) -> None:
    recipe = with_teacher("distillation_variants=2", "shift=3", "degrade=0.8", "turn=0.5", "border=0.3", "grey=0.3")
    logits = ask(bundle, recipe=recipe)
    lessons = Lessons(logits=logits, draws=draws_of(HASHES))
    session = Session(bundle.model)
    plain = session.logits(EXAMPLES.pixels)
    for epoch in range(4):
        seen = []
        for images, answers in train_batches(
            EXAMPLES.pixels, EXAMPLES.labels, EXAMPLES.train, recipe, epoch, lessons=lessons
        ):
            mirrored = np.ascontiguousarray(images[:, :, ::-1])
            found = (session.logits(images) + session.logits(mirrored)) / 2
            wanted = np.log(answers[:, 1] / (1 - answers[:, 1])) * recipe.distillation_temperature
            np.testing.assert_allclose(found, wanted, atol=0.01)
            seen += found.tolist()
        assert np.abs(np.sort(seen) - np.sort(plain[5:35])[: len(seen)]).max() > 0.01  # They were changed.


def test_variants_do_not_hang_on_the_run_and_mirroring_does(bundle: Bundle) -> None:
    lessons = Lessons(logits=np.zeros((2, 40), np.float32), draws=draws_of(HASHES))

    def variants(*settings: str, epoch: int = 0) -> set[bytes]:
        recipe = with_teacher("batch_size=6", "shift=3", "degrade=0.8", *settings)
        batches = train_batches(EXAMPLES.pixels, EXAMPLES.labels, EXAMPLES.train, recipe, epoch, lessons=lessons)
        return {image.tobytes() for images, _ in batches for image in images}

    plain = variants("horizontal_flip=false")
    assert len(plain) == 30
    assert variants("horizontal_flip=false", "seed=7") == plain
    assert variants("horizontal_flip=false", "batch_size=10") == plain
    assert variants("horizontal_flip=false", epoch=2) == plain
    assert not variants("horizontal_flip=false", epoch=1) & plain
    assert 5 < len(variants() & plain) < 25
    # Each variant is seen either way, also where as many as two take turns.
    turns = [variants("alternating_flip=true", epoch=epoch) & plain for epoch in (0, 2)]
    assert turns[0] | turns[1] == plain
    assert not turns[0] & turns[1]
    assert not variants("erase=1", "horizontal_flip=false") & plain


def test_teachers_are_asked_once_and_anew_for_whatever_their_answers_hang_on(bundle: Bundle, cache: Path) -> None:
    recipe = with_teacher("distillation_variants=2", "shift=2")
    told: list[tuple[int, int]] = []
    first = ask(bundle, recipe=recipe, told=told)
    assert told[-1] == (60, 60)
    [folder] = cache.glob("taught-*")
    times = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    np.testing.assert_array_equal(ask(bundle, recipe=recipe), first)
    for other in ("seed=5", "epochs=9", "distillation_temperature=4", "horizontal_flip=false", "erase=0.5"):
        np.testing.assert_array_equal(
            ask(bundle, recipe=with_teacher("distillation_variants=2", "shift=2", other)), first
        )
    more = ask(bundle, recipe=with_teacher("distillation_variants=3", "shift=2"))
    np.testing.assert_array_equal(more[:2], first)
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert list(cache.glob("taught-*")) == [folder]
    for other in ("shift=3", "degrade=0.1", "turn=0.1", "distillation_views=6", "vertical_flip=false"):
        ask(bundle, recipe=with_teacher("distillation_variants=2", *(["shift=2"] if other != "shift=3" else []), other))
    assert len(list(cache.glob("taught-*"))) == 6


def test_teachers_answer_together_as_they_do_alone(bundle: Bundle, info, model, cache: Path) -> None:  # type: ignore[no-untyped-def]
    closer = ShorterSide(height=32, width=32, shorter_side=48)
    other = Bundle(msgspec.structs.replace(info, preprocess=closer), {"model.onnx": model})
    recipe = with_teacher("distillation_variants=2", "shift=2", "degrade=0.5")
    alone = [ask(teacher, recipe=recipe)[:, EXAMPLES.train] for teacher in (bundle, other)]
    assert np.abs(alone[0] - alone[1]).max() > 0.01

    def ask_both(*teachers: Bundle) -> np.ndarray:
        return ask(*teachers, recipe=recipe)[:, EXAMPLES.train]

    np.testing.assert_allclose(ask_both(bundle, other), np.mean(alone, 0), atol=1e-6)
    for variant, folder in enumerate(cache.glob("taught-*")):  # Each has to answer of another variant anew.
        (folder / f"{variant}-0.npy").unlink()
    np.testing.assert_allclose(ask_both(bundle, other), np.mean(alone, 0), atol=1e-6)
    shutil.rmtree(cache)
    np.testing.assert_allclose(ask_both(other, bundle), np.mean(alone, 0), atol=1e-6)


def test_damaged_answers_are_asked_for_anew(bundle: Bundle, cache: Path) -> None:
    recipe = with_teacher("distillation_variants=2")
    first = ask(bundle, recipe=recipe)
    [folder] = cache.glob("taught-*")
    one, other = sorted(folder.iterdir())
    one.write_bytes(one.read_bytes()[:-3])
    np.save(other, np.full(30, np.nan, np.float32))
    np.testing.assert_array_equal(ask(bundle, recipe=recipe), first)


def test_a_disk_that_cannot_keep_answers_is_told(bundle: Bundle, cache: Path) -> None:
    cache.write_text("a file")
    with pytest.raises(
        TrainingError, match=r"teachers' answers cannot be kept in .*Point PYRITE_CACHE at another disk"
    ):
        ask(bundle, recipe=with_teacher())


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The hashes of images that only the teacher was trained on."""
    folder = tmp_path_factory.mktemp("data") / "other"
    make_toy(folder, count=60, seed=9)
    return content_hashes(Dataset.open(folder))


@pytest.fixture(scope="module")
def taught(unbroken: Run, others: list[str], toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with a teacher; tests must not write to its folder."""
    folder = tmp_path_factory.mktemp("taught")
    teacher = load_bundle(unbroken.out / "bundle")
    files = {name: teacher.read(name) for name in teacher.info.files}
    files["trained_on.bin"] = remember(others, files["trained_on.bin"])
    save_bundle(folder / "teacher", teacher.info, files)
    recipe = load_recipe("tiny", [*SETTINGS, f"teacher={folder / 'teacher'}"])
    told: list[Stage | Step | State] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYRITE_CACHE", str(folder / "cache"))
        return Run(folder / "out", recipe, train(toy, recipe, folder / "out", watch=told.append), told)


def test_a_run_says_what_it_learnt_from(taught: Run) -> None:
    asked = [event for event in taught.events if isinstance(event, Stage) and event.name == "Asking the teachers"]
    assert asked[-1].done == asked[-1].total > 0
    bundle, teacher = load_bundle(taught.out / "bundle"), load_bundle(taught.recipe.teacher[0])
    assert bundle.info.training is not None
    [named] = bundle.info.training.teachers or ()
    assert (named.name, named.version, named.sha256) == ("tiny", "1", teacher.sha256)
    assert (
        f"Learnt from the bundle tiny 1 (`{teacher.sha256[:12]}`), as well as from the labels"
        in bundle.read("card.md").decode()
    )


def test_a_network_comes_close_to_a_teacher_that_contradicts_the_labels(
    unbroken: Run, toy: Path, tmp_path: Path
) -> None:
    """With all of the weight on a teacher, the labels say nothing."""
    teacher = load_bundle(unbroken.out / "bundle")
    upside_down = _negated(teacher, tmp_path / "teacher")
    settings = [*SETTINGS, "epochs=12", "patience=12", "degrade=0", f"teacher={upside_down}", "distillation_weight=1"]
    train(toy, load_recipe("tiny", settings), tmp_path / "out")
    dataset = Dataset.open(toy)
    images = np.stack([_pixels(dataset, i) for i in range(len(dataset))])
    wanted = -Session(teacher.model).logits(images)
    found = Session(load_bundle(tmp_path / "out" / "bundle").model).logits(images)
    assert np.corrcoef(wanted, found)[0, 1] > 0.5


def _negated(bundle: Bundle, folder: Path) -> Path:
    """Save a bundle whose logit is that of another, negated."""
    import onnx

    model = onnx.load_model_from_string(bundle.read("model.onnx"))
    name = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = ["before" if each == name else each for each in node.output]
    model.graph.node.append(onnx.helper.make_node("Neg", ["before"], [name]))
    files = {name: bundle.read(name) for name in bundle.info.files} | {"model.onnx": model.SerializeToString()}
    save_bundle(folder, bundle.info, files)
    return folder


def _pixels(dataset: Dataset, index: int) -> np.ndarray:
    from pyrite.image import open_image

    return open_image(dataset.read(index)).pixels


def test_what_taught_a_teacher_is_remembered_too(taught: Run, others: list[str]) -> None:
    """So that an evaluation tells also of images that a network knows at second hand."""
    assert recognise(load_bundle(taught.out / "bundle").read("trained_on.bin"), others).all()


@pytest.mark.parametrize("split", ["test", "validation"])
def test_a_teacher_that_knows_what_is_kept_back_is_refused(
    split: str, unbroken: Run, toy: Path, tmp_path: Path
) -> None:
    """Of another split's seed, it was trained on some of both; so one is given what it may know of the other."""
    dataset = Dataset.open(toy)
    teacher = load_bundle(unbroken.out / "bundle")
    recipe = load_recipe("tiny", [*SETTINGS, f"teacher={tmp_path / 'teacher'}"])
    hashes = np.array(content_hashes(dataset))
    seen = recognise(teacher.read("trained_on.bin"), hashes.tolist())
    chose = recognise(teacher.read("validated_on.bin"), hashes.tolist())
    kept_back = hashes[~seen] if split == "test" else hashes[chose]
    files = {name: teacher.read(name) for name in teacher.info.files}
    files["trained_on.bin"] = remember(kept_back[:3].tolist())
    files["validated_on.bin"] = remember([])
    save_bundle(tmp_path / "teacher", teacher.info, files)
    with pytest.raises(TrainingError) as caught:
        train(toy, recipe, tmp_path / "out")
    assert str(caught.value).startswith("The teacher tiny 1 was trained on 3 of the ")
    assert f"images of the {split} split, or on copies of them. Train it with the same protocol" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_runs_of_other_seeds_share_teachers_where_they_share_the_split(
    unbroken: Run, toy: Path, tmp_path: Path
) -> None:
    other = load_recipe("tiny", [*SETTINGS, "epochs=1", "degrade=0", f"teacher={unbroken.out}", "seed=1"])
    with pytest.raises(TrainingError, match="Train it with the same protocol, fractions and split_seed"):
        train(toy, other, tmp_path / "out")
    train(toy, msgspec.structs.replace(other, split_seed=0), tmp_path / "out")
    mine, theirs = (load_bundle(out / "bundle") for out in (tmp_path / "out", unbroken.out))
    assert mine.read("validated_on.bin") == theirs.read("validated_on.bin")


def test_a_teacher_that_does_not_say_what_it_knows_is_told_of(bundle: Bundle, toy: Path, tmp_path: Path) -> None:
    recipe = load_recipe("tiny", [*SETTINGS, "epochs=1", "degrade=0", f"teacher={bundle.path}"])
    report = train(toy, recipe, tmp_path / "out")
    assert report is not None
    assert report.part.caution is not None
    assert "The teacher brightness 1 does not say what it was trained on" in report.part.caution


def test_a_teacher_that_is_not_there_is_refused(toy: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="There is no bundle at"):
        train(toy, load_recipe("tiny", [f"teacher={tmp_path / 'nowhere'}"]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_that_is_stopped_while_teachers_are_asked_goes_on(
    taught: Run, toy: Path, tmp_path: Path, cache: Path
) -> None:

    def stop(event: Stage | Step | State) -> None:
        if isinstance(event, Stage) and event.name == "Asking the teachers":
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(
        Interrupted, match=r"Stopped after the teachers answered \d+ of \d+ images. The answers are kept"
    ):
        train(toy, taught.recipe, tmp_path / "out", watch=stop)
    assert len(list(cache.glob("taught-*/*.npy"))) == 1
    with pytest.raises(Trained):
        train(toy, taught.recipe, tmp_path / "out", resume=True, watch=stop_once_trained)
    assert_trained_alike(tmp_path / "out", taught.out)


def test_other_teachers_are_refused_when_a_run_goes_on(unbroken: Run, toy: Path, tmp_path: Path) -> None:
    shutil.copytree(unbroken.out / "bundle", tmp_path / "teacher")
    recipe = load_recipe("tiny", [*SETTINGS, f"teacher={tmp_path / 'teacher'}"])

    def stop(event: Stage | Step | State) -> None:
        if isinstance(event, Step) and (event.epoch, event.step) == (2, 3):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        train(toy, recipe, tmp_path / "out", watch=stop)
    shutil.rmtree(tmp_path / "teacher")
    _negated(load_bundle(unbroken.out / "bundle"), tmp_path / "teacher")
    with pytest.raises(TrainingError, match="The teachers have changed since this run began"):
        train(toy, recipe, tmp_path / "out", resume=True)
