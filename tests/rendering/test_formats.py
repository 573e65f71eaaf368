import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TextIO

import pytest

from pyrite.rendering.formats import CSV_COLUMNS, write_csv, write_json, write_jsonl
from pyrite.results import Detection, Failure

Write = Callable[[Iterable[Detection], TextIO], None]


def written(write: Write, *detections: Detection) -> str:
    stream = io.StringIO()
    write(detections, stream)
    return stream.getvalue()


def test_json_and_json_lines_hold_the_same_objects(found: Detection) -> None:
    array = json.loads(written(write_json, found, found))
    assert array == [json.loads(line) for line in written(write_jsonl, found, found).splitlines()]
    assert set(array[0]) == set(Detection.__dataclass_fields__)
    assert array[0]["evidence"][0]["strength"] == "asserted"
    assert array[0]["model"] == {"name": "tiny", "version": "1"}


def test_json_of_nothing_is_an_empty_array() -> None:
    assert json.loads(written(write_json)) == []


@pytest.mark.parametrize("write", [write_json, write_jsonl, write_csv])
def test_each_detection_is_written_before_the_next_is_asked_for(write: Write, found: Detection) -> None:
    stream = io.StringIO()

    def detections() -> Iterator[Detection]:
        yield found
        assert "a b.jpg" in stream.getvalue()
        yield replace(found, path="second")

    write(detections(), stream)
    assert "second" in stream.getvalue()


def test_csv_has_a_column_for_everything(found: Detection) -> None:
    failed = replace(found, probability=None, error=Failure("empty", "The file is empty."))
    rows = list(csv.DictReader(io.StringIO(written(write_csv, found, failed))))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert (
        rows[0] | {"path": "a b.jpg", "verdict": "ai", "evidence": "camera:asserted:", "model_name": "tiny"} == rows[0]
    )
    assert (rows[1]["probability"], rows[1]["error_code"]) == ("", "empty")


def test_csv_gives_a_spreadsheet_no_formula(found: Detection) -> None:
    (row,) = csv.DictReader(io.StringIO(written(write_csv, replace(found, path='=HYPERLINK("x")'))))
    assert row["path"] == '\'=HYPERLINK("x")'


@pytest.mark.parametrize("write", [write_json, write_jsonl, write_csv])
def test_a_path_of_any_bytes_can_be_written(write: Write, found: Detection) -> None:
    text = written(write, replace(found, path="a\udcff\n\u2028b"))
    text.encode()
    assert "udcff" in text
