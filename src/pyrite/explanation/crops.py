"""Several crops of one image: each is scored once for each way to hide its parts, which gives every curve.

A crop's logit depends only on what is hidden of it. There are 2^q ways to hide q parts, so no order of hiding needs
more scores than these.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from pyrite.bundle.preprocess import Pixels
from pyrite.explanation.faithfulness import RANDOM_ORDERS, Faithfulness, Hidden, compare_orders
from pyrite.explanation.occlusion import Floats, make_neutral, replace

Parts = tuple[int, int]
"""How many rows and columns a crop is divided into."""
QUARTERS: Parts = (2, 2)
HALVES: Parts = (1, 2)


def count_ways(parts: Parts) -> int:
    """Return in how many ways the parts of a crop can be hidden, including none and all."""
    return int(2 ** (parts[0] * parts[1]))


def score_ways(crops: Pixels, parts: Parts, logits: Callable[[Iterable[Pixels]], Floats]) -> Floats:
    """Return the logit of each crop for each choice of hidden parts, (k, ways).

    Bit i of a way says whether part i is hidden, row by row.

    Args:
        crops: The model inputs (k, height, width, 3).
        parts: Of each.
        logits: From n model inputs to their logits (n,).
    """
    count = parts[0] * parts[1]
    ways = [(way >> np.arange(count) & 1).astype(np.bool_).reshape(parts) for way in range(count_ways(parts))]

    def inputs() -> Iterator[Pixels]:
        for crop in crops:
            fill = make_neutral(crop)
            yield from (replace(crop, fill, gone) for gone in ways)

    return logits(inputs()).reshape(len(crops), len(ways))


def read_logits(table: Floats, hidden: Iterable[Hidden], merge: Callable[[Floats], float]) -> Floats:
    """Return the image's logit (n,) for n choices of hidden parts.

    Args:
        table: (k, ways), as `score_ways` gives it.
        hidden: Each (k, parts).
        merge: From the logits of k crops to that of the image.
    """
    rows = np.arange(len(table))
    return np.array([merge(table[rows, gone @ (1 << np.arange(gone.shape[1]))]) for gone in hidden])


def explain_crops(
    score: Callable[[Iterable[Hidden]], Floats], crops: int, parts: Parts, *, seed: int = 0
) -> tuple[Floats, Faithfulness, float]:
    """Return how much each part moves the log-odds towards AI (crops, parts), how far to trust it, and the score.

    A part's value is what the image's score loses when only that part is hidden. The random maps have the same values,
    with the crops in random order, and the parts within each crop too. The values of one crop stay together, as in the
    map.

    Args:
        score: From which parts are hidden, each (crops, parts), n times, to the log-odds of AI (n,).
        crops: How many there are.
        parts: Of each.
        seed: Of the random orders.
    """
    shape = crops, parts[0] * parts[1]
    base = float(score([np.zeros(shape, np.bool_)])[0])
    moved = (base - score(np.eye(shape[0] * shape[1], dtype=np.bool_).reshape(-1, *shape))).reshape(shape)
    random = np.random.default_rng(seed)
    others = [random.permuted(random.permutation(moved), axis=1) for _ in range(RANDOM_ORDERS)]
    return moved, compare_orders([moved, *others], score, base), base


def arrange(moved: Floats, down: int, parts: Parts) -> Floats:
    """Arrange the parts' values (crops, parts) as one map (rows, columns), with `down` rows of crops."""
    across = len(moved) // down
    return moved.reshape(down, across, *parts).swapaxes(1, 2).reshape(down * parts[0], across * parts[1])


def find_spans(sides: Sequence[tuple[int, int]], cells: int, length: int) -> tuple[tuple[int, int], ...]:
    """Return where each row, or column, of a map starts and ends, in pixels of the image.

    Args:
        sides: From where to where each crop goes.
        cells: Of the map in each.
        length: Of a crop in pixels; what is beyond its end was mirrored, and is no part of the image.
    """
    edges = [round(i * length / cells) for i in range(cells + 1)]
    return tuple(
        (min(begin + low, end), min(begin + high, end))
        for begin, end in sorted(set(sides))
        for low, high in pairwise(edges)
    )
