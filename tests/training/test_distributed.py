"""Real processes, which meet on this machine, train as one would; and stop, and go on, together."""

import json
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forking import COMMAND, KERAS, Ended, run_forked
from ports import free_ports
from pyrite.bundle import load_bundle
from pyrite.errors import TrainingError
from pyrite.keras_backend import load_keras
from pyrite.recipe import Recipe, load_recipe
from pyrite.runtime import Session
from pyrite.training import train
from pyrite.training.architectures import build_model
from pyrite.training.backend import copy_model
from pyrite.training.batches import steps_per_epoch, train_batches
from pyrite.training.checkpoint import EpochLog, load_checkpoint
from pyrite.training.distributed import ALONE, Place, read_place
from runs import read_rows

_TRAIN = """
import os, signal, sys
from pyrite.errors import PyriteError
from pyrite.recipe import load_recipe
from pyrite.training import train
from pyrite.training.loop import Step

data, out, settings, resume, act = sys.argv[1:]

def watch(event):
    if act and isinstance(event, Step) and [event.epoch, event.step] == [int(n) for n in act.split()[:2]]:
        os.kill(os.getpid(), getattr(signal, act.split()[2]))

try:
    report = train(data, load_recipe("tiny", settings.split()), out, resume=bool(resume), watch=watch)
except PyriteError as error:
    sys.exit(f"{type(error).__name__}: {error}")
print("no report" if report is None else "report")
"""
SHORT = "epochs=3 batch_size=8"
# Not AdamW, which in float32 makes a step of usual length of a gradient that is nothing but rounding.
SETTINGS = f"{SHORT} optimizer=sgd learning_rate=0.1"
LOSSES = ("loss", "val_loss", "val_calibrated_loss")
FACTOR = 10
"""How many times further from one machine than its own other way of adding up two machines may be."""


def environments(count: int) -> list[dict[str, str]]:
    """Return what each of so many processes needs to find the others."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    places = [{"cluster": {"worker": addresses}, "task": {"type": "worker", "index": i}} for i in range(count)]
    return [{**os.environ, "TF_CONFIG": json.dumps(place), "TF_NUM_INTRAOP_THREADS": "1"} for place in places]


def run_machines(code: str, *machines: Sequence[object]) -> list[Ended]:
    """Run code as machines, with the arguments of each."""
    return run_forked(KERAS, code, *zip(machines, environments(len(machines)), strict=True))


@dataclass(frozen=True)
class Result:
    """What a run came to."""

    history: Sequence[EpochLog]
    logits: np.ndarray
    """Of the bundle, of some images."""


def read_result(out: Path) -> Result:
    images = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), np.uint8)
    logits = Session(load_bundle(out / "bundle").read("model.onnx")).logits(images)
    return Result(read_rows(out / "history.csv"), logits)


def differences(found: Result, wanted: Result) -> dict[str, float]:
    """Return the largest difference of each kind of loss, in nats, and of the logits."""
    assert [row.epoch for row in found.history] == [row.epoch for row in wanted.history]
    assert [row.learning_rate for row in found.history] == [row.learning_rate for row in wanted.history]
    pairs = list(zip(found.history, wanted.history, strict=True))
    losses = {name: max(abs(getattr(one, name) - getattr(other, name)) for one, other in pairs) for name in LOSSES}
    return {**losses, "logits": float(np.abs(found.logits - wanted.logits).max())}


def in_halves(model: Any) -> Any:
    """Return a copy of a model that computes one half of a batch after the other: other shapes, other sums.

    Which kernels a processor takes, and so how they round, depends on the size of a batch; and normalisation adds up
    what several machines do.
    """
    keras = load_keras()

    def copy(layer: Any) -> Any:
        kind, config = type(layer), layer.get_config()
        if isinstance(layer, keras.layers.BatchNormalization):
            return kind.from_config({**config, "synchronized": True})
        if isinstance(layer, keras.layers.InputLayer | keras.layers.Dropout):  # Which draws for the whole batch.
            return kind.from_config(config)

        class Halved(kind):  # type: ignore[misc,valid-type]
            def call(self, inputs: Any) -> Any:
                middle = keras.ops.shape(inputs)[0] // 2
                halves = [super(Halved, self).call(half) for half in (inputs[:middle], inputs[middle:])]
                return keras.ops.concatenate(halves)

        return Halved.from_config(config)

    return copy_model(model, copy)


@pytest.fixture(scope="module", autouse=True)
def _keras_normalisation() -> Iterator[None]:
    """Let one machine normalise by the operations that several have to use: tests apart hold the fused one to them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pyrite.training.architectures.fuse", lambda model: model)
        yield


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    """Three epochs of about a dozen steps."""
    return load_recipe("tiny", SETTINGS.split())


