import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pyrite.errors import DatasetError, MissingExtraError
from pyrite.scores import describe_scores, read_scores

GOOD = """image,label,group,a,b
one.jpg,real,coco,0.1,-3
two.jpg,0,coco,0.2,
three.jpg,AI,flux,0.9,4e2
four.jpg,fake,flux,,nan
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "scores.csv"
    path.write_text(text)
    return path


def test_every_column_is_read(tmp_path: Path) -> None:
    table = read_scores(write(tmp_path, GOOD))
    assert table.images == ("one.jpg", "two.jpg", "three.jpg", "four.jpg")
    assert table.labels is not None
    assert table.labels.tolist() == [0, 0, 1, 1]
    assert table.groups == ("coco", "coco", "flux", "flux")
    assert list(table.scores) == ["a", "b"]
    np.testing.assert_array_equal(table.scores["a"], [0.1, 0.2, 0.9, np.nan])
    np.testing.assert_array_equal(table.scores["b"], [-3, np.nan, 400, np.nan])
    assert table.judged.tolist() == [True, True, True, False]
    assert len(table.sha256) == 64


def test_parquet_is_read_like_csv(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    columns = {
        "image": ["one.jpg", "two.jpg", "three.jpg", "four.jpg"],
        "label": [0, 0, 1, 1],
        "group": ["coco", "coco", "flux", "flux"],
        "a": pa.array([0.1, 0.2, 0.9, None]),
        "b": pa.array([-3, None, 400, float("nan")], pa.float64()),
    }
    pq.write_table(pa.table(columns), path)
    table, same = read_scores(path), read_scores(write(tmp_path, GOOD))
    assert (table.images, table.groups) == (same.images, same.groups)
    np.testing.assert_array_equal(table.labels, same.labels)
    for name, column in same.scores.items():
        np.testing.assert_array_equal(table.scores[name], column)


def test_parquet_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO()
    pq.write_table(pa.table({"image": ["x"]}), stream)
    path = tmp_path / "scores.parquet"
    path.write_bytes(stream.getvalue())
    monkeypatch.setattr("pyrite.errors.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="pyarrow"):
        read_scores(path)


def test_columns_and_groups_are_chosen(tmp_path: Path) -> None:
    path = write(tmp_path, "camera,image,label,a,b,note\nx,1,real,1,2,?\ny,2,ai,3,4,?\n")
    table = read_scores(path, columns=["b"], group="camera")
    assert list(table.scores) == ["b"]
    assert table.groups == ("x", "y")
    assert read_scores(write(tmp_path, GOOD), pooled=True).groups is None


def test_a_table_to_judge_needs_no_labels(tmp_path: Path) -> None:
    table = read_scores(write(tmp_path, "image,a\n1,0.5\n"), labelled=False)
    assert table.labels is table.groups is None
    # Nor are labels that are there taken for a detector, or read.
    table = read_scores(write(tmp_path, "image,label,group,a\n1,unknown,,0.5\n"), labelled=False)
    assert list(table.scores) == ["a"]


@pytest.mark.parametrize(
    ("text", "options", "parts"),
    [
        ("", {}, ["no column 'image'"]),
        ("image,label,a\n", {}, ["no rows"]),
        ("file,label,a\nx,real,1\n", {}, ["no column 'image'; it has file, label, a"]),
        ("image,a\nx,1\n", {}, ["no column 'label'"]),
        ("image,label\nx,real\n", {}, ["no column of scores"]),
        ("image,label,a,a\nx,real,1,1\n", {}, ["'a' more than once"]),
        ("image,label,a\nx,real,1\nx,real,2\ny,ai,1\ny,ai,1\n", {}, ["2 images more than once", "'x', 2 times"]),
        ("image,label,a\nx,real,1\n,real,2\n", {}, ["1 of 2 rows without an image's name"]),
        ("image,label,a\nx,maybe,1\n", {}, ["row 1", "'maybe' is not a class"]),
        ("image,label,a,b\nx,real,1,one\ny,ai,inf,?\n", {}, [
            "a has 1 of 2 values that are not finite numbers; the first, in row 2: 'inf'",
            "b has 2 of 2 values that are not finite numbers; the first, in row 1: 'one'", "--columns",
        ]),
        ("image,label,group,a\nx,real,,1\ny,real,g,1\n", {}, ["1 of 2 rows without a group in the column 'group'"]),
        ("image,label,a\nx,real,1\n", {"columns": ["a", "z"]}, ["no column 'z' for a detector; it has a"]),
        ("image,label,a\nx,real,1\n", {"group": "z"}, ["no column 'z' for groups; it has a"]),
        ("image,label,a\nx,real\n", {}, ["row 1: 2 values for 3 columns"]),
    ],
)  # fmt: skip
def test_bad_tables_are_refused(tmp_path: Path, text: str, options: dict, parts: list[str]) -> None:
    with pytest.raises(DatasetError) as caught:
        read_scores(write(tmp_path, text), **options)
    for part in ("scores.csv", *parts):
        assert part in str(caught.value)


def test_files_that_are_no_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read: No such file"):
        read_scores(tmp_path / "none.csv")
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="not a CSV file"):
        read_scores(tmp_path / "x.csv")
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(DatasetError, match="not a Parquet file"):
        read_scores(tmp_path / "x.parquet")


def test_what_is_missing_is_told_with_its_count(tmp_path: Path) -> None:
    told = describe_scores(read_scores(write(tmp_path, GOOD)))
    assert told[:3] == (
        "a has no score for 1 of 4 images: of these it says nothing.",
        "b has no score for 2 of 4 images: of these it says nothing.",
        "No detector has a score for 1 of 4 images.",
    )


def test_what_labels_were_taken_for_is_told(tmp_path: Path) -> None:
    rows = "image,label,a\n1,real,0\n2,midjourney,1\n3,unlabelled,2\n4,not sure,3\n"
    table = read_scores(write(tmp_path, rows))
    assert table.labels is not None
    assert table.labels.tolist() == [0, 1, 1, 1]
    assert describe_scores(table)[0] == "Taken for AI: midjourney 1, unlabelled 1, not sure 1."


def test_a_detector_that_points_the_other_way_is_told_of_and_left_alone(tmp_path: Path) -> None:
    rows = "".join(f"{i},{'ai' if i % 2 else 'real'},{i % 2},{-(i % 2)},{i}\n" for i in range(20))
    table = read_scores(write(tmp_path, "image,label,right,wrong,idle\n" + rows))
    told = [line for line in describe_scores(table) if "AUROC" in line]
    assert len(told) == 1
    assert told[0].startswith("wrong ranks real images above AI ones (AUROC 0.000)")
    assert table.scores["wrong"].tolist() == [-(i % 2) for i in range(20)]


def test_a_detector_whose_highest_score_is_usual_is_told_of(tmp_path: Path) -> None:
    rows = "".join(f"{i},real,{float(i >= 15)},{i}\n" for i in range(20))
    told = describe_scores(read_scores(write(tmp_path, "image,label,a,b\n" + rows)))
    assert told[0].startswith("a gives its highest score, 1, to 5 of 20 real images")
    assert "below 25.0%" in told[0]
    assert not any(line.startswith("b ") for line in told)


@pytest.mark.parametrize(("label", "missing"), [("real", "AI"), ("ai", "real")])
def test_one_class_alone_is_told(tmp_path: Path, label: str, missing: str) -> None:
    told = describe_scores(read_scores(write(tmp_path, f"image,label,a\n1,{label},1\n2,{label},2\n")))
    assert any(f"no {missing} images here" in line for line in told)
