"""What tests of training share: a finished run, and reading its curves back."""

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from pyrite.evaluation import Report
from pyrite.publishing.preparation import Stage
from pyrite.recipe import Recipe
from pyrite.training.backend import WITHOUT_BFLOAT16
from pyrite.training.checkpoint import EpochLog, State
from pyrite.training.loop import Step

NEEDS_BFLOAT16 = pytest.mark.skipif(
    os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() in WITHOUT_BFLOAT16, reason="ONEDNN_MAX_CPU_ISA leaves no bfloat16"
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
