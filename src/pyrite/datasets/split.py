"""Train, validation and test: by content, so that no image is ever on two sides, nor what belongs to it."""

import hashlib
from collections import Counter
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
    dropped: int | None
    """Images left out of train and validation because a copy, or another of their cluster, is in a later split; `None`
    where that is not known."""


def split(
    dataset: Dataset,
    hashes: Sequence[str],
    protocol: Protocol,
    fractions: Fractions,
    seed: int,
    held_out: Collection[str] = (),
    *,
    clusters: NDArray[np.intp] | None = None,
    least: tuple[int, int, int] = (1, 1, 1),
) -> Split:
    """Divide a dataset by the hash of each file's content.

    `pooled` ignores the dataset's own splits. `official` keeps its test split, and its
    validation split where there is one; otherwise validation is cut from train in the proportion
    of the first two fractions. Every file with the same bytes falls on the same side, whatever else
    is in the dataset, and the proportions hold in every class and slice up to chance. Where chance leaves a class
    with too few images on a side, its images are counted out instead.

    Args:
        dataset: the images.
        hashes: (n,), each file's hexadecimal SHA-256, empty where it could not be read: such are in no split.
        protocol: see above.
        fractions: train, validation and test shares, summing to 1.
        seed: another seed gives another division.
        held_out: hashes that must not be trained on either: of test images that a limit left out of the dataset.
        clusters: (n,), a number for each image, the same for those that must fall on one side; by default, files of
            the same bytes.
        least: images of each class that train, validation and test need.

    Raises:
        DatasetError: a split comes out empty or with one class only, there is no official test split, or
            no file can be read.
    """
    readable = np.array([bool(value) for value in hashes])
    if not readable.any():
        raise DatasetError(f"None of the {len(dataset):,} files of {dataset.name} can be read.")
    numbers = np.unique(np.array(hashes) if clusters is None else clusters, return_inverse=True)[1]
    draw = _draw(seed, hashes, numbers)
    train_share, validation_share, test_share = fractions
    if protocol == "pooled":
        side = np.where(draw < train_share, 0, np.where(draw < train_share + validation_share, 1, 2))
        _count_out(side, readable, dataset.labels, numbers, draw, (validation_share, test_share), least)
        dropped = 0
    else:
        share = validation_share / (train_share + validation_share)
        side, dropped = _official(dataset, hashes, readable, numbers, draw, share, held_out, least)
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
    readable: NDArray[np.bool_],
    clusters: NDArray[np.intp],
    draw: NDArray[np.float64],
    validation_share: float,
    also_held_out: Collection[str],
    least: tuple[int, int, int],
) -> tuple[NDArray[np.intp], int]:
    own = np.array([{"train": 0, "validation": 1, "test": 2}.get(s or "train", 0) for s in dataset.splits])
    if not (own == 2).any():
        raise DatasetError(f"{dataset.name} has no test folder; use protocol = 'pooled'.")
    side = own.copy()
    if not (own == 1).any():
        side[(own == 0) & (draw < validation_share)] = 1
        among = readable & (own == 0) & ~np.isin(clusters, clusters[own == 2])
        _count_out(side, among, dataset.labels, clusters, 1 - draw, (validation_share, 0), (least[0], least[1], 0))
    dropped = 0
    held_out = set(also_held_out)
    for later in (2, 1):
        held_out |= {hashes[i] for i in np.flatnonzero(side == later).tolist()}
        leaks = (side >= 0) & (side < later) & readable
        leaks &= np.isin(clusters, clusters[(side == later) & readable]) | np.array([h in held_out for h in hashes])
        side[leaks] = -1
        dropped += int(leaks.sum())
    return side, dropped


def _count_out(
    side: NDArray[np.intp],
    among: NDArray[np.bool_],
    labels: NDArray[np.int8],
    clusters: NDArray[np.intp],
    draw: NDArray[np.float64],
    shares: tuple[float, float],
    least: tuple[int, int, int],
) -> None:
    """Divide the images of a class anew by their order, where their draws leave too few of them on a side.

    Args:
        side: (n,), 0, 1 and 2 for train, validation and test. It is changed.
        among: (n,), which images to look at.
        labels: (n,).
        clusters: (n,).
        draw: (n,), of each image's cluster.
        shares: Of validation and test.
        least: Images of each class that each side needs.
    """
    settled: set[int] = set()
    for label in np.unique(labels[among]):
        members = among & (labels == label)
        if all(np.sum(side[members] == number) >= needed for number, needed in enumerate(least)):
            continue
        count = int(members.sum())
        validation, test = (max(needed, round(count * share)) for needed, share in zip(least[1:], shares, strict=True))
        sizes = Counter(clusters[members].tolist())
        draws = dict(zip(clusters[members].tolist(), draw[members].tolist(), strict=True))
        left = {2: test if least[2] else 0, 1: validation}
        # A cluster that would fill a side by itself is left to train.
        for cluster in sorted(sizes, key=lambda c: (sizes[c] > max(validation, test), -draws[c])):
            if cluster in settled:
                continue
            settled.add(cluster)
            number = 2 if left[2] > 0 else 1 if left[1] > 0 else 0
            if number:
                left[number] -= sizes[cluster]
            side[among & (clusters == cluster)] = number


def _draw(seed: int, hashes: Sequence[str], clusters: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return a number from 0 to 1 for each image (n,): that of the first hash of its cluster."""
    first: dict[int, str] = {}
    for cluster, value in zip(clusters.tolist(), hashes, strict=True):
        if value and (cluster not in first or value < first[cluster]):
            first[cluster] = value
    drawn = {cluster: _uniform(seed, value) for cluster, value in first.items()}
    return np.array([drawn.get(cluster, 0.0) for cluster in clusters.tolist()])


def _uniform(seed: int, content_hash: str) -> float:
    digest = hashlib.sha256(f"{seed}:{content_hash}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
