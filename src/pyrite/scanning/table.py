"""The table of results: one row per image, in Parquet files of one shard each."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pyrite.decision import Policy, decide
from pyrite.errors import ScanError, require
from pyrite.rendering.formats import CSV_COLUMNS
from pyrite.results import Detection, Reason, Verdict
from pyrite.scanning.reading import Item
from pyrite.scanning.remote import join, locate, patiently
from pyrite.scanning.rules import Rules
from pyrite.sources import encodable

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER = "detections"
_SET_ASIDE = "pyrite.set_aside"
_ROWS = 1024  # in memory before they are written
_READERS = 8
_AHEAD = 32  # parts in memory at a time
_PLAIN = (
    "sha256", "format", "width", "height", "frames", "verdict", "probability", "logit", "reason", "explanation",
    "p_real", "p_ai", "max_fpr",
)  # fmt: skip


def part_name(shard: int) -> str:
    """Return what the file of a shard is called."""
    return f"part-{shard:08}.parquet"


def part_path(out: str, shard: int) -> str:
    """Return where the file of a shard is."""
    return join(out, FOLDER, part_name(shard))


def check_keep(keep: Sequence[str]) -> None:
    """Refuse columns to keep that the table has of its own, and those named twice.

    Raises:
        ScanError: There is one.
    """
    own = set(table_schema().names)
    for i, name in enumerate(keep):
        if name in own:
            raise ScanError(
                f"The column `{name}` cannot be kept, since the table of results already has one. Join by `key`."
            )
        if not name or name in keep[:i]:
            raise ScanError(f"The columns to keep have {f'`{name}` twice' if name else 'an empty name'}.")


def table_schema(keep: Sequence[str] = ()) -> Any:
    """Return the table's columns, with those that are passed through; `docs/scale.md` says what they are."""
    import pyarrow as pa

    return pa.schema(
        [
            ("shard", pa.int32()),
            ("position", pa.int32()),
            ("partition", pa.string()),
            ("key", pa.string()),
            ("path", pa.string()),
            ("sha256", pa.string()),
            ("format", pa.string()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("frames", pa.int32()),
            ("verdict", pa.string()),
            ("probability", pa.float64()),
            ("logit", pa.float64()),
            ("reason", pa.string()),
            ("explanation", pa.string()),
            ("p_real", pa.float64()),
            ("p_ai", pa.float64()),
            ("max_fpr", pa.float64()),
            ("pixels_say", pa.string()),
            ("in_scope", pa.bool_()),
            ("phash", pa.int64()),
            ("evidence", pa.string()),
            ("model_name", pa.string()),
            ("model_version", pa.string()),
            ("error_code", pa.string()),
            ("error_message", pa.string()),
            ("action", pa.string()),
            ("action_reason", pa.string()),
            ("seconds", pa.float32()),
            *((name, pa.string()) for name in keep),
        ]
    )


def to_table(detections: Iterable[Detection]) -> "pa.Table":
    """Return detections as an Arrow table, a row each, which pandas, Polars and DuckDB take.

    It has the columns of CSV as a scan's table has them: `evidence` is JSON.

    Raises:
        MissingExtraError: The extra `tables` is not installed.
    """
    require("tables", "pyarrow")
    import pyarrow as pa

    every = table_schema()
    rows = [
        {"path": None if found.path is None else encodable(found.path), **_columns_of(found)} for found in detections
    ]
    return pa.Table.from_pylist(rows, pa.schema([every.field(name) for name in CSV_COLUMNS]))


def _columns_of(found: Detection) -> dict[str, object]:
    """Return what a detection has for the columns of a table, but for `path`."""
    return {
        **{name: getattr(found, name) for name in _PLAIN},
        "evidence": msgspec.json.encode(found.evidence).decode(),
        "model_name": found.model.name if found.model else None,
        "model_version": found.model.version if found.model else None,
        "error_code": found.error.code if found.error else None,
        "error_message": encodable(found.error.message) if found.error else None,
    }


class TableWriter:
    """Writes the rows of one shard, some at a time; a context."""

    def __init__(self, path: Path, shard: int, policy: Policy, rules: Rules | None, keep: Sequence[str] = ()) -> None:
        """Open a new file."""
        import pyarrow.parquet as pq

        self.images = self.errors = self.flagged = 0
        self.set_aside: Mapping[str, int] = {}
        """How much of what the shard holds is no image, by what it is; written at the end."""
        self._shard, self._policy, self._rules, self._keep = shard, policy, rules, keep
        self._schema = table_schema(keep)
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._rows: list[dict[str, object]] = []

    def __enter__(self) -> "TableWriter":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._rows and kind is None:
            self._flush()
        if kind is None:
            self._writer.add_key_value_metadata({_SET_ASIDE: msgspec.json.encode(dict(self.set_aside)).decode()})
        self._writer.close()

    def add(self, item: Item, found: Detection, phash: int | None, seconds: float) -> None:
        """Add a row.

        Args:
            item: What was judged.
            found: What came of it.
            phash: Its perceptual hash, if it has one.
            seconds: What it took, as its share of its batch.
        """
        self._rows.append(self._row(item, found, phash, seconds))
        self.images += 1
        self.errors += found.error is not None
        self.flagged += found.verdict is Verdict.AI
        if len(self._rows) == _ROWS:
            self._flush()

    def _row(self, item: Item, found: Detection, phash: int | None, seconds: float) -> dict[str, object]:
        pixels = [said.data["reason"] for said in found.evidence if said.kind == "pixels"]
        in_scope = any(reason != Reason.OUT_OF_SCOPE for reason in pixels)
        action, because = self._rules.apply(found) if self._rules else (None, None)
        return {
            "shard": self._shard,
            "position": self.images,
            "partition": encodable(item.partition),
            "key": None if item.key is None else encodable(item.key),
            "path": encodable(item.name),
            **_columns_of(found),
            "pixels_say": decide(found.p_real, found.p_ai, in_scope, self._policy)[0] if pixels else None,
            "in_scope": in_scope if pixels else None,
            "phash": phash,
            "action": action,
            "action_reason": because,
            "seconds": seconds,
            **{name: None if (value := item.fields.get(name)) is None else encodable(value) for name in self._keep},
        }

    def _flush(self) -> None:
        import pyarrow as pa

        self._writer.write_table(pa.Table.from_pylist(self._rows, self._schema))
        self._rows.clear()


def read_table(out: str, shards: Sequence[int], columns: Sequence[str]) -> Iterator[Any]:
    """Yield some columns of each shard's part of the table, in order, as Arrow tables."""
    with ThreadPoolExecutor(_READERS) as pool:
        for start in range(0, len(shards), _AHEAD):
            yield from pool.map(partial(_read_part, out, columns), shards[start : start + _AHEAD])


def read_set_aside(out: str, shards: Sequence[int]) -> Counter[str]:
    """Return how much of what the shards hold is no image, by what it is."""
    total: Counter[str] = Counter()
    with ThreadPoolExecutor(_READERS) as pool:
        for start in range(0, len(shards), _AHEAD):
            for found in pool.map(partial(_read_aside, out), shards[start : start + _AHEAD]):
                total.update(found)
    return total


def _read_aside(out: str, shard: int) -> dict[str, int]:
    import pyarrow.parquet as pq

    files, path = locate(part_path(out, shard))

    def read() -> dict[bytes, bytes]:
        with files.open(path, "rb") as stream:
            return dict(pq.ParquetFile(stream).metadata.metadata or {})

    return msgspec.json.decode(patiently(read).get(_SET_ASIDE.encode(), b"{}"), type=dict[str, int])


def _read_part(out: str, columns: Sequence[str], shard: int) -> Any:
    import pyarrow.parquet as pq

    files, path = locate(part_path(out, shard))

    def read() -> Any:
        with files.open(path, "rb") as stream:
            return pq.ParquetFile(stream).read(columns=list(columns))

    return patiently(read)
