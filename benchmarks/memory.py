"""`pyrite train` on ten times the data that its memory may hold, against the same with all of the machine's.

    python benchmarks/memory.py cifake.zip --out results/benchmarks/memory.json

The images are CIFAKE's, enlarged and with grain, as uncompressed PNGs in tars. The limit is a control group's, so it
counts all processes of the command and the file pages that they brought in, and needs root on Linux.
"""

import argparse
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from distributed import history
from training import PYRITE, machine

TIMES = 10
SHARD = 1_000  # images
GROUPS = Path("/sys/fs/cgroup")
# Version 1 of control groups, or version 2.
NAMES = {"memory.limit_in_bytes": "rss", "memory.max": "anon"}


def main() -> None:
    """Run the comparison, print it, and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path, help="CIFAKE as a zip")
    parser.add_argument("--out", type=Path, required=True, help="where the JSON goes")
    parser.add_argument("--limit", type=float, default=1.15e9, help="bytes of memory")
    parser.add_argument("--side", type=int, default=128, help="pixels, of the images")
    parser.add_argument("--recipe", default="tiny", help="as of `pyrite train`")
    parser.add_argument("--folder", type=Path, help="with room for three times the data")
    parser.add_argument("--data", type=Path, help="where the tars are, or else are written and kept")
    arguments = parser.parse_args()
    limit = int(arguments.limit)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        data = arguments.data or folder / "data"
        if not data.exists():
            write_shards(arguments.archive, data, arguments.side, TIMES * limit)
        sizes = [size for path in data.iterdir() for size in entry_sizes(path)]
        count, written = len(sizes), sum(sizes)
        found = {
            "machine": machine(),
            "recipe": arguments.recipe,
            "side": arguments.side,
            "images": count,
            "limit_bytes": limit,
            "written_over_limit": written / limit,
            "decoded_over_limit": 3 * arguments.side**2 * count / limit,
            "without_limit": train(data, folder, "free", arguments, None),
            "with_limit": train(data, folder, "limited", arguments, limit),
            "array_at_once_exit_code": read_at_once(folder / "limited-cache", limit),
        }
    fast, slow = (found[name]["images_per_second"] for name in ("without_limit", "with_limit"))
    found["speed_with_limit_over_without"] = slow / fast
    print(json.dumps(found, indent=1))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")


def write_shards(archive: Path, folder: Path, side: int, size: int) -> None:
    """Write tars of at least `size` bytes of images."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    grain = rng.integers(-6, 7, (2 * side, 2 * side, 3), np.int16)
    count = written = 0
    with zipfile.ZipFile(archive) as opened:
        names = rng.permutation([name for name in opened.namelist() if name.lower().endswith((".jpg", ".png"))])
        while written < size:
            path = folder / f"{count // SHARD:05}.tar"
            with tarfile.open(path, "w") as tar:
                for _ in range(SHARD):
                    name = names[count % len(names)]
                    image = Image.open(io.BytesIO(opened.read(name))).convert("RGB").resize((side, side))
                    x, y = rng.integers(0, side, 2)
                    pixels = np.clip(np.asarray(image) + grain[y : y + side, x : x + side], 0, 255).astype(np.uint8)
                    entry = tarfile.TarInfo(f"{PurePosixPath(name).parent.name}/{count:08}.png")
                    Image.fromarray(pixels).save(stream := io.BytesIO(), "PNG", compress_level=0)
                    entry.size = stream.tell()
                    stream.seek(0)
                    tar.addfile(entry, stream)
                    count, written = count + 1, written + entry.size
            forget(path)


def entry_sizes(path: Path) -> list[int]:
    """Return the bytes of each file in a tar."""
    with tarfile.open(path) as tar:
        return [entry.size for entry in tar]


def forget(path: Path) -> None:
    """Have a file's pages dropped, which else would cost a reader nothing."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def train(data: Path, folder: Path, name: str, arguments: argparse.Namespace, limit: int | None) -> dict[str, Any]:
    """Train from the tars to the report; return the times of it, and the most private memory."""
    out, side = folder / name, arguments.side
    command = [
        *(str(PYRITE), "train", str(data), "--recipe", arguments.recipe, "--out", str(out)),
        *("--set", "epochs=1", "--set", f"height={side}", "--set", f"width={side}"),
    ]
    for path in data.iterdir():
        forget(path)
    began = time.perf_counter()
    with control_group(limit) as group:
        environment = os.environ | {"PYRITE_CACHE": str(folder / f"{name}-cache")}
        process = subprocess.Popen([*inside(group), *command], env=environment, stdout=subprocess.DEVNULL)
        most = 0
        while process.poll() is None:
            time.sleep(0.5)
            most = max(most, private_bytes(group))
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed with {process.returncode}.")
    epoch = history(out / "history.csv")[0]
    return {
        "seconds": time.perf_counter() - began,
        "epoch_seconds": epoch["seconds"],
        "images_per_second": epoch["images_per_second"],
        "loss": epoch["loss"],
        "val_loss": epoch["val_loss"],
        "peak_private_bytes": most,
    }


def read_at_once(cache: Path, limit: int) -> int:
    """Return how the process ends that reads the decoded array as a whole."""
    code = "import sys, numpy; numpy.load(sys.argv[1])"
    path = next(cache.glob("decoded-*/pixels.npy"))
    with control_group(limit) as group:
        return subprocess.run([*inside(group), sys.executable, "-c", code, str(path)]).returncode


@contextmanager
def control_group(limit: int | None) -> Iterator[Path]:
    """Make a control group, with a limit or without, and remove it."""
    top = GROUPS / "memory" if (GROUPS / "memory").is_dir() else GROUPS
    group = top / f"pyrite-{os.getpid()}"
    group.mkdir()
    try:
        if limit is not None:
            next(group / name for name in NAMES if (group / name).exists()).write_text(str(limit))
        yield group
    finally:
        for pid in (group / "cgroup.procs").read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        while (group / "cgroup.procs").read_text():
            time.sleep(0.1)
        with suppress(OSError):  # The system may still be taking it apart; an empty one does no harm.
            group.rmdir()


def inside(group: Path) -> list[str]:
    """Return what starts a command in a control group."""
    return ["sh", "-c", 'echo $$ > "$0"/cgroup.procs && exec "$@"', str(group)]


def private_bytes(group: Path) -> int:
    """Return the private memory of a group's processes, without file pages."""
    stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    return next(int(stat[key]) for key in NAMES.values() if key in stat)


if __name__ == "__main__":
    main()