@pytest.fixture(scope="module")
def alone(toy: Path, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """One machine's run."""
    out = tmp_path_factory.mktemp("runs") / "alone"
    train(toy, recipe, out)
    return read_result(out)


@pytest.fixture(scope="module")
def bounds(alone: Result, toy: Path, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """How far several machines may be from one: some times as far as one is that adds up in another order.

    At least as far as `FACTOR` roundings of a single value are, for processors where the halves come to the same.
    """
    out = tmp_path_factory.mktemp("runs") / "halves"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pyrite.training.architectures.fuse", in_halves)
        train(toy, recipe, out)
    found = differences(read_result(out), alone)
    return {name: FACTOR * max(value, float(np.finfo(np.float32).eps)) for name, value in found.items()}


def machine(
    data: Path, out: Path, settings: str = SETTINGS, *, resume: bool = False, act: str = ""
) -> tuple[object, ...]:
    """Return what one machine does; `act` is an epoch, a step, and the signal that it gives itself there."""
    return (data, out, settings, "resume" if resume else "", act)


def assert_within(found: dict[str, float], bounds: dict[str, float]) -> None:
    assert {name: value for name, value in found.items() if value > bounds[name]} == {}, (found, bounds)


@pytest.mark.parametrize(
    ("cluster", "task", "place"),
    [
        ({"worker": ["a:1", "b:1"]}, {"type": "worker", "index": 0}, Place(0, 2)),
        ({"worker": ["a:1", "b:1"]}, {"type": "worker", "index": "1"}, Place(1, 2)),
        ({"chief": ["a:1"], "worker": ["b:1", "c:1"]}, {"type": "chief", "index": 0}, Place(0, 3)),
        ({"chief": ["a:1"], "worker": ["b:1", "c:1"]}, {"type": "worker", "index": 1}, Place(2, 3)),
        ({"worker": ["a:1"]}, {"type": "worker", "index": 0}, ALONE),
    ],
)
def test_a_place_is_read(cluster: object, task: object, place: Place) -> None:
    text = json.dumps({"cluster": cluster, "task": task, "environment": "cloud"})
    assert read_place({"TF_CONFIG": text}) == place


@pytest.mark.parametrize("text", ["", " "])
def test_without_a_config_one_is_alone(text: str) -> None:
    assert read_place({}) == read_place({"TF_CONFIG": text}) == ALONE


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "TF_CONFIG is not valid"),
        ('{"cluster": {"worker": ["a:1"]}}', "missing required field `task`"),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
            "worker 1, which its cluster does",
        ),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": -1}}', "worker -1, which its cluster"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "evaluator", "index": 0}}', "evaluator 0, which"),
        ('{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "worker", "index": 0}}', "the job 'ps'"),
        ('{"cluster": {"worker": ["a:1", "a:1"]}, "task": {"type": "worker", "index": 0}}', "names a:1 twice"),
        ('{"cluster": {"chief": ["a:1", "b:1"]}, "task": {"type": "chief", "index": 0}}', "names 2 chiefs"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(text: str, words: str) -> None:
    with pytest.raises(TrainingError) as caught:
        read_place({"TF_CONFIG": text})
    assert words in str(caught.value)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_shares_are_even_and_leave_nothing_out(size: int) -> None:
    for count in (size, 7, 128):
        shares = [range(count)[Place(rank, size).share(count)] for rank in range(size)]
        assert [i for share in shares for i in share] == list(range(count))
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("size", [2, 3])
def test_machines_see_together_what_one_alone_would(size: int) -> None:
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (50, 16, 16, 3), np.uint8), rng.integers(0, 2, 50).astype(np.int8)
    recipe = load_recipe("tiny", ["batch_size=16", "degrade=0.7", "shift=2"])
    indices = np.arange(2, 50)
    whole = list(train_batches(pixels, labels, indices, recipe, 1))
    shares = [list(train_batches(pixels, labels, indices, recipe, 1, 0, Place(rank, size))) for rank in range(size)]
    assert len(whole) == steps_per_epoch(48, recipe)
    for step, (images, classes) in enumerate(whole):
        np.testing.assert_array_equal(np.concatenate([share[step][0] for share in shares]), images)
        np.testing.assert_array_equal(np.concatenate([share[step][1] for share in shares]), classes)


