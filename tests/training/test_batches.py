import hashlib

import numpy as np
import pytest

from pyrite.datasets import Canvases, in_chunks
from pyrite.recipe import load_recipe
from pyrite.training.batches import Batch, steps_per_epoch, train_batches
from pyrite.training.distributed import ALONE, Place

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 4, 6, 3), np.uint8)
LABELS = (np.arange(40) % 3 == 0).astype(np.int8)
INDICES = np.arange(5, 35)
PLAIN = ("batch_size=8", "height=4", "width=6", "horizontal_flip=false", "vertical_flip=false")
EXTENTS = np.array([[4 + i % 6, 6 + i % 8] for i in range(40)], np.int32)
CANVASES = np.stack([np.stack([np.full((14, 14), i), *np.mgrid[:14, :14]], -1) for i in range(40)]).astype(np.uint8)
"""Each pixel tells of which image it is, and where."""

ORDER = [[7, 9, 15, 16, 21, 26, 31, 33], [5, 8, 11, 13, 23, 28, 30, 34], [10, 12, 17, 18, 19, 22, 24, 25]]


def batches(*settings: str, epoch: int = 0, first_step: int = 0, indices: np.ndarray = INDICES) -> list[Batch]:
    recipe = load_recipe("tiny", [*PLAIN, *settings])
    return list(train_batches(PIXELS, LABELS, indices, recipe, epoch, first_step))


def which(images: np.ndarray) -> list[int]:
    return [int(np.flatnonzero((image == PIXELS).all((1, 2, 3)))[0]) for image in images]


def crop_batches(
    *settings: str, epoch: int = 0, first_step: int = 0, place: Place = ALONE, extents: np.ndarray = EXTENTS
) -> list[Batch]:
    recipe = load_recipe("tiny", [*PLAIN, "geometry=crops", *settings])
    return list(train_batches(Canvases(CANVASES, extents), LABELS, INDICES, recipe, epoch, first_step, place))


def where(crop: np.ndarray) -> tuple[int, int, int]:
    """Return the image and the place, top and left, that a crop is of."""
    [index] = {*crop[..., 0].ravel().tolist()}
    top, left = crop[0, 0, 1:].tolist()
    np.testing.assert_array_equal(crop, CANVASES[index, top : top + 4, left : left + 6])
    return index, top, left


def test_random_crops_are_windows_of_their_images_and_reach_all_of_them() -> None:
    seen: dict[int, set[tuple[int, int]]] = {}
    for epoch in range(200):
        for images, labels in crop_batches(epoch=epoch):
            assert images.shape == (8, 4, 6, 3)
            for image, label in zip(images, labels[:, 0], strict=True):
                index, top, left = where(image)
                assert label == LABELS[index]
                seen.setdefault(index, set()).add((top, left))
    assert sorted(seen) == INDICES.tolist()
    for index, places in seen.items():
        height, width = EXTENTS[index]
        room = {(top, left) for top in range(height - 3) for left in range(width - 5)}
        assert places <= room
        assert len(places) > 0.8 * min(len(room), 100)


def test_random_crops_are_of_the_same_images_as_whole_ones_and_other_places_each_epoch() -> None:
    first, second = crop_batches(), crop_batches(epoch=1)
    assert [[where(image)[0] for image in images] for images, _ in first] == ORDER
    places = [{where(image) for images, _ in epoch for image in images} for epoch in (first, second)]
    assert len(places[0] & places[1]) < 5
    digest = hashlib.sha256(b"".join(images.tobytes() for images, _ in first)).hexdigest()
    assert digest == "2fd892542d2287846b6895bad12fde0f6c6916bb060909fd3587913b111e3f21"


@pytest.mark.parametrize("settings", [(), ("horizontal_flip=true", "vertical_flip=true", "shift=1", "degrade=0.5")])
def test_random_crops_are_the_same_after_a_resumption_and_on_several_machines(settings: tuple[str, ...]) -> None:
    whole = crop_batches(*settings, epoch=3)
    for (images, _), (wanted, _) in zip(crop_batches(*settings, epoch=3, first_step=1), whole[1:], strict=True):
        np.testing.assert_array_equal(images, wanted)
    shares = [crop_batches(*settings, epoch=3, place=Place(rank, 3)) for rank in range(3)]
    for step, (wanted, labels) in enumerate(whole):
        np.testing.assert_array_equal(np.concatenate([share[step][0] for share in shares]), wanted)
        np.testing.assert_array_equal(np.concatenate([share[step][1] for share in shares]), labels)


