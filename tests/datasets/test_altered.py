from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from pyrite.bundle.preprocess import Pixels, Resize
from pyrite.datasets import Dataset, altered, decode
from pyrite.datasets.altered import find_bordered, find_cropped, find_mirrored, without
from pyrite.datasets.duplicates import Pairs, find_near_copies
from pyrite.datasets.views import Views, read_views
from pyrite.image import open_image


def picture(seed: int, size: tuple[int, int] = (160, 160)) -> Image.Image:
    """Return a picture with something of every size, as photographs have, and unlike any other."""
    random = np.random.default_rng(seed)
    values = np.full((size[1], size[0], 3), 128.0)
    for cells in (2, 4, 8, 16, 32, 64):
        noise = Image.fromarray(random.integers(0, 256, (cells, cells, 3), np.uint8))
        values += (np.asarray(noise.resize(size, Image.Resampling.BICUBIC), float) - 128) / cells**0.5
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def crop(image: Image.Image, width: float, height: float) -> Image.Image:
    across, down = round(image.width * width), round(image.height * height)
    left, top = (image.width - across) // 2, (image.height - down) // 2
    return image.crop((left, top, left + across, top + down))


def save(folder: Path, images: list[Image.Image]) -> tuple[Pixels, Views, np.ndarray]:
    """Return what images saved as JPEG at quality 80, real and AI in turn, are compared by."""
    for label in ("ai", "real"):
        (folder / label).mkdir(parents=True)
    names = []
    for i, image in enumerate(images):
        names.append(f"{('real', 'ai')[i % 2]}/{i:03}.jpg")
        image.save(folder / names[-1], quality=80)
    dataset = Dataset.open(folder)
    order = np.array([dataset.paths.index(name) for name in names])
    everything = np.arange(len(images))
    return decode(dataset, Resize(height=32, width=32)).pixels, read_views(dataset, 32, everything), order


def found_among(found: Pairs, order: np.ndarray) -> set[tuple[int, int]]:
    """Return pairs as numbers of the images that were saved."""
    back = np.argsort(order)
    return {
        (min(i, j), max(i, j)) for i, j in zip(back[found.first].tolist(), back[found.second].tolist(), strict=True)
    }


SHARED = Path(__file__).parents[3] / "shared" / "data"


CROPS: dict[str, Callable[[Image.Image], Image.Image]] = {
    **{
        f"{share} of each side": (lambda image, share=share: crop(image, share, share))
        for share in (0.9, 0.77, 0.6, 0.5)
    },
    "square of a landscape": lambda image: crop(image, image.height / image.width, 1),
    "square of 0.7 of the height": lambda image: crop(image, 0.7 * image.height / image.width, 0.7),
}
BORDERS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "white": lambda image: ImageOps.expand(image, 12, (255, 255, 255)),
    "thick and red": lambda image: ImageOps.expand(image, 60, (200, 30, 40)),
    "bars": lambda image: ImageOps.pad(image, (240, 240), color=(0, 0, 0)),
    "on one side": lambda image: ImageOps.expand(image, (0, 0, 0, 30), (20, 20, 20)),
}


def test_mirrored_copies_are_found_and_nothing_else(tmp_path: Path) -> None:
    images = [picture(i) for i in range(20)]
    pixels, _, order = save(tmp_path, [*images, *(ImageOps.mirror(image) for image in images[:6])])
    everything = np.arange(26)
    found = find_mirrored(pixels, everything)
    assert found_among(found, order) == {(i, 20 + i) for i in range(6)}
    assert found.likeness.min() > 0.95
    assert list(found.likeness) == sorted(found.likeness, reverse=True)
    assert len(find_near_copies(pixels, everything).first) == 0


@pytest.mark.parametrize("change", BORDERS.values(), ids=BORDERS)
def test_a_border_does_not_hide_a_copy(tmp_path: Path, change: Callable[[Image.Image], Image.Image]) -> None:
    images = [picture(i, (200, 150)) for i in range(12)]
    pixels, views, order = save(tmp_path, [*images, *(change(image) for image in images[:4])])
    assert found_among(find_bordered(pixels, np.arange(16), views), order) == {(i, 12 + i) for i in range(4)}


def test_two_copies_with_different_borders_are_found(tmp_path: Path) -> None:
    framed = [BORDERS[name](picture(0, (200, 150))) for name in ("white", "thick and red")]
    pixels, views, order = save(tmp_path, [*framed, *(picture(i, (200, 150)) for i in range(1, 8))])
    assert found_among(find_bordered(pixels, np.arange(9), views), order) == {(0, 1)}


@pytest.mark.parametrize("change", CROPS.values(), ids=CROPS)
def test_crops_of_the_middle_are_found_and_nothing_else(
    tmp_path: Path, change: Callable[[Image.Image], Image.Image]
) -> None:
    images = [picture(i, (240, 160)) for i in range(12)]
    crops = [change(image).resize((128, 128)) if i % 2 else change(image) for i, image in enumerate(images[:4])]
    pixels, views, order = save(tmp_path, [*images, *crops])
    steps: list[tuple[int, int]] = []
    found = find_cropped(pixels, np.arange(16), views, lambda done, total: steps.append((done, total)))
    assert found_among(found, order) == {(i, 12 + i) for i in range(4)}
    assert found.complete
    assert steps[-1][0] == steps[-1][1] == len(steps)


