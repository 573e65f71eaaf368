"""What a source holds, as numbered shards: listed once, in an order that is always the same, and kept in a file."""

import csv
import hashlib
import io
import os
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any

from pyrite.errors import ScanError
from pyrite.scanning.remote import full_name, is_url, join, locate, patiently, writing
from pyrite.sources import find_files

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_MAGIC = re.compile(r"[*?\[]")
_TARS = (".tar", ".tar.gz", ".tgz")
NOWHERE = "."
"""The partition of what lies in no folder below the source."""
_GROUP = 16_384
"""Rows of a listing in one row group, at least: every worker holds what the file's footer says of each."""
WHOLE = -1
UNKNOWN = -1


class Kind(StrEnum):
    """How an input is read."""

    FILE = "file"
    """An image."""
    TAR = "tar"
    """A WebDataset shard: any number of images."""
    TABLE = "table"
    """A row group of a Parquet file that holds images."""


@dataclass(frozen=True, slots=True)
class Input:
    """One thing to read."""

    kind: Kind
    name: str
    """A path, or a URL."""
    size: int
    """In bytes, or `UNKNOWN`."""
    partition: str
    """The folder below the source that it lies in, or what its table says."""
    group: int = WHOLE
    """Which row group of a table; `WHOLE` for one that could not be opened."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What was listed."""

    shards: int
    inputs: int
    """Images, and containers of images."""
    sha256: str
    """Of every input in order."""


def find_inputs(source: str) -> Iterator[Input]:
    """Yield what a folder, a glob, a table, a tar or a single image holds, in an order that is always the same.

    Below a folder, `.tar`, `.tar.gz`, `.tgz` and `.parquet` are containers, and everything else that is not
    hidden counts as an image. A table that is the source itself may name its images instead of holding them.

    Raises:
        ScanError: There is nothing, or a table has no column for images.
    """
    files, root = locate(source)
    magic = _MAGIC.search(root)
    if patiently(lambda: files.isdir(root)):
        yield from _below(files, root, _walk(files, root))
    elif patiently(lambda: files.exists(root)):
        yield from _single(files, root, source)
    elif magic:
        base = root[: magic.start()].rpartition("/")[0]
        matches = sorted(patiently(lambda: files.glob(root)))
        yield from _below(files, base, (found for match in matches for found in _expand(files, match)))
    else:
        raise ScanError(f"There is nothing at {source}.")


def write_listing(inputs: Iterable[Input], name: str, shard_size: int) -> Listing:
    """Write inputs to a Parquet file as numbered shards, which may share a row group but are never parted.

    A container is a shard of its own; of single images, a shard has `shard_size`.

    Raises:
        ScanError: There are no inputs.
    """
    import pyarrow.parquet as pq

    digest = hashlib.sha256()
    shards = count = 0
    rows: list[tuple[int, Input]] = []
    with writing(name) as path, pq.ParquetWriter(path, _schema()) as writer:
        for shard in _shards(inputs, shard_size):
            for item in shard:
                digest.update(repr((str(item.kind), item.name, item.size, item.partition, item.group)).encode())
                rows.append((shards, item))
            shards, count = shards + 1, count + len(shard)
            if len(rows) >= _GROUP:
                writer.write_table(_table(rows))
                rows.clear()
        if rows:
            writer.write_table(_table(rows))
        if not count:
            raise ScanError("The source holds no images.")
    return Listing(shards, count, digest.hexdigest())


class ListingReader:
    """The shards of a listing, each read when it is asked for."""

    def __init__(self, name: str) -> None:
        """Open a listing."""
        import pyarrow.parquet as pq

        files, path = locate(name)
        self._file = patiently(lambda: pq.ParquetFile(files.open(path, "rb")))
        groups = self._file.metadata
        self._first = [groups.row_group(i).column(0).statistics.min for i in range(groups.num_row_groups)]

    def read(self, shard: int) -> list[Input]:
        """Return the inputs of a shard."""
        import pyarrow.compute as pc

        table = patiently(lambda: self._file.read_row_group(bisect_right(self._first, shard) - 1))
        return [
            Input(Kind(row["kind"]), os.fsdecode(row["name"]), row["size"], os.fsdecode(row["partition"]), row["group"])
            for row in table.filter(pc.equal(table["shard"], shard)).to_pylist()
        ]


def image_column(schema: Any) -> str | None:
    """Return the column of an Arrow schema that holds images, as bytes or as Hugging Face has them; `None` if none."""
    import pyarrow as pa

    for column in ("image", "bytes", "jpg", "png"):
        index = schema.get_field_index(column)
        if index < 0:
            continue
        kind = schema.field(index).type
        if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
            return column
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            return column
    return None


def _single(files: "AbstractFileSystem", path: str, source: str) -> Iterator[Input]:
    if path.lower().endswith(".csv"):
        yield from _named(files, path, _csv_rows(files, path))
    elif path.lower().endswith(".parquet"):
        try:
            table = _open_table(files, path)
        except Exception as error:  # Arrow and every store have their own.
            raise ScanError(f"{source} cannot be read as Parquet: {error}") from error
        if image_column(table.schema_arrow):
            yield from _groups(full_name(files, path), table.num_row_groups, NOWHERE)
        elif "path" in table.schema_arrow.names:
            yield from _named(files, path, _table_rows(source, table))
        else:
            raise ScanError(
                f"{source} has neither a column `path` nor one of bytes called `image` or `bytes`; "
                f"it has {', '.join(table.schema_arrow.names)}."
            )
    else:
        yield Input(_kind(path), full_name(files, path), UNKNOWN, NOWHERE)