def test_random_crops_are_turned_and_degraded_like_any_images() -> None:
    plain, turned = crop_batches(), crop_batches("horizontal_flip=true", "vertical_flip=true")
    kinds = set()
    for (images, _), (others, _) in zip(plain, turned, strict=True):
        for image, other in zip(images, others, strict=True):
            kinds |= {(h, v) for h in (1, -1) for v in (1, -1) if np.array_equal(other, image[::v, ::h])}
    assert len(kinds) == 4
    assert all((a != b).any() for (a, _), (b, _) in zip(plain, crop_batches("degrade=1"), strict=True))


def test_an_epoch_has_each_image_once_and_only_full_batches() -> None:
    epoch = batches()
    assert [images.shape for images, _ in epoch] == [(8, 4, 6, 3)] * 3
    seen = [i for images, _ in epoch for i in which(images)]
    assert len(set(seen)) == 24
    assert set(seen) <= set(INDICES.tolist())


def test_labels_go_with_their_images() -> None:
    for images, labels in batches():
        assert (images.dtype, labels.dtype, labels.shape) == (np.uint8, np.float32, (8, 1))
        assert labels[:, 0].tolist() == LABELS[which(images)].tolist()


def test_the_order_is_golden() -> None:
    assert [which(images) for images, _ in batches()] == ORDER
    assert [which(images) for images, _ in batches(epoch=1)] != ORDER
    assert [which(images) for images, _ in batches("seed=1")] != ORDER


def test_the_flips_are_golden() -> None:
    digest = hashlib.sha256()
    for images, _ in batches("horizontal_flip=true", "vertical_flip=true", epoch=2):
        digest.update(images.tobytes())
    assert digest.hexdigest() == "6ea1df152daec9e23f588c3bc2445447c11fcb2e33cf0e53c7b040981194f6b9"


@pytest.mark.parametrize("first_step", [1, 2, 3])
def test_a_later_step_begins_where_an_unbroken_epoch_would_be(first_step: int) -> None:
    both = ("horizontal_flip=true", "vertical_flip=true")
    later, whole = batches(*both, epoch=1, first_step=first_step), batches(*both, epoch=1)
    assert len(later) == 3 - first_step
    for (images, labels), (wanted_images, wanted_labels) in zip(later, whole[first_step:], strict=True):
        np.testing.assert_array_equal(images, wanted_images)
        np.testing.assert_array_equal(labels, wanted_labels)


@pytest.mark.parametrize(
    ("horizontal", "vertical"), [(True, False), (False, True), (True, True)], ids=["horizontal", "vertical", "both"]
)
def test_flips_turn_about_half_of_the_images(horizontal: bool, vertical: bool) -> None:
    flips = (f"horizontal_flip={str(horizontal).lower()}", f"vertical_flip={str(vertical).lower()}")
    counts = {(False, False): 0, (True, False): 0, (False, True): 0, (True, True): 0}
    for epoch in range(20):
        for (images, _), (plain, _) in zip(batches(*flips, epoch=epoch), batches(epoch=epoch), strict=True):
            for image, original in zip(images, plain, strict=True):
                found = [
                    (h, v) for h, v in counts if np.array_equal(image, original[:: -1 if v else 1, :: -1 if h else 1])
                ]
                assert len(found) == 1
                counts[found[0]] += 1
    expected = 480 / (2 ** (horizontal + vertical))
    for (h, v), count in counts.items():
        if (h and not horizontal) or (v and not vertical):
            assert count == 0
        else:
            assert count == pytest.approx(expected, rel=0.25)


def test_pixels_are_not_changed() -> None:
    before = PIXELS.copy()
    batches("horizontal_flip=true", "vertical_flip=true")
    np.testing.assert_array_equal(PIXELS, before)


def test_fewer_images_than_a_batch_make_one_small_batch() -> None:
    [(images, labels)] = batches(indices=np.array([3, 1, 2]))
    assert (images.shape, labels.shape) == ((3, 4, 6, 3), (3, 1))
    assert steps_per_epoch(3, load_recipe("tiny", PLAIN)) == 1


def test_chunks_cover_all_in_order() -> None:
    chunks = list(in_chunks(PIXELS, np.array([3, 1, 2, 0, 9]), 2))
    assert [len(chunk) for chunk in chunks] == [2, 2, 1]
    np.testing.assert_array_equal(np.concatenate(chunks), PIXELS[[3, 1, 2, 0, 9]])
    assert list(in_chunks(PIXELS, np.arange(0))) == []
    large = np.zeros((3, 1000, 2000, 3), np.uint8)
    assert [len(chunk) for chunk in in_chunks(large, np.arange(3))] == [1, 1, 1]


