"""Shards: a folder of tar files, or of Parquet files with image bytes in them, that together are one dataset."""

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

from pyrite.datasets.labels import SPLIT_NAMES, place_files
from pyrite.datasets.manifest import MANIFEST_NAMES, Manifest, make_manifest
from pyrite.datasets.storage import TarStorage, as_os_error, listing, open_storage, size_and_time
from pyrite.errors import DatasetError, require
from pyrite.image import Limits

_SHARD = re.compile(r".*\.(parquet|tar|tgz|tar\.(gz|bz2|xz))", re.IGNORECASE)
_BESIDE = frozenset({".md", ".json", ".jsonl", ".txt", ".yaml", ".yml", ".csv", ""})
"""What may lie beside shards: it describes them."""
_IMAGE = "image"
_READ_AT_MOST = Limits().max_bytes + 1


class ShardStorage:
    """The images of all shards, in their order. Small to send to another process, however many there are."""

    def __init__(self, folder: Path, shards: Sequence[str], names: Sequence[str]) -> None:
        self._folder = folder.absolute()
        self._stamps = {shard: size_and_time(folder / shard) for shard in shards}
        self.names = tuple(names)
        """Each shard's file name, and the file or the row in it."""
        self.fingerprint = listing((shard, *stamp) for shard, stamp in self._stamps.items())[1]

    def read(self, name: str) -> bytes:
        """Return one image's bytes."""
        shard, _, inside = name.partition("/")
        if shard not in self._stamps:
            raise OSError(f"there is no shard {shard!r}")
        with as_os_error():
            return _opened(self._folder / shard, self._stamps[shard])(inside)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "names": ()}  # Whoever reads is told the names.


def find_shards(folder: Path) -> tuple[Path, tuple[str, ...]] | None:
    """Return where shards lie, in `folder` or its `data`, and their names; `None` where it is not such a folder.

    Raises:
        DatasetError: they are of several kinds.
    """
    for place in (folder, folder / "data"):
        if not place.is_dir():
            continue
        shards = []
        for entry in sorted(place.iterdir()):
            if entry.name.startswith(".") or (entry.is_dir() and place == folder and entry.name == "data"):
                continue
            # One file that is neither a shard nor beside them, and it is a folder of images.
            is_shard = _SHARD.fullmatch(entry.name) is not None
            if entry.is_dir() or entry.name in MANIFEST_NAMES or not (is_shard or entry.suffix.lower() in _BESIDE):
                return None
            if is_shard:
                shards.append(entry.name)
        if len({_is_table(shard) for shard in shards}) > 1:
            raise DatasetError(f"{place} has tar and Parquet files side by side. Open one kind at a time.")
        if shards:
            return place, tuple(shards)
    return None


def open_shards(folder: Path, shards: Sequence[str]) -> tuple[ShardStorage, Manifest]:
    """Open shards, and tell what each image is.

    In a tar, class folders say it, or a `.cls` file beside each image, as in WebDataset. A Parquet file has the
    column `image`, of bytes or of a struct with `bytes`, and `label`, and may have others, as a manifest. Without a
    column for it, the split is what a shard's name begins with.

    Raises:
        DatasetError: a shard cannot be read, or classes cannot be told.
        MissingExtraError: Parquet without pyarrow.
    """
    read = _read_tables if _is_table(shards[0]) else _read_tars
    names, manifest = read(folder, shards)
    return ShardStorage(folder, shards, names), manifest


def _is_table(shard: str) -> bool:
    return shard.lower().endswith(".parquet")


def _split_of(shard: str) -> str:
    word = re.split(r"[^a-z]", shard.lower(), maxsplit=1)[0]
    return word if word in SPLIT_NAMES else ""


