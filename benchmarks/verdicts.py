"""What bundles say of CIFAKE's test images as they are, changed in many ways, and of other generators' images.

    python benchmarks/verdicts.py before/bundle after/bundle --data cifake.zip --unseen unseen32.zip \
        --out results/default/verdicts.json

For each kind of image: how many of either class get each verdict, and how many are out of scope; and for the images as
they are, how many verdicts differ between the bundles, and by which reason.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pyrite.bundle import Pixels, load_bundle
from pyrite.datasets import Dataset, content_hashes, content_sha256
from pyrite.datasets.degrade import DEGRADATIONS
from pyrite.detector import Detector
from pyrite.image import open_image
from pyrite.provenance import package_versions, source_commit
from pyrite.results import Detection, Reason
from training import machine

Change = Callable[[Pixels], Pixels]


def main() -> None:
    """Judge everything by every bundle, print the rates, and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--data", required=True, help="CIFAKE")
    parser.add_argument("--unseen", required=True, help="images of other generators and cameras")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, help="images of the test split, drawn at random")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    test, unseen = Dataset.open(arguments.data), Dataset.open(arguments.unseen)
    indices = np.flatnonzero([split == "test" for split in test.splits])
    if arguments.limit:
        drawn = np.random.default_rng(arguments.seed).choice(indices, arguments.limit, replace=False)
        indices = np.sort(drawn)
    test = test.select(indices)
    bundles = {str(path): load_bundle(path) for path in arguments.bundles}
    detectors = {name: Detector(bundle, evidence=False) for name, bundle in bundles.items()}
    sources = {"test": read(test), "unseen": read(unseen)}
    found: dict[str, Any] = {name: {} for name in detectors}
    clean: list[list[Detection]] = []
    for name, (which, change) in conditions(arguments.seed).items():
        images = [change(pixels) for pixels in sources[which]]
        labels = (test if which == "test" else unseen).labels
        for of, detector in detectors.items():
            said = list(detector.detect_many(images))
            found[of][name] = {kind: rates(said, labels == label) for label, kind in enumerate(("real", "ai"))}
            print(of, name, json.dumps(found[of][name]), flush=True)
            if name == "as they are":
                clean.append(said)
    record = {
        "bundles": {name: bundle.sha256 for name, bundle in bundles.items()},
        "data": {one.name: content_sha256(one, content_hashes(one)) for one in (test, unseen)},
        "commit": source_commit(),
        "packages": package_versions(),
        "machine": machine(),
        "seed": arguments.seed,
        "changed_as_they_are": [changes(clean[0], other) for other in clean[1:]],
        "rates": found,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(record, indent=1) + "\n")


def conditions(seed: int) -> dict[str, tuple[str, Change]]:
    """Return by name which images are judged, and what is done to each."""
    rng = np.random.default_rng(seed)
    degraded = {
        one.name: ("test", lambda pixels, one=one: one.apply(pixels, rng))  # type: ignore[misc]
        for one in DEGRADATIONS
    }
    return {
        "as they are": ("test", lambda pixels: pixels),
        **degraded,
        "grey": ("test", lambda pixels: np.asarray(Image.fromarray(pixels).convert("L").convert("RGB"))),
        "turned by 90°": ("test", lambda pixels: np.ascontiguousarray(np.rot90(pixels))),
        "turned by 180°": ("test", lambda pixels: np.ascontiguousarray(np.rot90(pixels, 2))),
        "upside down": ("test", lambda pixels: np.ascontiguousarray(pixels[::-1])),
        "in a black border of 6": ("test", lambda pixels: border(pixels, 6, 0)),
        "in a black border of 3": ("test", lambda pixels: border(pixels, 3, 0)),
        "in a white border of 3": ("test", lambda pixels: border(pixels, 3, 255)),
        "four in one": ("test", four),
        "unseen32": ("unseen", lambda pixels: pixels),
    }


def border(pixels: Pixels, width: int, value: int) -> Pixels:
    """Return an image shrunk into a border."""
    framed = np.full_like(pixels, value)
    inner = len(pixels) - 2 * width
    shrunk = Image.fromarray(pixels).resize((inner, inner), Image.Resampling.BILINEAR)
    framed[width:-width, width:-width] = np.asarray(shrunk)
    return framed


def four(pixels: Pixels) -> Pixels:
    """Return an image four times in one, at half its size."""
    half = Image.fromarray(pixels).resize((len(pixels) // 2,) * 2, Image.Resampling.BILINEAR)
    return np.tile(np.asarray(half), (2, 2, 1))


def read(dataset: Dataset) -> list[Pixels]:
    """Return the pixels of every image."""
    return list(_pixels(dataset))


def _pixels(dataset: Dataset) -> Iterator[Pixels]:
    for index in range(len(dataset)):
        yield open_image(dataset.read(index)).pixels


def rates(said: list[Detection], chosen: Any) -> dict[str, float | int]:
    """Return the shares of verdicts among some detections, and of those out of scope among the uncertain ones."""
    ours = [detection for detection, is_one in zip(said, chosen, strict=True) if is_one]
    verdicts = Counter(str(detection.verdict) for detection in ours)
    outside = sum(detection.reason is Reason.OUT_OF_SCOPE for detection in ours)
    shares = {name: round(verdicts[name] / len(ours), 4) for name in ("ai", "uncertain", "real")}
    return {"images": len(ours), **shares, "out_of_scope": round(outside / len(ours), 4)}


def changes(before: list[Detection], after: list[Detection]) -> dict[str, int]:
    """Count the verdicts that differ, by what they were and became."""
    pairs = zip(before, after, strict=True)
    found = Counter(
        f"{one.verdict} → {other.verdict} ({other.reason})" for one, other in pairs if one.verdict != other.verdict
    )
    return dict(found)


if __name__ == "__main__":
    main()
