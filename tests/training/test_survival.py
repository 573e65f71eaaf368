"""A run that is stopped in every way goes on to where an unbroken one ends."""

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from pyrite.bundle import load_bundle
from pyrite.datasets import make_toy
from pyrite.errors import TrainingError
from pyrite.publishing.preparation import Stage
from pyrite.recipe import Recipe, load_recipe
from pyrite.runtime import Session
from pyrite.training import train
from pyrite.training.checkpoint import EpochLog, State, load_checkpoint
from pyrite.training.loop import Interrupted, Step
from pyrite.training.train import Watch
from runs import Run, Trained, assert_events_match, assert_trained_alike, read_rows, stop_once_trained

PYRITE = Path(sys.executable).with_name("pyrite")
_KILLED = """
import os, signal, sys
# TensorFlow imports it where it is installed, which takes seconds, and training has no use for it.
sys.modules["jax"] = None
from pyrite.recipe import load_recipe
from pyrite.training import train
from pyrite.training.loop import Step

def watch(event):
    if isinstance(event, Step) and (event.epoch, event.step) == (2, 4):
        os.kill(os.getpid(), signal.SIGKILL)

train(sys.argv[1], load_recipe("tiny", ["epochs=3", "batch_size=8"]), sys.argv[2], watch=watch)
"""


def at(epoch: int, step: int, act: Callable[[], object]) -> Watch:
    def watch(event: Stage | Step | State) -> None:
        if isinstance(event, Step) and (event.epoch, event.step) == (epoch, step):
            act()

    return watch


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def without_times(history: tuple[EpochLog, ...] | list[EpochLog]) -> list[EpochLog]:
    return [msgspec.structs.replace(row, seconds=0.0, images_per_second=0.0) for row in history]


def logits(out: Path) -> np.ndarray:
    images = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), np.uint8)
    return Session(load_bundle(out / "bundle").read("model.onnx")).logits(images)


