import json

import numpy as np
import pytest

from novelties import bordered, textures
from pyrite.bundle import Novelty, read_novelty, write_novelty
from pyrite.bundle.novelty import STATISTICS, Gaussians, Group, measure_statistics, merge, unit
from pyrite.errors import BundleError
from pyrite.publishing.novelty import fit_novelty

EMPTY = {"shape": [8, 8], "values": ""}
RNG = np.random.default_rng(0)


def drawn(count: int, seed: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return statistics and features of images, the features in two classes."""
    rng = np.random.default_rng(seed)
    statistics = rng.normal(shift, 1, (count, len(STATISTICS)))
    features = rng.normal(shift, 1, (count, 6)) + 4 * (np.arange(count) % 2)[:, None]
    return statistics.astype(np.float32), features.astype(np.float32)


@pytest.fixture(scope="module")
def fitted() -> Novelty:
    looks = {"as they are": drawn(4000, 1), "degraded": drawn(4000, 2, 0.2)}
    return fit_novelty(looks, np.arange(4000) % 2, seed=0)


def test_copies_are_no_measure_of_how_near_images_are() -> None:
    statistics, features = drawn(60, 1)
    copies = statistics.repeat(60, 0), features.repeat(60, 0)
    pictures, labels = np.arange(60).repeat(60), (np.arange(60) % 2).repeat(60)
    parted, mixed = (
        fit_novelty({"all": copies}, labels, seed=0, pictures=chosen).groups["all"].distances[:, 2]
        for chosen in (pictures, None)
    )
    assert parted.min() > 1e-4  # To the tenth neighbour.
    assert np.mean(mixed < 1e-6) > 0.9


def test_statistics_of_images_that_one_can_work_out() -> None:
    flat = np.full((1, 32, 32, 3), 128, np.uint8)
    stripes = flat.copy()
    stripes[:, :, ::2] = 0  # They change along rows alone, at half a cycle per pixel.
    red = np.zeros((1, 32, 32, 3), np.uint8)
    red[..., 0] = 255
    found = dict(zip(STATISTICS, measure_statistics(np.concatenate([flat, stripes, red])).T, strict=True))
    assert found["colourfulness"] == pytest.approx([0, 0, 0.3 * np.hypot(1, 0.5)], abs=1e-6)
    assert found["anisotropy"] == pytest.approx([0, np.log(31 * 32 * (128 / 255) ** 2 / 1e-6), 0], abs=1e-3)
    assert found["edge contrast"] == pytest.approx([0, 0, 0], abs=0.05)
    powers = [found[f"power of band {i}"] for i in range(1, 6)]
    assert [int(np.argmax(column)) for column in powers[-1:]] == [1]
    assert all(column[0] == pytest.approx(np.log(1e-6), abs=1e-3) for column in powers)


def test_statistics_are_golden() -> None:
    pixels = np.random.default_rng(7).integers(0, 256, (1, 32, 32, 3), np.uint8)
    golden = [0.5529, 1.8778, 1.3407, 1.4564, 1.5178, 1.7346, -0.0219, 0.0277]
    found = measure_statistics(pixels)[0]
    assert found.dtype == np.float32
    assert found == pytest.approx(golden, abs=1e-3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 2), (8, 8), (224, 96)])
def test_images_of_any_size_have_statistics(shape: tuple[int, int]) -> None:
    found = measure_statistics(RNG.integers(0, 256, (2, *shape, 3), np.uint8))
    assert found.shape == (2, len(STATISTICS))
    assert np.isfinite(found).all()


def test_an_images_statistics_do_not_depend_on_its_batch() -> None:
    images = textures(5)
    alone = np.concatenate([measure_statistics(images[i : i + 1]) for i in range(5)])
    assert alone == pytest.approx(measure_statistics(images), abs=1e-5)


def test_a_distance_is_that_to_the_nearest_class() -> None:
    gaussians = Gaussians(np.array([[0, 0], [10, 0]], np.float32), np.diag([0.5, 2]).astype(np.float32))
    rows = np.array([[0, 0], [2, 0], [10, 1], [6, 0]], np.float32)
    assert gaussians.distance(rows) == pytest.approx([0, 1, 2, 2])


def test_the_tenth_neighbour_counts() -> None:
    neighbours = unit(np.array([[1, i / 10] for i in range(30)], np.float32))
    group = Group(np.zeros((1, 3), np.float32), np.zeros(1, np.float32))
    near = Gaussians(np.zeros((1, 2), np.float32), np.eye(2, dtype=np.float32))
    flat = Gaussians(np.zeros((1, 8), np.float32), np.eye(8, dtype=np.float32))
    novelty = Novelty(flat, near, neighbours, {"all": group})
    distances = novelty.distances(np.zeros((1, 8), np.float32), np.array([[2, 0]], np.float32))
    assert distances[0] == pytest.approx([0, 2, 1 - 1 / np.hypot(1, 0.9)])


def test_merging_is_fishers_statistic() -> None:
    kept = np.array([[1, 10], [2, 20], [3, 30]], np.float32)
    found = merge(kept, np.array([[2, 40], [0, 0]], np.float32))
    assert found == pytest.approx([-np.log([3 / 4, 1 / 4]).mean(), 0], abs=1e-5)
    own = merge(kept, np.array([[3, 30]], np.float32), own=True)
    assert own == pytest.approx([-np.log(1 / 4)], abs=1e-5)


@pytest.mark.parametrize(("seed", "shift"), [(3, 0.0), (4, 0.2)])
def test_the_rate_holds_in_each_group(fitted: Novelty, seed: int, shift: float) -> None:
    p = fitted.p_typical(*drawn(20_000, seed, shift))
    for rate in (0.01, 0.05, 0.2):
        assert np.mean(p <= rate) <= 1.3 * rate  # Which 2,000 images of a group can show.
    assert p.max() <= 1


def test_what_lies_far_off_is_foreign(fitted: Novelty) -> None:
    statistics, features = drawn(200, 5)
    assert (fitted.p_typical(statistics + 9, features - 30) <= fitted.rate).all()
    assert np.mean(fitted.p_typical(statistics + 9, features) <= fitted.rate) > 0.5  # By one of three distances.


def test_a_border_is_foreign_by_the_statistics_alone() -> None:
    seen = textures(600)
    novelty = fit_novelty({"all": (measure_statistics(seen), None)}, np.arange(600) % 2, seed=0)
    new = textures(200, seed=1)
    assert np.mean(novelty.p_typical(measure_statistics(new), None) <= 0.01) <= 0.03
    assert np.mean(novelty.p_typical(measure_statistics(bordered(new)), None) <= 0.01) == 1


def wide(of: np.ndarray, columns: int) -> np.ndarray:
    """Return features in more columns, at the same distances and angles."""
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(columns, columns)))
    return np.asarray(of @ turn[: of.shape[1]], np.float32)


def test_a_wide_last_layer_is_reduced_to_what_images_differ_in(fitted: Novelty) -> None:
    assert fitted.projection is None
    looks = {
        name: (statistics, wide(features, 300))
        for name, (statistics, features) in {"as they are": drawn(4000, 1), "degraded": drawn(4000, 2, 0.2)}.items()
    }
    novelty = fit_novelty(looks, np.arange(4000) % 2, seed=0)
    assert novelty.projection is not None
    assert novelty.projection.shape == (300, 64)
    statistics, features = drawn(20_000, 5)
    widened = wide(features, 300)
    angles = [of.distances(statistics, seen)[:, 2] for of, seen in ((novelty, widened), (fitted, features))]
    assert angles[0] == pytest.approx(angles[1], abs=1e-4)
    assert np.mean(novelty.p_typical(statistics, widened) <= 0.01) <= 0.013
    assert (novelty.p_typical(statistics + 9, wide(features - 30, 300)) <= novelty.rate).all()
    again = read_novelty(write_novelty(novelty), "mine")
    assert (again.p_typical(statistics, widened) == novelty.p_typical(statistics, widened)).all()


def test_it_is_read_as_it_was_written(fitted: Novelty) -> None:
    content = write_novelty(fitted)
    again = read_novelty(content, "mine")
    assert write_novelty(again) == content
    new = drawn(100, 6)
    assert (again.p_typical(*new) == fitted.p_typical(*new)).all()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"groups": {}}, "no group"),
        ({"neighbours": None}, "go together"),
        ({"rate": 2}, "rate"),
        ({"more": 1}, "more"),
        (
            {"statistics": {"means": {"shape": [2, 7], "values": ""}, "whitening": {"shape": [8, 8], "values": ""}}},
            "shape",
        ),
        ({"statistics": {"means": {"shape": [2, 8], "values": ""}, "whitening": {"shape": [8, 8], "values": ""}}}, ""),
        ({"neighbours": {"shape": [0, 6], "values": ""}}, "shape"),
        ({"projection": {"shape": [9, 5], "values": ""}}, "shape"),
        ({"features": None, "neighbours": None, "projection": {"shape": [9, 6], "values": ""}}, "no features"),
        ({"neighbours": {"shape": [1, 6], "values": "AADAfwAAwH8AAMB/AADAfwAAwH8AAMB/"}}, "not a number"),
    ],
)
def test_what_is_not_valid_is_refused(fitted: Novelty, change: dict[str, object], why: str) -> None:
    content = json.loads(write_novelty(fitted)) | change
    with pytest.raises(BundleError, match=f"novelty.json in the bundle mine is not valid: .*{why}"):
        read_novelty(json.dumps(content).encode(), "mine")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, b"null"])
def test_what_is_no_json_is_refused(content: bytes) -> None:
    with pytest.raises(BundleError, match="not valid"):
        read_novelty(content, "mine")


def test_distances_that_are_not_ascending_are_refused(fitted: Novelty) -> None:
    group = fitted.groups["degraded"]
    broken = Novelty(
        fitted.statistics,
        fitted.features,
        fitted.neighbours,
        {"degraded": Group(group.distances[::-1].copy(), group.merged)},
    )
    with pytest.raises(BundleError, match="ascending"):
        read_novelty(write_novelty(broken), "mine")
