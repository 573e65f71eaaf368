"""Training on two processes against one, and on data ten times larger than the memory that a process may have.

    python benchmarks/distributed.py cifake.zip --recipe resnet50 --out results/benchmarks/distributed.json

Both trainings have the same images, recipe, seed and global batch, and two cores: one process has both,
or each has one.
"""

import argparse
import csv
import io
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from training import PYRITE, machine, write_sample

_SIDE = 256  # pixels, of the images that are larger than memory together
_PER_SHARD = 1000


def main() -> None:
    """Run both parts, or one, print them, and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path, help="CIFAKE as a zip")
    parser.add_argument("--out", type=Path, required=True, help="where the JSON goes")
    parser.add_argument("--recipe", default="resnet50", help="of the two processes")
    parser.add_argument("--images", type=int, default=5000, help="of the two processes")
    parser.add_argument("--epochs", type=int, default=1, help="of the two processes")
    parser.add_argument("--limit", type=int, default=1000, help="of a process's private memory, in MB")
    parser.add_argument("--times", type=float, default=10, help="as much data as that")
    parser.add_argument("--part", action="append", choices=PARTS, help="measure only this, and keep the rest of --out")
    arguments = parser.parse_args()
    found: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PYRITE_CACHE"] = str(Path(folder) / "cache")
        for part in arguments.part or PARTS:
            key = f"{part}_{arguments.recipe}" if part == "machines" else part
            found[key] = {"machine": machine(), **PARTS[part](arguments, Path(folder))}
            print(key, json.dumps(found[key], indent=1), flush=True)
            arguments.out.parent.mkdir(parents=True, exist_ok=True)
            arguments.out.write_text(json.dumps(found, indent=1) + "\n")


def machines(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Train once with one process and once with two, and compare what they say of each epoch."""
    sample = folder / "sample.zip"
    write_sample(arguments.archive, sample, arguments.images)
    command = [
        *(str(PYRITE), "train", str(sample), "--recipe", arguments.recipe),
        *("--set", f"epochs={arguments.epochs}", "--out"),
    ]
    one = train([["taskset", "-c", "0,1", *command, str(folder / "one")]], [{}])
    two = train([["taskset", "-c", str(core), *command, str(folder / f"two-{core}")] for core in range(2)], places(2))
    histories = [history(folder / name / "history.csv") for name in ("one", "two-0")]
    return {
        "recipe": arguments.recipe,
        "images": arguments.images,
        "epochs": arguments.epochs,
        "one_process": {"seconds": one, "history": histories[0]},
        "two_processes": {"seconds": two, "history": histories[1]},
        "largest_difference": {
            name: max(abs(a[name] - b[name]) for a, b in zip(*histories, strict=True))
            for name in ("loss", "accuracy", "val_loss", "val_accuracy", "val_calibrated_loss", "learning_rate")
        },
    }


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


def memory(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Train on shards of images that decode to so many times what a process may have for itself, in one epoch."""
    limit = 1_000_000 * arguments.limit
    count = round(arguments.times * limit / (3 * _SIDE**2))
    (folder / "shards").mkdir()
    for start in range(0, count, _PER_SHARD):
        write_shard(folder / "shards" / f"part-{start:08}.parquet", range(start, min(count, start + _PER_SHARD)))
    settings = [f"height={_SIDE}", f"width={_SIDE}", "epochs=1"]
    command = [
        *(str(PYRITE), "train", str(folder / "shards"), "--recipe", "tiny", "--out", str(folder / "run")),
        *(part for setting in settings for part in ("--set", setting)),
    ]
    began = time.perf_counter()
    # Every process below has the limit as well. Pages of files do not count: the system takes them back.
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    )
    status = Path(f"/proc/{process.pid}/status")
    peak = 0
    while process.poll() is None:
        lines = status.read_text().splitlines()
        peak = max([peak, *(int(line.split()[1]) for line in lines if line.startswith("VmData"))])
        time.sleep(0.2)
    if process.returncode:
        sys.exit("Training failed.")
    return {
        "limit_bytes": limit,
        "peak_bytes": 1024 * peak,
        "images": count,
        "decoded_bytes": 3 * _SIDE**2 * count,
        "times_the_limit": 3 * _SIDE**2 * count / limit,
        "seconds": time.perf_counter() - began,
        "history": history(folder / "run/history.csv"),
    }


def write_shard(path: Path, numbers: range) -> None:
    """Write images of both classes; bytes after the picture's end make each file another one."""
    pictures = []
    for turn in (0, 90):
        stream = io.BytesIO()
        Image.linear_gradient("L").rotate(turn).resize((_SIDE, _SIDE)).convert("RGB").save(stream, "JPEG")
        pictures.append(stream.getvalue())
    table = {
        "image": [pictures[number % 2] + number.to_bytes(8) for number in numbers],
        "label": [number % 2 for number in numbers],
    }
    pq.write_table(pa.table(table), path, row_group_size=100)


PARTS = {"machines": machines, "memory": memory}


if __name__ == "__main__":
    main()
