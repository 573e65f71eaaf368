"""Manifests: a table that names each image's file, class and whatever else is known of it."""

import csv
import io
from collections import Counter
from dataclasses import dataclass

from pyrite.datasets.labels import AI, REAL, SPLIT_NAMES, label_of
from pyrite.errors import DatasetError, require

MANIFEST_NAMES = ("manifest.csv", "manifest.parquet")
"""What a manifest inside a folder or an archive is called, at its root."""
_DIGITS = {"0": REAL, "1": AI}


@dataclass(frozen=True, slots=True)
class Manifest:
    """One row per image, column by column."""

    paths: tuple[str, ...]
    labels: tuple[int, ...]
    splits: tuple[str | None, ...]
    slices: dict[str, tuple[str, ...]]
    """Every further column that has a name, as text."""


def read_manifest(name: str, data: bytes) -> Manifest:
    """Read a CSV (UTF-8) or Parquet table with `path`, `label` and optional `split` columns.

    Labels are class names as in `label_of`, or 0 (real) and 1 (AI).

    Raises:
        DatasetError: a column is missing, a row is not understood, or there are no rows.
        MissingExtraError: Parquet without pyarrow.
    """
    return make_manifest(name, *read_columns(name, data))


def read_columns(name: str, data: bytes) -> tuple[list[str], list[list[str]]]:
    """Read a CSV (UTF-8) or Parquet table, told by its name: the columns' names, and the values of each as text.

    Raises:
        DatasetError: it is not understood.
        MissingExtraError: Parquet without pyarrow.
    """
    return _parquet(name, data) if name.lower().endswith(".parquet") else _csv(name, data)


def make_manifest(name: str, header: list[str], values: list[list[str]]) -> Manifest:
    """Make sense of a table's columns, as `read_manifest` does.

    Raises:
        DatasetError: a column is missing, a row is not understood, or there are no rows.
    """
    columns = named_columns(name, header, values, ("path", "label"))
    paths = tuple(columns.pop("path"))
    labels = parse_labels(name, columns.pop("label"))
    splits = []
    for row, text in enumerate(columns.pop("split", [""] * len(paths)), start=1):
        split = text.strip().lower()
        if split and split not in SPLIT_NAMES:
            raise DatasetError(f"{name}, row {row}: {text!r} is no split; use train, validation or test.")
        splits.append(SPLIT_NAMES.get(split))
    slices = {column: tuple(values) for column, values in columns.items() if column}
    return Manifest(paths, labels, tuple(splits), slices)


def named_columns(
    name: str, header: list[str], values: list[list[str]], needed: tuple[str, ...]
) -> dict[str, list[str]]:
    """Return a table's columns by name.

    Raises:
        DatasetError: a needed one is missing, one comes twice, or there are no rows.
    """
    if twice := [column for column, count in Counter(header).items() if column and count > 1]:
        raise DatasetError(f"{name} has the column {twice[0]!r} more than once.")
    columns = dict(zip(header, values, strict=True))
    for column in needed:
        if column not in columns:
            raise DatasetError(f"{name} has no column {column!r}; it has {', '.join(columns) or 'none'}.")
    if not values[0]:
        raise DatasetError(f"{name} has no rows.")
    return columns


def parse_labels(name: str, texts: list[str]) -> tuple[int, ...]:
    """Return the class of each row: 0 (real) or 1 (AI).

    Raises:
        DatasetError: a text is no class.
    """
    labels = []
    for row, text in enumerate(texts, start=1):
        label = _DIGITS.get(text.strip(), label_of(text))
        if label is None:
            raise DatasetError(f"{name}, row {row}: {text!r} is no class; use real or ai (or 0 and 1).")
        labels.append(label)
    return tuple(labels)


def _csv(name: str, data: bytes) -> tuple[list[str], list[list[str]]]:
    try:
        rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{name} is not a CSV file in UTF-8: {error}") from error
    header = [column.strip() for column in rows[0]] if rows else []
    body = [row for row in rows[1:] if row]
    for number, row in enumerate(body, start=1):
        if len(row) != len(header):
            raise DatasetError(f"{name}, row {number}: {len(row)} values for {len(header)} columns.")
    return header, [[row[i] for row in body] for i in range(len(header))]


def _parquet(name: str, data: bytes) -> tuple[list[str], list[list[str]]]:
    require("train", "pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(pa.BufferReader(data)).read()
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"{name} is not a Parquet file: {error}") from error
    values = [["" if value is None else str(value) for value in column.to_pylist()] for column in table.columns]
    return list(table.column_names), values
