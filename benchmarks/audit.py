"""What an audit measures of each image: its statistics by histograms against the same by arrays, in turns.

    python benchmarks/audit.py --out results/benchmarks/audit.json

The baseline takes means, contrasts and the rest of the array of pixels, as NumPy has them. Both are timed by
themselves and within all that is measured of an image, from its bytes on, in CPU time. Their figures are compared too.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pyrite.datasets import Dataset, shortcuts
from pyrite.datasets.shortcuts import measure_facts
from pyrite.image import open_image
from pyrite.spectrum import luma
from training import machine

KINDS = {"jpeg_1024": (1024, "JPEG"), "png_1024": (1024, "PNG"), "jpeg_32": (32, "JPEG")}
Statistics = Callable[[NDArray[np.uint8], NDArray[np.float32], float], list[float]]


def baseline(pixels: NDArray[np.uint8], brightness: NDArray[np.float32], nyquist: float) -> list[float]:
    """Return what `STATISTICS` names, of the array of pixels."""
    flat = pixels.reshape(-1, 3)
    gradient = np.abs(np.diff(brightness, axis=0)).sum() + np.abs(np.diff(brightness, axis=1)).sum()
    return [
        *(flat.mean(axis=0) / 255),
        *(flat.std(axis=0) / 255),
        float(np.mean(flat.max(axis=1) - flat.min(axis=1)) / 255),
        float(np.mean(flat == 0)),
        float(np.mean(flat == 255)),
        float(gradient / brightness.size),
        nyquist,
    ]


def main() -> None:
    """Run every comparison, print it, and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="where the JSON goes")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--images", type=int, default=20, help="of each kind")
    arguments = parser.parse_args()
    found: dict[str, Any] = {"machine": machine(), "images": arguments.images, "rounds": arguments.rounds}
    with tempfile.TemporaryDirectory() as folder:
        for name, (side, kind) in KINDS.items():
            root = Path(folder) / name
            write_images(root, side, kind, arguments.images)
            found[name] = compare(root, arguments.rounds)
            print(name, json.dumps(found[name]), flush=True)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")


def write_images(root: Path, side: int, kind: str, count: int) -> None:
    """Write pictures with something of every size, half of them real and half AI."""
    generator = np.random.default_rng(0)
    for number in range(count):
        picture = np.full((side, side, 3), 128.0)
        for cells in (4, 16, 64, 256, 1024):
            noise = Image.fromarray(generator.integers(0, 256, (min(cells, side), min(cells, side), 3), np.uint8))
            picture += (np.asarray(noise.resize((side, side), Image.Resampling.BICUBIC), float) - 128) / np.log2(cells)
        path = root / ("ai" if number % 2 else "real") / f"{number}.{kind.lower()}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(path, kind)


def compare(root: Path, rounds: int) -> dict[str, float]:
    """Return the milliseconds of CPU that an image takes both ways, and how far their figures are apart."""
    dataset = Dataset.open(root)
    pictures = [np.ascontiguousarray(open_image(dataset.read(i)).pixels) for i in range(len(dataset))]
    inputs = [(pixels, luma(pixels)) for pixels in pictures]
    ours: Statistics = shortcuts._statistics

    def alone(measure: Statistics) -> list[list[float]]:
        return [measure(pixels, brightness, 0.0) for pixels, brightness in inputs]

    def within(measure: Statistics) -> None:
        shortcuts._statistics = measure
        try:
            measure_facts(dataset)
        finally:
            shortcuts._statistics = ours

    found: dict[str, float] = {}
    for name, work in (("statistics", alone), ("all", within)):
        times = [(cpu(work, ours), cpu(work, baseline)) for _ in range(rounds + 1)][1:]
        new, old = (1000 * statistics.median(taken) / len(dataset) for taken in zip(*times, strict=True))
        found |= {f"{name}_ms": new, f"{name}_baseline_ms": old, f"{name}_speedup": old / new}
    apart = np.abs(np.array(alone(ours)) - np.array(alone(baseline))).max(axis=0)
    return found | {"largest_difference": float(apart.max()), "different": int(np.sum(apart > 0))}


def cpu(work: Callable[[Statistics], object], measure: Statistics) -> float:
    """Return the seconds of CPU that it takes."""
    began = time.process_time()
    work(measure)
    return time.process_time() - began


if __name__ == "__main__":
    main()
