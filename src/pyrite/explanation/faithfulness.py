"""Whether a map tells what moved the score: deletion and insertion (Petsiuk, Das and Saenko 2018), against chance."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pyrite.bundle.preprocess import Pixels
from pyrite.explanation.occlusion import Floats, Score, count_patches, make_map, map_size, replace

RANDOM_ORDERS = 19
"""A map that tells nothing beats them all once in twenty images: a permutation test at the level of 5%."""
STEPS = 16
"""Of each curve, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faithfulness:
    """Areas under the curves, in log-odds of the class that the score leans to: the mean over the curve.

    Deletion makes cells neutral, the ones that spoke most for that class first; the sooner the score
    falls, the better the map, so lower is better. Insertion brings them back into the neutral image; higher is better.
    """

    deletion: float
    insertion: float
    random_deletion: tuple[float, ...]
    """Of the same cells in random orders, with the same neutral image."""
    random_insertion: tuple[float, ...]

    @property
    def beaten(self) -> int:
        """How many random orders the map does better than, by insertion less deletion."""
        chance = np.subtract(self.random_insertion, self.random_deletion)
        return int(np.sum(self.insertion - self.deletion > chance))

    @property
    def better_than_random(self) -> bool:
        """Whether that is all of them."""
        return self.beaten == len(self.random_deletion)


def measure_faithfulness(
    pixels: Pixels, fill: Pixels, score: Score, base: float, patches: Floats, *, seed: int = 0
) -> Faithfulness:
    """Hold a map against random orders of its cells.

    These are of maps whose patches have the same values in random places. Neighbours go together in them as in the
    map, which makes areas differ more by chance than cells do that go one by one; see docs/explanation.md.

    Args:
        pixels: The model input (height, width, 3).
        fill: The neutral image that the map was made with, of the same shape.
        score: Of model inputs.
        base: The score of `pixels`; above 0, the class it leans to is AI.
        patches: What the map is made of (patches,), as `occlude` gives it.
        seed: Of the random orders.
    """
    towards = 1 if base > 0 else -1
    random = np.random.default_rng(seed)
    dealt = [patches, *(random.permutation(patches) for _ in range(RANDOM_ORDERS))]
    maps = [make_map(towards * values, *pixels.shape[:2]) for values in dealt]
    orders = [np.argsort(-values.ravel(), kind="stable") for values in maps]
    rows, columns = maps[0].shape
    cells = rows * columns
    steps = min(STEPS, cells)
    removed = np.arange(1, steps) * cells // steps

    def inputs() -> Iterator[Pixels]:
        for order in orders:
            rank = np.argsort(order).reshape(rows, columns)
            yield from (replace(pixels, fill, rank < count) for count in removed)
            yield from (replace(fill, pixels, rank < count) for count in removed)

    curves = towards * score(inputs()).reshape(len(orders), 2, steps - 1)
    whole, none = (np.full((len(orders), 1), towards * value) for value in (base, float(score([fill])[0])))
    at = np.concatenate([[0], removed, [cells]]) / cells
    deletion = np.trapezoid(np.hstack([whole, curves[:, 0], none]), at)
    insertion = np.trapezoid(np.hstack([none, curves[:, 1], whole]), at)
    return Faithfulness(
        deletion=float(deletion[0]),
        insertion=float(insertion[0]),
        random_deletion=tuple(deletion[1:].tolist()),
        random_insertion=tuple(insertion[1:].tolist()),
    )


def count_scored(height: int, width: int) -> int:
    """Return how many images are scored for a map and its faithfulness, the whole and the neutral one among them."""
    rows, columns = map_size(height, width)
    inner = min(STEPS, rows * columns) - 1
    return 2 + count_patches(height, width) + 2 * (1 + RANDOM_ORDERS) * inner
