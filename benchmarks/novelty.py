"""What it costs to tell what is foreign: the included bundle with its novelty and without, in turns.

    python benchmarks/novelty.py --out results/benchmarks/novelty.json

Both judge the same JPEG files of 32 pixels a side, from bytes to detections, in one process.
"""

import argparse
import io
import json
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from pyrite.bundle import DEFAULT, NOVELTY, load_bundle
from pyrite.detector import Detector
from pyrite.golden import golden_images
from training import in_turns, machine

IMAGES = 2048


def main() -> None:
    """Run the comparison, print it, and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="where the JSON goes")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    bundle = load_bundle(DEFAULT)
    bare = replace(bundle, files={name: content for name, content in bundle.files.items() if name != NOVELTY})
    files = list(_draw(IMAGES))
    found = {"machine": machine(), "bundle_sha256": bundle.sha256, "images": IMAGES}
    detectors = [Detector(one, evidence=False) for one in (bundle, bare)]
    for name, batch in (("one at a time", 1), ("64 at a time", 64)):
        chosen = files[: IMAGES // 8] if batch == 1 else files

        def judge(detector: Detector, batch: int = batch, chosen: list[bytes] = chosen) -> None:
            for _ in detector.detect_many(chosen, batch_size=batch):
                pass

        pairs = in_turns(lambda: judge(detectors[0]), lambda: judge(detectors[1]), rounds=arguments.rounds)
        found[name] = {
            "images_per_second": len(chosen) / statistics.median(a for a, _ in pairs),
            "without": len(chosen) / statistics.median(b for _, b in pairs),
            "share_of_its_time": statistics.median(a / b for a, b in pairs) - 1,
        }
        print(name, json.dumps(found[name]), flush=True)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")


def _draw(count: int) -> "list[bytes]":
    """Return JPEGs of golden images with noise, no two alike."""
    rng, images = np.random.default_rng(0), golden_images(load_bundle(DEFAULT))
    drawn = []
    for number in range(count):
        noisy = np.clip(images[number % len(images)] + rng.normal(0, 6, images[0].shape), 0, 255).astype(np.uint8)
        stream = io.BytesIO()
        Image.fromarray(noisy).save(stream, "JPEG", quality=75)
        drawn.append(stream.getvalue())
    return drawn


if __name__ == "__main__":
    main()
