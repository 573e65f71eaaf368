"""Crops at native resolution, side by side: a photograph through 16 of them against its two floors.

    python benchmarks/geometry.py --out results/benchmarks/geometry.json
    python benchmarks/geometry.py --bundle photos --out results/photos/price.json

A JPEG of 12 megapixels is judged through 16 crops of 224 pixels by ResNet50 and by `tiny`, against decoding it with
Pillow plus scoring as many inputs with ONNX Runtime alone: one image by itself, and a stream of them. All take turns
within one process. Speed does not hang on what a network has learnt, so it is exported with its initial weights. A
bundle on crops can take the place of both.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from PIL import Image

from detection import make_photo
from inference import make_bundle
from pyrite.bundle import Bundle, Crops, load_bundle
from pyrite.detector import Detector
from pyrite.image import open_image
from pyrite.keras_backend import export_onnx
from pyrite.recipe import load_recipe
from pyrite.runtime import Session
from pyrite.training.architectures import build_model
from training import in_turns, machine

SIDE, CROPS = 224, 16


def main() -> None:
    """Run the comparison, print it, and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", action="append", help="whose network; by default, resnet50 and tiny")
    parser.add_argument("--bundle", help="what to measure instead: one on crops")
    parser.add_argument("--out", type=Path, required=True, help="where the JSON goes")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--images", type=int, default=6, help="of the stream")
    arguments = parser.parse_args()
    # Before --out is changed, which would count as a change of the source.
    found: dict[str, Any] = {"machine": machine(), "side": SIDE, "recipes": {}}
    with tempfile.TemporaryDirectory() as folder:
        generator = np.random.default_rng(0)
        paths = [Path(folder) / f"{i}.jpg" for i in range(arguments.images)]
        for path in paths:
            make_photo(path, generator)
        given = load_bundle(arguments.bundle) if arguments.bundle else None
        for name in [given.info.name] if given else arguments.recipe or ["resnet50", "tiny"]:
            bundle = given or bundle_of(name)
            found["recipes"][name] = {
                "crops": bundle.info.preprocess.most,
                "one": compare(bundle, paths[:1], arguments.rounds),
                "stream": compare(bundle, paths, arguments.rounds),
            }
            print(name, json.dumps(found["recipes"][name]), flush=True)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")


def bundle_of(name: str) -> Bundle:
    """Return a bundle of a recipe's network on crops."""
    sizes = [f"height={SIDE}", f"width={SIDE}", "precision=float32"]
    recipe = load_recipe(name, [*sizes, "geometry=crops", f"crops={CROPS}"])
    plain = make_bundle(export_onnx(build_model(recipe)), SIDE, SIDE)
    return Bundle(msgspec.structs.replace(plain.info, preprocess=recipe.preprocess), plain.files)


def compare(bundle: Bundle, paths: list[Path], rounds: int) -> dict[str, float]:
    """Compare the detector with decoding alone, and with scoring the same model inputs alone."""
    detector, session = Detector(bundle), Session(bundle.model)
    geometry = bundle.info.preprocess
    assert isinstance(geometry, Crops)
    inputs = [geometry.apply(open_image(path).pixels) for path in paths]
    assert all(len(crops) == geometry.most for crops in inputs)

    def ours() -> None:
        for _ in detector.detect_many(paths) if len(paths) > 1 else [detector.detect(paths[0])]:
            pass

    def decode() -> None:
        for path in paths:
            np.asarray(Image.open(path).convert("RGB"))

    def score() -> None:
        for crops in inputs:
            session.logits(crops)

    rows = in_turns(ours, decode, score, rounds=rounds)
    return {
        "images": len(paths),
        "detector_seconds": statistics.median(row[0] for row in rows),
        "decoding_alone_seconds": statistics.median(row[1] for row in rows),
        "session_alone_seconds": statistics.median(row[2] for row in rows),
        "ratio_to_both": statistics.median(row[0] / (row[1] + row[2]) for row in rows),
    }


if __name__ == "__main__":
    main()
