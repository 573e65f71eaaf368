"""Inference, side by side: a bundle through `Detector` against `model.predict` of the same network.

    python benchmarks/inference.py --out results/benchmarks/inference.json

Both score the same decoded images, in turns within one process, at batch 1, 32 and 256. Speed does not
hang on what a network has learnt, so it is exported with its initial weights.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np

from pyrite.bundle import Bundle, BundleInfo
from pyrite.bundle.calibration import Calibration
from pyrite.bundle.preprocess import Resize
from pyrite.decision import Policy, Scope
from pyrite.detector import Detector
from pyrite.keras_backend import export_onnx
from pyrite.recipe import load_recipe
from pyrite.training.architectures import build_model
from training import in_turns, machine

IMAGES = {1: 48, 32: 512, 256: 1024}
"""How many images a round scores, by batch size."""


def main() -> None:
    """Run every comparison, print it, and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="resnet50", help="whose network")
    parser.add_argument("--out", type=Path, required=True, help="where the JSON goes")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    recipe = load_recipe(arguments.recipe)
    model = build_model(recipe)
    detector = Detector(make_bundle(export_onnx(model), recipe.height, recipe.width))
    found: dict[str, Any] = {"machine": machine(), "recipe": recipe.name, "batches": {}}
    for batch, count in IMAGES.items():
        images = np.random.default_rng(0).integers(0, 256, (count, recipe.height, recipe.width, 3), np.uint8)

        def ours(images: Any = images, batch: int = batch) -> None:
            for _ in detector.detect_many(images, batch_size=batch):
                pass

        def keras_predict(images: Any = images, batch: int = batch) -> None:
            model.predict(images, batch_size=batch, verbose=0)

        pairs = in_turns(ours, keras_predict, rounds=arguments.rounds)
        found["batches"][batch] = {
            "detector_images_per_second": count / statistics.median(a for a, _ in pairs),
            "predict_images_per_second": count / statistics.median(b for _, b in pairs),
            "speedup": statistics.median(b / a for a, b in pairs),
        }
        print(batch, json.dumps(found["batches"][batch]), flush=True)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")


def make_bundle(model: bytes, height: int, width: int) -> Bundle:
    """Return a bundle in memory with a calibration that says nothing."""
    info = BundleInfo(
        name="benchmark",
        version="1",
        licence="none",
        preprocess=Resize(height=height, width=width),
        scope=Scope(min_side=1, max_side=100_000, description="Any image."),
        calibration=Calibration(slope=1, intercept=0, real={"all": (0,)}, ai={"all": (0,)}),
        policy=Policy(),
    )
    return Bundle(info, {"model.onnx": model})


if __name__ == "__main__":
    main()