def test_shifted_images_are_windows_of_the_mirrored_image() -> None:
    seen = set()
    for epoch in range(4):
        for (images, _), (plain, _) in zip(batches("shift=2", epoch=epoch), batches(epoch=epoch), strict=True):
            for image, original in zip(images, plain, strict=True):
                padded = np.pad(original, ((2, 2), (2, 2), (0, 0)), "reflect")
                windows = {(y, x): padded[y : y + 4, x : x + 6] for y in range(5) for x in range(5)}
                [place] = [place for place, window in windows.items() if np.array_equal(window, image)]
                seen.add(place)
    assert len(seen) == 25


def test_the_share_that_is_degraded_is_what_the_recipe_says() -> None:
    indices = np.arange(40)
    assert all(images.tobytes() != plain.tobytes() for (images, _), (plain, _) in zip(
        batches("degrade=1", indices=indices), batches(indices=indices), strict=True
    ))  # fmt: skip
    counts = []
    for epoch in range(20):
        pairs = zip(
            batches("degrade=0.5", epoch=epoch, indices=indices), batches(epoch=epoch, indices=indices), strict=True
        )
        counts += [int((images != plain).any((1, 2, 3)).sum()) for (images, _), (plain, _) in pairs]
    # Half of 800, less the tenth or so whose history is empty.
    assert 300 < sum(counts) < 400


def test_both_classes_are_degraded_alike() -> None:
    indices = np.arange(40)
    changed = {0: 0, 1: 0}
    for epoch in range(20):
        for (images, labels), (plain, _) in zip(
            batches("degrade=0.5", epoch=epoch, indices=indices), batches(epoch=epoch, indices=indices), strict=True
        ):
            for label, different in zip(labels[:, 0], (images != plain).any((1, 2, 3)), strict=True):
                changed[int(label)] += bool(different)
    share = {label: count / (20 * int((label == LABELS).sum())) for label, count in changed.items()}
    assert abs(share[0] - share[1]) < 0.08


def test_degradation_is_the_same_for_the_same_seed_and_step() -> None:
    first, again, later = batches("degrade=0.5"), batches("degrade=0.5"), batches("degrade=0.5", first_step=2)
    for (images, _), (same, _) in zip(first, again, strict=True):
        np.testing.assert_array_equal(images, same)
    np.testing.assert_array_equal(first[2][0], later[0][0])


GROUPS = np.where(LABELS == 0, 0, 1 + np.arange(40) % 2)
"""One of real images, and two of AI images, of about a half each."""


def balanced(*settings: str, epoch: int = 0, groups: np.ndarray = GROUPS, place: Place = ALONE) -> list[Batch]:
    recipe = load_recipe("tiny", [*PLAIN, *settings])
    return list(train_batches(PIXELS, LABELS, INDICES, recipe, epoch, 0, place, groups))


def test_balanced_sampling_shows_as_many_images_of_each_class_and_generator() -> None:
    few = np.where(np.arange(40) == 6, 1, np.where(LABELS == 0, 0, 2))  # One AI image is all of its generator's.
    for groups, wanted in ((LABELS.astype(int), {0: 12, 1: 12}), (few, {0: 12, 1: 6, 2: 6})):
        seen: list[int] = []
        for epoch in range(10):
            seen += [
                i for images, *_ in balanced("balance=sampling", epoch=epoch, groups=groups) for i in which(images)
            ]
        counts = {group: sum(groups[i] == group for i in seen) / 10 for group in wanted}
        assert counts == pytest.approx(wanted, abs=1.5)  # An epoch leaves out what does not fill a batch.
        assert len(set(seen)) > 25


def test_weights_make_classes_and_generators_count_as_much_as_each_other() -> None:
    for groups in (LABELS.astype(int), GROUPS):
        [(images, labels, weights)] = balanced("balance=weights", "batch_size=30", groups=groups)
        found = which(images)
        assert weights.mean() == pytest.approx(1)
        assert weights[labels[:, 0] == 1].sum() == pytest.approx(15)
        sums = [weights[groups[found] == group].sum() for group in np.unique(groups)]
        assert sums == pytest.approx([15, 15] if len(sums) == 2 else [15, 7.5, 7.5])


