from collections.abc import Iterable

import numpy as np
import pytest
from numpy.typing import NDArray

from pyrite.bundle.preprocess import Pixels
from pyrite.explanation.faithfulness import Faithfulness, count_scored, measure_faithfulness
from pyrite.explanation.occlusion import count_patches, make_map, make_neutral, occlude

SIZES = [(32, 32), (8, 8), (5, 3), (1, 1), (48, 20), (37, 64)]


class Weighing:
    """Scores by a weight for each pixel, and counts."""

    def __init__(self, seed: int, shape: tuple[int, int]) -> None:
        self.weights = np.random.default_rng(seed).normal(size=(*shape, 3)) / 100
        self.scored = 0

    def __call__(self, inputs: Iterable[Pixels]) -> NDArray[np.float64]:
        scores = [float(np.sum(self.weights * pixels)) for pixels in inputs]
        self.scored += len(scores)
        return np.array(scores)


def image(seed: int, shape: tuple[int, int]) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


@pytest.mark.parametrize("shape", SIZES)
def test_a_map_has_what_each_patch_takes_from_the_score(shape: tuple[int, int]) -> None:
    score, pixels = Weighing(1, shape), image(2, shape)
    fill = make_neutral(pixels)
    moved = make_map(occlude(pixels, fill, score, float(score([pixels])[0])), *shape)
    rows, columns = min(8, shape[0]), min(8, shape[1])
    assert moved.shape == (rows, columns)
    # The score is a sum, so a patch takes from it what its pixels brought.
    row, column = (np.arange(side) * cells // side for side, cells in zip(shape, moved.shape, strict=True))
    brought = np.zeros((rows, columns))
    np.add.at(brought, (row[:, None], column), np.sum(score.weights * (pixels.astype(float) - fill), axis=2))
    high, wide = min(2, rows), min(2, columns)
    for y in range(rows):
        for x in range(columns):
            patches = [
                brought[top : top + high, left : left + wide].sum()
                for top in range(max(0, y - high + 1), min(y, rows - high) + 1)
                for left in range(max(0, x - wide + 1), min(x, columns - wide) + 1)
            ]
            assert moved[y, x] == pytest.approx(np.mean(patches), abs=1e-9)


@pytest.mark.parametrize("shape", SIZES)
def test_curves_and_count_are_those_of_the_definition(shape: tuple[int, int]) -> None:
    score, pixels = Weighing(3, shape), image(4, shape)
    fill = make_neutral(pixels)
    base, none = score([pixels, fill]).tolist()
    score.scored = 1  # The whole image; the neutral one is scored once more.
    patches = occlude(pixels, fill, score, base)
    moved = make_map(patches, *shape)
    found = measure_faithfulness(pixels, fill, score, base, patches)
    assert score.scored == count_scored(*shape)
    towards = 1 if base > 0 else -1
    # Of a sum, what is not deleted is what is not yet inserted.
    for deletion, insertion in zip(
        (found.deletion, *found.random_deletion), (found.insertion, *found.random_insertion), strict=True
    ):
        assert deletion + insertion == pytest.approx(towards * (base + none))
    row, column = (np.arange(side) * cells // side for side, cells in zip(shape, moved.shape, strict=True))
    order = np.argsort(-towards * moved.ravel(), kind="stable")
    steps = min(16, moved.size)
    curve = []
    for step in range(steps + 1):
        gone = np.zeros(moved.size, np.bool_)
        gone[order[: step * moved.size // steps]] = True
        gone = gone.reshape(moved.shape)[row[:, None], column]
        curve.append(towards * float(np.sum(score.weights * np.where(gone[..., None], fill, pixels))))
    shares = np.array([step * moved.size // steps for step in range(steps + 1)]) / moved.size
    assert found.deletion == pytest.approx(np.trapezoid(curve, shares))


def test_a_map_that_tells_nothing_passes_once_in_twenty() -> None:
    shape, trials = (16, 16), 100
    score, pixels = Weighing(5, shape), image(6, shape)
    score.weights = np.abs(score.weights) * np.where(np.arange(16)[:, None, None] < 8, 1, -1)  # Neighbours are alike.
    pixels //= 2
    pixels[::2] += 128  # Rows that a blur takes from, or adds to.
    score.weights[::2] *= 3
    fill, random = make_neutral(pixels), np.random.default_rng(7)
    base = float(score([pixels])[0])
    passed = 0
    for seed in range(trials):
        patches = random.normal(size=count_patches(*shape))
        passed += measure_faithfulness(pixels, fill, score, base, patches, seed=seed).better_than_random
    assert 0 < passed <= 11  # More come of 5% with a chance of 0.4%.


def test_equal_is_not_better() -> None:
    same = Faithfulness(deletion=1.0, insertion=1.0, random_deletion=(1.0,) * 19, random_insertion=(1.0,) * 19)
    assert (same.beaten, same.better_than_random) == (0, False)


def test_one_random_order_that_does_as_well_is_enough_against_a_map() -> None:
    found = Faithfulness(
        deletion=0.0, insertion=2.0, random_deletion=(1.0,) * 18 + (0.0,), random_insertion=(1.0,) * 18 + (2.0,)
    )
    assert (found.beaten, found.better_than_random) == (18, False)


def test_the_random_orders_are_the_same_each_time() -> None:
    score, pixels = Weighing(8, (16, 16)), image(9, (16, 16))
    fill, base = make_neutral(pixels), float(score([pixels])[0])
    patches = occlude(pixels, fill, score, base)
    first, again = (measure_faithfulness(pixels, fill, score, base, patches) for _ in range(2))
    assert first == again
    assert first != measure_faithfulness(pixels, fill, score, base, patches, seed=1)
    assert len(set(first.random_deletion)) == 19
