"""How many copies of each kind the audit finds: recall and precision on known truth, and against brute force.

    python benchmarks/copies.py photos.zip cifake.zip --out results/benchmarks/copies.json

Some images of the first dataset get a copy that was mirrored, framed or cropped, and saved as JPEG at quality 80. What
is found between an image and its copy is right, and all else that is found is not, but for copies that the photographs
are of each other. Crops are also held against brute force, which compares every pair at every size of crop in steps of
1%, one by one. Nothing was changed in the second dataset: what is found there is looked at by eye.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pyrite.bundle.preprocess import Pixels, Resize
from pyrite.datasets import Dataset, altered, content_hashes, decode
from pyrite.datasets.altered import find_bordered, find_cropped, find_mirrored, without
from pyrite.datasets.duplicates import NEAR_CELLS, Pairs, cell_units, find_copies, find_near_copies, measure_likeness
from pyrite.datasets.views import Views, read_views
from pyrite.image import open_image
from training import machine

SIDE, QUALITY = 32, 80
Picture = Image.Image
Change = Callable[[Picture], Picture]
Found = set[tuple[int, int]]


def crop(width: float, height: float) -> Change:
    """Return what keeps these shares of an image's sides, in the middle."""

    def change(image: Picture) -> Picture:
        across, down = round(image.width * width), round(image.height * height)
        left, top = (image.width - across) // 2, (image.height - down) // 2
        return image.crop((left, top, left + across, top + down))

    return change


def crop_square(share: float) -> Change:
    """Return what keeps a square of this share of the shorter side."""
    return lambda image: crop(*(share * min(image.size) / side for side in image.size))(image)


def frame(share: float, colour: tuple[int, int, int]) -> Change:
    """Return what adds a border, of this share of the longer side, all around."""
    return lambda image: ImageOps.expand(image, round(share * max(image.size)), colour)


def letterbox(image: Picture) -> Picture:
    """Put it whole on a screen of 16:9, with black bars."""
    return ImageOps.pad(image, (1280, 720), color=(0, 0, 0))


CHANGES: dict[str, dict[str, Change]] = {
    "mirrored": {"mirrored": ImageOps.mirror},
    "bordered": {
        "white, 3% of the longer side": frame(0.03, (255, 255, 255)),
        "black, 10%": frame(0.1, (0, 0, 0)),
        "beige, 25%": frame(0.25, (222, 200, 170)),
        "bars, 16:9": letterbox,
    },
    "cropped": {
        **{f"{share:.0%} of each side": crop(share, share) for share in (0.9, 0.8, 0.7, 0.6, 0.5)},
        **{f"square, {share:.0%} of the shorter side": crop_square(share) for share in (1, 0.75, 0.5)},
        "beyond the limit: 40% of each side": crop(0.4, 0.4),
    },
}


