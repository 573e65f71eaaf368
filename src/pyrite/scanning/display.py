"""How a scan goes: a line on a terminal, lines of JSON in a file; and what it found, in a few lines."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

import msgspec
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from pyrite.errors import ScanError
from pyrite.scanning.estimate import Estimate
from pyrite.scanning.scan import SHEET, Progress
from pyrite.scanning.summary import Counts, Summary
from pyrite.scanning.table import FOLDER

_LISTED = 20  # partitions or shards on a terminal
_RATE = "{task.fields[rate]:,.0f} images/s · {task.fields[errors]:,} errors · {task.fields[flagged]:.1%} ai"


class ScanDisplay:
    """Shows and logs progress while a scan runs; a context."""

    def __init__(self, console: Console, log: Path | None = None) -> None:
        """Write a bar to a terminal, and nothing to anything else; and append to `log`."""
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f} shards"),
            TimeRemainingColumn(),
            TextColumn(_RATE),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._log = log
        self._stack = ExitStack()

    def __enter__(self) -> "ScanDisplay":
        if self._log:
            try:
                self._file = self._stack.enter_context(self._log.open("ab"))
            except OSError as error:
                raise ScanError(f"{self._log} cannot be written: {error.strerror}.") from error
        self._stack.enter_context(self._bar)
        self._task = self._bar.add_task("Listing and starting", total=0, rate=0.0, errors=0, flagged=0.0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def __call__(self, progress: Progress) -> None:
        """Show how far it is."""
        self._bar.update(
            self._task,
            description="Judging",
            completed=progress.shards,
            total=progress.of_shards,
            rate=progress.images_per_second,
            errors=progress.errors,
            flagged=progress.flagged / max(1, progress.images),
        )
        if self._log:
            line = {"time": datetime.now(UTC).isoformat(timespec="seconds"), **msgspec.to_builtins(progress)}
            self._file.write(msgspec.json.encode(line) + b"\n")
            self._file.flush()


def summary_lines(found: Summary, out: str) -> Iterator[str]:
    """Yield what a scan found, line by line."""
    yield _counts(found.total)
    for title, counts in (("Not read", found.total.errors), ("Policy", found.total.actions)):
        if counts:
            yield f"{title}: {', '.join(f'{count:,} {name}' for name, count in counts.items())}"
    if found.set_aside:
        yield _set_aside(found.set_aside)
    if short := {name: count for name, count in found.without.items() if count}:
        yield f"Rows without a value: {', '.join(f'{count:,} of {name}' for name, count in short.items())}"
    if found.copies:
        images, groups, changed = found.copies.images, found.copies.groups, found.copies.changed
        yield f"Near copies: {images:,} images in {groups:,} groups; {changed:,} get another verdict from their group"
    if found.no_share:
        yield f"Share of AI images: not known. {found.no_share}"
    else:
        yield f"Share of AI images: {_share(found.total)}"
        parts = list(found.partitions.items())
        for name, part in parts[:_LISTED] if len(parts) > 1 else ():
            yield f"  {name}: {_share(part)}"
        if len(parts) > _LISTED:
            yield f"  and {len(parts) - _LISTED:,} more partitions, in summary.json"
    yield f"Table: {out.rstrip('/')}/{FOLDER}"
    yield f"Sample: {out.rstrip('/')}/{SHEET}"


def estimate_lines(found: Estimate) -> Iterator[str]:
    """Yield what a scan would take, line by line."""
    sizes = [shard.bytes for shard in found.shards]
    known = sum(size or 0 for size in sizes)
    at_least = "at least " if None in sizes else ""
    inputs = sum(shard.inputs for shard in found.shards)
    yield f"Shards: {len(found.shards):,} of {inputs:,} inputs, {at_least}{_bytes(known)}"
    for number, shard in enumerate(found.shards[:_LISTED]):
        images = "? images" if shard.images is None else f"{shard.images:,} images"
        size = "? bytes" if shard.bytes is None else _bytes(shard.bytes)
        yield f"  {number}: {shard.kind}, {images}, {size}, {'from ' if shard.inputs > 1 else ''}{shard.name}"
    if len(found.shards) > _LISTED:
        yield f"  and {len(found.shards) - _LISTED:,} more"
    if found.set_aside:
        yield _set_aside(found.set_aside)
    if found.images is None:
        yield "Images: not known"
    else:
        yield f"Images: {'' if found.exact else 'about '}{found.images:,}"
    unread = f", {found.trial.errors:,} of which could not be judged" if found.trial.errors else ""
    if found.images_per_second is None:
        yield "Speed: not known, as there was no image to try"
    else:
        speed = f"{found.images_per_second:,.1f} images a second per worker"
        yield f"Speed: {speed}, from {found.trial.images:,} tried images{unread}"
    for name, count in found.trial.without.items():
        yield f"Column {name}: {count:,} of {found.trial.images:,} tried images have no value"
    if found.core_hours is not None:
        each = found.core_hours / found.workers
        yield f"Time: about {_hours(found.core_hours)} of a core; with {found.workers:,} workers about {_hours(each)}"
    if found.cost is not None:
        cost = f"about {found.cost:,.2f}" if found.cost >= 0.01 else "less than 0.01"
        yield f"Cost: {cost} at {found.price:g} for an hour of a core"
    yield "Nothing was written."


def _set_aside(counts: Mapping[str, int]) -> str:
    return f"Set aside: {', '.join(f'{count:,} × {name}' for name, count in counts.items())}"


def _hours(hours: float) -> str:
    if hours >= 1:
        return f"{hours:,.1f} hours"
    return f"{hours * 60:.1f} minutes" if hours * 60 >= 1 else f"{hours * 3600:.1f} seconds"


def _bytes(count: int) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count} bytes"


def _counts(part: Counts) -> str:
    errors = sum(part.errors.values())
    unread = f", {errors:,} could not be read" if errors else ""
    return f"{part.images:,} images: {part.ai:,} ai, {part.real:,} real, {part.uncertain:,} uncertain{unread}"


def _share(part: Counts) -> str:
    share = part.share
    if share is None:
        return f"not known. {part.no_share}"
    by = f", by the rates of {share.rates.slice}" if share.rates.slice else ""
    return f"{share.value:.2%} ({share.low:.2%} to {share.high:.2%} at 95%), of {share.images:,} images{by}"
