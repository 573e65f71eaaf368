"""Checkpoints: one file that holds all of a run's state, replaced whole or not at all."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from pyrite.errors import TrainingError
from pyrite.writing import whole_file

Arrays = list["np.ndarray[Any, Any]"]


class EpochLog(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the history; losses are mean binary cross-entropies in nats."""

    epoch: int
    """From 1."""
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    val_calibrated_loss: float
    """What is left of the validation loss once the logits are calibrated: the epoch is chosen by it, if by no other."""
    val_auroc: float | None = None
    """The area under the ROC of the validation images; `None` in what earlier versions wrote."""
    learning_rate: float
    """After the epoch's last step."""
    seconds: float
    images_per_second: float


class State(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run stands, besides its weights."""

    data_sha256: str
    """Of the content that the run began with."""
    teachers: tuple[str, ...] = ()
    """The SHA-256 of each teacher's bundle."""
    started_from: tuple[str, ...] = ()
    """The SHA-256 of each network that training started from."""
    epoch: int = 0
    """Epochs that are complete."""
    step: int = 0
    """Steps done of the next epoch."""
    loss_sum: float = 0.0
    """Of the batch means in those steps."""
    accuracy_sum: float = 0.0
    seconds: float = 0.0
    """Spent on those steps."""
    history: tuple[EpochLog, ...] = ()
    best_epoch: int = 0
    """From 1; 0 before the first epoch is complete."""
    best_loss: float = float("inf")
    """Of the calibrated validation losses, or of what is missing from an AUROC of 1: what epochs are compared by."""
    done: bool = False


def save_checkpoint(path: Path, state: State, groups: Mapping[str, Sequence[Any]]) -> None:
    """Write the state and named groups of arrays to `path`, atomically.

    Raises:
        TrainingError: there is no room, or it cannot be written; what was at `path` is still there.
    """
    arrays = {f"{group}/{i}": np.asarray(a) for group, members in groups.items() for i, a in enumerate(members)}
    # JSON has no infinity, which is what best_loss is before the first epoch; msgpack does.
    arrays["state"] = np.frombuffer(msgspec.msgpack.encode(state), np.uint8)
    try:
        with whole_file(path) as draft, draft.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        kept = f" The last good one, {path}, is untouched." if path.exists() else ""
        raise TrainingError(
            f"The checkpoint could not be written: {error.strerror or error}.{kept} Free some space, then continue "
            "with --resume."
        ) from error


def load_checkpoint(path: Path) -> tuple[State, dict[str, Arrays]]:
    """Read what `save_checkpoint` wrote.

    Raises:
        TrainingError: the file is damaged, or not a checkpoint.
    """
    groups: dict[str, Arrays] = {}
    try:
        # Opened here, since NumPy leaves a damaged file open.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            state = msgspec.msgpack.decode(stored["state"].tobytes(), type=State)
            for key in stored.files:
                if key != "state":
                    groups.setdefault(key.partition("/")[0], []).append(stored[key])
    except Exception as error:  # A damaged zip inside an npz fails in many ways.
        raise TrainingError(f"The checkpoint {path} cannot be read: {error}. Start again in a new folder.") from error
    return state, groups
