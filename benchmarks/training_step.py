"""Time one setting of a training step; `training.py` runs this once for each that was tried."""

import argparse
import json
import time
from typing import Any

import numpy as np

from pyrite.keras_backend import load_keras
from pyrite.recipe import load_recipe
from pyrite.training.architectures import build_model
from pyrite.training.backend import copy_model
from pyrite.training.loop import compile_model

STEPS = 8


def main() -> None:
    """Print images per second, and the seconds until the first step is done."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--recipe", default="resnet50")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change the recipe")
    parser.add_argument("--xla", action="store_true")
    parser.add_argument("--unfused", action="store_true", help="normalise as Keras does")
    arguments = parser.parse_args()
    recipe = load_recipe(arguments.recipe, arguments.set)
    began = time.perf_counter()
    model = build_model(recipe)
    if arguments.unfused:
        model = unfused(model)
    compile_model(model, recipe, STEPS)
    model.jit_compile = arguments.xla
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (recipe.batch_size, 32, 32, 3), np.uint8)
    labels = generator.integers(0, 2, (recipe.batch_size, 1)).astype(np.float32)

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
    rate = recipe.batch_size / float(np.median(times))
    print(json.dumps({"images_per_second": rate, "seconds_to_first_step": first}))


def unfused(model: Any) -> Any:
    """Return a copy with Keras's own batch normalisation."""
    own = load_keras().layers.BatchNormalization

    def copy(layer: Any) -> Any:
        return (own if isinstance(layer, own) else type(layer)).from_config(layer.get_config())

    return copy_model(model, copy)


if __name__ == "__main__":
    main()
