"""The images of one shard as a stream, each as its bytes, or why it has none."""

import tarfile
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from pyrite.datasets.tar import StrictTarInfo
from pyrite.image import Limits
from pyrite.results import Failure
from pyrite.scanning.listing import UNKNOWN, WHOLE, Input, Kind, image_column
from pyrite.scanning.remote import WAITS, is_url, join, locate, patiently

BATCH_BYTES = 64_000_000
"""A batch with so many bytes is full, however few images it has."""
_READERS = 16
_IMAGES = {
    ".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif",
}  # fmt: skip
_BLOCK = 8_000_000  # bytes of a tar or table asked for at a time
_ROWS = 16  # of a table in memory at a time
_DAMAGED = (tarfile.TarError, EOFError, zlib.error)


@dataclass(frozen=True, slots=True)
class Item:
    """One image to judge."""

    name: str
    partition: str
    source: str | bytes | Failure
    """A local path, a file's bytes, or why there are none."""


def read_batches(inputs: Sequence[Input], limits: Limits, batch_size: int) -> Iterator[list[Item]]:
    """Yield the images of a shard in order, `batch_size` or `BATCH_BYTES` at a time.

    A container that breaks off gives what came before, and an item that says so.
    """
    batch: list[Item] = []
    held = 0
    for item in _read(inputs, limits):
        batch.append(item)
        held += len(item.source) if isinstance(item.source, bytes) else 0
        if len(batch) == batch_size or held >= BATCH_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def read_item(inputs: Sequence[Input], limits: Limits, position: int) -> Item | None:
    """Return one image of a shard by its position."""
    if all(item.kind is Kind.FILE for item in inputs):
        inputs, position = inputs[position : position + 1], 0
    return next((item for i, item in enumerate(_read(inputs, limits)) if i == position), None)


def _read(inputs: Sequence[Input], limits: Limits) -> Iterator[Item]:
    if all(item.kind is Kind.FILE for item in inputs):
        yield from _read_files(inputs, limits)
        return
    for item in inputs:
        work = _read_tar if item.kind is Kind.TAR else _read_table
        yield from _resuming(partial(work, item, limits), item)


def _read_files(inputs: Sequence[Input], limits: Limits) -> Iterator[Item]:
    """Read remote files some ahead of where they are needed, and no further; who decodes reads local ones."""
    if not any(is_url(item.name) for item in inputs):
        yield from (Item(item.name, item.partition, item.name) for item in inputs)
        return
    ahead: deque[Future[Item]] = deque()
    rest = iter(inputs)
    with ThreadPoolExecutor(_READERS, thread_name_prefix="pyrite-read") as pool:
        try:
            while True:
                while len(ahead) < 2 * _READERS and _held(ahead) < BATCH_BYTES and (item := next(rest, None)):
                    ahead.append(pool.submit(_read_file, item, limits))
                if not ahead:
                    return
                yield ahead.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _held(ahead: deque[Future[Item]]) -> int:
    done = (future.result().source for future in ahead if future.done())
    return sum(len(source) for source in done if isinstance(source, bytes))


def _read_file(item: Input, limits: Limits) -> Item:
    if not is_url(item.name):
        return Item(item.name, item.partition, item.name)
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
    return Item(item.name, item.partition, source)


def _resuming(open_items: Callable[[], Iterator[Item]], container: Input) -> Iterator[Item]:
    """Read a container, and go on where storage failed, five times at most; then say that it broke off."""
    import pyarrow as pa

    given = 0
    for wait in (*WAITS, None):
        try:
            for i, item in enumerate(open_items()):
                if i >= given:
                    given = i + 1
                    yield item
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
    yield Item(container.name, container.partition, failure)


def _read_tar(container: Input, limits: Limits) -> Iterator[Item]:
    files, path = locate(container.name)
    with (
        files.open(path, "rb", block_size=_BLOCK) as stream,
        tarfile.open(fileobj=stream, mode="r|*", tarinfo=StrictTarInfo) as tar,
    ):
        for member in tar:
            place = PurePosixPath(member.name)
            # What else a sample has, such as its caption, is nothing to judge.
            if not member.isfile() or place.name.startswith(".") or place.suffix.lower() not in _IMAGES:
                continue
            source: bytes | Failure
            if member.size > limits.max_bytes:
                source = _too_large(member.size, limits)
            else:
                content = tar.extractfile(member)
                source = content.read() if content else b""
            yield Item(join(container.name, member.name), container.partition, source)


def _read_table(container: Input, limits: Limits) -> Iterator[Item]:
    import pyarrow.parquet as pq

    files, path = locate(container.name)
    with files.open(path, "rb", block_size=_BLOCK) as stream:
        table = pq.ParquetFile(stream)
        schema = table.schema_arrow
        column = image_column(schema)
        if column is None or container.group == WHOLE:
            raise EOFError("it has no column of images")
        groups = [container.group]
        columns = [column, *(name for name in ("path", "partition") if name in schema.names)]
        row = sum(table.metadata.row_group(i).num_rows for i in range(container.group))
        for batch in table.iter_batches(batch_size=_ROWS, row_groups=groups, columns=columns):
            for values in batch.to_pylist():
                yield _row_item(values, column, container, row, limits)
                row += 1


def _row_item(values: dict[str, Any], column: str, container: Input, row: int, limits: Limits) -> Item:
    image = values[column]
    inner = image.get("path") if isinstance(image, dict) else None
    content = (image.get("bytes") if isinstance(image, dict) else image) or b""
    name = values.get("path") or inner
    return Item(
        join(container.name, f"{row}" if name is None else f"{row}/{name}"),
        str(values.get("partition") or container.partition),
        content if len(content) <= limits.max_bytes else _too_large(len(content), limits),
    )


def _too_large(size: int, limits: Limits) -> Failure:
    return Failure("too_many_bytes", f"The file has {size:,} bytes; the limit is {limits.max_bytes:,}.")


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