def main() -> None:
    """Measure every change, print it, and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, help="photographs, to be changed")
    parser.add_argument("cifake", type=Path, help="images in which nothing is changed")
    parser.add_argument("--out", type=Path, required=True, help="where the JSON goes")
    parser.add_argument("--originals", type=int, default=200, help="of the first dataset, drawn at random")
    parser.add_argument("--images", type=int, default=5000, help="of the second dataset, drawn at random")
    arguments = parser.parse_args()
    found: dict[str, Any] = {"machine": machine(), "quality": QUALITY, "changes": {}}
    dataset = draw(Dataset.open(arguments.photos), arguments.originals)
    for kind, changes in CHANGES.items():
        for name, change in changes.items():
            row = measure(dataset, kind, change)
            found["changes"][f"{kind}: {name}"] = row
            print(kind, name, json.dumps(row), flush=True)
    found["unchanged"] = {
        "photos": search(Dataset.open(arguments.photos)),
        "cifake": search(draw(Dataset.open(arguments.cifake), arguments.images)),
    }
    print(json.dumps(found["unchanged"]))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")


def measure(dataset: Dataset, kind: str, change: Change) -> dict[str, Any]:
    """Return how many of the changed copies are found, as what, and what else is."""
    with tempfile.TemporaryDirectory() as folder:
        for label in ("real", "ai"):
            (Path(folder) / label).mkdir()
        for index, name in enumerate(dataset.paths):
            data = dataset.read(index)
            original = Image.fromarray(open_image(data).pixels)
            changed = change(original)
            if kind == "cropped" and changed.size == original.size:
                continue  # A square's square, say.
            (Path(folder) / "real" / f"{index:04}{Path(name).suffix}").write_bytes(data)
            changed.save(Path(folder) / "ai" / f"{index:04}.jpg", quality=QUALITY)
        copies = Dataset.open(folder)
        everything, pixels, views = find_all(copies)
        names = [Path(path).stem for path in copies.paths]
        of = {name: {i for i, other in enumerate(names) if other == name} for name in set(names)}
        truth = {(min(pair), max(pair)) for pair in of.values()}
        of_originals = {
            pair for pairs in everything.values() for pair in pairs if copies.labels[pair[0]] == copies.labels[pair[1]]
        }  # Copies that the photographs are of each other, and their copies, too.
        real = {names[i] for pair in of_originals for i in pair}
        row: dict[str, Any] = {"copies": len(truth)}
        for name, pairs in everything.items():
            row[name] = len(truth & pairs)
        others = everything[kind] - truth - of_originals
        wrong = [pair for pair in sorted(others) if not {names[i] for i in pair} <= real]
        row["false"] = len(wrong)
        row["false_pairs"] = [" ".join(dataset.paths[int(names[i])] for i in pair) for pair in wrong]
        row["recall"] = len(truth & everything[kind]) / len(truth)
        row["recall_of_any_kind"] = len(truth & set().union(*everything.values())) / len(truth)
        if kind == "cropped":
            thorough = brute_force(pixels, views)
            ours = everything[kind] | everything["near"] | everything["mirrored"] | everything["bordered"]
            row["brute_force"] = {"true": len(truth & thorough), "false": len(thorough - truth - of_originals)}
            row["brute_force"]["missed_by_ours"] = len((thorough & truth) - ours)
        return row


def find_all(dataset: Dataset) -> tuple[dict[str, Found], Pixels, Views]:
    """Return the pairs of each kind, as the audit finds them."""
    with tempfile.TemporaryDirectory() as cache:
        pixels = np.array(decode_into(cache, dataset))
    groups = find_copies(content_hashes(dataset))
    chosen = np.setdiff1d(np.arange(len(dataset)), np.concatenate([np.array([], np.intp), *(g[1:] for g in groups)]))
    views = read_views(dataset, SIDE, chosen)
    near = find_near_copies(pixels, chosen)
    mirrored = without(find_mirrored(pixels, chosen), near)
    bordered = without(find_bordered(pixels, chosen, views), near, mirrored)
    cropped = without(find_cropped(pixels, chosen, views), near, mirrored, bordered)
    found = {"near": near, "mirrored": mirrored, "bordered": bordered, "cropped": cropped}
    return {name: pairs_of(pairs) for name, pairs in found.items()}, pixels, views


def decode_into(cache: str, dataset: Dataset) -> Pixels:
    """Return every image at the size that copies are compared at, without a trace in the user's cache."""
    os.environ["PYRITE_CACHE"] = cache
    return np.array(decode(dataset, Resize(height=SIDE, width=SIDE)).pixels)


def pairs_of(pairs: Pairs) -> Found:
    """Return pairs as a set."""
    return set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))


def brute_force(pixels: Pixels, views: Views) -> Found:
    """Return the pairs of which one is like a crop of the other, of any size in steps of 1%."""
    whole, found = cell_units(pixels, views.detailed), set()
    for square in (False, True):
        shares = altered._shares(views.aspects, square=square)
        for size in np.arange(altered.LEAST_KEPT * 0.97, 1, 0.01):
            crops = altered._crop(views.pixels, np.arange(len(shares)), size * shares, pixels.shape[1])
            alike = whole @ cell_units(crops, np.arange(len(crops))).T >= NEAR_CELLS
            i, j = np.nonzero(alike)
            i, j = i[i != j], j[i != j]
            likeness: NDArray[np.float32] = measure_likeness(pixels[views.detailed[i]], crops[j], strict=True)
            for one, other in zip(views.detailed[i[likeness > 0]], views.detailed[j[likeness > 0]], strict=True):
                found.add((int(min(one, other)), int(max(one, other))))
    return found


def draw(dataset: Dataset, count: int) -> Dataset:
    """Return so many images, or all."""
    if count >= len(dataset):
        return dataset
    return dataset.select(np.sort(np.random.default_rng(0).choice(len(dataset), count, replace=False)))


def search(dataset: Dataset) -> dict[str, Any]:
    """Return how many pairs of each kind a dataset has as it is, and the seconds that it takes to find them."""
    began = time.monotonic()
    found, _, _ = find_all(dataset)
    return {
        "images": len(dataset),
        "seconds": time.monotonic() - began,
        **{name: len(pairs) for name, pairs in found.items()},
        "pairs": {
            name: sorted(f"{dataset.paths[i]} {dataset.paths[j]}" for i, j in pairs) for name, pairs in found.items()
        },
    }


if __name__ == "__main__":
    main()
