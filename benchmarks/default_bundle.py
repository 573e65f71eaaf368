"""The default bundle, side by side with the published report's ResNet50, both through the same runtime.

    python benchmarks/default_bundle.py --out results/benchmarks/default_bundle.json

Both score the same pixels, in turns within one process. ResNet50 is exported with its initial weights, since speed does
not hang on what a network has learnt. `--float` adds the float32 bundle that the default one was quantised from.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np

from pyrite.bundle import DEFAULT, load_bundle
from pyrite.keras_backend import export_onnx
from pyrite.recipe import load_recipe
from pyrite.runtime import Session
from pyrite.training.architectures import build_model
from training import in_turns, machine

IMAGES = {1: 128, 64: 1024, 256: 2048}
"""How many images a round scores, by batch size."""


def main() -> None:
    """Run every comparison, print it, and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="where the JSON goes")
    parser.add_argument("--float", type=Path, dest="unquantised", help="the float32 bundle")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    ours = {"default": load_bundle(DEFAULT)}
    if arguments.unquantised:
        ours["float32"] = load_bundle(arguments.unquantised)
    resnet50 = Session(export_onnx(build_model(load_recipe("resnet50"))))
    found: dict[str, Any] = {"machine": machine(), "model_sha256": ours["default"].info.files["model.onnx"]}
    for name, bundle in ours.items():
        session = Session(bundle.read("model.onnx"))
        found[name] = {}
        for batch, count in IMAGES.items():
            pixels = np.random.default_rng(0).integers(0, 256, (batch, 32, 32, 3), np.uint8)

            def score(session: Session, pixels: Any = pixels, times: int = count // batch) -> None:
                for _ in range(times):
                    session.logits(pixels)

            pairs = in_turns(lambda: score(session), lambda: score(resnet50), rounds=arguments.rounds)  # noqa: B023
            found[name][batch] = {
                "images_per_second": count / statistics.median(a for a, _ in pairs),
                "resnet50_images_per_second": count / statistics.median(b for _, b in pairs),
                "speedup": statistics.median(b / a for a, b in pairs),
            }
            print(name, batch, json.dumps(found[name][batch]), flush=True)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
