"""A warm start: the network computes what the one did that it starts from, and its split stays what it was."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest

from pyrite.bundle import Bundle, BundleInfo, Resize, SourceBundle, load_bundle, save_bundle
from pyrite.datasets import Dataset, content_hashes, make_toy, recognise
from pyrite.errors import RecipeError, TrainingError
from pyrite.golden import golden_images
from pyrite.image import open_image
from pyrite.keras_backend import export_onnx
from pyrite.recipe import load_recipe
from pyrite.runtime import Session
from pyrite.training import train
from pyrite.training.architectures import build_model
from pyrite.training.checkpoint import State, load_checkpoint, save_checkpoint
from pyrite.training.loop import predict
from pyrite.training.warm_start import mix_weights, start_from
from runs import Run, Trained, stop_once_trained

SMALL = ("channels=[4, 6, 6, 6]", "height=16", "width=16", "precision=float32")
PIXELS = np.random.default_rng(0).integers(0, 256, (300, 16, 16, 3), np.uint8)
ALL = np.arange(300)


def small(seed: int, *settings: str) -> Any:
    return build_model(load_recipe("scratch", [*SMALL, "turn=0", f"seed={seed}", *settings]))


@pytest.fixture(scope="module")
def trained() -> Any:
    """A network whose normalisation is not that of a new one."""
    model, rng = small(0), np.random.default_rng(1)
    for variable in model.variables:
        if variable.name in ("gamma", "moving_variance"):
            variable.assign(rng.uniform(0.5, 2, variable.shape))
        elif variable.name in ("beta", "moving_mean", "bias"):
            variable.assign(rng.normal(0, 0.3, variable.shape))
    return model


@pytest.fixture(scope="module")
def graph(trained: Any, info: BundleInfo) -> Bundle:
    size = Resize(height=16, width=16)
    return Bundle(msgspec.structs.replace(info, preprocess=size), {"model.onnx": export_onnx(trained)})


def test_a_network_computes_what_the_graph_does_that_it_starts_from(trained: Any, graph: Bundle) -> None:
    model = small(7)
    start_from(model, ["a"], [graph], PIXELS, ALL, 0)
    np.testing.assert_allclose(predict(model, PIXELS, ALL), predict(trained, PIXELS, ALL), atol=1e-4)


def test_its_normalisation_has_the_statistics_of_training_images(graph: Bundle) -> None:
    """So that the first step of training sees the same network, which takes each batch's own."""
    model = small(7)
    start_from(model, ["a"], [graph], PIXELS, ALL, 0)
    np.testing.assert_allclose(np.asarray(model(PIXELS, training=True))[:, 0], predict(model, PIXELS, ALL), atol=1e-3)


def test_a_further_target_stays_as_it_is(trained: Any, graph: Bundle) -> None:
    model = build_model(load_recipe("scratch", [*SMALL, "seed=7", "targets=object"]), [3])
    before = model.get_layer("target0").get_weights()[0].copy()
    start_from(model, ["a"], [graph], PIXELS, ALL, 0)
    np.testing.assert_array_equal(model.get_layer("target0").get_weights()[0], before)
    np.testing.assert_allclose(predict(model, PIXELS, ALL), predict(trained, PIXELS, ALL), atol=1e-4)


def test_the_included_bundle_is_a_start_though_it_is_in_int8() -> None:
    model = build_model(load_recipe("default", ["weights=none"]))
    included = load_bundle("default")
    pixels = np.concatenate([np.roll(np.stack(golden_images(included)), by, axis=2) for by in range(0, 32, 5)])
    every = np.arange(len(pixels))
    start_from(model, ["default"], [included], pixels, every, 0)
    assert np.corrcoef(predict(model, pixels, every), Session(included.model).logits(pixels))[0, 1] > 0.995


def _other_function(content: bytes) -> bytes:
    model = onnx.load_model_from_string(content)
    for node in model.graph.node:
        if node.op_type == "Relu":
            node.op_type = "Neg"
    return model.SerializeToString()


