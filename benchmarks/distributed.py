"""Training on two processes against one.

    python benchmarks/distributed.py cifake.zip --recipe resnet50 --out results/benchmarks/distributed.json

All trainings have the same images, recipe, seed and global batch. One process has two cores, or one; of two processes,
each has one. What one process makes of one core and of two differs by rounding alone, and so is the measure of what
two processes may differ by. With `--set precision=float64` hardly anything is rounded off.
"""

import argparse
import csv
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from training import PYRITE, machine, write_sample


def main() -> None:
    """Run the comparison, print it, and write it as JSON beside those of other recipes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path, help="CIFAKE as a zip")
    parser.add_argument("--out", type=Path, required=True, help="where the JSON goes")
    parser.add_argument("--recipe", default="resnet50", help="as of `pyrite train`")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], help="as of `pyrite train`")
    arguments = parser.parse_args()
    found: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PYRITE_CACHE"] = str(Path(folder) / "cache")
        name = " ".join([arguments.recipe, *arguments.set])
        found[name] = {"machine": machine(), **machines(arguments, Path(folder))}
    print(json.dumps(found[name], indent=1))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")


def machines(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Train each way, and compare what they say of each epoch."""
    sample = folder / "sample.zip"
    write_sample(arguments.archive, sample, arguments.images)
    sets = [part for setting in (f"epochs={arguments.epochs}", *arguments.set) for part in ("--set", setting)]
    command = [str(PYRITE), "train", str(sample), "--recipe", arguments.recipe, *sets, "--out"]
    seconds = {
        "one": train([["taskset", "-c", "0,1", *command, str(folder / "one")]], [{}]),
        "one_core": train([["taskset", "-c", "0", *command, str(folder / "one_core")]], [{}]),
        "two": train(
            [["taskset", "-c", str(core), *command, str(folder / name)] for core, name in enumerate(("two", "other"))],
            places(2),
        ),
    }
    histories = {name: history(folder / name / "history.csv") for name in seconds}
    return {
        "recipe": arguments.recipe,
        "settings": arguments.set,
        "images": arguments.images,
        "epochs": arguments.epochs,
        "one_process": {"seconds": seconds["one"], "history": histories["one"]},
        "one_process_on_one_core": {"seconds": seconds["one_core"], "history": histories["one_core"]},
        "two_processes": {"seconds": seconds["two"], "history": histories["two"]},
        "largest_difference": largest_difference(histories["one"], histories["two"]),
        "largest_difference_of_one_core": largest_difference(histories["one"], histories["one_core"]),
    }


def largest_difference(one: list[dict[str, float]], other: list[dict[str, float]]) -> dict[str, float]:
    """Return by how much two histories differ at most, in each of what they tell."""
    names = ("loss", "accuracy", "val_loss", "val_accuracy", "val_calibrated_loss", "learning_rate")
    return {name: max(abs(a[name] - b[name]) for a, b in zip(one, other, strict=True)) for name in names}


def places(count: int) -> list[dict[str, str]]:
    """Return the environment that tells each of so many processes on this machine where the others are."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    cluster = {"worker": [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]}
    for one in sockets:
        one.close()
    tasks = [{"type": "worker", "index": index} for index in range(count)]
    return [{"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})} for task in tasks]


def train(commands: list[list[str]], environments: list[dict[str, str]]) -> float:
    """Run trainings at the same time; return the seconds until the last has ended."""
    # Not with what Pyrite sets when it is imported.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    began = time.perf_counter()
    processes = [
        subprocess.Popen(command, env=clean | environment, stdout=subprocess.DEVNULL)
        for command, environment in zip(commands, environments, strict=True)
    ]
    try:
        if any([process.wait() for process in processes]):  # noqa: C419 - every one of them
            sys.exit("Training failed.")
    finally:
        for process in processes:
            process.kill()
    return time.perf_counter() - began


def history(path: Path) -> list[dict[str, float]]:
    """Read the curves of a run."""
    with path.open(newline="") as stream:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(stream)]


if __name__ == "__main__":
    main()
