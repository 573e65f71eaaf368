"""The training loop: epochs, validation, early stopping, checkpoints, and stopping on request."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyrite.bundle.calibration import calibrated_loss
from pyrite.datasets import Canvases, in_chunks
from pyrite.errors import Interrupted, TrainingError
from pyrite.keras_backend import load_keras
from pyrite.prefetch import prefetch
from pyrite.recipe import Recipe
from pyrite.training.batches import batch_size, steps_per_epoch, train_batches
from pyrite.training.checkpoint import EpochLog, State, load_checkpoint, save_checkpoint
from pyrite.training.distributed import ALONE, Place, Team, TrainStep
from pyrite.training.lessons import NO_LESSONS, Lessons, example_losses
from pyrite.training.normalisation import measure_statistics
from pyrite.training.optimizers import make_optimizer


@dataclass(frozen=True, slots=True)
class Step:
    """How far training is."""

    epoch: int
    """From 1."""
    epochs: int
    step: int
    """Steps done of this epoch."""
    steps: int
    loss: float
    """Mean over the epoch so far."""
    accuracy: float
    images_per_second: float
    seconds_left: float
    """To the end of the last epoch, if training does not stop early."""


Watch = Callable[[Step | State], None]
Finish = Callable[[Any], None]


@dataclass(frozen=True)
class Examples:
    """What a model is fitted to and chosen by."""

    pixels: NDArray[np.uint8]
    """(n, height, width, 3), of the whole dataset, 0 to 255."""
    labels: NDArray[np.int8]
    """(n,), 0 for real and 1 for AI."""
    train: NDArray[np.intp]
    validation: NDArray[np.intp]
    canvases: Canvases | None = None
    """What training takes random crops from, instead of `pixels`."""
    groups: NDArray[np.intp] | None = None
    """(n,), whose images count as much as those of any other group in its class; see `batches.train_batches`."""
    lessons: Lessons = NO_LESSONS
    """What there is to learn besides the labels."""


def fit(
    model: Any,
    examples: Examples,
    recipe: Recipe,
    start: State,
    checkpoint: Path,
    watch: Watch | None = None,
    team: Team | None = None,
    finish: Finish | None = None,
) -> State:
    """Train `model` in place, from `checkpoint` on where there is one, and leave it with its best weights.

    The best epoch is the one with the lowest validation loss after calibration, or the highest AUROC where the recipe
    says so. Where it averages weights, that is of the averages. A checkpoint is written after every
    epoch, and on SIGINT or SIGTERM once the step under way is done. `watch` is called with every step, with
    the state after every epoch, and with the state that a run is resumed from. `finish` changes the best weights
    once training is done.

    With a `team`, `model` is one that it prepared; only its chief reads and writes the checkpoint and ends with the
    best weights, and a signal to one machine stops all.

    Raises:
        Interrupted: SIGINT or SIGTERM; the checkpoint holds the step it stopped at.
        TrainingError: the loss is not finite, or a checkpoint cannot be written or read, or another machine is lost.
    """
    place = team.place if team else ALONE
    steps, batch = steps_per_epoch(len(examples.train), recipe), batch_size(len(examples.train), recipe)
    compile_model(model, recipe, steps, examples.lessons.sizes)
    state = start
    best: list[NDArray[np.float32]] = []
    if place.is_chief and checkpoint.exists():
        state, groups = load_checkpoint(checkpoint)
        if state.data_sha256 != start.data_sha256:
            raise TrainingError("The data has changed since this run began; start again in a new folder.")
        if state.teachers != start.teachers:
            raise TrainingError("The teachers have changed since this run began; start again in a new folder.")
        if state.started_from != start.started_from:
            raise TrainingError("What start_from names has changed since this run began; start again in a new folder.")
        best = groups.get("best", [])
        try:
            _assign(model.variables, groups["model"])
            _assign(model.optimizer.variables, groups["optimizer"])
        except (KeyError, ValueError) as error:
            raise TrainingError(
                f"The checkpoint {checkpoint} does not fit this network: it is of another version of Keras or of "
                "Pyrite. Use that version, or start again in a new folder."
            ) from error
    if team:
        state = team.state_from_chief(state)
        team.start_alike([*model.variables, *model.optimizer.variables])
    if watch and state != start:
        watch(state)

    def save(state: State) -> None:
        if not place.is_chief:
            return
        groups = {"model": model.variables, "optimizer": model.optimizer.variables, "best": best}
        save_checkpoint(checkpoint, state, {k: [np.asarray(v) for v in vs] for k, vs in groups.items()})

    sizes = examples.lessons.sizes
    train_step = team.train_step(model, recipe, batch, sizes) if team else _train_alone(model)
    with _stop_requests() as asked:

        def stop_requested() -> bool:
            return team.any(asked()) if team else asked()

        while not state.done:
            state = _train_epoch(train_step, examples, recipe, state, steps, stop_requested, watch, place)
            if state.step < steps:
                save(state)
                raise Interrupted(
                    f"Stopped in epoch {state.epoch + 1} after step {state.step} of {steps}, and saved. "
                    "Continue with --resume."
                )
            with _averaged(model, recipe):
                measure_statistics(model, examples.pixels, examples.train, recipe.seed)
                logits = predict(model, examples.pixels, examples.validation, team)
                state = _end_epoch(model, state, logits, examples, recipe, steps)
                if team:
                    state = team.state_from_chief(state)
                if state.best_epoch == state.epoch:
                    best = _copies(model.variables)
            if state.done and finish and place.is_chief:
                _assign(model.variables, best)
                finish(model)
                best = _copies(model.variables)
            save(state)
            if watch:
                watch(state)
            if stop_requested():
                raise Interrupted(f"Stopped after epoch {state.epoch}, and saved. Continue with --resume.")
    if place.is_chief:
        _assign(model.variables, best)
    return state


def predict(
    model: Any, pixels: NDArray[np.uint8], indices: NDArray[np.intp], team: Team | None = None
) -> NDArray[np.float64]:
    """Return the model's logits (len(indices),) for some of the images; of a team, each machine makes its share."""
    own = indices[team.place.share(len(indices))] if team else indices
    parts = [np.asarray(model.predict_on_batch(images))[:, 0] for images in in_chunks(pixels, own)]
    logits = np.concatenate(parts).astype(np.float64)
    return team.joined(logits, len(indices)) if team else logits