def test_two_machines_compute_what_one_does_and_part_by_rounding_alone(toy: Path, tmp_path: Path) -> None:
    mixed = "cutmix=1 mixup=0.4 augment_noise=0.3 balance=weights ema_momentum=0.9"
    settings = f"{SHORT} precision=float64 {mixed}"
    alone, *outs = (tmp_path / name for name in ("alone", "chief", "other"))
    train(toy, load_recipe("tiny", settings.split()), alone)
    for one in run_machines(_TRAIN, *(machine(toy, out, settings) for out in outs)):
        assert one.code == 0, one.stderr
    found = differences(read_result(outs[0]), read_result(alone))
    assert max(found[name] for name in LOSSES) < 1e-12, found  # The bundles' logits are of float32.


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["backbone=dinov2_small", "weights=preset"], "A preset of Keras Hub is trained on one machine."),
        (["backbone=ConvNeXtTiny", "trainable=lora"], "LoRA is trained on one machine."),
        (["backbone=ConvNeXtTiny", "trainable=probe"], "A probe is trained on one machine."),
    ],
)
def test_what_one_machine_alone_can_train_is_refused_at_once(
    settings: list[str], words: str, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CONFIG", environments(2)[0]["TF_CONFIG"])
    with pytest.raises(TrainingError) as caught:
        train(toy, load_recipe("tiny", ["architecture=backbone", *settings]), tmp_path / "out")
    assert str(caught.value) == f"{words} Unset TF_CONFIG, or choose another backbone."


def test_a_network_with_teachers_is_refused_at_once(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", environments(2)[0]["TF_CONFIG"])
    with pytest.raises(TrainingError, match="A network with teachers is trained on one machine"):
        train(toy, load_recipe("tiny", ["teacher=any"]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_machines_train_as_one(alone: Result, bounds: dict[str, float], toy: Path, tmp_path: Path) -> None:
    sets = [part for setting in SETTINGS.split() for part in ("--set", setting)]
    # Each has a folder of its own, as on machines that share no disk.
    outs = [tmp_path / "chief", tmp_path / "other"]
    commands = (["train", toy, "--recipe", "tiny", *sets, "--out", out] for out in outs)
    chief, other = run_machines(COMMAND, *commands)
    assert (chief.code, other.code) == (0, 0), chief.stderr + other.stderr
    assert_within(differences(read_result(outs[0]), alone), bounds)
    # The chief alone writes, and tells what came out.
    assert "Bundle: " in chief.stdout
    assert (other.stdout, outs[1].exists()) == ("", False)
    assert other.stderr.rstrip().endswith("The first machine of TF_CONFIG writes the bundle and the report.")
    for said in (chief.stderr, other.stderr):
        stages = (
            "Waiting for the other machines\nBuilding the network\nDecoding\nLooking for near copies\nEpoch 1: loss "
        )
        assert stages in said
        assert "Traceback" not in said


def test_what_is_lost_or_stopped_is_resumed(
    alone: Result, bounds: dict[str, float], toy: Path, recipe: Recipe, tmp_path: Path
) -> None:
    """A machine dies; then one is asked to stop; then one machine alone goes on to the end."""
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    chief, other = run_machines(_TRAIN, machine(toy, out), machine(toy, elsewhere, act="2 4 SIGKILL"))
    assert other.code == -signal.SIGKILL
    assert chief.code == 1
    assert "Another machine of this run has stopped or does not answer." in chief.stderr
    assert load_checkpoint(out / "checkpoint.npz")[0].epoch == 1

    chief, other = run_machines(
        _TRAIN, machine(toy, out, resume=True), machine(toy, elsewhere, resume=True, act="3 2 SIGINT")
    )
    for one in (chief, other):
        assert one.code == 1
        assert "Interrupted: Stopped in epoch 3 after step 2 of" in one.stderr
    state = load_checkpoint(out / "checkpoint.npz")[0]
    assert (state.epoch, state.step) == (2, 2)

    train(toy, recipe, out, resume=True)
    assert_within(differences(read_result(out), alone), bounds)
    assert not elsewhere.exists()


def test_the_death_of_the_chief_ends_the_others(toy: Path, tmp_path: Path) -> None:
    chief, other = run_machines(
        _TRAIN, machine(toy, tmp_path / "out", act="2 1 SIGKILL"), machine(toy, tmp_path / "other")
    )
    assert chief.code == -signal.SIGKILL
    assert other.code == 1
    assert "Another machine of this run has stopped or does not answer." in other.stderr
    assert load_checkpoint(tmp_path / "out" / "checkpoint.npz")[0].epoch == 1


def test_machines_that_mean_different_runs_are_refused(toy: Path, tmp_path: Path) -> None:
    found = run_machines(_TRAIN, machine(toy, tmp_path / "out"), machine(toy, tmp_path / "out", f"{SETTINGS} seed=1"))
    for one in found:
        assert one.code == 1
        assert "TrainingError: Machine 2 of 2 does not have the recipe that the first one has." in one.stderr
    assert not (tmp_path / "out").exists()


def test_a_batch_smaller_than_the_team_is_refused_before_any_machine_waits(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CONFIG", environments(3)[1]["TF_CONFIG"])
    stages: list[object] = []
    with pytest.raises(TrainingError, match=r"^A batch has 2 images, too few for 3 machines\.$"):
        train(toy, load_recipe("tiny", ["batch_size=2"]), tmp_path / "out", watch=stages.append)
    assert stages == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("size", [1, 2, 3])
def test_nothing_is_shared_that_has_fewer_images_than_there_are_machines(size: int) -> None:
    Place(0, size).check("The validation split", size)
    with pytest.raises(TrainingError, match=f"The validation split has {size - 1} images, too few for {size} machines"):
        Place(0, size).check("The validation split", size - 1)


def test_a_team_needs_a_process_of_its_own(toy: Path, recipe: Recipe, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TF_CONFIG", environments(2)[0]["TF_CONFIG"])
        build_model(recipe)  # TensorFlow has begun.
        with pytest.raises(TrainingError, match=r"could not be reached: .* its own process"):
            train(toy, recipe, tmp_path / "out")
    assert not (tmp_path / "out").exists()
