"""Data of ten times the memory that a process may have goes through it: shards, decoding, shuffling, batches."""

import io
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

_SIDE, _IMAGES, _SHARDS = 256, 3280, 4
_ALLOWANCE = 64_000_000
"""Bytes of private memory, beyond what the imports took. File pages are not private: the system takes them back."""
_LIMITED = """
import resource, sys
from pathlib import Path

import numpy as np

from pyrite.prefetch import prefetch
from pyrite.datasets import Dataset, decode
from pyrite.bundle.preprocess import Resize
from pyrite.recipe import load_recipe
from pyrite.training.batches import train_batches

source, side, allowance = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
import pyarrow as pa, pyarrow.parquet as pq

# Threads and allocators count as well, however little is read.
pq.write_table(pa.table({"image": [bytes(1000)]}), (warm := pa.BufferOutputStream()))
pq.ParquetFile(warm.getvalue()).read_row_group(0)
taken = next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if "VmData" in line)
resource.setrlimit(resource.RLIMIT_DATA, [taken * 1024 + allowance] * 2)
dataset = Dataset.open(source)
decoded = decode(dataset, Resize(height=side, width=side))
recipe = load_recipe("tiny", ["batch_size=8"])
chosen, seen = np.arange(len(dataset)), 0
for images, labels in prefetch(train_batches(decoded.pixels, dataset.labels, chosen, recipe, 0)):
    seen += len(images)
print(seen, decoded.pixels.nbytes // allowance, len(decoded.failures))
try:
    print(np.array(decoded.pixels).nbytes)
except MemoryError:
    print("all at once: no room")
"""


def write_shards(folder: Path) -> None:
    stream = io.BytesIO()
    Image.linear_gradient("L").resize((_SIDE, _SIDE)).convert("RGB").save(stream, "JPEG")
    for shard in range(_SHARDS):
        # Bytes after the picture's end make every file another one.
        images = [stream.getvalue() + i.to_bytes(4) for i in range(shard, _IMAGES, _SHARDS)]
        table = pa.table({"image": images, "label": [i % 2 for i in range(len(images))]})
        pq.write_table(table, folder / f"part-{shard}.parquet", row_group_size=25)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone limits private memory by itself")
def test_ten_times_the_memory(tmp_path: Path) -> None:
    write_shards(tmp_path)
    command = [sys.executable, "-c", _LIMITED, tmp_path, str(_SIDE), str(_ALLOWANCE)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == [f"{_IMAGES} 10 0", "all at once: no room"]
