"""Training, side by side: `pyrite train` against a plain Keras script, and the parts of it.

    python benchmarks/training.py cifake.zip --out results/benchmarks/training.json

Whole jobs run one after the other as processes, from the same zip of the same images to the report.
The rest compares a part with what it could at best be, in turns within one process.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

PYRITE = Path(sys.executable).with_name("pyrite")
HERE = Path(__file__).parent
BATCH = 128


def main() -> None:
    """Run every comparison, print it, and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path, help="CIFAKE as a zip")
    parser.add_argument("--out", type=Path, required=True, help="where the JSON goes")
    parser.add_argument("--images", type=int, default=3000, help="of the whole job")
    parser.add_argument("--epochs", type=int, default=2, help="of the whole job")
    parser.add_argument("--rounds", type=int, default=5, help="of the comparisons in turns")
    parser.add_argument("--part", action="append", choices=PARTS, help="measure only this, and keep the rest of --out")
    arguments = parser.parse_args()
    found: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.part and arguments.out.exists() else {}
    here = machine()  # Before --out is changed, which would count as a change of the source.
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PYRITE_CACHE"] = str(Path(folder) / "cache")
        for part in arguments.part or PARTS:
            found[part] = {"machine": here, **PARTS[part](arguments, Path(folder))}
            print(part, json.dumps(found[part], indent=1), flush=True)
            arguments.out.parent.mkdir(parents=True, exist_ok=True)
            arguments.out.write_text(json.dumps(found, indent=1) + "\n")


def machine() -> dict[str, object]:
    """Say what this ran on."""
    from pyrite.provenance import package_versions, source_commit

    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown")
    return {"cpu": model, "cores": os.cpu_count(), "commit": source_commit(), "packages": package_versions()}


