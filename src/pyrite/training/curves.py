"""A run's history as CSV and for TensorBoard, kept up to date after every epoch."""

import csv
import time
from pathlib import Path

import msgspec

from pyrite.errors import require
from pyrite.training.checkpoint import EpochLog
from pyrite.writing import whole_file


def write_history(path: Path, history: tuple[EpochLog, ...]) -> None:
    """Write the whole history as CSV, one row per epoch.

    Raises:
        OSError: it cannot be written; what was at `path` is still there.
    """
    with whole_file(path) as draft, draft.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, EpochLog.__struct_fields__)
        writer.writeheader()
        writer.writerows(msgspec.to_builtins(row) for row in history)


def write_tensorboard(folder: Path, history: tuple[EpochLog, ...]) -> None:
    """Write the TensorBoard events of each epoch that `folder` lacks.

    Every epoch has a file of its own, whole or not there at all, so nothing is lost or doubled
    when a run is killed and resumed.

    Raises:
        OSError: it cannot be written.
    """
    require("train", "tensorboard")
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    folder.mkdir(exist_ok=True)
    for row in history:
        path = folder / f"events.out.tfevents.{row.epoch:05}"
        if path.exists():
            continue
        scalars = {f"epoch/{k}": v for k, v in msgspec.to_builtins(row).items() if k != "epoch"}
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
        # TensorBoard reads only what has `tfevents` in its name, which a draft has not.
        with whole_file(path) as draft, draft.open("wb") as stream:
            records = RecordWriter(stream)
            records.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
            records.write(
                Event(wall_time=time.time(), step=row.epoch, summary=Summary(value=values)).SerializeToString()
            )
