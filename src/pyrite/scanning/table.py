"""The table of results: one row per image, in Parquet files of one shard each."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from pyrite.decision import Policy, decide
from pyrite.results import Detection, Reason, Verdict
from pyrite.scanning.reading import Item
from pyrite.scanning.remote import join, locate, patiently
from pyrite.scanning.rules import Rules
from pyrite.sources import encodable

FOLDER = "detections"
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


def table_schema() -> Any:
    """Return the table's columns; `docs/scale.md` says what they are."""
    import pyarrow as pa

    return pa.schema(
        [
            ("shard", pa.int32()),
            ("position", pa.int32()),
            ("partition", pa.string()),
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
        ]
    )


class TableWriter:
    """Writes the rows of one shard, some at a time; a context."""

    def __init__(self, path: Path, shard: int, policy: Policy, rules: Rules | None) -> None:
        """Open a new file."""
        import pyarrow.parquet as pq

        self.images = self.errors = self.flagged = 0
        self._shard, self._policy, self._rules = shard, policy, rules
        self._schema = table_schema()
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._rows: list[dict[str, object]] = []

    def __enter__(self) -> "TableWriter":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._rows and kind is None:
            self._flush()
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
            "path": encodable(item.name),
            **{name: getattr(found, name) for name in _PLAIN},
            "pixels_say": decide(found.p_real, found.p_ai, in_scope, self._policy)[0] if pixels else None,
            "in_scope": in_scope if pixels else None,
            "phash": phash,
            "evidence": msgspec.json.encode(found.evidence).decode(),
            "model_name": found.model.name if found.model else None,
            "model_version": found.model.version if found.model else None,
            "error_code": found.error.code if found.error else None,
            "error_message": encodable(found.error.message) if found.error else None,
            "action": action,
            "action_reason": because,
            "seconds": seconds,
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


def _read_part(out: str, columns: Sequence[str], shard: int) -> Any:
    import pyarrow.parquet as pq

    files, path = locate(part_path(out, shard))

    def read() -> Any:
        with files.open(path, "rb") as stream:
            return pq.ParquetFile(stream).read(columns=list(columns))

    return patiently(read)
