from collections.abc import Iterable

import numpy as np
import pytest
from numpy.typing import NDArray

from pyrite.bundle import Crops
from pyrite.bundle.preprocess import Pixels
from pyrite.explanation.crops import (
    HALVES,
    QUARTERS,
    Parts,
    arrange,
    count_ways,
    explain_crops,
    find_spans,
    read_logits,
    score_ways,
)
from pyrite.explanation.occlusion import make_neutral, replace


def crooked(inputs: Iterable[Pixels]) -> NDArray[np.float64]:
    """Score in a way that no sum over pixels would."""
    weights = np.random.default_rng(0).normal(size=(12, 16, 3))
    return np.array([float(np.sin(np.sum(weights * pixels) / 500) * 3) for pixels in inputs])


def some_crops(count: int = 5) -> Pixels:
    return np.random.default_rng(1).integers(0, 256, (count, 12, 16, 3), np.uint8)


@pytest.mark.parametrize("parts", [QUARTERS, HALVES])
@pytest.mark.parametrize("top_share", [1.0, 0.5, 0.0])
def test_reusing_the_logits_of_crops_equals_scoring_all_of_them_anew(parts: Parts, top_share: float) -> None:
    crops, merge = some_crops(), Crops(height=12, width=16, top_share=top_share).merge
    table = score_ways(crops, parts, crooked)
    assert table.shape == (5, count_ways(parts))
    hidden = np.random.default_rng(2).random((40, 5, parts[0] * parts[1])) < 0.5
    anew = [
        merge(
            crooked(
                replace(crop, make_neutral(crop), gone.reshape(parts)) for crop, gone in zip(crops, each, strict=True)
            )
        )
        for each in hidden
    ]
    np.testing.assert_array_equal(read_logits(table, hidden, merge), anew)


def test_a_part_s_value_is_what_the_score_of_the_image_loses_without_it() -> None:
    crops, merge = some_crops(), Crops(height=12, width=16).merge
    table = score_ways(crops, QUARTERS, crooked)
    moved, _, base = explain_crops(lambda hidden: read_logits(table, hidden, merge), 5, QUARTERS)
    assert base == merge(crooked(crops))
    changed = crops.copy()
    changed[3, 6:, :8] = make_neutral(crops[3])[6:, :8]
    assert moved[3, 2] == pytest.approx(base - merge(crooked(changed)))


def test_crops_of_which_none_tells_more_than_another_are_no_better_than_random() -> None:
    table = np.tile(np.linspace(1, 0, 16)[[bin(way).count("1") for way in range(16)]], (5, 1))
    _, found, _ = explain_crops(
        lambda hidden: read_logits(table, hidden, lambda logits: float(logits.mean())), 5, QUARTERS
    )
    assert not found.better_than_random


def test_a_map_of_chance_passes_once_in_twenty() -> None:
    """Parts that do what they do only together: alone, each moves the score by an amount that means nothing."""
    random, passed, trials = np.random.default_rng(3), 0, 200
    for seed in range(trials):
        table, alone = random.normal(size=(5, 16)), [1, 2, 4, 8]
        table[:, alone] = table[:, :1] + random.normal(size=(5, 4)) / 100
        _, found, _ = explain_crops(
            lambda hidden, table=table: read_logits(table, hidden, lambda logits: float(logits.mean())),
            5,
            QUARTERS,
            seed=seed,
        )
        passed += found.better_than_random
    assert passed <= 20  # More come of 5% with a chance of 0.1%.


def test_the_parts_of_crops_become_rows_and_columns() -> None:
    moved = np.arange(24).reshape(6, 4)
    expected = [[0, 1, 4, 5, 8, 9], [2, 3, 6, 7, 10, 11], [12, 13, 16, 17, 20, 21], [14, 15, 18, 19, 22, 23]]
    assert arrange(moved, 2, QUARTERS).tolist() == expected
    assert arrange(np.arange(6).reshape(3, 2), 1, HALVES).tolist() == [[0, 1, 2, 3, 4, 5]]


def test_spans_tell_where_cells_lie_with_gaps_and_overlaps() -> None:
    assert find_spans([(0, 224), (500, 724), (0, 224)], 2, 224) == ((0, 112), (112, 224), (500, 612), (612, 724))
    assert find_spans([(0, 224), (76, 300)], 2, 224) == ((0, 112), (112, 224), (76, 188), (188, 300))
    # What was mirrored is no part of the image.
    assert find_spans([(0, 150)], 2, 224) == ((0, 112), (112, 150))
