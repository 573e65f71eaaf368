import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pyrite.datasets.manifest import read_manifest
from pyrite.errors import DatasetError


def parquet(columns, names=None):
    stream = io.BytesIO()
    table = pa.table(columns) if names is None else pa.Table.from_arrays([pa.array(c) for c in columns], names)
    pq.write_table(table, stream)
    return stream.getvalue()


def refused(data, *parts, name="m.csv"):
    with pytest.raises(DatasetError) as caught:
        read_manifest(name, data)
    for part in (name, *parts):
        assert part in str(caught.value)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_json_lines_end_at_line_breaks_alone(end):
    rows = [
        '{"path": "a.png", "label": "ai", "text": "one\u2028two\x85three"}',
        '{"path": "b.png", "label": "real"}',
        "",
    ]
    manifest = read_manifest("m.jsonl", end.join(rows).encode())
    assert manifest.paths == ("a.png", "b.png")
    assert manifest.slices == {"text": ("one\u2028two\x85three", "")}


def test_every_column_is_read():
    manifest = read_manifest("m.csv", b"label,path,split,source,kernel\nfake,a.png,val,x,\nREAL,b c.png,,y,lanczos\n")
    assert manifest.paths == ("a.png", "b c.png")
    assert manifest.labels == (1, 0)
    assert manifest.splits == ("validation", None)
    assert manifest.slices == {"source": ("x", "y"), "kernel": ("", "lanczos")}


@pytest.mark.parametrize("data", [b"path,label\na,0\nb,1\n", b"path,label\na, REAL \nb,1_fake\n"])
def test_labels_are_names_or_digits(data):
    assert read_manifest("m.csv", data).labels == (0, 1)


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbfpath,label\na,ai\n",  # a byte order mark
        b"path,label\r\na,ai\r\n",
        b" path , label \na,ai",
        b"path,label\n\na,ai\n\n",
        b'"path","label"\n"a","ai"\n',
    ],
)
def test_csv_as_programs_write_it(data):
    manifest = read_manifest("m.CSV", data)
    assert (manifest.paths, manifest.labels, manifest.splits, manifest.slices) == (("a",), (1,), (None,), {})


def test_quoted_commas_and_letters_beyond_ascii():
    assert read_manifest("m.csv", 'path,label\n"ä, ö.png",ai\n'.encode()).paths == ("ä, ö.png",)


def test_splits_may_be_padded_and_in_capitals():
    data = b"path,label,split\na,ai, TRAIN\nb,ai,Test \nc,ai,  \n"
    assert read_manifest("m.csv", data).splits == ("train", "test", None)


def test_a_column_without_a_name_is_a_row_number():
    assert read_manifest("m.csv", b",path,label\n0,a,ai\n1,b,real\n").slices == {}


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        (b"", ["no column 'path'", "none"]),
        (b"path,label\n", ["no rows"]),
        (b"where,label\na,ai\n", ["no column 'path'", "where, label"]),
        (b"path;label\na;ai\n", ["no column 'path'", "path;label"]),
        (b"path,kind\na,ai\n", ["no column 'label'", "it has kind", "--label-column", "no class folders"]),
        (b"path,label\na,ai\nb,dog\n", ["row 2", "'dog' is not a class", "real or ai"]),
        (b"path,label\na,\n", ["row 1", "'' is not a class"]),
        (b"path,label\na,2\n", ["row 1", "'2' is not a class"]),
        (b"path,label,split\na,ai,later\n", ["row 1", "'later' is not a split"]),
        (b"path,label\na,ai\nb\n", ["row 2", "1 values for 2 columns"]),
        (b"path,label\na,ai,x\n", ["row 1", "3 values for 2 columns"]),
        (b"path,label,label\na,ai,real\n", ["column 'label' more than once"]),
        (b'path,label\n"a,ai\n', ["not a CSV file in UTF-8"]),
        ("path,label\nä,ai\n".encode("latin-1"), ["not a CSV file in UTF-8"]),
        ("path,label\na,ai\n".encode("utf-16"), ["not a CSV file in UTF-8"]),
        (b"path,label\n" + b"a" * 200_000 + b",ai\n", ["not a CSV file"]),
    ],
)
def test_what_is_not_understood_is_named(data, parts):
    refused(data, *parts)


def test_parquet():
    data = parquet({"path": ["a", "b"], "label": [0, 1], "split": [None, "test"], "year": [2023, None]})
    manifest = read_manifest("m.parquet", data)
    assert (manifest.paths, manifest.labels, manifest.splits) == (("a", "b"), (0, 1), (None, "test"))
    assert manifest.slices == {"year": ("2023", "")}
    assert read_manifest("m.PARQUET", parquet({"path": ["a"], "label": ["fake"]})).labels == (1,)


def test_damaged_parquet():
    good = parquet({"path": ["a"], "label": ["ai"]})
    for data in (b"", b"path,label\n", good[:-20], good[:20] + bytes(len(good) - 28) + good[-8:]):
        refused(data, "not a Parquet file", name="m.parquet")
    refused(parquet({"path": ["a"]}), "no column 'label'", name="m.parquet")
    refused(parquet({"path": [], "label": []}), "no rows", name="m.parquet")
    refused(parquet([["a"], ["ai"], ["b"]], ["path", "label", "path"]), "more than once", name="m.parquet")
    refused(parquet({"path": ["a"], "label": [True]}), "'True' is not a class", name="m.parquet")


def test_a_column_has_its_meaning_in_any_case():
    manifest = read_manifest("m.csv", b"Path,Label,Split,Generator\na,ai,test,Flux\nb,real,train,\n")
    assert manifest.splits == ("test", "train")
    assert manifest.slices == {"generator": ("Flux", "")}
