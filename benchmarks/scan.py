"""`pyrite scan` on Ray against a plain loop over the same images, with one worker and with two; and its memory.

    python benchmarks/scan.py cifake.zip --bundle run/bundle --out results/benchmarks/scan.json

Everything runs with one thread for the model. The loop and one worker have one core for all that they start, Ray's own
processes included, and two workers have two. The loop does what a worker does with each image, and keeps nothing.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from detection import unpack
from pyrite.detector import Detector
from training import machine

BATCH = 64
COMMAND = [sys.executable, "-c", "import sys; sys.argv[0] = 'pyrite'; from pyrite.cli import main; main()", "scan"]


def main() -> None:
    """Run every comparison, print it, and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path, help="CIFAKE as a zip")
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--loop", type=Path, help="only run the loop over this folder, and print its seconds")
    arguments = parser.parse_args()
    if arguments.loop:
        print(loop(arguments.loop, arguments.bundle))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        unpack(arguments.archive, folder / "all", arguments.images)
        unpack(arguments.archive, folder / "tenth", arguments.images // 10)
        rounds = [compare(arguments, folder, number) for number in range(arguments.rounds)]
    found = {"machine": machine(), "images": arguments.images, "bundle": arguments.bundle.name, "rounds": rounds}
    print(json.dumps(found, indent=1))
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")


def compare(arguments: argparse.Namespace, folder: Path, number: int) -> dict[str, Any]:
    """Time the loop, one worker on all and on a tenth of the images, and two workers."""
    this = [sys.executable, __file__, str(arguments.archive), "--bundle", str(arguments.bundle)]
    done = subprocess.run([*pinned("0"), *this, "--loop", str(folder / "all")], capture_output=True, text=True)
    plain = arguments.images / float(done.stdout)
    runs = {
        name: run(folder / source, folder / f"{name}-{number}", arguments.bundle, workers, cores)
        for name, source, workers, cores in (
            ("one_worker_tenth", "tenth", 1, "0"),
            ("one_worker", "all", 1, "0"),
            ("two_workers", "all", 2, "0,1"),
        )
    }
    one, two = runs["one_worker"]["images_per_second"], runs["two_workers"]["images_per_second"]
    return {
        "loop_images_per_second": plain,
        **runs,
        "overhead_of_one_worker": plain / one - 1,
        "two_workers_over_one": two / one,
        "memory_of_all_over_tenth": runs["one_worker"]["peak_bytes"] / runs["one_worker_tenth"]["peak_bytes"],
    }


def loop(folder: Path, bundle: Path) -> float:
    """Return the seconds that a loop takes once the model is loaded."""
    detector = Detector(bundle, threads=1)
    paths = sorted(map(str, folder.iterdir()))
    detector.detect_batch(paths[:BATCH])
    began = time.perf_counter()
    for start in range(0, len(paths), BATCH):
        detector.detect_batch(paths[start : start + BATCH])
    return time.perf_counter() - began


def run(source: Path, out: Path, bundle: Path, workers: int, cores: str) -> dict[str, float]:
    """Scan; return the seconds of the whole command, the rate once the first shard was done, and the peak memory."""
    log = out.with_suffix(".jsonl")
    command = [*pinned(cores), *COMMAND, str(source), "--out", str(out), "--bundle", str(bundle)]
    began = time.perf_counter()
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([*command, "--workers", str(workers), "--progress", str(log)], env=environment)
    peak = Peak(process.pid)
    if process.wait():
        sys.exit(f"{' '.join(command)} failed.")
    seconds = time.perf_counter() - began
    first, *_, last = [json.loads(line) for line in log.read_text().splitlines()]
    rate = (last["images"] - first["images"]) / (last["seconds"] - first["seconds"])
    return {"seconds": seconds, "images_per_second": rate, "peak_bytes": peak.stop()}


class Peak:
    """The most memory that a process and all below it have for themselves, looked at twice a second."""

    def __init__(self, pid: int) -> None:
        self._pid, self._most, self._ended = pid, 0, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """Return it, in bytes."""
        self._ended.set()
        self._thread.join()
        return self._most

    def _look(self) -> None:
        while not self._ended.wait(0.5):
            try:
                tree = [psutil.Process(self._pid), *psutil.Process(self._pid).children(recursive=True)]
            except psutil.Error:
                return
            self._most = max(self._most, sum(map(own_memory, tree)))


def own_memory(process: psutil.Process) -> int:
    """Return the bytes that no other process shares."""
    try:
        return int(process.memory_full_info().uss)
    except psutil.Error:
        return 0


def pinned(cores: str) -> list[str]:
    """Return what keeps a command to some cores."""
    return ["taskset", "-c", cores]


if __name__ == "__main__":
    main()