def compile_model(model: Any, recipe: Recipe, steps: int, sizes: Sequence[int] = ()) -> None:
    """Give the model its optimiser, schedule and loss, for epochs of so many `steps`, and targets of so many classes.

    What is told of training is the cross-entropy of the labels and the accuracy, whatever else is learnt.
    """
    keras = load_keras()
    optimizer = make_optimizer(recipe, steps * recipe.epochs)
    optimizer.build(model.trainable_variables)
    dtype = model.outputs[0].dtype
    of_logits = {"from_logits": True, "label_smoothing": recipe.label_smoothing, "dtype": dtype}
    loss, crossentropy = keras.losses.BinaryCrossentropy(**of_logits), keras.metrics.BinaryCrossentropy
    if recipe.teacher or sizes:
        loss = _loss_of_lessons(example_losses(recipe, sizes), dtype)
        crossentropy = _of_labels(crossentropy)
    model.compile(
        optimizer,
        loss,
        metrics=[
            # The loss once more: Keras adds up what it minimises in float32, whatever that was computed in.
            crossentropy("crossentropy", **of_logits),
            keras.metrics.BinaryAccuracy("accuracy", threshold=0.0)
            if not (recipe.mixup or recipe.cutmix or recipe.teacher or sizes)
            else keras.metrics.MeanMetricWrapper(_right, "accuracy"),
        ],
    )


def _loss_of_lessons(compute: Callable[[Any, Any], Any], dtype: str) -> Any:
    """Return a loss of Keras's that computes each image's so."""

    class Loss(load_keras().losses.Loss):  # type: ignore[misc]
        def call(self, y_true: Any, y_pred: Any) -> Any:
            return compute(y_true, y_pred)

    return Loss(dtype=dtype)


def _of_labels(metric: Any) -> Any:
    """Return a metric of Keras's that sees only labels and logits."""

    class OfLabels(metric):  # type: ignore[misc]
        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
            return super().update_state(y_true[:, :1], y_pred[:, :1], sample_weight)

    return OfLabels


def _right(answers: Any, outputs: Any) -> Any:
    """Return where a logit is on the side of the class that an image has more of."""
    return load_keras().ops.cast((outputs[:, :1] > 0) == (answers[:, :1] > 0.5), "float32")


@contextmanager
def _averaged(model: Any, recipe: Recipe) -> Iterator[None]:
    """Have the averages of the weights in their place meanwhile, where the recipe asks for averages."""
    if not recipe.ema_momentum:
        yield
        return
    weights = model.trainable_variables
    kept = _copies(weights)
    model.optimizer.finalize_variable_values(weights)
    try:
        yield
    finally:
        _assign(weights, kept)


def _train_alone(model: Any) -> TrainStep:
    def train(
        images: NDArray[np.uint8], labels: NDArray[np.float32], weights: NDArray[np.float32] | None = None
    ) -> tuple[float, float]:
        model.reset_metrics()
        logs = model.train_on_batch(images, labels, sample_weight=weights, return_dict=True)
        return float(logs["crossentropy"]), float(logs["accuracy"])

    return train


