"""What tests of training share: a finished run, and reading its curves back."""

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pytest

from pyrite.evaluation import Report
from pyrite.publishing.preparation import Stage
from pyrite.recipe import Recipe
from pyrite.training.backend import WITHOUT_BFLOAT16
from pyrite.training.checkpoint import EpochLog, State, load_checkpoint
from pyrite.training.loop import Step

NEEDS_BFLOAT16 = pytest.mark.skipif(
    os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() in WITHOUT_BFLOAT16,
    reason="ONEDNN_MAX_CPU_ISA switches bfloat16 off",
)


@dataclass(frozen=True)
class Run:
    out: Path
    recipe: Recipe
    report: Report
    events: list[Stage | Step | State]

    @property
    def states(self) -> list[State]:
        return [event for event in self.events if isinstance(event, State)]


class Trained(Exception):  # noqa: N818 - nothing is wrong
    """Raised by `stop_once_trained`."""


def stop_once_trained(event: object) -> None:
    """Watch a run, and end it where nothing is left but to export and to measure what was trained."""
    if isinstance(event, Stage) and event.name == "Exporting":
        raise Trained


def assert_trained_alike(found: Path, wanted: Path) -> None:
    """Compare what training left of two runs: the weights, the best ones, and what the optimiser keeps."""
    one, other = (load_checkpoint(out / "checkpoint.npz")[1] for out in (found, wanted))
    assert {name: len(arrays) for name, arrays in one.items()} == {name: len(arrays) for name, arrays in other.items()}
    for name, arrays in other.items():
        for i, array in enumerate(arrays):
            np.testing.assert_array_equal(one[name][i], array, err_msg=f"{name} {i}")


def read_events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Read TensorBoard's scalars as TensorBoard does."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    return {
        tag: [(event.step, event.value) for event in accumulator.Scalars(tag)] for tag in accumulator.Tags()["scalars"]
    }


def read_rows(path: Path) -> list[EpochLog]:
    with path.open(newline="") as stream:
        return msgspec.convert(list(csv.DictReader(stream)), list[EpochLog], strict=False)


def assert_events_match(folder: Path, history: Sequence[EpochLog]) -> None:
    found = read_events(folder)
    assert set(found) == {f"epoch/{name}" for name in EpochLog.__struct_fields__ if name != "epoch"}
    for tag, values in found.items():
        assert [step for step, _ in values] == [row.epoch for row in history]
        wanted = [getattr(row, tag.removeprefix("epoch/")) for row in history]
        assert [value for _, value in values] == pytest.approx(wanted, rel=1e-6)
