"""`pyrite scan` on Ray against a plain loop over the same JPEGs, with one worker and with two; and its memory.

    python benchmarks/scan.py cifake.zip --docs

writes results/benchmarks/scan.json and with `--docs` the figures of docs/scale.md. Each worker, with the process that
decodes for it, is pinned to a core, and has one thread for the model. With one worker, Ray's own processes share that
core, or in `one_worker_ray_elsewhere` have another, and in `without_ray` there are none: a worker, its decoding process
and the table alone. The loop is one process with one thread on one core; it does what a worker does with an image,
and keeps nothing.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from detection import unpack
from pyrite.bundle import DEFAULT
from pyrite.detector import Detector
from pyrite.evidence import read_evidence
from pyrite.image import open_image
from training import machine

HERE = Path(__file__).parent
OUT = HERE.parent / "results/benchmarks/scan.json"
DOCS = HERE.parent / "docs/scale.md"
BEGIN, END = "<!-- benchmarks/scan.py begins -->\n", "<!-- benchmarks/scan.py ends -->\n"
BATCH = 64
COMMAND = [sys.executable, "-c", "import sys; sys.argv[0] = 'pyrite'; from pyrite.cli import main; main()", "scan"]


def main() -> None:
    """Run every comparison, print it, and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path, help="CIFAKE as a zip")
    parser.add_argument("--bundle", type=Path, default=DEFAULT)
    parser.add_argument("--out", type=Path, default=OUT, help="where the JSON goes")
    parser.add_argument("--docs", action="store_true", help="put the figures into docs/scale.md")
    parser.add_argument("--count", type=int, default=100_000, help="of images")
    parser.add_argument("--minutes", type=float, default=25, help="after so many, give up")
    parser.add_argument("--price", type=float, default=0.04, help="of an hour of one core, in dollars; for --docs")
    parser.add_argument("--loop", type=Path, help="only run the loop over this folder, and print its figures")
    arguments = parser.parse_args()
    if arguments.loop:
        print(json.dumps(loop(arguments.loop, arguments.bundle)))
        return
    deadline = time.monotonic() + 60 * arguments.minutes
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        unpack(arguments.archive, folder / "all", arguments.count)
        unpack(arguments.archive, folder / "tenth", arguments.count // 10)
        found = compare(arguments, folder, deadline)
    print(json.dumps(found, indent=1))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    if arguments.docs:
        text = DOCS.read_text()
        before, after = text.partition(BEGIN)[0], text.partition(END)[2]
        DOCS.write_text(before + BEGIN + "".join(f"{line}\n" for line in figures(found, arguments.price)) + END + after)


def compare(arguments: argparse.Namespace, folder: Path, deadline: float) -> dict[str, Any]:
    """Time the loop, one worker on a tenth and on all of the images, and two workers."""
    this = [sys.executable, __file__, str(arguments.archive), "--bundle", str(arguments.bundle)]
    command = [*pinned("0"), *this, "--loop", str(folder / "all")]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=deadline - time.monotonic())
    plain = json.loads(done.stdout)
    runs = {}
    for name, source, engine, workers, cores in (
        ("without_ray", "all", "local", 1, "0"),
        ("one_worker_tenth", "tenth", "ray", 1, "0"),
        ("one_worker", "all", "ray", 1, "0"),
        ("one_worker_ray_elsewhere", "all", "ray", 1, "0,1"),
        ("two_workers", "all", "ray", 2, "0,1"),
    ):
        runs[name] = run(folder / source, folder / name, arguments, engine, workers, cores, deadline)
        print(name, json.dumps(runs[name]), file=sys.stderr, flush=True)
    alone, one, elsewhere, two = (
        runs[name]["images_per_second"]
        for name in ("without_ray", "one_worker", "one_worker_ray_elsewhere", "two_workers")
    )
    return {
        "machine": machine(),
        "images": arguments.count,
        "bundle": arguments.bundle.name,
        "loop": plain,
        **runs,
        "overhead_of_one_worker": plain["images_per_second"] / one - 1,
        "overhead_without_ray": plain["images_per_second"] / alone - 1,
        "overhead_ray_elsewhere": plain["images_per_second"] / elsewhere - 1,
        "two_workers_over_one": two / one,
        "memory_of_all_over_tenth": runs["one_worker"]["peak_bytes"] / runs["one_worker_tenth"]["peak_bytes"],
    }