def decoding(arguments: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Compare Pyrite's first and later pass over the whole archive with a plain loop over it."""
    import io

    import numpy as np
    from PIL import Image

    from pyrite.bundle.preprocess import Resize
    from pyrite.datasets import Dataset, decode

    def plain() -> None:
        with zipfile.ZipFile(arguments.archive) as opened:
            for name in opened.namelist():
                np.asarray(Image.open(io.BytesIO(opened.read(name))).convert("RGB"))

    dataset = Dataset.open(arguments.archive)
    preprocess = Resize(height=32, width=32)
    first = seconds(lambda: decode(dataset, preprocess))
    later = seconds(lambda: decode(dataset, preprocess))
    loop = seconds(plain)
    return {
        "images": len(dataset),
        "plain_loop_seconds": loop,
        "first_pass_seconds": first,
        "later_pass_seconds": later,
        "first_pass_ratio": first / loop,
    }


def input_pipeline(arguments: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Compare an epoch of Pyrite's loop with one of `fit` on arrays in memory, same network, in turns."""
    import numpy as np

    from pyrite.bundle.preprocess import Resize
    from pyrite.datasets import Dataset, decode
    from pyrite.recipe import load_recipe
    from pyrite.training.architectures import build_model
    from pyrite.training.batches import train_batches
    from pyrite.training.loop import compile_model

    dataset = Dataset.open(arguments.archive)
    decoded = decode(dataset, Resize(height=32, width=32))
    recipe = load_recipe("resnet50")
    chosen = np.random.default_rng(0).choice(len(dataset), 8 * BATCH, replace=False)
    images, labels = np.array(decoded.pixels[chosen]), dataset.labels[chosen, None].astype(np.float32)
    model = build_model(recipe)
    compile_model(model, recipe, 8)

    def ours() -> None:
        for x, y in train_batches(decoded.pixels, dataset.labels, chosen, recipe, epoch=0):
            model.reset_metrics()
            model.train_on_batch(x, y, return_dict=True)

    def in_memory() -> None:
        model.fit(images, labels, batch_size=BATCH, shuffle=True, verbose=0)

    def batches_alone() -> None:
        for _ in train_batches(decoded.pixels, dataset.labels, chosen, recipe, epoch=0):
            pass

    pairs = in_turns(ours, in_memory, rounds=arguments.rounds)
    return {
        "images": len(chosen),
        "pyrite_seconds": statistics.median(a for a, _ in pairs),
        "fit_in_memory_seconds": statistics.median(b for _, b in pairs),
        "ratio": statistics.median(a / b for a, b in pairs),
        "batches_alone_seconds": statistics.median(seconds(batches_alone) for _ in range(arguments.rounds)),
    }


SETTINGS: dict[str, tuple[dict[str, str], list[str]]] = {
    "as shipped: oneDNN on, batch 128": ({}, []),
    "oneDNN off (TensorFlow's own choice without AVX-512)": ({"TF_ENABLE_ONEDNN_OPTS": "0"}, []),
    "XLA on": ({}, ["--xla"]),
    "batch 64": ({}, ["--set", "batch_size=64"]),
    "batch 256": ({}, ["--set", "batch_size=256"]),
    "one inter-op thread": ({"TF_NUM_INTEROP_THREADS": "1"}, []),
    "JAX backend": ({"KERAS_BACKEND": "jax"}, ["--xla"]),
    "Keras's own batch normalisation": ({}, ["--unfused"]),
    "bfloat16": ({}, ["--set", "precision=bfloat16"]),
    "bfloat16, Keras's own batch normalisation": ({}, ["--set", "precision=bfloat16", "--unfused"]),
}
COMPACT = ["--recipe", "scratch", "--set", "precision=bfloat16"]
COMPACT_SETTINGS: dict[str, tuple[dict[str, str], list[str]]] = {
    "bfloat16, batch 256": ({}, COMPACT),
    "Keras's own batch normalisation": ({}, [*COMPACT, "--unfused"]),
    "float32": ({}, [*COMPACT, "--set", "precision=float32"]),
    "float32, Keras's own batch normalisation": ({}, [*COMPACT, "--set", "precision=float32", "--unfused"]),
}


def settings(arguments: argparse.Namespace, folder: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Time a training step under each setting that was tried, each in a process of its own."""
    return {"resnet50": steps(SETTINGS), "scratch": steps(COMPACT_SETTINGS)}


def steps(tried: dict[str, tuple[dict[str, str], list[str]]]) -> dict[str, dict[str, float]]:
    """Time each, and compare it with the first."""
    results: dict[str, dict[str, float]] = {}
    for name, (environment, options) in tried.items():
        command = [sys.executable, str(HERE / "training_step.py"), *options]
        results[name] = json.loads(run(command, **environment).splitlines()[-1])
        shipped = next(iter(results.values()))
        results[name]["ratio"] = results[name]["images_per_second"] / shipped["images_per_second"]
    return results


def whole_job(arguments: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Time both jobs from the zip to the report; the plain one as it comes, and with oneDNN switched on."""
    sample = folder / "cifake-sample.zip"
    write_sample(arguments.archive, sample, arguments.images)
    plain = [sys.executable, str(HERE / "plain_keras.py"), str(sample), "--epochs", str(arguments.epochs)]
    ours = [
        *(str(PYRITE), "train", str(sample), "--recipe", "resnet50", "--set", f"epochs={arguments.epochs}"),
        *("--out", str(folder / "run")),
    ]
    first = seconds(lambda: run(ours))
    again = seconds(lambda: run([*ours[:-1], str(folder / "again")]))
    with_onednn = seconds(lambda: run(plain, TF_ENABLE_ONEDNN_OPTS="1"))
    as_it_comes = seconds(lambda: run(plain))
    return {
        "pyrite_seconds": first,
        "pyrite_decoded_before_seconds": again,
        "plain_keras_seconds": as_it_comes,
        "plain_keras_with_onednn_seconds": with_onednn,
        "ratio": first / as_it_comes,
        "ratio_with_onednn": first / with_onednn,
        "images": arguments.images,
        "epochs": arguments.epochs,
    }


def run(command: list[str], **environment: str) -> str:
    """Run one job and return what it printed; show what it said if it fails."""
    # Not with what Pyrite set when it was imported here: the plain script must find what a user's shell has.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    done = subprocess.run(command, env=clean | environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def write_sample(archive: Path, target: Path, count: int) -> None:
    """Copy some of the archive's images, of all classes and splits in proportion, into a small zip."""
    from pyrite.datasets import Dataset

    sample = Dataset.open(archive).sample(count)
    with zipfile.ZipFile(target, "w") as opened:
        for i, label in enumerate(sample.labels):
            # One folder per class and nothing else is what image_dataset_from_directory reads.
            opened.writestr(f"{'FAKE' if label else 'REAL'}/{i:06}.jpg", sample.read(i))


def seconds(work: Callable[[], object]) -> float:
    """Return how long `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_turns(*works: Callable[[], object], rounds: int) -> list[tuple[float, ...]]:
    """Time all in turns, after one round that is not counted."""
    return [tuple(seconds(work) for work in works) for _ in range(rounds + 1)][1:]


PARTS = {"decoding": decoding, "input_pipeline": input_pipeline, "settings": settings, "whole_job": whole_job}


if __name__ == "__main__":
    main()
