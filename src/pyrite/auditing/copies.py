"""How many copies a dataset has, under which labels, and in which of its splits."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyrite.datasets import Dataset
from pyrite.datasets.duplicates import Pairs

Indices = NDArray[np.intp]

_ORDER = {"train": 0, "validation": 1, "test": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """How many pairs of copies there are, and where."""

    pairs: int
    complete: bool = True
    """Whether these are all: a search ends after very many, and crops are looked for among so many images alone."""
    compared: int = 0
    """How many images were compared; of identical ones, one stands for all."""
    real: int
    """Pairs of two real images."""
    ai: int
    """Pairs of two AI images."""
    both: int
    """Pairs under both labels."""
    between: int
    """Pairs of images from two of the data's own splits; images of none are in no such pair."""
    leaked: dict[str, int]
    """How many images of the validation and of the test split have such a copy in an earlier one; for copies that are
    not identical, such a one or an identical one."""


def count_identical(dataset: Dataset, groups: Sequence[Indices], images: int) -> Copies:
    """Count the pairs within groups of identical files, each of rising indices.

    They are counted by how many images of which label and split each group has, since blanks may be
    in the thousands.
    """
    real = ai = pairs = between = 0
    for group in groups:
        of_ai = int(dataset.labels[group].sum())
        pairs += _pairs(len(group))
        ai += _pairs(of_ai)
        real += _pairs(len(group) - of_ai)
        splits = Counter(name for i in group if (name := dataset.splits[i]))
        between += _pairs(splits.total()) - sum(_pairs(count) for count in splits.values())
    return Copies(
        pairs=pairs, compared=images, real=real, ai=ai, both=pairs - real - ai, between=between,
        leaked=_leaked(dataset, groups),
    )  # fmt: skip


def count_near(dataset: Dataset, groups: Sequence[Indices], near: Pairs, compared: int, *, drawn: bool) -> Copies:
    """Count copies of one kind among images of which one stands for each group of identical files.

    Args:
        dataset: The images.
        groups: Those of identical files.
        near: The pairs.
        compared: How many images were compared.
        drawn: Whether there are more, which were not.
    """
    of_ai = dataset.labels[near.first] + dataset.labels[near.second]
    between = sum(apart(dataset, i, j) for i, j in zip(near.first.tolist(), near.second.tolist(), strict=True))
    return Copies(
        pairs=len(of_ai), complete=near.complete and not drawn, compared=compared,
        real=int(np.sum(of_ai == 0)), ai=int(np.sum(of_ai == 2)), both=int(np.sum(of_ai == 1)), between=between,
        leaked=_leaked(dataset, groups, near),
    )  # fmt: skip


def apart(dataset: Dataset, i: int, j: int) -> bool:
    """Say whether two images are in two of the data's own splits."""
    first, second = dataset.splits[i], dataset.splits[j]
    return first is not None and second is not None and first != second


def _pairs(count: int) -> int:
    return count * (count - 1) // 2


def _leaked(dataset: Dataset, groups: Sequence[Indices], near: Pairs | None = None) -> dict[str, int]:
    order = np.array([len(_ORDER) if name is None else _ORDER[name] for name in dataset.splits])
    earliest = order.copy()
    for group in groups:
        earliest[group] = order[group].min()
    if near:
        # Not along chains of copies, whose ends may have nothing in common.
        identical = earliest.copy()
        np.minimum.at(earliest, near.first, identical[near.second])
        np.minimum.at(earliest, near.second, identical[near.first])
        for group in groups:
            earliest[group] = earliest[group].min()
    return {
        name: int(np.sum((order == _ORDER[name]) & (earliest < order)))
        for name in ("validation", "test")
        if name in dataset.splits
    }