def loop(folder: Path, bundle: Path) -> dict[str, Any]:
    """Return the rate of a loop once the model is loaded, and the milliseconds that each part takes of an image."""
    detector = Detector(bundle, threads=1)
    preprocess = detector.bundle.info.preprocess
    paths = sorted(map(str, folder.iterdir()))
    batches = [paths[start : start + BATCH] for start in range(0, len(paths), BATCH)]

    def judge(batch: list[str]) -> None:
        detector.score([detector.reader.read(path) for path in batch])

    judge(batches[0])
    began = time.perf_counter()
    for batch in batches:
        judge(batch)
    seconds = time.perf_counter() - began
    parts = {"decode": 0.0, "evidence": 0.0, "model": 0.0}
    looked_at = batches[: max(1, len(batches) // 10)]
    for batch in looked_at:
        times = [time.perf_counter()]
        images = [open_image(path, at_least=preprocess.size) for path in batch]
        inputs = np.concatenate([preprocess.apply(image.pixels, image.box) for image in images])
        times.append(time.perf_counter())
        for image in images:
            read_evidence(image)
        times.append(time.perf_counter())
        detector.logits(inputs)
        times.append(time.perf_counter())
        for part, start, end in zip(parts, times, times[1:], strict=False):
            parts[part] += end - start
    count = sum(map(len, looked_at))
    return {
        "seconds": seconds,
        "images_per_second": len(paths) / seconds,
        "milliseconds": {part: 1000 * spent / count for part, spent in parts.items()},
    }


def run(
    source: Path,
    out: Path,
    arguments: argparse.Namespace,
    engine: str,
    workers: int,
    cores: str,
    deadline: float,
) -> dict[str, float]:
    """Scan; return the seconds of the whole command, the rate once the first shard was done, and the peak memory."""
    log = out.with_suffix(".jsonl")
    options = {
        "--out": out, "--bundle": arguments.bundle, "--engine": engine, "--workers": workers, "--progress": log,
        "--shard-size": max(10, arguments.count // 100), "--batch-size": BATCH,
    }  # fmt: skip
    command = [*pinned(cores), *COMMAND, str(source), *(str(part) for option in options.items() for part in option)]
    began = time.perf_counter()
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL)
    watched = Watch(process.pid, workers)
    try:
        if process.wait(max(0, deadline - time.monotonic())):
            sys.exit(f"{' '.join(command)} failed.")
    finally:
        process.kill()
    seconds = time.perf_counter() - began
    first, *_, last = [json.loads(line) for line in log.read_text().splitlines()]
    return {
        "seconds": seconds,
        "seconds_to_first_shard": seconds - (last["seconds"] - first["seconds"]),
        "images_per_second": (last["images"] - first["images"]) / (last["seconds"] - first["seconds"]),
        "peak_bytes": watched.stop(),
        "table_bytes_per_image": sum(path.stat().st_size for path in out.glob("detections/*")) / last["images"],
    }


class Watch:
    """Pins each worker of a scan to a core, and tells the most memory that all of the scan's processes have."""

    def __init__(self, pid: int, workers: int) -> None:
        self._pid, self._workers, self._most, self._ended = pid, workers, 0, threading.Event()
        self._pinned: set[int] = set()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """Return it, in bytes: what no other process shares, looked at once a second."""
        self._ended.set()
        self._thread.join()
        if len(self._pinned) != self._workers:
            sys.exit(f"{len(self._pinned)} workers were pinned, not {self._workers}.")
        return self._most

    def _look(self) -> None:
        while not self._ended.wait(1):
            try:
                tree = [psutil.Process(self._pid), *psutil.Process(self._pid).children(recursive=True)]
            except psutil.Error:
                continue
            self._most = max(self._most, sum(map(own_memory, tree)))
            for decoder in filter(decodes, tree):
                if decoder.pid not in self._pinned:
                    core = len(self._pinned) % self._workers
                    self._pinned.add(decoder.pid)
                    for pid in (decoder.pid, decoder.ppid()):
                        for thread in threads_of(pid):
                            os.sched_setaffinity(thread, {core})


def decodes(process: psutil.Process) -> bool:
    """Say whether a process is one that decodes for a worker, which started it."""
    try:
        return "pyrite.sandbox" in process.cmdline()
    except psutil.Error:
        return False


def threads_of(pid: int) -> Iterator[int]:
    """Yield the threads of a process, which are pinned one by one."""
    for path in Path(f"/proc/{pid}/task").iterdir():
        yield int(path.name)


def own_memory(process: psutil.Process) -> int:
    """Return the bytes that no other process shares."""
    try:
        return int(process.memory_full_info().uss)
    except psutil.Error:
        return 0


def pinned(cores: str) -> list[str]:
    """Return what keeps a command to some cores."""
    return ["taskset", "-c", cores]


def figures(found: dict[str, Any], price: float) -> Iterator[str]:
    """Yield the lines that docs/scale.md has of a run."""
    plain, one, two = (found[name] for name in ("loop", "one_worker", "two_workers"))
    parts = plain["milliseconds"]
    yield f"{found['images']:,} JPEGs of CIFAKE, bundle `{found['bundle']}`, {found['machine']['cpu']}:"
    yield ""
    yield "| | measured | to reach |"
    yield "| --- | --- | --- |"
    yield f"| plain loop, one core | {plain['images_per_second']:,.0f} images/s | |"
    yield f"| one worker | {one['images_per_second']:,.0f} images/s | |"
    yield f"| two workers | {two['images_per_second']:,.0f} images/s | |"
    yield f"| two workers over one | {found['two_workers_over_one']:.2f} | ≥ 1.8 |"
    yield f"| overhead of one worker over the loop | {found['overhead_of_one_worker']:.1%} | ≤ 15% |"
    yield f"| of this, without Ray: a worker, its decoding process, the table | {found['overhead_without_ray']:.1%} | |"
    yield f"| the same with Ray's own processes on another core | {found['overhead_ray_elsewhere']:.1%} | |"
    yield f"| memory, all images over a tenth of them | {found['memory_of_all_over_tenth']:.2f} | flat |"
    yield f"| start of the command to the first shard's end | {one['seconds_to_first_shard']:.0f} s | |"
    yield f"| of one image: decoding, evidence, model | {', '.join(f'{ms:.2f}' for ms in parts.values())} ms | |"
    hours = 1e6 / one["images_per_second"] / 3600
    yield ""
    yield (
        f"So a million images take 1,000,000 / {one['images_per_second']:,.0f} / 3,600 = {hours:.2f} core hours: "
        f"${hours * price:.3f} where such an hour costs ${price:g}."
    )
    yield ""
    yield "| images | core hours | cores for a day | tars of 10,000 | table | memory for near duplicates |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for power in range(6, 11):
        count = 10**power
        all_hours = hours * count / 1e6
        table, hashes = one["table_bytes_per_image"] * count / 1e9, 50 * count / 1e9
        yield (
            f"| 10{'⁶⁷⁸⁹'[power - 6] if power < 10 else '¹⁰'} | {all_hours:,.1f} | {max(1, round(all_hours / 24)):,} | "
            f"{count // 10_000:,} | {table:,.1f} GB | {hashes:,.2g} GB |"
        )


if __name__ == "__main__":
    main()
