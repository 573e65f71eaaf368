"""A run's curves in Weights & Biases and MLflow, by the Keras callbacks that these packages bring."""

import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from pyrite.errors import TrainingError, in_one_line, require
from pyrite.keras_backend import load_keras
from pyrite.recipe import Recipe
from pyrite.writing import whole_file

TRACKERS = ("mlflow", "tensorboard", "wandb")
"""Where curves can go; those of `tensorboard` are written by `curves`."""
Figures = Mapping[str, float | None]
Tell = Callable[[int, Figures], None]
"""Called with an epoch, from 1, and its figures; those of an epoch that was told are not told again."""


class _Tracked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a run is called where its curves are, and how much of them is there; in `tracking.json`."""

    wandb: str | None = None
    mlflow: str | None = None
    epochs: dict[str, int] = {}
    """Of each tracker, up to which it was told."""


def check_trackers(names: Sequence[str]) -> None:
    """Refuse what there is not.

    Raises:
        TrainingError: there is no tracker of that name.
        MissingExtraError: without the extra of that name.
    """
    for name in names:
        if name not in TRACKERS:
            raise TrainingError(f"Curves cannot go to {name!r}: use {', '.join(TRACKERS[:-1])} or {TRACKERS[-1]}.")
        if name != "tensorboard":
            require(name, name)


@contextmanager
def tracked(names: Sequence[str], model: Any, recipe: Recipe, out: Path) -> Iterator[Tell]:
    """Begin a run, or go on with it where `out` was resumed, and end it with the block.

    Args:
        names: Where.
        model: What is trained; compiled by the time that an epoch is told.
        recipe: Its settings are the run's.
        out: The run's folder.

    Raises:
        TrainingError: A run cannot begin: there is no login, no server …
    """
    before = _read(out / "tracking.json")
    state = before
    with ExitStack() as stack:
        callbacks: dict[str, Any] = {}
        if "wandb" in names:
            state = msgspec.structs.replace(state, wandb=state.wandb or secrets.token_hex(8))
            callbacks["wandb"] = stack.enter_context(_in_wandb(str(state.wandb), recipe, out))
        if "mlflow" in names:
            callbacks["mlflow"], run_id = stack.enter_context(_in_mlflow(state.mlflow, recipe))
            state = msgspec.structs.replace(state, mlflow=run_id)
        if state != before:
            _write(out / "tracking.json", state)
        begun: dict[str, Any] = {}

        def tell(epoch: int, figures: Figures) -> None:
            nonlocal state
            known = {key: value for key, value in figures.items() if value is not None}
            for name, callback in callbacks.items():
                if epoch <= state.epochs.get(name, 0):
                    continue
                if name not in begun:  # Only now is the model compiled, which callbacks look at.
                    begun[name] = load_keras().callbacks.CallbackList([callback], model=model)
                    begun[name].on_train_begin()
                begun[name].on_epoch_begin(epoch - 1)
                begun[name].on_epoch_end(epoch - 1, known)
                state = msgspec.structs.replace(state, epochs={**state.epochs, name: epoch})
                _write(out / "tracking.json", state)

        yield tell
        for callback in begun.values():
            callback.on_train_end()


@contextmanager
def _in_wandb(run_id: str, recipe: Recipe, out: Path) -> Iterator[Any]:
    require("wandb", "wandb")
    load_keras()  # With settings that TensorFlow reads only once.
    import wandb

    with _begins("Weights & Biases"):
        wandb.init(
            project=os.environ.get("WANDB_PROJECT", "pyrite"),
            name=recipe.name,
            id=run_id,
            resume="allow",
            dir=out,
            config=msgspec.to_builtins(recipe),
        )
    code = 1
    try:
        from wandb.integration.keras import WandbMetricsLogger

        yield WandbMetricsLogger()
        code = 0
    finally:
        wandb.finish(exit_code=code)


@contextmanager
def _in_mlflow(run_id: str | None, recipe: Recipe) -> Iterator[tuple[Any, str]]:
    require("mlflow", "mlflow")
    load_keras()
    import mlflow

    with _begins("MLflow"):
        run = mlflow.start_run(run_id=run_id, run_name=recipe.name)
        if run_id is None:
            mlflow.log_params(msgspec.to_builtins(recipe))
    status = "FAILED"
    try:
        from mlflow.keras import MlflowCallback

        yield MlflowCallback(), run.info.run_id
        status = "FINISHED"
    finally:
        mlflow.end_run(status)


@contextmanager
def _begins(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # Whatever their HTTP clients and stores raise.
        told = in_one_line(error).removesuffix(".")
        raise TrainingError(
            f"{name} could not begin a run: {told}. Fix this, or leave out --log, and continue with --resume."
        ) from error


def _read(path: Path) -> _Tracked:
    if not path.exists():
        return _Tracked()
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Tracked)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path} cannot be read: {error}. Delete it to track this run from the start.") from error


def _write(path: Path, state: _Tracked) -> None:
    with whole_file(path) as draft:
        draft.write_bytes(msgspec.json.encode(state))
