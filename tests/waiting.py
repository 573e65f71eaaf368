"""Waiting for what other processes and threads do: for as long as anything moves, and not by the clock alone."""

import asyncio
import os
import subprocess
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

STILL = 60.0
"""Seconds, of a machine with nothing else to do, after which a test gives up on what has not moved."""


def eventually(holds: Callable[[], object], moves: Callable[[], object] = lambda: None) -> bool:
    """Wait until something holds, and say whether it does.

    It is given up after a minute in which what `moves` returned stayed the same.
    """
    seen, left, before = moves(), STILL, time.monotonic()
    while not holds():
        time.sleep(0.02)
        now = time.monotonic()
        if now - before < 1:  # To look at all processes takes a while.
            continue
        left -= (now - before) * _speed()
        before = now
        if (found := moves()) != seen:
            seen, left = found, STILL
        elif left < 0:
            return bool(holds())
    return True


def processes_of(process: "subprocess.Popen[Any]") -> dict[int, int]:
    """Return a process and those that it started, by number, and for how many seconds each has computed."""
    found = {}
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process.pid)
        for one in (parent, *parent.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                found[one.pid] = int(sum(one.cpu_times()))
    return found


def finish(process: "subprocess.Popen[str]", moves: Callable[[], object] | None = None) -> tuple[str, str]:
    """Wait for the end of a process, and return what it printed; one that stands still is killed."""
    with ThreadPoolExecutor(1) as pool:
        said = pool.submit(process.communicate)
        try:
            assert eventually(said.done, moves or (lambda: processes_of(process))), f"{process.args} stands still."
        finally:
            process.kill()
        return said.result()


async def finish_all(futures: Iterable["asyncio.Future[Any]"], *, errors: bool = False) -> list[Any]:
    """Return what futures come to, with `errors` among it or raised; given up when none comes within a minute."""
    waiting = list(futures)
    left = set(waiting)
    while left:
        done, left = await asyncio.wait(left, timeout=STILL / _speed(), return_when=asyncio.FIRST_COMPLETED)
        assert done, f"Of {len(waiting)}, {len(left)} do not come."
    return await asyncio.gather(*waiting, return_exceptions=errors)


def _speed() -> float:
    """Return for how much of its time a process can compute where as many want to as do now: 1 if all can."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        running = int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0])
    except OSError:
        running = round(os.getloadavg()[0])
    return min(1.0, processors / max(1, running))
