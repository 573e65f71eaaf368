"""The images of one shard as a stream, each as its bytes, or why it has none."""

import re
import tarfile
import time
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from pyrite.image import Limits
from pyrite.results import Failure
from pyrite.scanning.columns import STATUS, Columns, as_text, image_column, key_column
from pyrite.scanning.listing import UNKNOWN, WHOLE, Input, Kind
from pyrite.scanning.remote import WAITS, is_url, join, locate, patiently
from pyrite.scanning.remote import read as read_file
from pyrite.scanning.sidecars import IMAGES, Fields, file_key, json_fields, read_fields, sample_key

BATCH_BYTES = 64_000_000
"""A batch with so many bytes is full, however few images it has."""
_READERS = 16
NOT_FETCHED = "row without an image"
"""What is set aside: what img2dataset could not fetch."""
_BLOCK = 8_000_000  # bytes of a tar or table asked for at a time
_ROWS = 16  # of a table in memory at a time
_SUFFIX = re.compile(r"\.[a-z][a-z0-9_]{0,7}")
_DAMAGED = (tarfile.TarError, EOFError, zlib.error)


@dataclass(frozen=True, slots=True)
class Item:
    """One image to judge."""

    name: str
    partition: str
    source: str | bytes | Failure
    """A local path, a file's bytes, or why there are none."""
    key: str | None = None
    """What its result is joined by."""
    fields: Fields = field(default_factory=dict)
    """Of the columns that are passed through, those that it has."""


@dataclass(frozen=True, slots=True)
class Shard:
    """What a shard is read from, and how."""

    inputs: Sequence[Input]
    limits: Limits
    columns: Columns = field(default_factory=Columns)
    set_aside: Counter[str] = field(default_factory=Counter)
    """How much of what is there is no image, by what it is; complete once all of it is read."""


def read_batches(shard: Shard, batch_size: int) -> Iterator[list[Item]]:
    """Yield the images of a shard in order, `batch_size` or `BATCH_BYTES` at a time.

    A container that breaks off gives what came before, and an item that says so.
    """
    batch: list[Item] = []
    held = 0
    for item in _read(shard):
        batch.append(item)
        held += len(item.source) if isinstance(item.source, bytes) else 0
        if len(batch) == batch_size or held >= BATCH_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def read_item(shard: Shard, position: int) -> Item | None:
    """Return one image of a shard by its position."""
    if all(item.kind is Kind.FILE for item in shard.inputs):
        shard, position = replace(shard, inputs=shard.inputs[position : position + 1]), 0
    return next((item for i, item in enumerate(_read(shard)) if i == position), None)


def _read(shard: Shard) -> Iterator[Item]:
    if all(item.kind is Kind.FILE for item in shard.inputs):
        yield from _read_files(shard)
        return
    for item in shard.inputs:
        work = _read_tar if item.kind is Kind.TAR else _read_table
        yield from _resuming(partial(work, item, shard), item, shard.set_aside)


def _read_files(shard: Shard) -> Iterator[Item]:
    """Read remote files some ahead of where they are needed, and no further; who decodes reads local ones."""
    inputs, limits = shard.inputs, shard.limits
    described = _describe(inputs, shard.columns)
    if not any(is_url(item.name) for item in inputs):
        yield from (described(item, item.name) for item in inputs)
        return
    ahead: deque[Future[Item]] = deque()
    rest = iter(inputs)
    with ThreadPoolExecutor(_READERS, thread_name_prefix="pyrite-read") as pool:
        try:
            while True:
                while len(ahead) < 2 * _READERS and _held(ahead) < BATCH_BYTES and (item := next(rest, None)):
                    ahead.append(pool.submit(lambda item: described(item, _read_file(item, limits)), item))
                if not ahead:
                    return
                yield ahead.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _describe(inputs: Sequence[Input], columns: Columns) -> Callable[[Input, str | bytes | Failure], Item]:
    """Return what makes an item of a single image: with its key, and with the columns to keep from beside it.

    What cannot be read there is left out, and counted with the images that have no value.
    """
    keys: dict[str, list[str]] = {}
    for item in inputs:
        if item.sidecar.endswith(".parquet"):
            keys.setdefault(item.sidecar, []).append(file_key(item.name))
    tables: dict[str, dict[str, Fields]] = {}
    for sidecar, wanted in keys.items():
        with suppress(Exception):
            tables[sidecar] = read_fields(sidecar, columns.keep, wanted)

    def describe(item: Input, source: str | bytes | Failure) -> Item:
        key = item.key or file_key(item.name)
        fields = _said(item, columns)
        if item.sidecar in keys:
            fields = tables.get(item.sidecar, {}).get(key, {})
        elif item.sidecar:
            with suppress(Exception):
                fields = json_fields(read_file(item.sidecar), columns.keep)
        return Item(item.name, item.partition, source, key, fields)

    return describe


def _said(item: Input, columns: Columns) -> Fields:
    """Return the columns to keep that a table has beside an image's path."""
    return json_fields(item.kept.encode(), columns.keep) if item.kept else {}


def _held(ahead: deque[Future[Item]]) -> int:
    done = (future.result().source for future in ahead if future.done())
    return sum(len(source) for source in done if isinstance(source, bytes))


def _read_file(item: Input, limits: Limits) -> str | bytes | Failure:
    if not is_url(item.name):
        return item.name
    files, path = locate(item.name)
    source: bytes | Failure
    try:
        size = item.size if item.size != UNKNOWN else int(patiently(lambda: files.info(path))["size"] or 0)
        if size > limits.max_bytes:
            source = _too_large(size, limits)
        else:
            # Of an object without bytes, some stores refuse to give any.
            source = bytes(patiently(lambda: files.cat_file(path))) if size else b""
    except FileNotFoundError:
        source = Failure("not_found", "There is no such file.")
    except Exception as error:
        source = Failure("unreadable", f"The file cannot be read: {_text(error)}")
    return source