def test_mixup_blends_pixels_and_labels_alike() -> None:
    seen = set()
    for epoch in range(6):
        pairs = zip(balanced("mixup=1", epoch=epoch), balanced(epoch=epoch), strict=True)
        for (images, labels), (plain, hard) in pairs:
            for image, label in zip(images, labels[:, 0], strict=True):
                fits = [
                    (a, b, share)
                    for a in range(8)
                    for b in range(8)
                    for share in [_share_of(image, plain[a], plain[b])]
                    if np.abs(share * plain[a] + (1 - share) * plain[b] - image).max() < 1
                ]
                a, b, share = fits[0]
                assert label == pytest.approx(share * hard[a, 0] + (1 - share) * hard[b, 0], abs=0.03)
                seen.add(round(float(label), 2))
    assert len(seen) > 10


def _share_of(image: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """Return by least squares which share of the first, and else of the second, makes an image."""
    difference = (first.astype(float) - second).ravel()
    square = difference @ difference
    return float(difference @ (image - second.astype(float)).ravel() / square) if square else 1.0


def test_cutmix_puts_a_part_of_one_image_into_another() -> None:
    cut = 0
    for (images, labels), (plain, hard) in zip(balanced("cutmix=1"), balanced(), strict=True):
        for i, image in enumerate(images):
            own = (image == plain[i]).all(-1)
            others = [j for j in range(8) if (image == plain[j]).all(-1)[~own].all()]
            share = own.mean()
            assert labels[i, 0] == pytest.approx(share * hard[i, 0] + (1 - share) * hard[others[0], 0], abs=0.05)
            cut += 0 < share < 1
    assert cut > 5


def test_all_of_it_is_the_same_after_a_resumption_and_on_several_machines() -> None:
    settings = (
        "mixup=0.4",
        "cutmix=1",
        "balance=weights",
        "augment_noise=0.5",
        "augment_jpeg=0.5",
        "augment_colour=0.5",
    )
    whole = balanced(*settings, epoch=2)
    recipe = load_recipe("tiny", [*PLAIN, *settings])
    for later, wanted in zip(
        train_batches(PIXELS, LABELS, INDICES, recipe, 2, 1, ALONE, GROUPS), whole[1:], strict=True
    ):
        for array, same in zip(later, wanted, strict=True):
            np.testing.assert_array_equal(array, same)
    shares = [balanced(*settings, epoch=2, place=Place(rank, 3)) for rank in range(3)]
    for step, wanted in enumerate(whole):
        for number, array in enumerate(wanted):
            np.testing.assert_array_equal(np.concatenate([share[step][number] for share in shares]), array)


def test_random_crops_of_several_scales_are_windows_made_smaller_or_larger() -> None:
    large = Canvases(np.repeat(np.repeat(PIXELS[:, :2, :2], 16, 1), 16, 2), np.full((40, 2), 32, np.int32))
    recipe = load_recipe("tiny", [*PLAIN, "geometry=crops", "scales=0.25,1"])
    counts: list[int] = []
    for epoch in range(4):
        for images, labels in train_batches(large, LABELS, INDICES, recipe, epoch):
            assert (images.shape, labels.shape) == ((8, 4, 6, 3), (8, 1))
            # Quarters of one colour each are 16 pixels wide: only a crop that was made smaller shows two side by side.
            counts += [int((np.abs(np.diff(image.astype(int), axis=1)).max(-1) > 8).any()) for image in images]
    assert 20 < sum(counts) < 90
    tiny = Canvases(CANVASES, EXTENTS)  # No larger than a crop, some of them: what does not fit is not made smaller.
    for images, _ in train_batches(tiny, LABELS, INDICES, recipe, 0):
        assert images.shape == (8, 4, 6, 3)


SQUARE = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), np.uint8)
NEW = ("turn", "grey", "border", "erase")


def square(*settings: str, epoch: int = 0, place: Place = ALONE, first_step: int = 0) -> list[Batch]:
    recipe = load_recipe("tiny", [*PLAIN, "height=16", "width=16", *settings])
    return list(train_batches(SQUARE, LABELS, INDICES, recipe, epoch, first_step, place))


def pairs_of(*settings: str, epochs: int = 10) -> list[tuple[np.ndarray, np.ndarray, int]]:
    """Return images as they are changed and as they were, with their labels, of some epochs."""
    return [
        (image, original, int(label))
        for epoch in range(epochs)
        for (images, labels), (plain, _) in zip(square(*settings, epoch=epoch), square(epoch=epoch), strict=True)
        for image, original, label in zip(images, plain, labels[:, 0], strict=True)
    ]


