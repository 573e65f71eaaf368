"""What a scan would take: its shards and their sizes, and the time and cost by the speed on a few of its images."""

import tarfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pyrite.bundle import Bundle, Panel
from pyrite.errors import require
from pyrite.results import Failure
from pyrite.runtime import available_cpus
from pyrite.scanning.isolated import IsolatedDetector
from pyrite.scanning.listing import UNKNOWN, WHOLE, Input, Kind, ListingReader, Source, find_inputs, write_listing
from pyrite.scanning.reading import Shard, read_batches
from pyrite.scanning.remote import is_url, locate, patiently
from pyrite.scanning.scan import check_settings, open_detector
from pyrite.scanning.shipping import as_folders, send
from pyrite.scanning.sidecars import IMAGES
from pyrite.scanning.task import ScanSettings

_SHARDS = 4  # that images are tried of
_EACH = 16  # images of each


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedShard:
    """A shard that a scan would judge."""

    kind: Kind
    name: str
    """Of its first input."""
    inputs: int
    bytes: int | None
    """`None` where it cannot be told without reading."""
    images: int | None
    """`None` of a tar, which says nothing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """How a bundle did on a few images of the source, with one worker."""

    images: int
    errors: int
    """Of these, those that could not be judged."""
    seconds: float
    """Of reading or of judging, whichever takes longer: a worker does both at the same time."""
    without: dict[str, int]
    """Of each column to keep, the images that have no value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a scan would take."""

    shards: tuple[PlannedShard, ...]
    set_aside: dict[str, int]
    """How many files are no inputs, by what they are."""
    images: int | None
    """`None` where nothing tells it."""
    exact: bool
    """Whether `images` was counted, and not extrapolated from the beginning of a few tars."""
    trial: Trial
    workers: int
    price: float | None
    """Of an hour of a core."""

    @property
    def images_per_second(self) -> float | None:
        """Of one worker; `None` where no image was tried."""
        return self.trial.images / self.trial.seconds if self.trial.images and self.trial.seconds else None

    @property
    def core_hours(self) -> float | None:
        """Hours of one core."""
        speed = self.images_per_second
        return None if speed is None or self.images is None else self.images / speed / 3600

    @property
    def cost(self) -> float | None:
        """In the currency of the price."""
        return None if self.core_hours is None or self.price is None else self.core_hours * self.price


def estimate(
    source: str,
    bundle: Bundle | Panel | str | Path | None = None,
    *,
    bundles: Sequence[Bundle | str | Path] = (),
    settings: ScanSettings = ScanSettings(),
    workers: int | None = None,
    price: float | None = None,
) -> Estimate:
    """List what `scan` would judge, try a few of the images, and write nothing.

    Args:
        source: As in `scan`.
        bundle: As in `scan`.
        bundles: As in `scan`.
        settings: As in `scan`.
        workers: How many would judge at the same time; by default, as many as there are CPUs here.
        price: Of an hour of a core, in any currency.

    Raises:
        PyriteError: As `scan` does.
    """
    require("scale", "fsspec", "pyarrow")
    check_settings(settings, workers)
    panel = open_detector(bundle, bundles, settings).panel
    found = Source(source if is_url(source) else str(Path(source).absolute()), settings.columns)
    with TemporaryDirectory(prefix="pyrite-listing-") as folder, as_folders(panel.bundles) as folders:
        name = str(Path(folder) / "listing.parquet")
        listing = write_listing(find_inputs(found), name, settings.shard_size)
        reader = ListingReader(name)
        shards = tuple(_plan(reader.read(shard)) for shard in range(listing.shards))
        places = sorted({round(i * (listing.shards - 1) / (_SHARDS - 1)) for i in range(_SHARDS)})
        tried = [Shard(reader.read(place), settings.limits, settings.columns) for place in places]
        detector = IsolatedDetector(send(folders), settings, panel.calibration)
        try:
            trial = _try(detector, tried)
        finally:
            detector.close()
        images, exact = _count(shards, [item for shard in tried for item in shard.inputs if item.kind is Kind.TAR])
    return Estimate(
        shards=shards,
        set_aside=dict(sorted(found.set_aside.items())),
        images=images,
        exact=exact,
        trial=trial,
        workers=workers or available_cpus(),
        price=price,
    )


def _plan(inputs: Sequence[Input]) -> PlannedShard:
    sizes = [_size(item) for item in inputs]
    known = [size for size in sizes if size is not None]
    first = inputs[0]
    return PlannedShard(
        kind=first.kind,
        name=first.name,
        inputs=len(inputs),
        bytes=sum(known) if len(known) == len(sizes) else None,
        images=len(inputs) if first.kind is Kind.FILE else _rows(first) if first.kind is Kind.TABLE else None,
    )


def _size(item: Input) -> int | None:
    """Return the bytes of an input; `None` where a store would have to be asked for each of many files."""
    if item.kind is Kind.TABLE:
        if item.group == WHOLE:
            return None
        group = _metadata(item.name).row_group(item.group)
        return sum(int(group.column(i).total_compressed_size) for i in range(group.num_columns))
    if item.size != UNKNOWN:
        return item.size
    if is_url(item.name) and item.kind is Kind.FILE:
        return None
    files, path = locate(item.name)
    try:
        return int(patiently(lambda: files.info(path))["size"])
    except Exception:  # Its row will say why; every store has errors of its own.
        return None


def _rows(item: Input) -> int | None:
    return None if item.group == WHOLE else int(_metadata(item.name).row_group(item.group).num_rows)


@lru_cache(maxsize=1)
def _metadata(name: str) -> Any:
    import pyarrow.parquet as pq

    files, path = locate(name)

    def read() -> Any:
        with files.open(path, "rb") as stream:
            return pq.ParquetFile(stream).metadata

    return patiently(read)


def _try(detector: IsolatedDetector, shards: Sequence[Shard]) -> Trial:
    reading = judging = 0.0
    images = errors = 0
    warm = False
    without: Counter[str] = Counter()
    for shard in shards:
        began = time.monotonic()
        batch = next(read_batches(shard, _EACH), [])
        reading += time.monotonic() - began
        sources = [item.source for item in batch if not isinstance(item.source, Failure)]
        if not warm and sources:
            detector.judge(sources[:1])  # Which starts the process and loads the bundles.
            warm = True
        began = time.monotonic()
        found = detector.judge(sources)
        judging += time.monotonic() - began
        images += len(batch)
        without.update(name for name in shard.columns.keep for item in batch if item.fields.get(name) is None)
        errors += len(batch) - len(sources)
        errors += sum(isinstance(result, Failure) or result[0].error is not None for result in found)
    return Trial(images=images, errors=errors, seconds=max(reading, judging), without=dict(without))


def _count(shards: Sequence[PlannedShard], tars: Sequence[Input]) -> tuple[int | None, bool]:
    """Return how many images there are, and whether they were counted; `None` where nothing tells it."""
    counted = sum(shard.images or 0 for shard in shards)
    others = [shard for shard in shards if shard.images is None]
    if not others:
        return counted, True
    sizes = [shard.bytes for shard in others if shard.kind is Kind.TAR]
    begun = [_begin(tar) for tar in tars]
    images, size = sum(images for images, _ in begun), sum(size for _, size in begun)
    if not images or len(sizes) < len(others) or None in sizes:
        return None, False
    return counted + round(sum(size or 0 for size in sizes) * images / size), False


def _begin(tar: Input) -> tuple[int, int]:
    """Return how many images the beginning of a tar holds, and in how many bytes."""
    reached = 0, 0
    try:
        for reached in _image_ends(tar):
            if reached[0] == _EACH:
                break
    except Exception:  # What is damaged or gone is told by the scan.
        return reached
    return reached


def _image_ends(tar: Input) -> Iterator[tuple[int, int]]:
    """Yield the images so far and the bytes that they and what lies before the next one take."""
    from pyrite.datasets.tar import StrictTarInfo  # Late, as in `reading`.

    files, path = locate(tar.name)
    images = end = 0
    with (
        files.open(path, "rb") as stream,
        tarfile.open(fileobj=stream, mode="r|*", tarinfo=StrictTarInfo) as archive,
    ):
        for member in archive:
            if member.isfile() and Path(member.name).suffix.lower() in IMAGES:
                if images:
                    yield images, member.offset
                images += 1
            end = member.offset_data + member.size
    if images:
        yield images, end