@pytest.mark.parametrize(
    "change", ["channels=[4, 8, 6, 6]", "blocks=2", "squeeze_excitation=true", "stem=whitened", "height=18", ""]
)
def test_another_network_is_refused(change: str, graph: Bundle) -> None:
    model = small(7, *([change] if change else []))
    if not change:  # The same layers, put together in another way.
        graph = Bundle(graph.info, {"model.onnx": _other_function(graph.read("model.onnx"))})
    with pytest.raises(RecipeError, match="start_from: a does not fit the network compact of the recipe"):
        start_from(model, ["a"], [graph], PIXELS, ALL, 0)


def test_a_run_gives_every_weight_as_it_was(unbroken: Run) -> None:
    model = build_model(msgspec.structs.replace(unbroken.recipe, seed=7))
    start_from(model, [str(unbroken.out)], [load_bundle(unbroken.out / "bundle")], PIXELS, ALL, 0)
    best = load_checkpoint(unbroken.out / "checkpoint.npz")[1]["best"]
    for variable, value in zip(model.variables, best, strict=True):
        np.testing.assert_array_equal(np.asarray(variable), value)


def test_a_run_with_further_targets_gives_every_weight_too(info: BundleInfo, tmp_path: Path) -> None:
    recipe = load_recipe("tiny", ["targets=object", "seed=3"])
    taught = build_model(recipe, [4])
    names, origins = _runs(info, tmp_path, taught)
    for model in (build_model(load_recipe("tiny")), build_model(recipe, [2])):
        start_from(model, names, origins, PIXELS, ALL, 0)
        own = [variable for variable in model.variables if not variable.path.startswith("target")]
        for variable, value in zip(own, taught.variables, strict=False):
            np.testing.assert_array_equal(np.asarray(variable), np.asarray(value))


def test_a_run_of_another_network_is_refused(unbroken: Run) -> None:
    with pytest.raises(RecipeError, match="does not fit the network compact"):
        start_from(small(0), [str(unbroken.out)], [load_bundle(unbroken.out / "bundle")], PIXELS, ALL, 0)


def _changed(model: Any, seed: int, by: float) -> Any:
    """Return a network whose weights differ a little, as those of a run that started from it."""
    other, rng = small(seed), np.random.default_rng(seed)
    for variable, value in zip(other.weights, model.get_weights(), strict=True):
        variable.assign(value * rng.normal(1, by, value.shape))
    return other


def _runs(info: BundleInfo, folder: Path, *models: Any) -> tuple[list[str], list[Bundle]]:
    """Write each network as a run whose training is complete."""
    names = [str(folder / str(i)) for i in range(len(models))]
    for name, model in zip(names, models, strict=True):
        Path(name).mkdir()
        save_checkpoint(Path(name) / "checkpoint.npz", State(data_sha256=""), {"best": model.variables})
    return names, [Bundle(info, {})] * len(models)


def test_several_networks_give_their_mean(graph: Bundle, info: BundleInfo, tmp_path: Path) -> None:
    model = small(7)
    start_from(model, ["a"], [graph], PIXELS, ALL, 0)
    one, other = _changed(model, 1, 0.03), _changed(model, 2, 0.03)
    start_from(model, *_runs(info, tmp_path, one, other), PIXELS, ALL, 0)
    for mean, a, b in zip(model.trainable_variables, one.trainable_variables, other.trainable_variables, strict=True):
        np.testing.assert_allclose(np.asarray(mean), (np.asarray(a) + np.asarray(b)) / 2, atol=1e-6)
    seen_in_training = np.asarray(model(PIXELS, training=True))[:, 0]
    assert np.corrcoef(seen_in_training, predict(model, PIXELS, ALL))[0, 1] > 0.99


def test_networks_that_were_trained_apart_have_no_mean(trained: Any, info: BundleInfo, tmp_path: Path) -> None:
    names, origins = _runs(info, tmp_path, trained, small(3))
    with pytest.raises(RecipeError, match=f"the mean of {names[0]} and {names[1]} does not do what they do"):
        start_from(small(7), names, origins, PIXELS, ALL, 0)


