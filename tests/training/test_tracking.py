"""Curves in Weights & Biases and MLflow. Neither is installed with the tests, so stand-ins note what they are told."""

import json
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyrite.errors import MissingExtraError, TrainingError
from pyrite.recipe import load_recipe
from pyrite.training import train
from pyrite.training.loop import Step
from runs import read_rows

STAND_INS = {
    "wandb/__init__.py": """
        import json, pathlib
        SEEN = pathlib.Path(__file__).parents[1] / "seen.jsonl"
        def note(*said):
            with SEEN.open("a") as stream:
                stream.write(json.dumps(said) + chr(10))
        def init(**settings):
            if settings["config"]["seed"] == 13: raise ValueError("api_key not configured\\n  (no-tty).")
            note("wandb.init", settings["project"], settings["id"], settings["resume"], settings["config"]["epochs"])
        def finish(exit_code): note("wandb.finish", exit_code)
    """,
    "wandb/integration/__init__.py": "",
    "wandb/integration/keras/__init__.py": """
        import keras, wandb
        class WandbMetricsLogger(keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                wandb.note("wandb", epoch, logs, float(self.model.optimizer.learning_rate))
    """,
    "mlflow/__init__.py": """
        import types, wandb
        def start_run(run_id, run_name):
            wandb.note("mlflow.start_run", run_id, run_name)
            return types.SimpleNamespace(info=types.SimpleNamespace(run_id=run_id or "f00"))
        def log_params(settings): wandb.note("mlflow.log_params", settings["architecture"])
        def end_run(status): wandb.note("mlflow.end_run", status)
    """,
    "mlflow/keras/__init__.py": """
        import keras, wandb
        class MlflowCallback(keras.callbacks.Callback):
            def on_train_begin(self, logs=None):
                wandb.note("mlflow.on_train_begin", type(self.model.optimizer).__name__)
            def on_epoch_end(self, epoch, logs=None): wandb.note("mlflow", epoch, logs)
    """,
}


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[list[Any]]]:
    """Put the stand-ins in place, and return what reads and forgets what they were told."""
    folder = tmp_path / "packages"
    for name, code in STAND_INS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(textwrap.dedent(code))
    for name in [name for name in sys.modules if name.partition(".")[0] in ("wandb", "mlflow")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)

    def read() -> list[list[Any]]:
        notes = folder / "seen.jsonl"
        lines = notes.read_text().splitlines() if notes.exists() else []
        notes.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]

    return read


def test_each_epoch_is_told_once_also_where_a_run_was_resumed(
    toy: Path, tmp_path: Path, seen: Callable[[], list[list[Any]]]
) -> None:
    recipe, out = load_recipe("tiny", ["epochs=3", "patience=3"]), tmp_path / "out"

    def stop(event: object) -> None:
        if isinstance(event, Step) and (event.epoch, event.step) == (3, 1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(toy, recipe, out, watch=stop, log=("wandb", "mlflow"))
    first = seen()
    train(toy, recipe, out, resume=True, log=("wandb", "mlflow"))
    second = seen()
    history = read_rows(out / "history.csv")
    run_id = first[0][2]
    assert first[0] == ["wandb.init", "pyrite", run_id, "allow", 3]
    assert second[0] == first[0]
    assert [note[:2] for note in first if note[0].startswith("mlflow.")] == [
        ["mlflow.start_run", None], ["mlflow.log_params", "tiny"], ["mlflow.on_train_begin", "AdamW"],
        ["mlflow.end_run", "FAILED"],
    ]  # fmt: skip
    assert [note[:2] for note in second if note[0].startswith("mlflow.")] == [
        ["mlflow.start_run", "f00"], ["mlflow.on_train_begin", "AdamW"], ["mlflow.end_run", "FINISHED"],
    ]  # fmt: skip
    assert [note for note in (*first, *second) if note[0] == "wandb.finish"] == [
        ["wandb.finish", 1],
        ["wandb.finish", 0],
    ]
    for name in ("wandb", "mlflow"):
        told = [note for note in (*first, *second) if note[0] == name]
        assert [note[1] for note in told] == [0, 1, 2]
        for note, row in zip(told, history, strict=True):
            assert note[2]["val_auroc"] == row.val_auroc
            assert note[2]["loss"] == pytest.approx(row.loss)
            assert "epoch" not in note[2]
    assert not (out / "tensorboard").exists()  # It was not asked for.


def test_a_tracker_that_comes_later_is_told_every_epoch(
    toy: Path, tmp_path: Path, seen: Callable[[], list[list[Any]]]
) -> None:
    recipe, out = load_recipe("tiny", ["epochs=2", "patience=2"]), tmp_path / "out"

    def stop(event: object) -> None:
        if isinstance(event, Step) and (event.epoch, event.step) == (2, 1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(toy, recipe, out, watch=stop, log=("wandb",))
    train(toy, recipe, out, resume=True, log=("wandb", "mlflow"))
    told = [note[:2] for note in seen() if note[0] in ("wandb", "mlflow")]
    assert [epoch for name, epoch in told if name == "mlflow"] == [0, 1]


def test_what_cannot_be_told_is_refused_before_anything_is_made(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_pyrite: Callable[..., tuple[int, str, str]]
) -> None:
    for name in ("wandb", "mlflow"):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(MissingExtraError, match=rf"pip install 'pyrite\[{name}\]'"):
            train(toy, load_recipe("tiny"), tmp_path / "out", log=(name,))
    code, _, told = run_pyrite("train", toy, "--recipe", "tiny", "--log", "comet", "--out", tmp_path / "out")
    assert code == 1
    assert "Curves cannot go to 'comet': use mlflow, tensorboard or wandb." in " ".join(told.split())
    assert not (tmp_path / "out").exists()


def test_a_tracker_that_cannot_begin_says_so(toy: Path, tmp_path: Path, seen: Callable[[], list[list[Any]]]) -> None:
    with pytest.raises(TrainingError) as caught:
        train(toy, load_recipe("tiny", ["seed=13"]), tmp_path / "out", log=("wandb",))
    assert str(caught.value) == (
        "Weights & Biases could not begin a run: api_key not configured (no-tty). Fix this, or leave out --log, "
        "and continue with --resume."
    )
    assert seen() == []