def _read_tars(folder: Path, shards: Sequence[str]) -> tuple[list[str], Manifest]:
    names: list[str] = []
    labels: list[str] = []
    splits: list[str] = []
    for shard in shards:
        storage = open_storage(folder / shard)
        classes = {name: storage.read(name).decode().strip() for name in storage.names if name.endswith(".cls")}
        if classes:
            stems = {name.removesuffix(".cls"): label for name, label in classes.items()}
            found = {n: (stems[_stem(n)], "") for n in storage.names if _is_image(n) and _stem(n) in stems}
        else:
            found = {n: (str(p.label), p.split or "") for n, p in place_files(storage.names, one_class=True).items()}
        names += [f"{shard}/{name}" for name in found]
        labels += [label for label, _ in found.values()]
        splits += [split or _split_of(shard) for _, split in found.values()]
    return names, make_manifest(folder.name, ["path", "label", "split"], [names, labels, splits])


def _stem(name: str) -> str:
    """Return what WebDataset groups files by: all before the first dot of the file's name."""
    head, slash, tail = name.rpartition("/")
    return head + slash + tail.partition(".")[0]


def _is_image(name: str) -> bool:
    return not name.endswith((".cls", ".json", ".txt"))


def _read_tables(folder: Path, shards: Sequence[str]) -> tuple[list[str], Manifest]:
    require("train", "pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    header: list[str] = []
    columns: list[list[str]] = []
    for shard in shards:
        try:
            with pq.ParquetFile(folder / shard) as file:
                schema = file.schema_arrow
                kept = [name for name in schema.names if not _holds_bytes(schema.field(name).type)]
                if _IMAGE not in schema.names or _IMAGE in kept:
                    raise DatasetError(f"{shard} has no column 'image' of bytes; it has {', '.join(schema.names)}.")
                table = file.read(kept)
        except (pa.ArrowException, OSError) as error:
            raise DatasetError(f"{shard} is not a Parquet file: {error}") from error
        classes = _class_names(schema)
        rows = {name: [_text(value) for value in table.column(name).to_pylist()] for name in kept}
        if classes and "label" in rows:
            known = dict(enumerate(classes))
            rows["label"] = [known.get(int(v), v) if v.lstrip("-").isdigit() else v for v in rows["label"]]
        rows["path"] = [f"{shard}/{row}" for row in range(table.num_rows)]
        rows.setdefault("split", [_split_of(shard)] * table.num_rows)
        if header and header != sorted(rows):
            raise DatasetError(f"{shard} has other columns than {shards[0]}.")
        header = sorted(rows)
        columns = columns or [[] for _ in header]
        for column, name in zip(columns, header, strict=True):
            column += rows[name]
    return columns[header.index("path")], make_manifest(folder.name, header, columns)


def _holds_bytes(kind: Any) -> bool:
    import pyarrow as pa

    inner = next((kind.field(i).type for i in range(kind.num_fields) if kind.field(i).name == "bytes"), None)
    return any(pa.types.is_binary(t) or pa.types.is_large_binary(t) for t in (kind, inner) if t is not None)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _class_names(schema: Any) -> list[str]:
    """Return what numbers of `label` stand for, where Hugging Face's `datasets` wrote it: 0 may be the AI class."""
    try:
        label = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]["label"]
        return [str(name) for name in label["names"]]
    except (KeyError, TypeError, ValueError):
        return []


@lru_cache(maxsize=2)
def _opened(path: Path, stamp: tuple[int, int]) -> Callable[[str], bytes]:
    """Open a shard once in every process, and return what reads one image of it."""
    if not _is_table(path.name):
        return TarStorage(path).read
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path, memory_map=False)
    counts = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    starts = [0, *accumulate(counts)]
    nested = file.schema_arrow.field(_IMAGE).type.num_fields > 0

    @lru_cache(maxsize=1)
    def read_group(group: int) -> Any:
        column = file.read_row_group(group, columns=[f"{_IMAGE}.bytes" if nested else _IMAGE]).column(0)
        return column.combine_chunks()

    def read(row: str) -> bytes:
        group = bisect_right(starts, int(row)) - 1
        if not 0 <= group < len(counts):
            raise OSError(f"there is no row {row}")
        value = read_group(group)[int(row) - starts[group]].as_py()
        data = value["bytes"] if isinstance(value, dict) else value
        if data is None:
            raise OSError("the row has no bytes")
        return bytes(data[:_READ_AT_MOST])

    return read
