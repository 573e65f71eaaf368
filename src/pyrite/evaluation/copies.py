"""How many copies a dataset has, under which labels, and in which of its splits."""

from collections import Counter
from collections.abc import Iterable, Sequence
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
    """Whether these are all; the search for near copies ends after very many."""
    real: int
    """Pairs of two real images."""
    ai: int
    """Pairs of two AI images."""
    both: int
    """Pairs under both labels."""
    between: int
    """Pairs of images from two of the data's own splits."""
    leaked: dict[str, int]
    """How many images of the validation and of the test split have such a copy in an earlier one; for near copies,
    or an identical one."""


def count_identical(dataset: Dataset, groups: Sequence[Indices]) -> Copies:
    """Count the pairs within groups of identical files, each of rising indices.

    They are counted by how many images of which label and split each group has, since blanks may be
    in the thousands.
    """
    real = ai = pairs = within = 0
    for group in groups:
        of_ai = int(dataset.labels[group].sum())
        pairs += _pairs(len(group))
        ai += _pairs(of_ai)
        real += _pairs(len(group) - of_ai)
        within += sum(_pairs(count) for count in Counter(dataset.splits[i] for i in group).values())
    return Copies(
        pairs=pairs, real=real, ai=ai, both=pairs - real - ai, between=pairs - within,
        leaked=_leaked(dataset, groups),
    )  # fmt: skip


def count_near(dataset: Dataset, near: Pairs, clusters: Indices, readable: Indices) -> Copies:
    """Count near copies, given the number of each image's cluster, (n,), and the indices of those that can be read."""
    of_ai = dataset.labels[near.first] + dataset.labels[near.second]
    between = sum(dataset.splits[i] != dataset.splits[j] for i, j in zip(near.first, near.second, strict=True))
    order = readable[np.argsort(clusters[readable], kind="stable")]
    together = np.split(order, np.flatnonzero(np.diff(clusters[order])) + 1)
    return Copies(
        pairs=len(of_ai), complete=near.complete,
        real=int(np.sum(of_ai == 0)), ai=int(np.sum(of_ai == 2)), both=int(np.sum(of_ai == 1)), between=between,
        leaked=_leaked(dataset, [group for group in together if len(group) > 1]),
    )  # fmt: skip


def _pairs(count: int) -> int:
    return count * (count - 1) // 2


def _leaked(dataset: Dataset, groups: Iterable[Indices]) -> dict[str, int]:
    leaked: dict[str, int] = {name: 0 for name in ("validation", "test") if name in dataset.splits}
    for group in groups:
        names = Counter(name for i in group if (name := dataset.splits[i]))
        earliest = min((_ORDER[name] for name in names), default=0)
        for name in leaked:
            if _ORDER[name] > earliest:
                leaked[name] += names[name]
    return leaked
