"""Tables as columns of text, whatever kind of file they are in."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from pyrite.errors import DatasetError, require

Columns = tuple[list[str], list[list[str]]]
"""The columns' names, and the values of each."""

TABLES = (".csv", ".tsv", ".jsonl", ".parquet", ".txt")
"""How the names of tables end; a .txt has a path and a label in each line."""
_LINE = re.compile(r"(.*\S)[\s,;]+(\S+)")


def read_columns(name: str, data: bytes) -> Columns:
    """Read a table, told by its name: the columns' names, and the values of each as text.

    Raises:
        DatasetError: it is not understood.
        MissingExtraError: Parquet without pyarrow.
    """
    match PurePosixPath(name).suffix.lower():
        case ".parquet":
            return _parquet(name, data)
        case ".jsonl":
            return _json_lines(name, data)
        case ".txt":
            return _list(name, data)
        case ".tsv":
            return _csv(name, data, "\t")
    return _csv(name, data, ",")


def find_column(header: Iterable[str], wanted: str | None, usual: Sequence[str] = ()) -> str | None:
    """Return the column that was asked for, or the first of the usual ones, whatever its case."""
    names = [*header]
    there = {column.casefold(): column for column in reversed(names)}
    if wanted is not None:
        return wanted if wanted in names else there.get(wanted.casefold())
    return next((there[name] for name in usual if name in there), None)


def join_tables(tables: Mapping[str, Columns]) -> Columns:
    """Return several tables' columns as one: all that there are, empty where a table lacks one.

    Args:
        tables: each one's name, the columns' names, and the values of each.

    Raises:
        DatasetError: see `named_columns`.
    """
    parts = [named_columns(name, header, values, ()) for name, (header, values) in tables.items()]
    counts = [len(next(iter(part.values()))) for part in parts]
    header = list(dict.fromkeys(column for part in parts for column in part))
    gaps = [[""] * count for count in counts]
    values = [
        [text for part, gap in zip(parts, gaps, strict=True) for text in part.get(column, gap)] for column in header
    ]
    return header, values


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
    if header and not values[0]:
        raise DatasetError(f"{name} has no rows.")
    return columns


def _csv(name: str, data: bytes, delimiter: str) -> Columns:
    try:
        text = io.StringIO(_text(data), newline="")
        rows = list(csv.reader(text, strict=True, delimiter=delimiter))
    except (UnicodeDecodeError, csv.Error) as error:
        kind = "CSV" if delimiter == "," else "TSV"
        raise DatasetError(f"{name} is not a {kind} file in UTF-8: {error}") from error
    header = [column.strip() for column in rows[0]] if rows else []
    body = [row for row in rows[1:] if row]
    for number, row in enumerate(body, start=1):
        if len(row) != len(header):
            raise DatasetError(f"{name}, row {number}: {len(row)} values for {len(header)} columns.")
    return header, [[row[i] for row in body] for i in range(len(header))]


def _text(data: bytes) -> str:
    return data.decode("utf-8-sig")


def _json_lines(name: str, data: bytes) -> Columns:
    rows = []
    try:
        # Not `splitlines`, which also ends a line at characters that a JSON string may have as they are.
        for number, line in enumerate(_text(data).split("\n"), start=1):
            if line.strip():
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise DatasetError(f"{name}, line {number}: it is not a JSON object.")
                rows.append(row)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{name} is not a file of JSON lines in UTF-8: {error}") from error
    header = list(dict.fromkeys(key for row in rows for key in row))
    return header, [["" if (value := row.get(key)) is None else str(value) for row in rows] for key in header]


def _list(name: str, data: bytes) -> Columns:
    """Read lines of a path, which may have blanks, and a label."""
    try:
        lines = [line.strip() for line in _text(data).split("\n")]
    except UnicodeDecodeError as error:
        raise DatasetError(f"{name} is not a text file in UTF-8: {error}") from error
    paths, labels = [], []
    for number, line in enumerate(lines, start=1):
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise DatasetError(f"{name}, line {number}: {line[:80]!r} is not a path and a label.")
        paths.append(match[1].rstrip(",;"))
        labels.append(match[2])
    return ["path", "label"], [paths, labels]


def _parquet(name: str, data: bytes) -> Columns:
    require("train", "pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(pa.BufferReader(data)).read()
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"{name} is not a Parquet file: {error}") from error
    values = [["" if value is None else str(value) for value in column.to_pylist()] for column in table.columns]
    return list(table.column_names), values
