"""On a real Ray, of local processes, with real SIGKILLs."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from corpora import kill_after_parts, progress_of, read_rows

from pyrite.bundle import Bundle
from pyrite.scanning import ScanSettings, scan
from waiting import eventually

DECODER = ["pyrite.sandbox", "--confined"]
SHARDS = ("--shard-size", "2", "--batch-size", "2")


@pytest.fixture(scope="module")
def bundle(large: Bundle) -> Bundle:
    """A large one, whose weights the workers map from its folder."""
    return large


@pytest.fixture(scope="module")
def expected(corpus: Path, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    out = tmp_path_factory.mktemp("expected") / "out"
    scan(str(corpus), out, bundle, settings=ScanSettings(shard_size=2, batch_size=2), engine="local")
    return read_rows(out)


@pytest.mark.slow
def test_the_table_does_not_depend_on_who_was_killed_nor_on_the_number_of_workers(
    corpus: Path, expected: list[dict[str, Any]], tmp_path: Path, start: Any, finish: Callable[..., Any]
) -> None:
    out = tmp_path / "out"
    scan = (corpus, "--out", out, *SHARDS, "--workers", "2")
    process = start(*scan)
    try:
        assert eventually(lambda: parts_of(out) and kill_a_worker(process), lambda: progress_of(process, out))
        judging = [one for one in psutil.Process(process.pid).children(recursive=True) if judges(one)]
        kept = kill_after_parts(process, out, len(parts_of(out)) + 3)
    finally:
        process.kill()
    # Ray's own agents stay for a minute more.
    assert eventually(lambda: not any(map(lives, judging)), lambda: list(map(lives, judging)))
    before = {part: part.stat().st_mtime_ns for part in parts_of(out)}
    assert kept <= len(before)
    code, printed, errors = finish(*scan[:-1], "1")
    assert (code, errors) == (1, "")
    assert "61 images" in printed
    assert all(part.stat().st_mtime_ns == time for part, time in before.items())
    assert read_rows(out) == expected
    assert sorted(path.name for path in out.iterdir()) == [
        "detections", "listing.parquet", "manifest.json", "sample.html", "summary.json",
    ]  # fmt: skip


def test_ray_that_cannot_be_reached_is_told(corpus: Path, tmp_path: Path, finish: Callable[..., Any]) -> None:
    code, _, errors = finish(corpus, "--out", tmp_path / "out", "--address", "127.0.0.1:9")
    assert code == 1
    assert "Error: Ray cannot be reached at 127.0.0.1:9: Connection refused" in errors


def command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def judges(process: psutil.Process) -> bool:
    """Say whether it is a worker, or what decodes for one."""
    said = command(process)
    return said[-2:] == DECODER or any("_RayWorker" in word for word in said)


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def parts_of(out: Path) -> list[Path]:
    return sorted(out.glob("detections/part-*"))


def kill_a_worker(process: "subprocess.Popen[str]") -> bool:
    """Kill one outright that judges, if there is one: it has a process that decodes below it."""
    for child in psutil.Process(process.pid).children(recursive=True):
        if command(child)[-2:] == DECODER:
            os.kill(child.ppid(), signal.SIGKILL)
            return True
    assert process.poll() is None
    return False