def test_too_small_crops_and_those_of_a_corner_are_not_found(tmp_path: Path) -> None:
    image = picture(0, (240, 160))
    pixels, views, _ = save(tmp_path, [image, crop(image, 0.3, 0.3), image.crop((0, 0, 140, 94)), image.rotate(90)])
    assert len(find_cropped(pixels, np.arange(4), views).first) == 0


def test_only_chosen_images_and_those_in_detail_are_compared(tmp_path: Path) -> None:
    image = picture(0)
    pixels, views, order = save(
        tmp_path, [image, crop(image, 0.7, 0.7), crop(image, 0.6, 0.6), BORDERS["white"](image)]
    )
    three = np.sort(order[:3])
    assert found_among(find_cropped(pixels, three, views), order) == {(0, 1), (0, 2), (1, 2)}
    assert found_among(find_cropped(pixels, np.sort(order[1:3]), views), order) == {(1, 2)}
    assert len(find_bordered(pixels, three, views).first) == 0
    assert len(find_cropped(pixels, three[:0], views).first) == len(find_mirrored(pixels, three[:0]).first) == 0


def test_horizons_are_no_copies(tmp_path: Path) -> None:
    """Different seas with a horizon at the same height, which stays there in a mirror and in crops of the middle."""
    random = np.random.default_rng(0)
    images = []
    for _ in range(12):
        values = np.where(np.arange(160)[:, None, None] < 80, 190, 60) + random.normal(0, 4, (160, 160, 3))
        left, top = random.integers(20, 120, 2)
        values[top : top + 16, left : left + 24] += random.normal(0, 40, (4, 6, 1)).repeat(4, axis=0).repeat(4, axis=1)
        images.append(Image.fromarray(values.clip(0, 255).astype(np.uint8)))
    pixels, views, _ = save(tmp_path, images)
    everything = np.arange(12)
    assert len(find_mirrored(pixels, everything).first) == len(find_cropped(pixels, everything, views).first) == 0


def test_the_search_for_crops_ends_where_too_much_is_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture(0)
    pixels, views, _ = save(tmp_path, [crop(image, 1 - i / 100, 1 - i / 100) for i in range(12)])
    monkeypatch.setattr(altered, "_MAX_CANDIDATES", 3)
    monkeypatch.setattr("pyrite.datasets.duplicates._PART", 2)
    found = find_cropped(pixels, np.arange(12), views)
    assert not found.complete


def test_a_ribbon_has_no_square_worth_a_look(tmp_path: Path) -> None:
    pixels, views, _ = save(tmp_path, [picture(0, (3000, 2)), picture(1, (2, 3000)), picture(2, (1, 1)), picture(3)])
    assert len(find_cropped(pixels, np.arange(4), views).first) == 0


def test_pairs_that_are_known_are_left_out() -> None:
    pairs = Pairs(np.array([1, 2, 3]), np.array([4, 5, 6]), np.array([0.9, 0.85, 0.8], np.float32), complete=False)
    known = Pairs(np.array([2]), np.array([5]), np.ones(1, np.float32))
    new = without(pairs, known, without(pairs, pairs))
    assert (new.first.tolist(), new.second.tolist(), new.complete) == ([1, 3], [4, 6], False)


@pytest.mark.real_data
@pytest.mark.skipif(not (SHARED / "photos.zip").exists(), reason="../shared/data/photos.zip is not here")
@pytest.mark.parametrize("kind", ["mirrored", "bordered", "cropped"])
def test_copies_of_photographs_are_found_and_nothing_else(tmp_path: Path, kind: str) -> None:
    dataset = Dataset.open(SHARED / "photos.zip")
    chosen = [i for i, path in enumerate(dataset.paths) if "k1monfared" in path][:40]
    images = [Image.fromarray(open_image(dataset.read(i)).pixels) for i in chosen]
    change = {"mirrored": ImageOps.mirror, "bordered": BORDERS["thick and red"], "cropped": CROPS["0.77 of each side"]}
    count = len(images)
    pixels, views, order = save(tmp_path, [*images, *(change[kind](image) for image in images)])
    everything = np.arange(2 * count)
    near = find_near_copies(pixels, everything)
    found = {
        "mirrored": lambda: find_mirrored(pixels, everything),
        "bordered": lambda: find_bordered(pixels, everything, views),
        "cropped": lambda: find_cropped(pixels, everything, views),
    }[kind]()
    right = {(i, count + i) for i in range(count)}
    of_a_burst = {pair for pair in found_among(near, order) if max(pair) < count}
    others = {tuple(sorted((i % count, j % count))) for i, j in found_among(found, order) - right}
    assert len(found_among(found, order) & right) >= 0.95 * count > 20
    assert others <= of_a_burst


@pytest.mark.real_data
@pytest.mark.skipif(not (SHARED / "cifake.zip").exists(), reason="../shared/data/cifake.zip is not here")
def test_next_to_nothing_is_a_changed_copy_in_cifake() -> None:
    dataset = Dataset.open(SHARED / "cifake.zip")
    dataset = dataset.select(np.sort(np.random.default_rng(0).choice(len(dataset), 1500, replace=False)))
    pixels = decode(dataset, Resize(height=32, width=32)).pixels
    everything = np.arange(1500)
    views = read_views(dataset, 32, everything)
    near = find_near_copies(pixels, everything)
    found = (
        find_mirrored(pixels, everything),
        find_bordered(pixels, everything, views),
        find_cropped(pixels, everything, views),
    )
    assert [len(without(pairs, near).first) for pairs in found] == [0, 0, 0]