def _resuming(
    open_items: Callable[[Counter[str]], Iterator[Item]], container: Input, set_aside: Counter[str]
) -> Iterator[Item]:
    """Read a container, and go on where storage failed, five times at most; then say that it broke off."""
    import pyarrow as pa

    given = 0
    for wait in (*WAITS, None):
        aside: Counter[str] = Counter()  # From the beginning, each time.
        try:
            for i, item in enumerate(open_items(aside)):
                if i >= given:
                    given = i + 1
                    yield item
            set_aside += aside
            return
        except (*_DAMAGED, pa.ArrowInvalid) as error:
            failure = Failure("damaged_shard", f"It breaks off after {given:,} images, and is damaged: {_text(error)}")
            break
        except FileNotFoundError:
            failure = Failure("not_found", "There is no such file.")
            break
        except Exception as error:
            failure = Failure("damaged_shard", f"It cannot be read beyond {given:,} images: {_text(error)}")
            if wait is not None:
                time.sleep(wait)
    set_aside += aside
    yield Item(container.name, container.partition, failure)


def _read_tar(container: Input, shard: Shard, set_aside: Counter[str]) -> Iterator[Item]:
    from pyrite.datasets.tar import StrictTarInfo  # Late, for processes that judge and import this module.

    keep = shard.columns.keep
    beside = read_fields(container.sidecar, keep) if container.sidecar else {}
    said = _said(container, shard.columns)
    files, path = locate(container.name)
    with (
        files.open(path, "rb", block_size=_BLOCK) as stream,
        tarfile.open(fileobj=stream, mode="r|*", tarinfo=StrictTarInfo) as tar,
    ):
        read_json = bool(keep) and not container.sidecar and not said
        members = _members(tar, container, shard.limits, set_aside, read_json=read_json)
        for item in _with_json(members, keep):
            yield item if read_json else replace(item, fields=beside.get(item.key or "", said))


def _members(
    tar: tarfile.TarFile, container: Input, limits: Limits, set_aside: Counter[str], *, read_json: bool
) -> Iterator[tuple[str, Item | bytes]]:
    """Yield the images of a tar and, if that is wanted, its JSON files, each with the key of its sample."""
    for member in tar:
        if not member.isfile():
            continue
        place = PurePosixPath(member.name)
        suffix, key = place.suffix.lower(), sample_key(member.name)
        if place.name.startswith("."):
            set_aside["hidden file in a tar"] += 1
        elif suffix in IMAGES:
            source = _too_large(member.size, limits) if member.size > limits.max_bytes else _content(tar, member)
            yield key, Item(join(container.name, member.name), container.partition, source, key)
        elif read_json and suffix == ".json" and member.size <= limits.max_bytes:
            yield key, _content(tar, member)
        else:
            set_aside[f"{suffix if _SUFFIX.fullmatch(suffix) else 'other file'} in a tar"] += 1


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    content = tar.extractfile(member)
    return content.read() if content else b""


def _with_json(members: Iterable[tuple[str, Item | bytes]], keep: Sequence[str]) -> Iterator[Item]:
    """Give each image what the JSON file of its sample says, which may come before or after it."""
    waiting: list[Item] = []
    fields: Fields = {}
    current = ""
    try:
        for key, found in members:
            if key != current:
                yield from (replace(item, fields=fields) for item in waiting)
                waiting, fields, current = [], {}, key
            if isinstance(found, Item):
                waiting.append(found)
            else:
                fields = json_fields(found, keep)
    except _DAMAGED:
        yield from (replace(item, fields=fields) for item in waiting)
        raise
    yield from (replace(item, fields=fields) for item in waiting)


def _read_table(container: Input, shard: Shard, set_aside: Counter[str]) -> Iterator[Item]:
    import pyarrow.parquet as pq

    files, path = locate(container.name)
    with files.open(path, "rb", block_size=_BLOCK) as stream:
        table = pq.ParquetFile(stream)
        schema, columns = table.schema_arrow, shard.columns
        image = image_column(schema, columns)
        if image is None or container.group == WHOLE:
            raise EOFError("it has no column of images")
        key, name = key_column(schema.names), columns.path or "path"
        wanted = {image, key, name, "partition", STATUS, *columns.keep}
        row = sum(table.metadata.row_group(i).num_rows for i in range(container.group))
        for batch in table.iter_batches(
            batch_size=_ROWS,
            row_groups=[container.group],
            columns=[column for column in schema.names if column in wanted],
        ):
            for values in batch.to_pylist():
                if values[image] is None and values.get(STATUS) not in (None, "success"):
                    set_aside[NOT_FETCHED] += 1
                else:
                    item = _row_item(values, values[image], values.get(name), container, row, shard.limits)
                    fields = {column: as_text(values.get(column)) for column in columns.keep}
                    yield replace(item, key=as_text(values.get(key or "")), fields=fields)
                row += 1


def _row_item(values: dict[str, Any], image: Any, path: Any, container: Input, row: int, limits: Limits) -> Item:
    inner = image.get("path") if isinstance(image, dict) else None
    content = (image.get("bytes") if isinstance(image, dict) else image) or b""
    name = path or inner
    return Item(
        join(container.name, f"{row}" if name is None else f"{row}/{name}"),
        as_text(values.get("partition")) or container.partition,
        content if len(content) <= limits.max_bytes else _too_large(len(content), limits),
    )


def _too_large(size: int, limits: Limits) -> Failure:
    return Failure("too_many_bytes", f"The file has {size:,} bytes; the limit is {limits.max_bytes:,}.")


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
