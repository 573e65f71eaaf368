"""A linear probe: what it fits, and that features are computed once."""

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyrite.bundle import load_bundle
from pyrite.datasets import make_toy
from pyrite.errors import Interrupted, TrainingError
from pyrite.golden import replay_golden
from pyrite.keras_backend import load_keras
from pyrite.publishing.preparation import Stage
from pyrite.recipe import Recipe, load_recipe
from pyrite.training import train
from pyrite.training.loop import Examples, predict
from pyrite.training.probe import compute_features, fit_probe
from pyrite.writing import locked

SETTINGS = ("architecture=backbone", "backbone=MobileNet", "trainable=probe", "batch_size=16")
HASHES = [f"{i:064x}" for i in range(240)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYRITE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def recipe_with(*settings: str) -> Recipe:
    return load_recipe("tiny", [*SETTINGS, *settings])


@pytest.fixture(scope="module")
def examples() -> Examples:
    """Bright images and dark ones, which any network tells apart, and noise."""
    rng = np.random.default_rng(0)
    labels = (np.arange(240) % 3 == 0).astype(np.int8)
    pixels = rng.integers(0, 120, (240, 32, 32, 3)) + 60 * labels[:, None, None, None]
    return Examples(pixels.astype(np.uint8), labels, np.arange(0, 160), np.arange(160, 240))


def small_model(recipe: Recipe) -> Any:
    """Return a model of eight features, which hang on the seed."""
    keras = load_keras()
    keras.utils.set_random_seed(recipe.seed)
    images = keras.Input((32, 32, 3), dtype="uint8")
    x = keras.layers.Conv2D(8, 3, 2, activation="relu")(keras.layers.Rescaling(1 / 255)(images))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, keras.layers.Dense(1, name="logit")(x))


def fitted(examples: Examples, recipe: Recipe, told: list[tuple[int, int]] | None = None) -> np.ndarray:
    """Return the logits of the validation images by a probe, and note its progress."""
    model = small_model(recipe)
    fits = fit_probe(model, examples, HASHES, recipe, lambda *event: told.append(event) if told is not None else None)
    [chosen] = [fit for fit in fits if fit.chosen]
    if recipe.monitor == "val_auroc":
        assert chosen.val_auroc == max(fit.val_auroc for fit in fits)
    else:
        assert chosen.val_calibrated_loss == min(fit.val_calibrated_loss for fit in fits)
    assert [fit.c for fit in fits] == pytest.approx([1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100])
    return predict(model, examples.pixels, examples.validation)


def test_the_penalty_can_be_told(examples: Examples) -> None:
    recipe = recipe_with("probe_c=[1e-3]")
    [fit] = fit_probe(small_model(recipe), examples, HASHES, recipe, lambda *event: None)
    assert (fit.c, fit.chosen) == (1e-3, True)


def test_the_head_is_the_regression_and_the_backbone_stays(examples: Examples) -> None:
    recipe = recipe_with()
    model, untouched = small_model(recipe), small_model(recipe)
    fit_probe(model, examples, HASHES, recipe, lambda *event: None)
    for one, other in zip(model.variables, untouched.variables, strict=True):
        if "logit" not in one.path:
            np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
    features = compute_features(model, examples, HASHES, recipe, lambda *event: None)
    head = model.get_layer("logit")
    logits = predict(model, examples.pixels, examples.validation)
    np.testing.assert_allclose(
        np.asarray(features[:80]) @ np.asarray(head.kernel)[:, 0] + np.asarray(head.bias), logits, atol=1e-3
    )
    assert ((logits > 0) == examples.labels[examples.validation]).mean() > 0.95


def test_features_are_computed_once_and_anew_for_whatever_they_hang_on(examples: Examples, cache: Path) -> None:
    told: list[tuple[int, int]] = []
    first = fitted(examples, recipe_with(), told)
    assert told[-1] == (240, 240)
    assert len(told) > 2
    [folder] = cache.glob("features-*")
    assert np.load(folder / "features.npy", mmap_mode="r").shape == (240, 8)
    told.clear()
    np.testing.assert_array_equal(fitted(examples, recipe_with("learning_rate=1"), told), first)
    fitted(examples, recipe_with("monitor=val_auroc"), told)
    assert told == [(240, 240)] * 2
    for settings in (["seed=1"], ["views=1"], ["views=1", "augment_blur=1"], ["pooling=max"], ["backbone_layer=relu"]):
        before = len(list(cache.glob("features-*")))
        fitted(examples, recipe_with(*settings))
        assert len(list(cache.glob("features-*"))) == before + 1, settings


def test_views_are_augmented_images_of_the_same_labels(examples: Examples, cache: Path) -> None:
    recipe = recipe_with("views=2", "augment_noise=1", "horizontal_flip=true")
    features = compute_features(small_model(recipe), examples, HASHES, recipe, lambda *event: None)
    assert features.shape == (80 + 3 * 160, 8)
    plain, first, second = (np.asarray(features[start : start + 160]) for start in (80, 240, 400))
    assert all((one != other).any(1).all() for one, other in ((plain, first), (first, second)))
    fitted(examples, recipe)


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
def test_a_probe_that_was_stopped_goes_on_with_the_features_that_it_had(examples: Examples) -> None:
    recipe, told = recipe_with(), list[tuple[int, int]]()

    def stop(done: int, total: int) -> None:
        if done >= 100:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match=r"features of 144 of 240 images, which are kept. Continue with --resume."):
        fit_probe(small_model(recipe), examples, HASHES, recipe, stop)
    broken = fitted(examples, recipe, told)
    assert told[0] == (208, 240)
    shutil.rmtree(os.environ["PYRITE_CACHE"])
    np.testing.assert_array_equal(fitted(examples, recipe), broken)


def test_two_runs_do_not_compute_the_same_features_at_a_time(examples: Examples, cache: Path) -> None:
    fitted(examples, recipe_with())
    [folder] = cache.glob("features-*")
    with locked(folder, AssertionError()), pytest.raises(TrainingError, match="Another process computes the same"):
        fitted(examples, recipe_with())


def test_damaged_features_are_computed_again_and_a_full_disk_is_told(
    examples: Examples, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fitted(examples, recipe_with())
    [folder] = cache.glob("features-*")
    array = folder / "features.npy"
    array.write_bytes(array.read_bytes()[:-100])
    np.testing.assert_array_equal(fitted(examples, recipe_with()), first)
    usage = shutil.disk_usage(cache)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(TrainingError, match=r"more than is free there. Point PYRITE_CACHE at a larger disk"):
        fitted(examples, recipe_with("pooling=max"))


def test_a_probe_comes_to_a_bundle_like_any_other(tmp_path: Path) -> None:
    make_toy(tmp_path / "data", count=160)
    stages: list[str] = []
    recipe = recipe_with("balance=weights", "views=1", "augment_jpeg=0.3", "monitor=val_auroc")
    report = train(
        tmp_path / "data",
        recipe,
        tmp_path / "out",
        watch=lambda event: stages.append(event.name) if isinstance(event, Stage) else None,
    )
    assert "Computing features" in stages
    assert report
    assert report.robustness is not None
    bundle = load_bundle(tmp_path / "out" / "bundle")
    assert replay_golden(bundle).passed
    assert bundle.info.training
    assert bundle.info.training.epochs == 0
    assert not (tmp_path / "out" / "history.csv").exists()
    rows = (tmp_path / "out" / "probe.csv").read_text().splitlines()
    assert rows[0] == "c,val_calibrated_loss,val_auroc,chosen"
    assert sum(row.endswith("True") for row in rows) == 1