@pytest.fixture(scope="module")
def killed(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was killed in the middle of its second epoch; tests must copy it."""
    out = tmp_path_factory.mktemp("runs") / "killed"
    done = subprocess.run([sys.executable, "-c", _KILLED, toy, out], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return out


def test_killed_interrupted_and_resumed_is_as_unbroken(
    killed: Path, toy: Path, unbroken: Run, recipe: Recipe, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(killed, out)
    # As if the kill had hit between the checkpoint and the curves.
    (out / "history.csv").unlink()
    shutil.rmtree(out / "tensorboard")
    # And in the middle of another.
    (out / ".partial-0123").write_bytes(b"half a checkpoint")
    steps = max(event.steps for event in unbroken.events if isinstance(event, Step))

    seen: list[Stage | Step | State] = []

    def stop_midway(event: Stage | Step | State) -> None:
        seen.append(event)
        at(2, 5, interrupt)(event)

    with pytest.raises(Interrupted) as caught:
        train(toy, recipe, out, resume=True, watch=stop_midway)
    assert str(caught.value) == f"Stopped in epoch 2 after step 5 of {steps}, and saved. Continue with --resume."
    assert [(e.epoch, e.step) for e in seen if isinstance(e, Step)] == [(2, s) for s in range(1, 6)]
    assert not list(out.glob(".partial-*"))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert without_times(read_rows(out / "history.csv")) == without_times(unbroken.states[-1].history)[:1]
    assert_events_match(out / "tensorboard", read_rows(out / "history.csv"))

    with pytest.raises(Interrupted) as caught:
        train(toy, recipe, out, resume=True, watch=at(3, steps, interrupt))
    assert str(caught.value) == "Stopped after epoch 3, and saved. Continue with --resume."
    assert not (out / "bundle").exists()

    seen.clear()
    train(toy, recipe, out, resume=True, watch=seen.append)
    assert not [event for event in seen if isinstance(event, Step)]  # Straight to the export.
    assert without_times(read_rows(out / "history.csv")) == without_times(unbroken.states[-1].history)
    assert_events_match(out / "tensorboard", read_rows(out / "history.csv"))
    np.testing.assert_array_equal(logits(out), logits(unbroken.out))


def test_the_interrupted_step_counts_in_the_epochs_time(
    killed: Path, toy: Path, recipe: Recipe, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(killed, out)
    with pytest.raises(Interrupted):
        train(toy, recipe, out, resume=True, watch=at(2, 5, interrupt))
    before = load_checkpoint(out / "checkpoint.npz")[0]
    with pytest.raises(Interrupted):
        train(toy, recipe, out, resume=True, watch=at(2, 6, interrupt))
    after = load_checkpoint(out / "checkpoint.npz")[0]
    assert (before.step, after.step) == (5, 6)
    # Not the pause, in which the network was built again.
    assert 0 < after.seconds - before.seconds < 60


def test_another_recipe_is_refused(killed: Path, toy: Path) -> None:
    recipe = load_recipe("tiny", ["epochs=4", "batch_size=8", "seed=3"])
    with pytest.raises(TrainingError, match=r"another recipe: seed was 0 and is 3; epochs was 3 and is 4."):
        train(toy, recipe, killed, resume=True)


def test_other_data_is_refused(killed: Path, recipe: Recipe, tmp_path: Path) -> None:
    make_toy(tmp_path / "toy", count=160, seed=1)
    with pytest.raises(TrainingError, match="data has changed since this run began"):
        train(tmp_path / "toy", recipe, killed, resume=True)


def test_a_damaged_checkpoint_is_refused(killed: Path, toy: Path, recipe: Recipe, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(killed, out)
    (out / "checkpoint.npz").write_bytes((out / "checkpoint.npz").read_bytes()[:-50])
    with pytest.raises(TrainingError, match=r"checkpoint.npz cannot be read.*Start again in a new folder"):
        train(toy, recipe, out, resume=True)


def test_a_checkpoint_of_another_network_is_refused(killed: Path, toy: Path, recipe: Recipe, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(killed, out)
    with np.load(out / "checkpoint.npz") as stored:
        arrays = {name: stored[name] for name in stored.files if name != "model/0"}
    np.savez(out / "checkpoint.npz", **arrays)
    with pytest.raises(TrainingError, match="does not fit this network"):
        train(toy, recipe, out, resume=True)


def test_a_full_disk_keeps_the_last_checkpoint(killed: Path, toy: Path, recipe: Recipe, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(killed, out)
    good = (out / "checkpoint.npz").read_bytes()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    fill = at(2, 5, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1])))
    try:
        with pytest.raises(TrainingError) as caught:
            train(toy, recipe, out, resume=True, watch=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "The checkpoint could not be written: File too large." in str(caught.value)
    assert "Free some space, then continue with --resume." in str(caught.value)
    assert (out / "checkpoint.npz").read_bytes() == good


def test_curves_that_cannot_be_written_keep_the_checkpoint(
    killed: Path, toy: Path, recipe: Recipe, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(killed, out)
    (out / "history.csv").unlink()
    (out / "history.csv").mkdir()  # Nothing that a file could take the place of.
    with pytest.raises(TrainingError) as caught:
        train(toy, recipe, out, resume=True)
    assert "cannot be written" in str(caught.value)
    assert "The last checkpoint is kept: fix this, then continue with --resume." in str(caught.value)


def test_a_run_that_is_stopped_and_moved_to_another_machine_is_as_unbroken(
    unbroken: Run, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all that training may keep beside the weights: averages, momenta, teachers' answers, further targets."""
    recipe = load_recipe(
        "tiny",
        [
            "epochs=3", "batch_size=16", "optimizer=muon", "learning_rate=3e-3", "ema_momentum=0.9",
            "weight_decay=0.01",
            "schedule=linear", "teacher=wise", "distillation_variants=2", "targets=object", "alternating_flip=true",
            "turn=0.3", "grey=0.2", "border=0.2", "erase=0.3", "degrade=0.5", "mixup=0.3", "balance=sampling",
        ],
    )  # fmt: skip

    def machine(name: str) -> Path:
        folder = tmp_path / name
        monkeypatch.setenv("PYRITE_DATA", str(folder / "library"))
        monkeypatch.setenv("PYRITE_CACHE", str(folder / "cache"))
        shutil.copytree(unbroken.out / "bundle", folder / "library" / "bundles" / "wise")
        shutil.copytree(toy, folder / "data" / "toy")
        return folder

    first = machine("first")
    with pytest.raises(Trained):
        train(first / "data" / "toy", recipe, first / "whole", watch=stop_once_trained)
    with pytest.raises(Interrupted):
        train(first / "data" / "toy", recipe, first / "run", watch=at(2, 3, interrupt))
    second = machine("second")
    shutil.move(first / "run", second / "elsewhere")
    shutil.move(first, tmp_path / "gone")
    with pytest.raises(Trained):
        train(second / "data" / "toy", recipe, second / "elsewhere", resume=True, watch=stop_once_trained)
    whole, moved = tmp_path / "gone" / "whole", second / "elsewhere"
    assert without_times(read_rows(moved / "history.csv")) == without_times(read_rows(whole / "history.csv"))
    assert_trained_alike(moved, whole)


@pytest.fixture(scope="module")
def stopped(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, int]:
    """The folder, the standard error and the exit code of `pyrite train` after Ctrl-C."""
    out = tmp_path_factory.mktemp("runs") / "stopped"
    command = [PYRITE, "train", toy, "--recipe", "tiny", "--set", "epochs=5000", "--set", "patience=5000", "--out", out]
    lines = []
    # Lines must not be wrapped, however narrow the terminal was said to be.
    environment = dict(os.environ, COLUMNS="40")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line)
            if line.startswith("Epoch 2:"):
                process.send_signal(signal.SIGINT)
    return out, "".join(lines), process.returncode


