"""The loop on random data: early stopping, divergence, best weights."""

import math
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyrite.bundle.calibration import calibrated_loss
from pyrite.errors import Interrupted, TrainingError
from pyrite.keras_backend import load_keras
from pyrite.recipe import Recipe, load_recipe
from pyrite.training.architectures import build_model
from pyrite.training.checkpoint import State, load_checkpoint
from pyrite.training.loop import Examples, Step, compile_model, fit, predict

START = State(data_sha256="ab")


@pytest.fixture(scope="module")
def noise() -> Examples:
    """Nothing to learn, so that validation gets worse once training overfits."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (96, 16, 16, 3), np.uint8)
    labels = rng.integers(0, 2, 96).astype(np.int8)
    return Examples(pixels, labels, np.arange(64), np.arange(64, 96))


def recipe_with(*settings: str) -> Recipe:
    return load_recipe("tiny", ["height=16", "width=16", "batch_size=16", *settings])


def small_network() -> Any:
    """Return a network that is soon compiled: of weights, statistics and chance, which the loop has to keep."""
    keras = load_keras()
    keras.utils.set_random_seed(0)
    layers = keras.layers
    first = (keras.Input((16, 16, 3), dtype="uint8"), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(8))
    normalised = (layers.BatchNormalization(center=False, scale=False), layers.ReLU(), layers.Dropout(0.1, seed=0))
    return keras.Sequential([*first, *normalised, layers.Dense(1, name="logit")])


def loss_of(model: object, examples: Examples) -> float:
    logits = predict(model, examples.pixels, examples.validation)
    return float(np.mean(np.logaddexp(0, logits) - examples.labels[examples.validation] * logits))


def calibrated_loss_of(model: object, examples: Examples) -> float:
    logits = predict(model, examples.pixels, examples.validation)
    return calibrated_loss(logits, examples.labels[examples.validation])


@pytest.mark.parametrize("patience", [1, 2])
def test_early_stopping_restores_the_best_epoch(patience: int, noise: Examples, tmp_path: Path) -> None:
    recipe = recipe_with("epochs=50", f"patience={patience}", "learning_rate=0.1", "warmup=0")
    model = small_network()
    state = fit(model, noise, recipe, START, tmp_path / "checkpoint.npz")
    losses = [row.val_calibrated_loss for row in state.history]
    assert state.done
    assert state.epoch == state.best_epoch + patience < 50
    assert state.best_epoch == int(np.argmin(losses)) + 1
    assert calibrated_loss_of(model, noise) == pytest.approx(min(losses), abs=1e-6)
    assert losses[-1] > min(losses) + 1e-3
    # What is kept on disk restores them, too.
    again = small_network()
    assert fit(again, noise, recipe, START, tmp_path / "checkpoint.npz") == state
    assert calibrated_loss_of(again, noise) == pytest.approx(min(losses), abs=1e-6)


def test_validation_loss_is_kerass(noise: Examples, tmp_path: Path) -> None:
    recipe = recipe_with("epochs=1")
    model = small_network()
    [row] = fit(model, noise, recipe, START, tmp_path / "checkpoint.npz").history
    images, labels = noise.pixels[noise.validation], noise.labels[noise.validation, None].astype(np.float32)
    wanted = model.evaluate(images, labels, verbose=0, return_dict=True)
    assert row.val_loss == pytest.approx(wanted["loss"], rel=1e-5)
    assert row.val_accuracy == pytest.approx(wanted["accuracy"])


@pytest.mark.parametrize("where", ["training", "validation"])
def test_divergence_keeps_the_checkpoint_of_the_last_good_epoch(where: str, noise: Examples, tmp_path: Path) -> None:
    recipe = recipe_with("epochs=4")
    model = small_network()
    poisoned = 2 if where == "training" else 4

    def poison(event: Step | State) -> None:
        if isinstance(event, Step) and (event.epoch, event.step) == (3, poisoned):
            model.get_layer("logit").bias.assign([math.nan])

    with pytest.raises(TrainingError) as caught:
        fit(model, noise, recipe, START, tmp_path / "checkpoint.npz", poison)
    wanted = "loss is nan in step 3 of epoch 3." if where == "training" else "validation loss is nan after epoch 3."
    assert wanted in str(caught.value)
    assert "learning_rate below 0.01. The checkpoint of epoch 2 is kept." in str(caught.value)
    state, groups = load_checkpoint(tmp_path / "checkpoint.npz")
    assert (state.epoch, state.step) == (2, 0)
    assert all(np.isfinite(array).all() for array in groups["model"])


def test_the_learning_rate_warms_up_and_falls_to_zero(noise: Examples, tmp_path: Path) -> None:
    recipe = recipe_with("epochs=5", "patience=5", "learning_rate=0.01", "warmup=0.2")
    history = fit(small_network(), noise, recipe, START, tmp_path / "checkpoint.npz").history
    # 20 steps, of which 4 warm up; then half a cosine: (1 + cos(pi * k / 4)) / 2.
    wanted = [0.01 * (1 + math.cos(math.pi * k / 4)) / 2 for k in range(5)]
    assert [row.learning_rate for row in history] == pytest.approx(wanted, abs=1e-8)


def test_sgd_learns_the_training_data(noise: Examples, tmp_path: Path) -> None:
    recipe = recipe_with("epochs=6", "patience=6", "optimizer=sgd", "learning_rate=0.1", "weight_decay=1e-4")
    history = fit(small_network(), noise, recipe, START, tmp_path / "checkpoint.npz").history
    assert history[-1].loss < history[0].loss


def test_pace_and_time_left_are_told(noise: Examples, tmp_path: Path) -> None:
    steps: list[Step] = []

    def watch(event: Step | State) -> None:
        if isinstance(event, Step):
            steps.append(event)

    recipe = recipe_with("epochs=2", "patience=2")
    fit(small_network(), noise, recipe, START, tmp_path / "checkpoint.npz", watch)
    for step in steps:
        left = 2 * 4 - 4 * (step.epoch - 1) - step.step
        assert step.seconds_left == pytest.approx(left * 16 / step.images_per_second)
    # The first step compiles the network; the pace is that of the others.
    assert steps[1].images_per_second > 2 * steps[0].images_per_second


def test_a_constant_schedule_warms_up_and_stays(noise: Examples, tmp_path: Path) -> None:
    recipe = recipe_with("epochs=3", "patience=3", "learning_rate=0.01", "warmup=0.5", "schedule=constant")
    history = fit(small_network(), noise, recipe, START, tmp_path / "checkpoint.npz").history
    assert [row.learning_rate for row in history] == pytest.approx([0.01 * 4 / 6, 0.01, 0.01], abs=1e-8)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_averages_of_the_weights_are_judged_and_kept_with_statistics_of_their_own(
    optimizer: str, noise: Examples, tmp_path: Path
) -> None:
    recipe = recipe_with("epochs=2", "patience=2", "ema_momentum=0.8", "learning_rate=0.05", f"optimizer={optimizer}")
    model = small_network()
    weights = model.trainable_variables
    averages: list[np.ndarray] = []
    after_epochs: list[list[np.ndarray]] = []

    def watch(event: Step | State) -> None:
        now = [np.asarray(variable) for variable in weights]
        if isinstance(event, Step):  # The first step's weights begin the average, as in Keras.
            averages[:] = [0.8 * a + 0.2 * w for a, w in zip(averages, now, strict=True)] if averages else now
        else:
            after_epochs.append(now)

    state = fit(model, noise, recipe, START, tmp_path / "checkpoint.npz", watch)
    _, groups = load_checkpoint(tmp_path / "checkpoint.npz")
    if state.best_epoch == 2:
        for kept, average in zip(weights, averages, strict=True):
            np.testing.assert_allclose(np.asarray(kept), average, atol=1e-5)
    # Training went on with the weights themselves.
    assert any(np.abs(raw - average).max() > 1e-4 for raw, average in zip(after_epochs[1], averages, strict=True))
    row = state.history[state.best_epoch - 1]
    assert calibrated_loss_of(model, noise) == pytest.approx(row.val_calibrated_loss, abs=1e-6)
    assert len(groups["optimizer"]) > len(weights)


def test_the_best_epoch_can_be_that_of_the_highest_auroc(noise: Examples, tmp_path: Path) -> None:
    recipe = recipe_with("epochs=6", "patience=6", "monitor=val_auroc", "learning_rate=0.05", "seed=4")
    model = build_model(recipe)
    state = fit(model, noise, recipe, START, tmp_path / "checkpoint.npz")
    found = [row.val_auroc or 0 for row in state.history]
    assert state.best_epoch == int(np.argmax(found)) + 1
    assert state.best_epoch != int(np.argmin([row.val_calibrated_loss for row in state.history])) + 1
    labels = noise.labels[noise.validation]
    logits = predict(model, noise.pixels, noise.validation)
    pairs = logits[labels == 1][:, None] - logits[labels == 0]
    assert max(found) == pytest.approx(np.mean((pairs > 0) + 0.5 * (pairs == 0)))


def test_a_run_with_averages_and_weights_goes_on_as_an_unbroken_one(noise: Examples, tmp_path: Path) -> None:
    settings = ("ema_momentum=0.9", "balance=weights", "mixup=0.5", "epochs=2", "patience=2", "augment_jpeg=0.5")
    recipe = recipe_with(*settings)

    def stop(event: Step | State) -> None:
        if isinstance(event, Step) and (event.epoch, event.step) == (1, 3):
            os.kill(os.getpid(), signal.SIGINT)

    whole, broken = small_network(), small_network()
    fit(whole, noise, recipe, START, tmp_path / "whole.npz")
    with pytest.raises(Interrupted):
        fit(broken, noise, recipe, START, tmp_path / "broken.npz", stop)
    again = small_network()
    fit(again, noise, recipe, START, tmp_path / "broken.npz")
    for one, other in zip(whole.variables, again.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def test_a_weight_of_two_is_an_image_twice(noise: Examples) -> None:
    recipe = recipe_with("optimizer=sgd", "learning_rate=0.1", "weight_decay=0", "warmup=0")
    keras = load_keras()
    images, labels = noise.pixels[:6], noise.labels[:6, None].astype(np.float32)
    twice = np.array([0, 1, 2, 2, 3, 3])
    results = []
    for chosen, weights in ((twice, None), (np.array([0, 1, 2, 3]), np.array([1, 1, 2, 2], np.float32) * 4 / 6)):
        keras.utils.set_random_seed(0)
        plain = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Flatten(), keras.layers.Dense(1)])
        compile_model(plain, recipe, 1)
        plain.train_on_batch(images[chosen] / 255, labels[chosen], sample_weight=weights)
        results.append(np.asarray(plain.layers[-1].kernel))
    np.testing.assert_allclose(results[0], results[1], atol=1e-6)
