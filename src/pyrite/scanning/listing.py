"""What a source holds, as numbered shards: listed once, in an order that is always the same, and kept in a file."""

import csv
import hashlib
import io
import os
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from pyrite.errors import ScanError
from pyrite.scanning.columns import (
    Columns,
    as_text,
    check_images,
    check_kept,
    check_names,
    holding_addresses,
    holds_addresses,
    image_column,
    key_column,
    without_images,
)
from pyrite.scanning.remote import full_name, is_url, join, locate, patiently, writing
from pyrite.scanning.sidecars import TARS, describes
from pyrite.sources import walk_folders

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_MAGIC = re.compile(r"[*?\[]")
SIDECAR = "sidecar"
"""What is set aside: a file that describes the images beside it."""
ADDRESSES = "table of addresses"
"""What is set aside: a table of URLs in a folder of images."""
_PATH = "path"
_WEB = ("http://", "https://")
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
    sidecar: str = ""
    """The Parquet or JSON file beside it that has the columns to keep; empty where they are in the input itself."""
    key: str = ""
    """What a table says that its result is joined by."""
    kept: str = ""
    """What a table says of it: the columns to keep as a JSON object."""


@dataclass(frozen=True, slots=True)
class Source:
    """What is to be listed, and what of it is set aside."""

    name: str
    """A path or URL."""
    columns: Columns = field(default_factory=Columns)
    set_aside: Counter[str] = field(default_factory=Counter)
    """How much of what is there is no input, by what it is; complete once all inputs are listed."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What was listed."""

    shards: int
    inputs: int
    """Images, and containers of images."""
    sha256: str
    """Of every input in order."""


def find_inputs(source: Source) -> Iterator[Input]:
    """Yield what a folder, a glob, a table, a tar or a single image holds, in an order that is always the same.

    Below a folder, `.tar`, `.tar.gz`, `.tgz` and `.parquet` are containers, what img2dataset and WebDataset put beside
    them and beside images is set aside, and everything else that is not hidden counts as an image. A table that is the
    source itself may name its images instead of holding them.

    Raises:
        ScanError: There is nothing, or a column that is asked for is not there.
    """
    files, root = locate(source.name)
    magic = _MAGIC.search(root)
    if patiently(lambda: files.isdir(root)):
        found = _below(files, root, _walk(files, root), source)
    elif patiently(lambda: files.exists(root)):
        found = _single(files, root, source)
    elif magic:
        base = root[: magic.start()].rpartition("/")[0]
        found = _below(files, base, _matches(files, root), source)
    else:
        hidden = " If it is private or gated, set HF_TOKEN." if source.name.startswith("hf://") else ""
        raise ScanError(f"There is nothing at {source.name}.{hidden}")
    kinds: set[Kind] = set()
    described = False
    for item in found:
        kinds.add(item.kind)
        described |= item.kind is not Kind.FILE or bool(item.sidecar or item.kept)
        yield item
    if not kinds:
        raise (
            holding_addresses(source.name) if source.set_aside[ADDRESSES] else ScanError("The source holds no images.")
        )
    columns, table = source.columns, Kind.TABLE in kinds
    if columns.image and not table:
        raise ScanError(f"{source.name} holds no Parquet file with a column `{columns.image}` of images.")
    if columns.path and not table and not root.lower().endswith((".csv", ".parquet")):
        raise ScanError(f"{source.name} is not a table with a column `{columns.path}`.")
    if columns.keep and not described:
        raise ScanError(f"The images of {source.name} have no columns to keep: nothing beside them describes them.")


def write_listing(inputs: Iterable[Input], name: str, shard_size: int) -> Listing:
    """Write inputs to a Parquet file as numbered shards, which may share a row group but are never parted.

    A container is a shard of its own; of single images, a shard has `shard_size`.
    """
    import pyarrow.parquet as pq

    digest = hashlib.sha256()
    shards = count = 0
    rows: list[tuple[int, Input]] = []
    with writing(name) as path, pq.ParquetWriter(path, _schema()) as writer:
        for shard in _shards(inputs, shard_size):
            for item in shard:
                digest.update(repr((str(item.kind), *_values(item))).encode())
                rows.append((shards, item))
            shards, count = shards + 1, count + len(shard)
            if len(rows) >= _GROUP:
                writer.write_table(_table(rows), len(rows))
                rows.clear()
        if rows:
            writer.write_table(_table(rows), len(rows))
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
            Input(
                Kind(row["kind"]),
                os.fsdecode(row["name"]),
                row["size"],
                os.fsdecode(row["partition"]),
                row["group"],
                os.fsdecode(row["sidecar"]),
                row["key"],
                row["kept"],
            )
            for row in table.filter(pc.equal(table["shard"], shard)).to_pylist()
        ]