def test_ctrl_c_saves_and_says_how_to_go_on(stopped: tuple[Path, str, int]) -> None:
    out, stderr, code = stopped
    assert code != 0
    assert "Traceback" not in stderr
    assert stderr.rstrip().endswith("and saved. Continue with --resume.")
    assert load_checkpoint(out / "checkpoint.npz")[0].epoch >= 2


def test_a_log_is_free_of_what_tensorflow_says(stopped: tuple[Path, str, int]) -> None:
    _, stderr, _ = stopped
    assert "\nBuilding the network\nDecoding\nLooking for near copies\nEpoch 1: loss " in stderr
    assert "absl" not in stderr
    assert "oneDNN" not in stderr


def test_a_run_of_the_command_line_can_be_resumed(stopped: tuple[Path, str, int], toy: Path) -> None:
    out, _, _ = stopped
    recipe = load_recipe("tiny", ["epochs=5000", "patience=5000"])
    state = load_checkpoint(out / "checkpoint.npz")[0]
    first: list[tuple[int, int]] = []

    def watch(event: Stage | Step | State) -> None:
        if isinstance(event, Step):
            first.append((event.epoch, event.step))
            interrupt()

    with pytest.raises(Interrupted):
        train(toy, recipe, out, resume=True, watch=watch)
    assert first == [(state.epoch + 1, state.step + 1)]


def test_the_reason_of_a_crash_on_import_comes_through() -> None:
    code = """
import os
from pyrite.keras_backend import _without_greeting
with _without_greeting():
    os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\\n")
    os.write(2, b"I0000 00:00:17 15539 port.cc:153] oneDNN custom operations are on.\\n")
    os.write(2, b"F0000 00:00:17 15539 cpu.cc:1] This machine has no AVX.\\n")
    os.abort()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGABRT
    assert done.stderr == "F0000 00:00:17 15539 cpu.cc:1] This machine has no AVX.\n"