def _below(files: "AbstractFileSystem", root: str, found: Iterable[tuple[str, int]]) -> Iterator[Input]:
    for path, size in found:
        parts = path.removeprefix(root).strip("/").split("/")
        partition = parts[0] if len(parts) > 1 else NOWHERE
        name = full_name(files, path)
        if not path.lower().endswith(".parquet"):
            yield Input(_kind(path), name, size, partition)
            continue
        try:
            table = _open_table(files, path)
            groups = table.num_row_groups if image_column(table.schema_arrow) else None
        except Exception:  # Whoever reads it will say why it cannot be read.
            groups = None
        if groups is None:
            yield Input(Kind.TABLE, name, size, partition)
        else:
            yield from _groups(name, groups, partition)


def _groups(name: str, count: int, partition: str) -> Iterator[Input]:
    for group in range(count):
        yield Input(Kind.TABLE, name, UNKNOWN, partition, group)


def _kind(path: str) -> Kind:
    return Kind.TAR if path.lower().endswith(_TARS) else Kind.FILE


def _open_table(files: "AbstractFileSystem", path: str) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    return patiently(lambda: pq.ParquetFile(files.open(path, "rb")), pa.ArrowInvalid)


def _expand(files: "AbstractFileSystem", path: str) -> Iterator[tuple[str, int]]:
    if files.isdir(path):
        yield from _walk(files, path)
    else:
        yield path, UNKNOWN


def _walk(files: "AbstractFileSystem", root: str) -> Iterator[tuple[str, int]]:
    """Yield the files below a folder with their sizes, hidden ones left out."""
    from fsspec.implementations.local import LocalFileSystem

    if isinstance(files, LocalFileSystem):
        yield from ((path, UNKNOWN) for path in find_files([root], recursive=True))
        return
    waiting = [root.rstrip("/")]
    while waiting:
        folder = waiting.pop()
        entries = patiently(partial(files.ls, folder, detail=True))
        below = []
        for entry in sorted(entries, key=lambda entry: str(entry["name"])):
            path = str(entry["name"]).rstrip("/")
            # A store may list a folder as an empty object in itself.
            if path == folder or path.rpartition("/")[2].startswith("."):
                continue
            if entry["type"] == "directory":
                below.append(path)
            else:
                yield path, UNKNOWN if entry.get("size") is None else int(entry["size"])
        waiting += reversed(below)


def _named(files: "AbstractFileSystem", table: str, rows: Iterable[tuple[str, str]]) -> Iterator[Input]:
    """Yield the images and tars that a table names, relative to where it lies."""
    folder = full_name(files, table.rpartition("/")[0])
    for path, partition in rows:
        name = path if is_url(path) or path.startswith("/") else join(folder, path)
        yield Input(_kind(name), name, UNKNOWN, partition or NOWHERE)


def _csv_rows(files: "AbstractFileSystem", path: str) -> Iterator[tuple[str, str]]:
    with files.open(path, "rb") as stream, io.TextIOWrapper(stream, "utf-8-sig", newline="") as text:
        reader = csv.DictReader(text, strict=True)
        try:
            if "path" not in (reader.fieldnames or ()):
                columns = ", ".join(reader.fieldnames or ()) or "none"
                raise ScanError(f"{path} has no column `path`; it has {columns}.")
            for row in reader:
                if not row["path"]:
                    raise ScanError(f"{path}, line {reader.line_num}: there is no path.")
                yield row["path"], row.get("partition") or ""
        except (UnicodeDecodeError, csv.Error) as error:
            raise ScanError(f"{path} is not a CSV file in UTF-8: {error}") from error


def _table_rows(name: str, table: Any) -> Iterator[tuple[str, str]]:
    columns = [column for column in ("path", "partition") if column in table.schema_arrow.names]
    for batch in table.iter_batches(batch_size=4096, columns=columns):
        for row in batch.to_pylist():
            if not row["path"]:
                raise ScanError(f"{name} has a row without a path.")
            yield str(row["path"]), str(row.get("partition") or "")


def _shards(inputs: Iterable[Input], size: int) -> Iterator[list[Input]]:
    waiting: list[Input] = []
    for item in inputs:
        if item.kind is not Kind.FILE:
            if waiting:
                yield waiting
                waiting = []
            yield [item]
            continue
        waiting.append(item)
        if len(waiting) == size:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def _schema() -> Any:
    import pyarrow as pa

    # A local file's name may hold bytes that are no text.
    return pa.schema(
        [
            ("shard", pa.int32()),
            ("kind", pa.string()),
            ("name", pa.binary()),
            ("size", pa.int64()),
            ("partition", pa.binary()),
            ("group", pa.int64()),
        ]
    )


def _table(rows: list[tuple[int, Input]]) -> Any:
    import pyarrow as pa

    return pa.table(
        {
            "shard": [shard for shard, _ in rows],
            "kind": [str(item.kind) for _, item in rows],
            "name": [os.fsencode(item.name) for _, item in rows],
            "size": [item.size for _, item in rows],
            "partition": [os.fsencode(item.partition) for _, item in rows],
            "group": [item.group for _, item in rows],
        },
        _schema(),
    )