def test_weights_are_mixed_with_those_from_before(trained: Any) -> None:
    model = small(7)
    before, after = ([np.asarray(v).copy() for v in one.trainable_variables] for one in (trained, model))
    mix_weights(model, before, 0.3, PIXELS, ALL, 0)
    for variable, one, other in zip(model.trainable_variables, before, after, strict=True):
        np.testing.assert_allclose(np.asarray(variable), 0.3 * one + 0.7 * other, atol=1e-6)
    seen_in_training = np.asarray(model(PIXELS, training=True))[:, 0]
    assert np.corrcoef(seen_in_training, predict(model, PIXELS, ALL))[0, 1] > 0.99


@pytest.fixture
def tune(unbroken: Run, toy: Path, tmp_path: Path) -> Callable[..., Run]:
    def run(*settings: str, data: Path = toy, name: Path = unbroken.out) -> Run:
        recipe = load_recipe("tiny", ["epochs=1", "batch_size=8", f"start_from={name}", *settings])
        events: list[Any] = []
        return Run(tmp_path / "out", recipe, train(data, recipe, tmp_path / "out", watch=events.append), events)

    return run


def test_training_goes_on_from_a_run_and_keeps_its_split(tune: Callable[..., Run], unbroken: Run, toy: Path) -> None:
    run = tune("seed=5", "learning_rate=1e-6")
    mine, theirs = load_bundle(run.out / "bundle"), load_bundle(unbroken.out / "bundle")
    assert [mine.read(name) for name in ("trained_on.bin", "validated_on.bin")] == [
        theirs.read(name) for name in ("trained_on.bin", "validated_on.bin")
    ]
    [state] = run.states
    best = min(row.val_calibrated_loss for row in unbroken.states[-1].history)
    assert state.history[0].val_calibrated_loss == pytest.approx(best, abs=0.02)
    assert mine.info.training is not None
    assert mine.info.training.started_from == (SourceBundle(name="tiny", version="1", sha256=theirs.sha256),)
    assert f"Training started from the weights of the bundle tiny 1 (`{theirs.sha256[:12]}`)" in (
        mine.read("card.md").decode()
    )


def test_a_run_may_keep_all_of_what_it_started_from(tune: Callable[..., Run], unbroken: Run, toy: Path) -> None:
    run = tune("start_share=1", "learning_rate=0.1")
    dataset = Dataset.open(toy)
    images = np.stack([open_image(dataset.read(i)).pixels for i in range(len(dataset))])
    mine, theirs = (Session(load_bundle(out / "bundle").model).logits(images) for out in (run.out, unbroken.out))
    np.testing.assert_allclose(mine, theirs, atol=1e-3)


def test_a_run_with_a_share_starts_others_as_its_bundle_is(tune: Callable[..., Run], tmp_path: Path, toy: Path) -> None:
    run = tune("start_share=0.5", "learning_rate=0.1")
    recipe = msgspec.structs.replace(run.recipe, start_from=(str(run.out),), start_share=1.0, learning_rate=0.1)
    train(toy, recipe, tmp_path / "next")
    images = PIXELS.repeat(2, 1).repeat(2, 2)
    mine, theirs = (Session(load_bundle(out / "bundle").model).logits(images) for out in (tmp_path / "next", run.out))
    np.testing.assert_allclose(mine, theirs, atol=1e-3)


def test_other_fractions_of_the_same_data_are_refused(tune: Callable[..., Run], tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"Set both to these, so that its test images stay test images"):
        tune("fractions=[0.6, 0.2, 0.2]")
    assert not (tmp_path / "out").exists()


def test_other_data_is_learnt_besides_and_remembered_with_the_old(
    tune: Callable[..., Run], unbroken: Run, toy: Path, tmp_path: Path
) -> None:
    make_toy(tmp_path / "other", count=120, seed=9)
    run = tune(data=tmp_path / "other")
    known = load_bundle(run.out / "bundle").read("trained_on.bin")
    old = recognise(load_bundle(unbroken.out / "bundle").read("trained_on.bin"), content_hashes(Dataset.open(toy)))
    np.testing.assert_array_equal(recognise(known, content_hashes(Dataset.open(toy))), old)
    assert recognise(known, content_hashes(Dataset.open(tmp_path / "other"))).any()


