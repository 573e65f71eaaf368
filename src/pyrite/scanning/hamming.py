"""All pairs of hashes within a Hamming distance, exactly, without comparing each with each."""

from collections.abc import Iterator
from itertools import combinations
from math import comb, log2

import numpy as np
from numpy.typing import NDArray

BITS = 63
"""Of a hash."""
MAX_DISTANCE = 8
"""Beyond it, pictures that have nothing in common are as near."""
_MOST_CHOSEN = 6
_SORTING = 1 / 6  # What it costs to sort a hash, in comparisons, for each doubling of their number.
Codes = NDArray[np.uint64]
Indices = NDArray[np.intp]


def find_pairs(codes: Codes, distance: int) -> tuple[Indices, Indices]:
    """Return all pairs of hashes that differ in at most `distance` bits, each once.

    The bits are cut into `distance` + k blocks. The hashes of a pair differ in at most `distance` of these, so they
    agree in at least k: for each choice of k blocks, those that agree in them are compared (Manku, Jain and Das Sarma,
    *Detecting near-duplicates for web crawling*, WWW 2007). With more hashes, k is larger, so that few agree by chance.

    Holds some 50 bytes for each hash, and the pairs.

    Args:
        codes: (n,), all different, below 2^63.
        distance: 0 to `MAX_DISTANCE`.

    Returns:
        Two arrays of indices, (m,) each; the first of a pair is the smaller.
    """
    if distance < 1 or len(codes) < 2:
        return np.empty(0, np.intp), np.empty(0, np.intp)
    chosen = min(range(1, _MOST_CHOSEN + 1), key=lambda k: _cost(len(codes), distance, k))
    masks = _masks(distance + chosen)
    found = [
        pair for blocks in combinations(range(len(masks)), chosen) for pair in _agreeing(codes, distance, masks, blocks)
    ]
    first, second = (np.concatenate([pair[i] for pair in found]) if found else np.empty(0, np.intp) for i in (0, 1))
    return np.minimum(first, second), np.maximum(first, second)


def _cost(count: int, distance: int, chosen: int) -> float:
    """Return about how many comparisons it takes to find the pairs among so many hashes."""
    agreeing: float = count * 2.0 ** float(-BITS * chosen / (distance + chosen))
    return comb(distance + chosen, chosen) * (_SORTING * log2(count) + agreeing / 2)


def _masks(count: int) -> list[np.uint64]:
    """Return so many blocks of bits, as equal in size as can be; neighbouring bits, which are alike, are apart."""
    return [np.uint64(sum(1 << bit for bit in range(block, BITS, count))) for block in range(count)]


def _agreeing(
    codes: Codes, distance: int, masks: list[np.uint64], blocks: tuple[int, ...]
) -> Iterator[tuple[Indices, Indices]]:
    """Yield the pairs that agree in these blocks, and in no others before the last of these: so each comes once."""
    mask = np.bitwise_or.reduce([masks[block] for block in blocks])
    keys = codes & mask
    order = np.argsort(keys, kind="stable")
    keys, others = keys[order], [masks[block] for block in range(blocks[-1]) if block not in blocks]
    places = np.arange(len(codes) - 1)
    for step in range(1, len(codes)):
        places = places[: np.searchsorted(places, len(codes) - step)]
        places = places[keys[places] == keys[places + step]]
        if not len(places):
            return
        first, second = order[places], order[places + step]
        differing = codes[first] ^ codes[second]
        near = np.bitwise_count(differing) <= distance
        for other in others:
            near &= (differing & other) != 0
        yield first[near], second[near]