def _single(files: "AbstractFileSystem", path: str, source: Source) -> Iterator[Input]:
    if path.lower().endswith(".csv"):
        yield from _named(files, path, _csv_rows(files, path, source))
    elif path.lower().endswith(".parquet"):
        try:
            table = _open_table(files, path)
        except Exception as error:  # Arrow and every store have their own.
            raise ScanError(f"{source.name} cannot be read as Parquet: {error}") from error
        schema, columns = table.schema_arrow, source.columns
        if image_column(schema, columns):
            check_images(source.name, schema, columns)
            yield from _groups(full_name(files, path), table, NOWHERE)
        elif not columns.image and (columns.path or _PATH) in schema.names:
            check_kept(source.name, schema, columns)
            yield from _named(files, path, _table_rows(source, table))
        else:
            raise without_images(source.name, schema.names, columns)
    else:
        name = full_name(files, path)
        yield Input(_kind(path), name, UNKNOWN, NOWHERE)


_Found = tuple[str, int, frozenset[str]]
"""A file: its path, its size, and the names of all that lies in its folder, those of folders with a slash."""


def _below(files: "AbstractFileSystem", root: str, found: Iterable[_Found], source: Source) -> Iterator[Input]:
    keep = bool(source.columns.keep)
    opened = _Folder(files, "", source.columns, alone=True)
    for path, size, beside in found:
        folder, _, file = path.rpartition("/")
        if opened.path != folder:
            # Beside the root of a store lies what is another's.
            opened = _Folder(files, folder, source.columns, alone=folder == root and is_url(source.name))
        parts = path.removeprefix(root).strip("/").split("/")
        partition = parts[0] if len(parts) > 1 else NOWHERE
        # What img2dataset calls `files`: the folder is a shard, as a tar would be.
        if len(parts) == 2 and opened.is_shard:
            partition = NOWHERE
        sidecar = describes(file, beside)
        if not path.lower().endswith(".parquet"):
            if sidecar:
                source.set_aside[SIDECAR] += 1
            else:
                beside_it = opened.sidecar_of(file, beside) if keep else ""
                yield Input(_kind(path), full_name(files, path), size, partition, sidecar=beside_it)
            continue
        name = full_name(files, path)
        try:
            table = _open_table(files, path)
        except Exception:  # Whoever reads it will say why it cannot be read.
            yield Input(Kind.TABLE, name, size, partition)
            continue
        schema = table.schema_arrow
        if image_column(schema, source.columns):
            check_images(name, schema, source.columns)
            yield from _groups(name, table, partition)
        elif sidecar:
            source.set_aside[SIDECAR] += 1
        elif holds_addresses(schema.names) and not source.columns.image:
            source.set_aside[ADDRESSES] += 1
        else:
            raise without_images(name, schema.names, source.columns)


class _Folder:
    """Where the columns to keep of a folder's images and tars are; each place is looked at once."""

    def __init__(self, files: "AbstractFileSystem", path: str, columns: Columns, *, alone: bool) -> None:
        """Look for what describes the folder as a whole, unless it is `alone`."""
        self.path = path
        self._files, self._columns = files, columns
        self._whole = "" if alone else self._parquet(f"{path}.parquet")

    @property
    def is_shard(self) -> bool:
        """Whether a Parquet file beside the folder describes the images in it."""
        return bool(self._whole)

    def sidecar_of(self, file: str, beside: frozenset[str]) -> str:
        """Return what describes a file in this folder; empty if nothing does."""
        suffix = next((suffix for suffix in TARS if file.lower().endswith(suffix)), "")
        if suffix:
            stem = file[: -len(suffix)]
            return self._parquet(f"{self.path}/{stem}.parquet") if f"{stem}.parquet" in beside else ""
        stem = file.rpartition(".")[0]
        if self._whole:
            return self._whole
        return full_name(self._files, f"{self.path}/{stem}.json") if f"{stem}.json" in beside else ""

    def _parquet(self, path: str) -> str:
        """Return the full name of a sidecar, once it is sure that it has the columns to keep; empty if it is none."""
        if not patiently(lambda: self._files.isfile(path)):
            return ""
        name = full_name(self._files, path)
        try:
            schema = _open_table(self._files, path).schema_arrow
        except Exception as error:
            if not self._columns.keep:
                return ""
            raise ScanError(f"{name} cannot be read, which has the columns to keep: {error}") from error
        if image_column(schema, self._columns) or not key_column(schema.names):
            return ""
        check_kept(name, schema, self._columns)
        return name


def _groups(name: str, table: Any, partition: str) -> Iterator[Input]:
    for group in range(table.num_row_groups):
        yield Input(Kind.TABLE, name, UNKNOWN, partition, group)


def _kind(path: str) -> Kind:
    return Kind.TAR if path.lower().endswith(TARS) else Kind.FILE


def _open_table(files: "AbstractFileSystem", path: str) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    return patiently(lambda: pq.ParquetFile(files.open(path, "rb")), pa.ArrowInvalid)


