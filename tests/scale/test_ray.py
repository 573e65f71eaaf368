"""On a real Ray, of local processes, with real SIGKILLs."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from corpora import kill_after_parts, read_rows

from pyrite.bundle import Bundle
from pyrite.scale import Settings, scan

SHARDS = ("--shard-size", "7", "--batch-size", "3")


@pytest.fixture(scope="module")
def expected(corpus: Path, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    out = tmp_path_factory.mktemp("expected") / "out"
    scan(str(corpus), out, bundle, settings=Settings(shard_size=7, batch_size=3), engine="local")
    return read_rows(out)


@pytest.mark.slow
def test_the_table_does_not_depend_on_the_workers_nor_on_the_driver_being_killed(
    corpus: Path, expected: list[dict[str, Any]], tmp_path: Path, start: Any, finish: Callable[..., Any]
) -> None:
    command = (corpus, "--out", tmp_path / "out", *SHARDS, "--workers", "2")
    process = start(*command)
    ray = descendants(process.pid, tmp_path / "out")
    done = kill_after_parts(process, tmp_path / "out", 2)
    assert wait_until(lambda: not any(map(lives, ray)))
    kept = {part: part.stat().st_mtime_ns for part in (tmp_path / "out/detections").glob("part-*")}
    assert len(kept) >= done
    code, printed, errors = finish(*command[:-1], "1")
    assert (code, errors) == (1, "")
    assert "61 images" in printed
    assert all(part.stat().st_mtime_ns == time for part, time in kept.items())
    assert read_rows(tmp_path / "out") == expected
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "detections", "listing.parquet", "manifest.json", "sample.html", "summary.json",
    ]  # fmt: skip


def test_a_worker_that_is_killed_costs_nothing(
    corpus: Path, expected: list[dict[str, Any]], tmp_path: Path, start: Any
) -> None:
    out = tmp_path / "out"
    process = start(corpus, "--out", out, *SHARDS, "--workers", "1")
    killed = 0
    try:
        while process.poll() is None and killed < 2:
            # Whoever judges has a process that decodes below it.
            for child in psutil.Process(process.pid).children(recursive=True):
                if command(child)[-1:] == ["pyrite.scale.decoder"] and len(list(out.glob("detections/*"))) > killed:
                    os.kill(child.ppid(), signal.SIGKILL)
                    killed += 1
                    break
            time.sleep(0.05)
        printed, _ = process.communicate(timeout=240)
    finally:
        process.kill()
    assert killed == 2
    assert "61 images" in printed
    assert read_rows(out) == expected


def test_ray_that_cannot_be_reached_is_told(corpus: Path, tmp_path: Path, finish: Callable[..., Any]) -> None:
    code, _, errors = finish(corpus, "--out", tmp_path / "out", "--address", "127.0.0.1:9")
    assert code == 1
    assert "Error: Ray cannot be reached at 127.0.0.1:9: Connection refused" in errors


def command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def descendants(pid: int, out: Path) -> list[psutil.Process]:
    """Return what a scan started, once it judges."""
    assert wait_until(lambda: (out / "detections").exists())
    return psutil.Process(pid).children(recursive=True)


def wait_until(condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + 240
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True
