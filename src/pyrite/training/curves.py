"""A run's history as CSV and for TensorBoard, kept up to date after every epoch."""

import csv
import time
from pathlib import Path

import msgspec

from pyrite.errors import require
from pyrite.training.checkpoint import EpochLog


def write_history(path: Path, history: tuple[EpochLog, ...]) -> None:
    """Write the whole history as CSV, one row per epoch."""
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, EpochLog.__struct_fields__)
        writer.writeheader()
        writer.writerows(msgspec.to_builtins(row) for row in history)
    partial.replace(path)


def write_tensorboard(folder: Path, row: EpochLog) -> None:
    """Add one epoch's scalars to the TensorBoard events in `folder`."""
    require("train", "tensorboard")
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    scalars = {f"epoch/{k}": v for k, v in msgspec.to_builtins(row).items() if k != "epoch"}
    values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
    writer = EventFileWriter(str(folder))
    writer.add_event(Event(wall_time=time.time(), step=row.epoch, summary=Summary(value=values)))
    writer.close()