def test_data_whose_test_images_are_known_is_refused(tune: Callable[..., Run], toy: Path, tmp_path: Path) -> None:
    """Some of the data that the run knows, so that its split does not apply, divided in another way."""
    shutil.copytree(toy, tmp_path / "part")
    for path in sorted((tmp_path / "part").rglob("*.png"))[::10]:
        path.unlink()
    with pytest.raises(TrainingError, match="The bundle tiny 1 of start_from was trained on"):
        tune("seed=3", data=tmp_path / "part")


def _bundle_of(run: Run) -> tuple[BundleInfo, dict[str, bytes]]:
    bundle = load_bundle(run.out / "bundle")
    return bundle.info, {name: bundle.read(name) for name in bundle.info.files}


def _copy(run: Run, folder: Path, info: BundleInfo, files: dict[str, bytes]) -> Path:
    """Write a run's folder again, with another bundle."""
    shutil.copytree(run.out, folder, dirs_exist_ok=True)
    shutil.rmtree(folder / "bundle")
    save_bundle(folder / "bundle", info, files)
    return folder


def test_a_bundle_that_does_not_say_what_it_knows_is_told_of(
    tune: Callable[..., Run], unbroken: Run, tmp_path: Path
) -> None:
    info, files = _bundle_of(unbroken)
    del files["trained_on.bin"], files["validated_on.bin"]
    report = tune(name=_copy(unbroken, tmp_path / "run", msgspec.structs.replace(info, training=None), files)).report
    assert report.part.caution is not None
    assert "The bundle tiny 1 of start_from does not say what it was trained on" in report.part.caution


@pytest.mark.parametrize(("same_data", "knows"), [(True, ("Imagen",)), (False, ())])
def test_its_generators_are_known_unless_the_data_has_others(
    same_data: bool, knows: tuple[str, ...], tune: Callable[..., Run], unbroken: Run, toy: Path, tmp_path: Path
) -> None:
    """Data that does not name its generators has others, unless it is what the run was trained on."""
    info, files = _bundle_of(unbroken)
    name = _copy(unbroken, tmp_path / "run", msgspec.structs.replace(info, knows=("Imagen",)), files)
    if not same_data:
        make_toy(tmp_path / "other", count=120, seed=9)
    run = tune(name=name, data=toy if same_data else tmp_path / "other")
    assert load_bundle(run.out / "bundle").info.knows == knows


def test_a_stopped_run_goes_on_from_its_checkpoint(
    tune: Callable[..., Run], unbroken: Run, toy: Path, tmp_path: Path
) -> None:
    recipe = load_recipe("tiny", ["epochs=1", "batch_size=8", f"start_from={unbroken.out}"])
    with pytest.raises(Trained):
        train(toy, recipe, tmp_path / "out", watch=stop_once_trained)
    states: list[State] = []
    train(
        toy,
        recipe,
        tmp_path / "out",
        resume=True,
        watch=lambda event: states.append(event) if isinstance(event, State) else None,
    )
    assert [state.epoch for state in states] == [1]


def test_a_stopped_run_whose_start_has_changed_is_refused(unbroken: Run, toy: Path, tmp_path: Path) -> None:
    info, files = _bundle_of(unbroken)
    start = _copy(unbroken, tmp_path / "start", info, files)
    recipe = load_recipe("tiny", ["epochs=1", "batch_size=8", f"start_from={start}"])
    with pytest.raises(Trained):
        train(toy, recipe, tmp_path / "out", watch=stop_once_trained)
    model = onnx.load_model_from_string(files["model.onnx"])
    model.doc_string = "another"
    _copy(unbroken, start, info, {**files, "model.onnx": model.SerializeToString()})
    with pytest.raises(TrainingError, match="What start_from names has changed since this run began"):
        train(toy, recipe, tmp_path / "out", resume=True)
