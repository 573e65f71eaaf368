"""Matched fakes: how fast they are made, how close they come, and the picture in docs/matching.md.

    python benchmarks/matching.py photos.zip --out results/benchmarks/matching.json
    python benchmarks/matching.py photos.zip --picture docs/figures/pair.png

Speed is that of `pyrite.match` as a whole: reading, decoding, reconstruction, history and files. Where others use the
machine, `cpu_seconds_per_view`, of all threads together, says more than `views_per_second`.
"""

import argparse
import csv
import io
import json
import statistics
import tempfile
import time
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pyrite import match
from pyrite.matching import tune_decoder
from pyrite.matching.autoencoder import open_autoencoder
from pyrite.matching.upsampling import Upsampling
from training import machine

DECODERS = ("taef2", "taef2:twice", "taef2:levels=8", "taef2:noise=0.2")
SIDE = 256
PICTURED, BOX = "real-interfaces-0ea444ccdc.jpg", (204, 284, 356, 436)
"""A photograph of cjdowner/interfaces (CC0-1.0), and the part that is shown: left, top, right, bottom."""
AMPLIFIED = 4
UPSAMPLINGS: tuple[Upsampling, ...] = ("bilinear", "transposed", "shuffle")
Pixels = NDArray[np.uint8]


def main() -> None:
    """Measure, or draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, help="a zip of photographs with a manifest.csv")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    parser.add_argument("--picture", type=Path, help="where the picture goes")
    parser.add_argument("--photographs", type=int, default=8, help="of each round")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--part", action="append", choices=PARTS, help="measure only this, and keep the rest of --out")
    arguments = parser.parse_args()
    if arguments.picture:
        draw(arguments.photos, arguments.picture)
    if arguments.out:
        here = machine()  # Before --out is changed, which would count as a change of the source.
        found: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.part else {}
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        for part in arguments.part or PARTS:
            found[part] = {"machine": here, **PARTS[part](arguments)}
            print(part, json.dumps(found[part]), flush=True)
            arguments.out.write_text(json.dumps(found, indent=1) + "\n")


def load(archive: Path, count: int) -> list[Pixels]:
    """Return so many real photographs, evenly out of all that have room for a view."""
    with zipfile.ZipFile(archive) as opened:
        rows = list(csv.DictReader(io.TextIOWrapper(opened.open("manifest.csv"), "utf-8")))
        names = [row["file"] for row in rows if row["label"] == "REAL"]
        found = []
        for name in names[:: max(1, len(names) // (2 * count))]:
            with opened.open(name) as stream, Image.open(stream) as image:
                if min(image.size) >= SIDE + 64:
                    found.append(np.asarray(image.convert("RGB")))
    return found[:count]


def decoders(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure each decoder by itself."""
    views = [pixels[64 : 64 + SIDE, 64 : 64 + SIDE] for pixels in load(arguments.photos, arguments.photographs)]
    return {"side": SIDE, "decoders": {said: closeness(said, views) for said in DECODERS}}


def closeness(said: str, views: list[Pixels]) -> dict[str, float]:
    """Return how close reconstructions are, in decibels (PSNR), and how many are made in a second."""
    decoder, rng = open_autoencoder(said, SIDE), np.random.default_rng(0)
    start = time.perf_counter(), time.process_time()
    made = [decoder.reconstruct(view, rng) for view in views]
    seconds, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
    errors = (np.mean((one.astype(float) - other) ** 2) for one, other in zip(views, made, strict=True))
    ratios = [10 * np.log10(255**2 / error) for error in errors]
    return {
        "views": len(views),
        "psnr_lowest": float(min(ratios)),
        "psnr_median": statistics.median(ratios),
        "psnr_highest": float(max(ratios)),
        "views_per_second": len(views) / seconds,
        "cpu_seconds_per_view": cpu / len(views),
    }


def speed(arguments: argparse.Namespace) -> dict[str, float]:
    """Return how many views `match` makes in a second, with one decoder."""
    count = arguments.photographs
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "photos"
        folder.mkdir()
        for number, pixels in enumerate(load(arguments.photos, count)):
            Image.fromarray(pixels).save(folder / f"{number}.jpg", quality=95)
        seconds, cpu, groups = [], [], 0
        for number in range(arguments.rounds):
            start = time.perf_counter(), time.process_time()
            groups = match(folder, Path(name) / f"out-{number}").groups
            seconds.append(time.perf_counter() - start[0])
            cpu.append(time.process_time() - start[1])
    return {
        "photographs": count,
        "views": groups,
        "views_per_second": groups / statistics.median(seconds),
        "cpu_seconds_per_view": statistics.median(cpu) / groups,
    }


def tuning(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return how close decoders come that are tuned as they are by default."""
    found = {}
    for way in UPSAMPLINGS:
        with tempfile.TemporaryDirectory() as folder:
            start = time.process_time()
            tuned = tune_decoder(arguments.photos, Path(folder) / "tuned.onnx", upsampling=way)
            found[way] = {**asdict(tuned), "cpu_seconds": time.process_time() - start}
    return {"steps": 100, "upsamplings": found}


def draw(archive: Path, path: Path) -> None:
    """Draw a view, its reconstruction, and their difference, amplified around grey."""
    with zipfile.ZipFile(archive) as opened, opened.open(PICTURED) as stream, Image.open(stream) as image:
        view = np.asarray(image.convert("RGB").crop(BOX))
    made = open_autoencoder("taef2", len(view)).reconstruct(view, np.random.default_rng(0))
    difference = (made.astype(int) - view) * AMPLIFIED + 128
    gap = np.full((len(view), 8, 3), 255, np.uint8)
    parts = [view, gap, made, gap, difference.clip(0, 255).astype(np.uint8)]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(parts, axis=1)).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size:,} bytes")


PARTS = {"decoders": decoders, "match": speed, "tuning": tuning}

if __name__ == "__main__":
    main()