def _train_epoch(
    train_step: TrainStep,
    examples: Examples,
    recipe: Recipe,
    state: State,
    steps: int,
    stop_requested: Callable[[], bool],
    watch: Watch | None,
    place: Place,
) -> State:
    """Run the rest of an epoch, or as much of it as there is time for."""
    began = time.perf_counter() - state.seconds
    first, pace_from = state.step, time.perf_counter()
    source = examples.pixels if examples.canvases is None else examples.canvases
    batches = train_batches(
        source,
        examples.labels,
        examples.train,
        recipe,
        state.epoch,
        state.step,
        place,
        examples.groups,
        examples.lessons,
    )
    batch = batch_size(len(examples.train), recipe)
    for of_batch in prefetch(batches):
        loss, accuracy = train_step(*of_batch)
        if not math.isfinite(loss):
            raise _diverged(f"The loss is {loss} in step {state.step + 1} of epoch {state.epoch + 1}.", state, recipe)
        state = msgspec.structs.replace(
            state,
            step=state.step + 1,
            loss_sum=state.loss_sum + loss,
            accuracy_sum=state.accuracy_sum + accuracy,
            seconds=time.perf_counter() - began,
        )
        if watch:
            now = time.perf_counter()
            pace = (now - pace_from) / max(1, state.step - first - 1)
            if state.step == first + 1:  # It compiled the network, and says nothing of the steps to come.
                pace_from = now
            watch(
                Step(
                    epoch=state.epoch + 1,
                    epochs=recipe.epochs,
                    step=state.step,
                    steps=steps,
                    loss=state.loss_sum / state.step,
                    accuracy=state.accuracy_sum / state.step,
                    images_per_second=batch / pace,
                    seconds_left=pace * (steps * (recipe.epochs - state.epoch) - state.step),
                )
            )
        if stop_requested():
            break
    return state


def _end_epoch(
    model: Any,
    state: State,
    logits: NDArray[np.float64],
    examples: Examples,
    recipe: Recipe,
    steps: int,
) -> State:
    """Add an epoch to the history, and decide whether it is the best and whether it is the last."""
    from sklearn.metrics import roc_auc_score

    labels = examples.labels[examples.validation]
    # Cross-entropy of logits without overflow: log(1 + e^z) - yz.
    with np.errstate(invalid="ignore"):  # What is not finite is told below.
        val_loss = float(np.mean(np.logaddexp(0, logits) - labels * logits))
    if not math.isfinite(val_loss):
        raise _diverged(f"The validation loss is {val_loss} after epoch {state.epoch + 1}.", state, recipe)
    epoch = state.epoch + 1
    row = EpochLog(
        epoch=epoch,
        loss=state.loss_sum / steps,
        accuracy=state.accuracy_sum / steps,
        val_loss=val_loss,
        val_accuracy=float(np.mean((logits > 0) == labels)),
        val_calibrated_loss=calibrated_loss(logits, labels),
        val_auroc=float(roc_auc_score(labels, logits)),
        learning_rate=float(np.asarray(model.optimizer.learning_rate)),
        seconds=state.seconds,
        images_per_second=steps * batch_size(len(examples.train), recipe) / state.seconds,
    )
    missing = row.val_calibrated_loss if recipe.monitor == "val_calibrated_loss" else 1 - (row.val_auroc or 0)
    improved = missing < state.best_loss
    best_epoch = epoch if improved else state.best_epoch
    return msgspec.structs.replace(
        state,
        epoch=epoch,
        step=0,
        loss_sum=0.0,
        accuracy_sum=0.0,
        seconds=0.0,
        history=(*state.history, row),
        best_epoch=best_epoch,
        best_loss=min(missing, state.best_loss),
        done=epoch == recipe.epochs or epoch - best_epoch >= recipe.patience,
    )


def _diverged(what: str, state: State, recipe: Recipe) -> TrainingError:
    kept = f" The checkpoint of epoch {state.epoch} is kept." if state.epoch else ""
    return TrainingError(
        f"{what} Training has diverged: start again in a new folder, with a learning_rate below "
        f"{recipe.learning_rate:g}.{kept}"
    )


def _copies(variables: list[Any]) -> list[NDArray[np.float32]]:
    return [np.asarray(variable).copy() for variable in variables]


def _assign(variables: list[Any], values: list[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


@contextmanager
def _stop_requests() -> Iterator[Callable[[], bool]]:
    """Turn SIGINT and SIGTERM into a question that the loop asks between steps; a second one acts as usual."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # Only that may set handlers.
        yield asked.is_set
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}

    def ask(number: int, _frame: object) -> None:
        asked.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in numbers:
        signal.signal(number, ask)
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
