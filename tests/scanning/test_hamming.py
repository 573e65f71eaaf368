"""Every pair within the distance is found, against brute force."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pyrite.scanning import hamming
from pyrite.scanning.hamming import BITS, MAX_DISTANCE, find_pairs

Codes = NDArray[np.uint64]


def clustered(count: int, seed: int) -> Codes:
    """Return hashes of which many are near to others: copies of some with a few bits flipped."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 1 << BITS, count // 4, dtype=np.uint64)
    codes = rng.choice(centres, count)
    for _ in range(10):
        flips = np.uint64(1) << rng.integers(0, BITS, count, dtype=np.uint64)
        codes ^= np.where(rng.random(count) < 0.4, flips, np.uint64(0))
    return np.unique(codes)


def brute_force(codes: Codes, distance: int) -> set[tuple[int, int]]:
    near = np.bitwise_count(codes[:, None] ^ codes[None, :]) <= distance
    return {(int(i), int(j)) for i, j in zip(*np.nonzero(np.triu(near, 1)), strict=True)}


@pytest.mark.parametrize("chosen", [None, 1, 2, 3, 4])
@pytest.mark.parametrize("distance", range(MAX_DISTANCE + 1))
def test_all_pairs_are_found_and_each_once(distance: int, chosen: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if chosen:
        monkeypatch.setattr(hamming, "_cost", lambda count, distance, k: abs(k - chosen))
    codes = clustered(600, distance)
    first, second = find_pairs(codes, distance)
    found = list(zip(first.tolist(), second.tolist(), strict=True))
    assert len(found) == len(set(found))
    assert set(found) == brute_force(codes, distance)
    assert bool(found) == (distance > 0)


def test_hashes_of_which_all_share_a_block_are_compared_too() -> None:
    codes = np.unique(np.random.default_rng(0).integers(0, 1 << 12, 500, dtype=np.uint64))
    first, second = find_pairs(codes, 3)
    assert set(zip(first.tolist(), second.tolist(), strict=True)) == brute_force(codes, 3)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_for_a_pair(count: int) -> None:
    first, second = find_pairs(np.arange(count, dtype=np.uint64), 4)
    assert (len(first), len(second)) == (0, 0)
