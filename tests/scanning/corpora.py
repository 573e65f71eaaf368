"""Tiny images, and how to look into a scan and to end one."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from waiting import eventually, processes_of

COMMAND = [sys.executable, "-c", "import sys; sys.argv[0] = 'pyrite'; from pyrite.cli import main; main()"]


def picture(number: int) -> bytes:
    """Return a PNG like no other; the higher its number, the brighter, and the more AI to the tests' model."""
    pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3)) // 2 + number * 128 // 60
    stream = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


PICTURES = [picture(number) for number in range(60)]


def read_rows(out: Path | str) -> list[dict[str, Any]]:
    """Return the table, without what it took."""
    parts = sorted(Path(out, "detections").glob("*.parquet"))
    table = pa.concat_tables([pq.ParquetFile(part).read() for part in parts])
    return table.drop_columns(["seconds"]).to_pylist()


def progress_of(process: "subprocess.Popen[str]", out: Path) -> object:
    """Return what changes while a scan goes on. Ray computes a little even when nothing does."""
    # Not `rglob`, which stops at a folder that is removed while it looks.
    return sorted(processes_of(process)), sorted(name for _, folders, files in os.walk(out) for name in folders + files)


def kill_after_parts(process: "subprocess.Popen[str]", out: Path, count: int) -> int:
    """Kill a scan outright once so many parts are there; return how many there are then."""

    def there() -> bool:
        assert process.poll() is None, process.communicate()
        return len(list(out.glob("detections/part-*.parquet"))) >= count

    assert eventually(there, lambda: progress_of(process, out))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return len(list(out.glob("detections/part-*.parquet")))
