"""One shard from its listing to its file of results: what every engine runs, on any machine."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from pyrite.detector import Unreadable, unreadable
from pyrite.errors import PyriteError, ScanError
from pyrite.prefetch import prefetch
from pyrite.results import Detection, Failure
from pyrite.scanning.isolated import IsolatedDetector, Judged
from pyrite.scanning.listing import Input, ListingReader
from pyrite.scanning.reading import Item, Shard, read_batches
from pyrite.scanning.remote import exists, join, list_names, touch, writing
from pyrite.scanning.table import TableWriter, part_path
from pyrite.scanning.task import Done, Task, packages_differ
from pyrite.sources import encodable

LISTING = "listing.parquet"
ATTEMPTS = "attempts"
_ATTEMPTS = 3  # at a shard by one run
_DIED = Failure("worker_died", f"{_ATTEMPTS} workers died one after the other while they judged this shard.")


class Worker:
    """Judges shards, one after the other; it holds a model, and so is made once for many."""

    def __init__(self, task: Task) -> None:
        """Open the listing."""
        self._task = task
        self._listing = ListingReader(join(task.out, LISTING))
        self._decoder = IsolatedDetector(task.bundles, task.settings, task.calibration)

    def judge(self, shard: int) -> Done:
        """Judge a shard and write its file, unless it is there.

        The file appears as a whole, and that is what makes the shard done: one that was broken off is done anew.
        """
        began = time.monotonic()
        path = part_path(self._task.out, shard)
        try:
            if difference := packages_differ(self._task.packages):
                raise ScanError(f"A worker has other packages than those that the scan started with: {difference}")
            if exists(path):
                return Done(shard=shard, images=0, errors=0, flagged=0, seconds=0.0)
            inputs = self._listing.read(shard)
            # Nothing but a file outlives a worker that is killed.
            attempts = join(self._task.out, ATTEMPTS, self._task.run, f"{shard:08}")
            if len(list_names(attempts)) >= _ATTEMPTS:
                return self._give_up(shard, path, inputs, began)
            touch(join(attempts, uuid4().hex))
            return self._write(shard, path, inputs, began)
        except Exception as error:  # Of storage and of Arrow; the images' own are in their rows.
            said = str(error) if isinstance(error, PyriteError) else f"Results cannot be written to {path}: {error}"
            return Done(shard=shard, images=0, errors=0, flagged=0, seconds=0.0, problem=said.removesuffix("."))

    def close(self) -> None:
        """End the process that decodes."""
        self._decoder.close()

    def _write(self, shard: int, path: str, inputs: Sequence[Input], began: float) -> Done:
        settings = self._task.settings
        source = Shard(inputs, settings.limits, settings.columns)
        with writing(path) as local, self._open(local, shard) as table:
            for batch in prefetch(read_batches(source, settings.batch_size)):
                start = time.monotonic()
                found = self._judge(batch)
                each = (time.monotonic() - start) / len(batch)
                for item, (detection, phash) in zip(batch, found, strict=True):
                    table.add(item, detection, phash, each)
            table.set_aside = source.set_aside
        return _done(shard, table, began)

    def _give_up(self, shard: int, path: str, inputs: Sequence[Input], began: float) -> Done:
        """Write a row with an error for every input."""
        with writing(path) as local, self._open(local, shard) as table:
            for item in inputs:
                table.add(Item(item.name, item.partition, _DIED, item.key or None), self._failed(_DIED), None, 0.0)
        return _done(shard, table, began)

    def _judge(self, batch: Sequence[Item]) -> list[Judged]:
        """Judge a batch: a list of items to a list of detections, whatever is wrong with some."""
        sources = [item.source for item in batch if not isinstance(item.source, Failure)]
        found = iter(self._decoder.judge(sources))
        results = [item.source if isinstance(item.source, Failure) else next(found) for item in batch]
        return [(self._failed(result), None) if isinstance(result, Failure) else result for result in results]

    def _failed(self, failure: Failure) -> Detection:
        said = replace(failure, message=encodable(failure.message))
        return unreadable(Unreadable(None, said), self._task.model, self._task.policy)

    def _open(self, local: Path, shard: int) -> TableWriter:
        settings = self._task.settings
        return TableWriter(local, shard, self._task.policy, settings.rules, settings.columns.keep)


def _done(shard: int, table: TableWriter, began: float) -> Done:
    return Done(
        shard=shard,
        images=table.images,
        errors=table.errors,
        flagged=table.flagged,
        seconds=time.monotonic() - began,
    )