def test_turned_images_are_turned_by_each_quarter() -> None:
    turns = []
    for image, original, _ in pairs_of("turn=0.75"):
        [quarters] = [k for k in range(4) if np.array_equal(image, np.rot90(original, k))]
        turns.append(quarters)
    assert np.bincount(turns) / len(turns) == pytest.approx([0.25] * 4, abs=0.08)


def test_grey_images_have_the_luma_of_what_they_were() -> None:
    found = pairs_of("grey=0.5")
    grey = [(image, original) for image, original, _ in found if not np.array_equal(image, original)]
    assert len(grey) / len(found) == pytest.approx(0.5, abs=0.1)
    for image, original in grey:
        luma = original @ np.array([0.299, 0.587, 0.114])
        np.testing.assert_allclose(image, np.repeat(luma[..., None], 3, -1), atol=1)


def test_a_border_is_over_an_image_or_around_it() -> None:
    over, around = 0, 0
    for image, original, _ in pairs_of("border=1"):
        same = (image == original).all(-1)
        if same[2:-2, 2:-2].all():  # An eighth of a side, at most.
            over += 1
            assert not same[0].any() or not same[:, 0].any()
            colours = np.unique(image[~same].reshape(-1, 3), axis=0)
            assert len(colours) == 1
        else:
            around += 1
            assert {tuple(image[y, x]) for y in (0, -1) for x in (0, -1)} & {
                tuple(colour) for colour in image.reshape(-1, 3)[[0, -1]]
            }
    assert over / (over + around) == pytest.approx(0.5, abs=0.12)


def test_what_is_erased_is_a_box_of_noise() -> None:
    areas = []
    for image, original, _ in pairs_of("erase=1"):
        rows, columns = np.nonzero((image != original).any(-1))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        changed = (image != original)[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert changed.any(-1).mean() > 0.9
        areas.append(height * width / 256)
    assert 0 < min(areas) < 0.05
    assert 0.15 < max(areas) <= 0.25


@pytest.mark.parametrize("name", NEW)
def test_each_change_comes_to_its_share_of_either_class(name: str) -> None:
    found = pairs_of(f"{name}=0.5", epochs=20)
    shares = [np.mean([not np.array_equal(a, b) for a, b, label in found if label == kind]) for kind in (0, 1)]
    assert shares == pytest.approx([0.5, 0.5], abs=0.1)


def test_alternating_images_are_mirrored_in_every_other_epoch() -> None:
    seen: dict[int, list[tuple[bool, int]]] = {}
    for epoch in range(8):
        for (images, _), (plain, _) in zip(
            square("horizontal_flip=true", "alternating_flip=true", epoch=epoch), square(epoch=epoch), strict=True
        ):
            for image, original in zip(images, plain, strict=True):
                mirrored = np.array_equal(image, original[:, ::-1])
                assert mirrored or np.array_equal(image, original)
                [index] = np.flatnonzero((original == SQUARE).all((1, 2, 3)))
                seen.setdefault(int(index), []).append((mirrored, epoch % 2))
    firsts = [{mirrored != odd for mirrored, odd in turns} for turns in seen.values()]
    assert all(len(kinds) == 1 for kinds in firsts)
    assert 5 < sum(True in kinds for kinds in firsts) < 25


@pytest.mark.parametrize(
    "settings",
    [
        ("horizontal_flip=true", "alternating_flip=true"),
        ("turn=0.5", "grey=0.5", "border=0.5", "erase=0.5", "degrade=0.5"),
        ("turn=0.5", "border=0.5", "erase=0.5", "augment_jpeg=0.5", "mixup=0.5"),
    ],
)
def test_changes_are_the_same_after_a_resumption_and_on_several_machines(settings: tuple[str, ...]) -> None:
    whole = square(*settings, epoch=3)
    for later, wanted in zip(square(*settings, epoch=3, first_step=2), whole[2:], strict=True):
        np.testing.assert_array_equal(later[0], wanted[0])
    shares = [square(*settings, epoch=3, place=Place(rank, 3)) for rank in range(3)]
    for step, (wanted, answers) in enumerate(whole):
        np.testing.assert_array_equal(np.concatenate([share[step][0] for share in shares]), wanted)
        np.testing.assert_array_equal(np.concatenate([share[step][1] for share in shares]), answers)
