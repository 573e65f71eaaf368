"""What belongs together in a dataset: copies, near copies, and groups such as one video's frames."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pyrite.bundle.preprocess import Pixels
from pyrite.datasets.dataset import Dataset
from pyrite.datasets.decode import Progress
from pyrite.datasets.duplicates import Indices, cluster, find_copies, find_near_copies

NEAR_SIDE = 32
"""Pixels a side that images are compared at."""
MAX_COMPARED = 200_000
"""Images beyond which near copies are not looked for: every one is compared with every other."""
_INDEPENDENT = 0.9  # clusters for each image, below which figures say how few there are


@dataclass(frozen=True, slots=True)
class Clusters:
    """Which images belong together."""

    numbers: Indices
    """(n,), the same for images of one cluster."""
    searched: bool
    """Whether near copies were looked for, and all of them found."""


def caution_of_clusters(images: int, clusters: int) -> str | None:
    """Return what so few clusters mean for the figures of some images; `None` where they mean little."""
    if clusters >= _INDEPENDENT * images:
        return None
    return (
        f"The {images:,} images are of {clusters:,} groups: copies, near copies, or one source. Intervals treat images "
        "as independent, so they are too narrow."
    )


def find_clusters(dataset: Dataset, hashes: Sequence[str], pixels: Pixels | None, progress: Progress) -> Clusters:
    """Return which images belong together: identical files, near copies, and the dataset's groups.

    Args:
        dataset: The images.
        hashes: (n,), each file's hexadecimal SHA-256, empty where it could not be read.
        pixels: (n, 32, 32, 3), 0 to 255; `None` where there are too many to compare.
        progress: Called with how many images were compared.
    """
    copies = find_copies(hashes)
    repeats = np.concatenate([np.empty(0, np.intp), *(group[1:] for group in copies)])
    readable = np.flatnonzero([bool(value) for value in hashes])
    chosen = readable[:0] if pixels is None else np.setdiff1d(readable, repeats)
    near = find_near_copies(
        np.empty((0, NEAR_SIDE, NEAR_SIDE, 3), np.uint8) if pixels is None else pixels, chosen, progress
    )
    named: dict[str, list[int]] = {}
    for i, name in enumerate(dataset.groups or ()):
        if name:
            named.setdefault(name, []).append(i)
    groups = [np.array(members, np.intp) for members in named.values()]
    return Clusters(cluster(len(dataset), [*copies, *groups], near), near.complete and pixels is not None)