def _matches(files: "AbstractFileSystem", pattern: str) -> Iterator[_Found]:
    """Yield the files that match a glob, and those below folders that do."""
    found = patiently(lambda: files.glob(pattern, detail=True))
    places = {str(path).rstrip("/"): found[path] for path in sorted(found)}
    folders = {path for path, info in places.items() if info["type"] == "directory"}
    together: dict[str, list[str]] = {}
    for path in places:
        together.setdefault(path.rpartition("/")[0], []).append(path)
    names = {
        folder: _beside((path for path in paths if path not in folders), (path for path in paths if path in folders))
        for folder, paths in together.items()
    }
    for path, info in places.items():
        if path in folders:
            yield from _walk(files, path)
        else:
            yield path, UNKNOWN if info.get("size") is None else int(info["size"]), names[path.rpartition("/")[0]]


def _walk(files: "AbstractFileSystem", root: str) -> Iterator[_Found]:
    """Yield the files below a folder, hidden ones left out."""
    from fsspec.implementations.local import LocalFileSystem

    if isinstance(files, LocalFileSystem):
        for _, paths, below in walk_folders(root):
            names = _beside(paths, below)
            yield from ((path, UNKNOWN, names) for path in paths)
        return
    waiting = [root.rstrip("/")]
    while waiting:
        folder = waiting.pop()
        entries = patiently(partial(files.ls, folder, detail=True))
        found: dict[str, int] = {}
        below = []
        for entry in sorted(entries, key=lambda entry: str(entry["name"])):
            path = str(entry["name"]).rstrip("/")
            # A store may list a folder as an empty object in itself.
            if path == folder or path.rpartition("/")[2].startswith("."):
                continue
            if entry["type"] == "directory":
                below.append(path)
            else:
                found[path] = UNKNOWN if entry.get("size") is None else int(entry["size"])
        names = _beside(found, below)
        yield from ((path, size, names) for path, size in found.items())
        waiting += reversed(below)


def _beside(files: Iterable[str], folders: Iterable[str]) -> frozenset[str]:
    """Return the names of what lies in one folder."""
    return frozenset(
        [
            *(path.rpartition("/")[2] for path in files),
            *(path.rpartition("/")[2] + "/" for path in folders),
        ]
    )


_Row = tuple[str, str, str, str]
"""What a table says of an image: its path, its partition, its key, and the columns to keep as JSON."""


def _named(files: "AbstractFileSystem", table: str, rows: Iterable[_Row]) -> Iterator[Input]:
    """Yield the images and tars that a table names, relative to where it lies."""
    folder = full_name(files, table.rpartition("/")[0])
    for path, partition, key, kept in rows:
        if path.lower().startswith(_WEB):
            raise holding_addresses(full_name(files, table))
        name = path if is_url(path) or path.startswith("/") else join(folder, path)
        yield Input(_kind(name), name, UNKNOWN, partition or NOWHERE, key=key, kept=kept)


def _csv_rows(files: "AbstractFileSystem", path: str, source: Source) -> Iterator[_Row]:
    with files.open(path, "rb") as stream, io.TextIOWrapper(stream, "utf-8-sig", newline="") as text:
        reader = csv.DictReader(text, strict=True)
        column = source.columns.path or _PATH
        try:
            names = list(reader.fieldnames or ())
            if column not in names:
                if holds_addresses(names) and not source.columns.path:
                    raise holding_addresses(path)
                raise ScanError(f"{path} has no column `{column}`; it has {', '.join(names) or 'none'}.")
            check_names(path, names, source.columns)
            for row in reader:
                if not row[column]:
                    raise ScanError(f"{path}, line {reader.line_num}: there is no path.")
                if None in row or None in row.values():
                    raise ScanError(f"{path}, line {reader.line_num}: there are not as many values as columns.")
                # An empty cell of a CSV file has no value.
                yield _row({name: value or None for name, value in row.items()}, names, source.columns)
        except (UnicodeDecodeError, csv.Error) as error:
            raise ScanError(f"{path} is not a CSV file in UTF-8: {error}") from error


def _table_rows(source: Source, table: Any) -> Iterator[_Row]:
    names, column = table.schema_arrow.names, source.columns.path or _PATH
    wanted = {column, "partition", key_column(names), *source.columns.keep}
    for batch in table.iter_batches(batch_size=4096, columns=[name for name in names if name in wanted]):
        for row in batch.to_pylist():
            if not row[column]:
                raise ScanError(f"{source.name} has a row without a path.")
            yield _row(row, names, source.columns)


def _row(row: dict[str, Any], names: list[str], columns: Columns) -> _Row:
    key = as_text(row.get(key_column(names) or ""))
    kept = {name: as_text(row.get(name)) for name in columns.keep}
    return (
        str(row[columns.path or _PATH]),
        as_text(row.get("partition")) or "",
        key or "",
        msgspec.json.encode(kept).decode() if kept else "",
    )


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
            ("sidecar", pa.binary()),
            ("key", pa.string()),
            ("kept", pa.string()),
        ]
    )


def _values(item: Input) -> tuple[object, ...]:
    """Return what identifies an input, beside its kind."""
    return item.name, item.size, item.partition, item.group, item.sidecar, item.key, item.kept


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
            "sidecar": [os.fsencode(item.sidecar) for _, item in rows],
            "key": [item.key for _, item in rows],
            "kept": [item.kept for _, item in rows],
        },
        _schema(),
    )
