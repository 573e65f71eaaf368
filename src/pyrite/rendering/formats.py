"""Detections for programs: JSON, JSON Lines and CSV, each written as the detections come."""

import csv
from collections.abc import Iterable
from dataclasses import replace
from typing import TextIO

import msgspec

from pyrite.results import Detection
from pyrite.sources import encodable

CSV_COLUMNS = (
    "path", "sha256", "format", "width", "height", "frames", "verdict", "probability", "logit", "reason", "explanation",
    "p_real", "p_ai", "max_fpr", "evidence", "model_name", "model_version", "error_code", "error_message",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_jsonl(detections: Iterable[Detection], stream: TextIO) -> None:
    """Write one JSON object a line."""
    for detection in detections:
        stream.write(f"{_json(detection)}\n")
        stream.flush()


def write_json(detections: Iterable[Detection], stream: TextIO) -> None:
    """Write one JSON array."""
    opening = "["
    for detection in detections:
        stream.write(f"{opening}\n{_json(detection)}")
        stream.flush()
        opening = ","
    stream.write("[]\n" if opening == "[" else "\n]\n")


def write_csv(detections: Iterable[Detection], stream: TextIO) -> None:
    """Write CSV with `CSV_COLUMNS`.

    Evidence is `kind:strength:says` joined by semicolons. A text that a spreadsheet would take for a
    formula gets an apostrophe in front, since paths and metadata are a stranger's; and all text is quoted, since
    some split cells at semicolons.
    """
    writer = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(CSV_COLUMNS)
    for detection in detections:
        writer.writerow([inert(value) for value in _row(detection)])
        stream.flush()


def _row(found: Detection) -> tuple[object, ...]:
    evidence = ";".join(f"{item.kind}:{item.strength}:{item.says or ''}" for item in found.evidence)
    model = (found.model.name, found.model.version) if found.model else (None, None)
    error = (found.error.code, found.error.message) if found.error else (None, None)
    plain = (getattr(found, name) for name in CSV_COLUMNS[: CSV_COLUMNS.index("evidence")])
    return (*plain, evidence, *model, *error)


def inert(value: object) -> object:
    """Return a value for a cell of CSV, with an apostrophe before a text that a spreadsheet would run as a formula."""
    if not isinstance(value, str):
        return value
    text = encodable(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _json(detection: Detection) -> str:
    if detection.path is not None:
        # A file name may hold bytes that are no UTF-8, which JSON cannot.
        detection = replace(detection, path=encodable(detection.path))
    return msgspec.json.encode(detection).decode()
