import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pyrite
from pyrite.bundle import Bundle
from pyrite.detector import Detector
from pyrite.errors import MissingExtraError
from pyrite.rendering.formats import CSV_COLUMNS
from pyrite.results import Detection
from pyrite.scanning.table import table_schema

pytest.importorskip("pyarrow", reason="The extra tables is not installed: there is no pyarrow.")


@pytest.fixture
def detections(bundle: Bundle, tmp_path: Path) -> list[Detection]:
    """Of a bright image, and of a file that is none."""
    Image.fromarray(np.full((32, 32, 3), 220, np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"none")
    return list(Detector(bundle).detect_many([tmp_path / "a.png", tmp_path / "b.png"]))


def test_a_table_has_a_row_each_with_the_columns_of_csv_and_the_types_of_a_scan(detections: list[Detection]) -> None:
    table = pyrite.to_table(iter(detections))
    assert tuple(table.schema.names) == CSV_COLUMNS
    assert all(field.type == table_schema().field(field.name).type for field in table.schema)
    first, second = table.to_pylist()
    assert (first["path"], first["verdict"], first["logit"]) == (detections[0].path, "ai", detections[0].logit)
    assert first["evidence"].startswith('[{"kind":"pixels"')
    assert (second["error_code"], second["logit"]) == ("unsupported_format", None)


def test_a_table_of_nothing_has_the_same_columns(detections: list[Detection]) -> None:
    assert pyrite.to_table([]).schema == pyrite.to_table(detections).schema
    assert len(pyrite.to_table([])) == 0


def test_pandas_takes_a_table(detections: list[Detection]) -> None:
    pytest.importorskip("pandas", reason="There is no pandas.")
    frame = pyrite.to_table(detections).to_pandas()
    assert list(frame["verdict"]) == ["ai", "uncertain"]


def test_names_of_any_bytes_are_kept_as_text(detections: list[Detection]) -> None:
    odd = replace(detections[0], path="odd\udcff.png")
    assert pyrite.to_table([odd]).column("path").to_pylist() == ["odd\\udcff.png"]


def test_without_pyarrow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyrite.errors.find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pyrite\[tables\]"):
        pyrite.to_table([])
