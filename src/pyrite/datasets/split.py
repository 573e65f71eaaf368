"""Train, validation and test: by content, so that no image is ever on two sides."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pyrite.datasets.dataset import Dataset
from pyrite.errors import DatasetError

Protocol = Literal["official", "pooled"]
Fractions = tuple[float, float, float]


@dataclass(frozen=True)
class Split:
    """Which images serve for what, as indices into the dataset."""

    protocol: Protocol
    train: NDArray[np.intp]
    validation: NDArray[np.intp]
    test: NDArray[np.intp]
    dropped: int
    """Images left out of train and validation because the same bytes stand in a later split."""


def split(
    dataset: Dataset,
    hashes: Sequence[str],
    protocol: Protocol,
    fractions: Fractions,
    seed: int,
    held_out: Collection[str] = (),
) -> Split:
    """Divide a dataset by the hash of each file's content.

    `pooled` ignores the dataset's own splits. `official` keeps its test split, and its
    validation split where there is one; otherwise validation is cut from train in the proportion
    of the first two fractions. Every file with the same bytes falls on the same side, whatever else
    is in the dataset, and the proportions hold in every class and slice up to chance.

    Args:
        dataset: the images.
        hashes: (n,), each file's hexadecimal SHA-256, empty where it could not be read: such are in no split.
        protocol: see above.
        fractions: train, validation and test shares, summing to 1.
        seed: another seed gives another division.
        held_out: hashes that must not be trained on either: of test images that a limit left out of the dataset.

    Raises:
        DatasetError: a split comes out empty or with one class only, there is no official test split, or
            no file can be read.
    """
    readable = np.array([bool(value) for value in hashes])
    if not readable.any():
        raise DatasetError(f"None of the {len(dataset):,} files of {dataset.name} can be read.")
    draw = np.array([_uniform(seed, value) for value in hashes])
    train_share, validation_share, _ = fractions
    if protocol == "pooled":
        side = np.where(draw < train_share, 0, np.where(draw < train_share + validation_share, 1, 2))
        dropped = 0
    else:
        validation_share /= train_share + validation_share
        side, dropped = _official(dataset, hashes, draw, validation_share, held_out)
    side[~readable] = -1
    result = Split(
        protocol=protocol,
        train=np.flatnonzero(side == 0),
        validation=np.flatnonzero(side == 1),
        test=np.flatnonzero(side == 2),
        dropped=dropped,
    )
    for name in ("train", "validation", "test"):
        labels = dataset.labels[getattr(result, name)]
        if len(set(labels.tolist())) < 2:
            lack = "no images" if not len(labels) else "no AI images" if not labels.any() else "no real images"
            raise DatasetError(
                f"The {name} split of {dataset.name} ({protocol}) has {lack}. "
                "It needs both classes: add images, or raise the limit where one is set."
            )
    return result


def _official(
    dataset: Dataset,
    hashes: Sequence[str],
    draw: NDArray[np.float64],
    validation_share: float,
    also_held_out: Collection[str],
) -> tuple[NDArray[np.intp], int]:
    own = np.array([{"train": 0, "validation": 1, "test": 2}.get(s or "train", 0) for s in dataset.splits])
    if not (own == 2).any():
        raise DatasetError(f"{dataset.name} has no test folder of its own; use protocol = 'pooled'.")
    side = own.copy()
    if not (own == 1).any():
        side[(own == 0) & (draw < validation_share)] = 1
    dropped = 0
    held_out = set(also_held_out)
    for later in (2, 1):
        held_out |= {hashes[i] for i in np.flatnonzero(side == later).tolist()}
        earlier = np.flatnonzero((side >= 0) & (side < later)).tolist()
        leaks = [i for i in earlier if hashes[i] and hashes[i] in held_out]
        side[leaks] = -1
        dropped += len(leaks)
    return side, dropped


def _uniform(seed: int, content_hash: str) -> float:
    digest = hashlib.sha256(f"{seed}:{content_hash}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
