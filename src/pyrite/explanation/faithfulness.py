"""Whether a map shows what moved the score: deletion and insertion (Petsiuk, Das and Saenko 2018), against chance."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyrite.bundle.preprocess import Pixels
from pyrite.explanation.occlusion import Floats, Score, count_patches, make_map, map_size, replace

Hidden = NDArray[np.bool_]
"""Which cells are neutral, in the shape of the map."""

RANDOM_ORDERS = 19
"""A map without information beats them all once in twenty images: a permutation test at the 5% level."""
STEPS = 16
"""Of each curve, at most."""
FEWEST_STEPS = 4
"""Of each curve if a model input is large. docs/explanation.md says how much less they find."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faithfulness:
    """Areas under the deletion and insertion curves: mean log-odds of the class that the score leans to.

    Deletion makes cells neutral, starting with those that speak most for that class. The sooner the score falls, the
    better the map, so lower is better. Insertion brings them back into the neutral image in the same order; higher is
    better.
    """

    deletion: float
    insertion: float
    random_deletion: tuple[float, ...]
    """The same cells in random orders, with the same neutral image."""
    random_insertion: tuple[float, ...]

    @property
    def beaten(self) -> int:
        """How many random orders the map beats, by insertion less deletion."""
        chance = np.subtract(self.random_insertion, self.random_deletion)
        return int(np.sum(self.insertion - self.deletion > chance))

    @property
    def better_than_random(self) -> bool:
        """Whether the map beats all of them."""
        return self.beaten == len(self.random_deletion)


def measure_faithfulness(
    pixels: Pixels, fill: Pixels, score: Score, base: float, patches: Floats, *, steps: int = STEPS, seed: int = 0
) -> Faithfulness:
    """Compare the map of one model input with random orders of its cells.

    The random maps have the same patch values in random places. Neighbours go together in them as in the map, which
    makes areas differ more by chance than with single cells; see docs/explanation.md.

    Args:
        pixels: The model input (height, width, 3).
        fill: The neutral image that the map was made with, of the same shape.
        score: Of model inputs.
        base: The score of `pixels`; above 0, the class it leans to is AI.
        patches: What the map is made of (patches,), as `occlude` gives it.
        steps: Of each curve, at most.
        seed: Of the random orders.
    """
    random = np.random.default_rng(seed)
    dealt = [patches, *(random.permutation(patches) for _ in range(RANDOM_ORDERS))]
    maps = [make_map(values, *pixels.shape[:2]) for values in dealt]
    return compare_orders(maps, lambda hidden: score(replace(pixels, fill, gone) for gone in hidden), base, steps)


def compare_orders(
    maps: Sequence[Floats], score: Callable[[Iterable[Hidden]], Floats], base: float, steps: int = STEPS
) -> Faithfulness:
    """Compare the first of several maps with the others, which are random.

    Args:
        maps: By how much each cell moves the log-odds towards AI, all of one shape.
        score: From which cells are hidden, n times, to the log-odds of AI (n,).
        base: The score with none hidden; above 0, the class it leans to is AI.
        steps: Of each curve, at most.
    """
    towards = 1 if base > 0 else -1
    shape, cells = maps[0].shape, maps[0].size
    ranks = [np.argsort(np.argsort(-towards * values.ravel(), kind="stable")).reshape(shape) for values in maps]
    steps = min(steps, cells)
    removed = np.arange(1, steps) * cells // steps

    def hidden() -> Iterator[Hidden]:
        for rank in ranks:
            yield from (rank < count for count in removed)
            yield from (rank >= count for count in removed)

    curves = towards * score(hidden()).reshape(len(maps), 2, steps - 1)
    none = float(score([np.ones(shape, np.bool_)])[0])
    whole, neutral = (np.full((len(maps), 1), towards * value) for value in (base, none))
    at = np.concatenate([[0], removed, [cells]]) / cells
    deletion = np.trapezoid(np.hstack([whole, curves[:, 0], neutral]), at)
    insertion = np.trapezoid(np.hstack([neutral, curves[:, 1], whole]), at)
    return Faithfulness(
        deletion=float(deletion[0]),
        insertion=float(insertion[0]),
        random_deletion=tuple(deletion[1:].tolist()),
        random_insertion=tuple(insertion[1:].tolist()),
    )


def count_scored(height: int, width: int, steps: int = STEPS) -> int:
    """Return how many model inputs a map and its faithfulness take, including the whole and the neutral one."""
    rows, columns = map_size(height, width)
    inner = min(steps, rows * columns) - 1
    return 2 + count_patches(height, width) + 2 * (1 + RANDOM_ORDERS) * inner
