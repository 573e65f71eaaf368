"""Time one setting of a training step; `training.py` runs this once for each that was tried."""

import argparse
import json
import time
from typing import Any

import numpy as np

from pyrite.training import load_recipe
from pyrite.training.architectures import build_model
from pyrite.training.backend import load_keras
from pyrite.training.loop import compile_model

STEPS = 8


def main() -> None:
    """Print images per second, and the seconds until the first step is done."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--recipe", default="resnet50")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--xla", action="store_true")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--unfused", action="store_true", help="normalise as Keras does")
    arguments = parser.parse_args()
    recipe = load_recipe(arguments.recipe, [f"precision={arguments.precision}"])
    began = time.perf_counter()
    model = build_model(recipe)
    if arguments.unfused:
        model = unfused(model)
    compile_model(model, recipe, STEPS)
    model.jit_compile = arguments.xla
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (arguments.batch, 32, 32, 3), np.uint8)
    labels = generator.integers(0, 2, (arguments.batch, 1)).astype(np.float32)

    def step() -> None:
        model.train_on_batch(images, labels, return_dict=True)

    step()
    first = time.perf_counter() - began
    step()
    times = []
    for _ in range(STEPS):
        began = time.perf_counter()
        step()
        times.append(time.perf_counter() - began)
    rate = arguments.batch / float(np.median(times))
    print(json.dumps({"images_per_second": rate, "seconds_to_first_step": first}))


def unfused(model: Any) -> Any:
    """Return a copy with Keras's own batch normalisation."""
    keras = load_keras()

    def copy(layer: Any) -> Any:
        own = isinstance(layer, keras.layers.BatchNormalization)
        return (keras.layers.BatchNormalization if own else type(layer)).from_config(layer.get_config())

    return keras.models.clone_model(model, clone_function=copy, recursive=True)


if __name__ == "__main__":
    main()
