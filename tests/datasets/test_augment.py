import hashlib

import numpy as np
import pytest

from pyrite.datasets.augment import CHAIN, RandomHistory, augmentation_at_random
from pyrite.datasets.degrade import degrade
from pyrite.recipe import load_recipe

y, x = np.mgrid[:40, :56]
PIXELS = (np.stack([4 * x, 6 * y, 255 - 4 * x], -1) * (0.8 + 0.2 * ((x + y) % 2))[..., None]).astype(np.uint8)
"""A chequered gradient of colours, so that every step leaves a trace."""
NONE = dict.fromkeys(CHAIN, 0.0)


def augmented(shares: dict[str, float], seed: int, pixels: np.ndarray = PIXELS) -> np.ndarray:
    return degrade(pixels, augmentation_at_random({**NONE, **shares}, np.random.default_rng(seed)))


def test_a_recipe_has_a_share_for_every_step() -> None:
    assert tuple(load_recipe("tiny").augmentation) == tuple(CHAIN)


@pytest.mark.parametrize(
    ("step", "sha256"),
    [
        ("resize", "641a4a8ab0f5420d"),
        ("colour", "f4ca61bb598ad3d4"),
        ("noise", "57bfe601b6b8d2ca"),
        ("screenshot", "109efe331d0a9d0b"),
    ],
)
def test_what_does_not_hang_on_a_library_of_files_is_golden(step: str, sha256: str) -> None:
    digest = hashlib.sha256(b"".join(augmented({step: 1}, seed).tobytes() for seed in range(3))).hexdigest()
    assert digest[:16] == sha256


@pytest.mark.parametrize("step", CHAIN)
def test_each_step_changes_pixels_and_neither_size_nor_input(step: str) -> None:
    before = PIXELS.copy()
    results = [augmented({step: 1}, seed) for seed in range(20)]
    assert {(result.shape, result.dtype) for result in results} == {(PIXELS.shape, np.dtype(np.uint8))}
    assert all((result != PIXELS).any() for result in results)
    assert len({result.tobytes() for result in results}) == 20
    np.testing.assert_array_equal(PIXELS, before)
    np.testing.assert_array_equal(augmented({step: 1}, 7), results[7])


def test_the_shares_are_what_is_asked_for() -> None:
    rng = np.random.default_rng(0)
    lengths = [len(augmentation_at_random({**NONE, "blur": 0.25, "jpeg": 0.5}, rng)) for _ in range(2000)]
    assert np.mean(lengths) == pytest.approx(0.75, abs=0.05)
    assert not any(augmentation_at_random(NONE, rng) for _ in range(20))


def test_files_are_those_of_the_libraries_of_any_quality_with_their_blocks_anywhere() -> None:
    """What saving takes away differs from block to block, so the blocks' edges tell where their grid lies."""
    rng = np.random.default_rng(0)
    noisy = rng.integers(100, 156, (64, 64, 1), np.uint8).repeat(3, -1)
    for step in ("jpeg", "webp"):
        errors = [float(np.abs(augmented({step: 1}, seed, noisy).astype(int) - noisy).mean()) for seed in range(40)]
        assert min(errors) < 4 < 8 < max(errors), step
    columns = set()
    for seed in range(60):
        flat = augmented(
            {"jpeg": 1}, seed, np.tile(np.linspace(90, 110, 64)[None, :, None], (64, 1, 3)).astype(np.uint8)
        )
        steps = np.abs(np.diff(flat[..., 0].astype(int), axis=1)).sum(0)
        columns.add(int(np.argmax([steps[i::8].sum() for i in range(8)])))
    assert len(columns) > 4


def test_a_screenshot_is_the_whole_image_within_one_colour() -> None:
    grey = np.full((40, 56, 3), 77, np.uint8)
    for seed in range(30):
        framed = augmented({"screenshot": 1}, seed, grey)
        inside = (framed == 77).all(-1)
        height, width = inside.any(1).sum(), inside.any(0).sum()
        assert 24 <= height <= 38
        assert abs(height / 40 - width / 56) < 0.05
        assert inside.sum() == height * width
        assert len(np.unique(framed[~inside], axis=0)) == 1


def test_a_random_history_turns_greys_and_borders_as_many_as_it_should() -> None:
    def after(**shares: float) -> list[np.ndarray]:
        return [RandomHistory(**shares).apply(PIXELS, np.random.default_rng(seed)) for seed in range(600)]

    # Nothing else happens to one in ten.
    turned = after(turn=0.5)
    exact = [sum(np.array_equal(one, np.rot90(PIXELS, quarters)) for one in turned) for quarters in range(4)]
    assert exact[0] > max(exact[1:]) >= min(exact[1:]) > 0
    assert 240 <= sum(one.std(-1).mean() < 15 for one in after(grey=0.5)) <= 360  # Noise colours them a little.
    plain = sum(np.array_equal(one, PIXELS) for one in after())
    assert plain > 0 == sum(np.array_equal(one, PIXELS) for one in after(border=1))
