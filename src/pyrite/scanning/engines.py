"""Who runs the shards: Ray Data, on this machine or a cluster; or nobody but this process."""

import logging
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from pyrite.errors import ScanError
from pyrite.runtime import available_cpus
from pyrite.scanning.shipping import put
from pyrite.scanning.task import Done, Task
from pyrite.scanning.worker import Worker

_BLOCKS = 20_000  # that Ray keeps account of
_STORE = 100_000_000  # bytes for Ray's objects: a few numbers for each shard


def run_here(task: Task, shards: Sequence[int]) -> Iterator[Done]:
    """Run the shards one after the other in this process, and yield what came of each."""
    worker = Worker(task)
    try:
        for shard in shards:
            yield worker.judge(shard)
    finally:
        worker.close()


def run_on_ray(
    task: Task, shards: Sequence[int], *, address: str | None = None, workers: int | None = None
) -> Iterator[Done]:
    """Run the shards on Ray Data, and yield what came of each as it is done.

    A worker that dies costs the shard that it was at: Ray starts another, which passes over those of its block that are
    done, and does that one anew, or gives it up if it was not the first to die over it.

    Args:
        task: What to do.
        shards: Their numbers.
        address: Of a cluster; by default, Ray is started here for as long as this takes.
        workers: How many; by default, as many as there are CPUs.

    Raises:
        ScanError: Ray cannot be started or reached, or fails.
    """
    # What Ray says of workers that die is in its own logs; what became of their shards is in the table.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # As it will be; else Ray warns.
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    own = not ray.is_initialized()
    try:
        if own:
            _connect(address, workers)
        if address or not own:
            # Other machines may not have the bundles.
            task = replace(task, bundles=tuple(map(put, task.bundles)))
        size = workers or int(ray.cluster_resources().get("CPU", 1))
        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.execution_no_progress_timeout_s = -1  # A shard may be large; an image has a limit of its own.
        blocks = min(len(shards), _BLOCKS)
        rows = ray.data.from_items([{"shard": shard} for shard in shards], override_num_blocks=blocks)
        results = rows.map_batches(
            _RayWorker,
            batch_size=1,
            # One shard at work and one that waits: else the worker would, a fifth of its time if shards are small.
            compute=ActorPoolStrategy(size=min(size, len(shards)), max_tasks_in_flight_per_actor=2),
            fn_constructor_args=(task,),
            num_cpus=1,
        )
        for batch in results.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
            for values in zip(*batch.values(), strict=True):
                yield Done(**{name: _plain(value) for name, value in zip(batch, values, strict=True)})
    except (ray.exceptions.RayError, ConnectionError, OSError) as error:
        raise ScanError(f"Ray failed: {error}. Finished work is kept; run the same command to continue.") from error
    finally:
        if own:
            ray.shutdown()


def _connect(address: str | None, workers: int | None) -> None:
    import ray

    if address:
        _knock(address)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if not address:
        cpus = workers or available_cpus()
        options |= {"num_cpus": cpus, "object_store_memory": _STORE, "include_dashboard": False}
    try:
        with _silent():
            ray.init(address=address or "local", **options)
    except Exception as error:  # Of any kind, down to `Exception` itself.
        raise ScanError(f"Ray cannot be {'reached' if address else 'started'}: {error}") from error


class _RayWorker:
    """A worker as Ray Data takes it: a function on a batch of one shard's number."""

    def __init__(self, task: Task) -> None:
        self._worker = Worker(task)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        done = [self._worker.judge(int(shard)) for shard in batch["shard"]]
        return {name: [getattr(item, name) for item in done] for name in Done.__slots__}


def _knock(address: str) -> None:
    """Refuse at once an address where nobody answers, for which Ray would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except OSError as error:
            raise ScanError(f"Ray cannot be reached at {address}: {error.strerror or error}.") from error


@contextmanager
def _silent() -> Iterator[None]:
    """Keep what is said below Python off the terminal; what is written there meanwhile is lost."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
