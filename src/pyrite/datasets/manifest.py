"""Manifests: a table that names each image's file, class and whatever else is known of it."""

import csv
import io
import json
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import PurePosixPath

from pyrite.datasets.labelling import Labelling
from pyrite.datasets.labels import certain_labels, place_files
from pyrite.datasets.tally import Tally
from pyrite.datasets.vocabulary import AI, CERTAIN_NAMES, REAL, is_generator, label_of, source_of, split_of, word_of
from pyrite.errors import DatasetError, require

TABLES = (".csv", ".tsv", ".jsonl", ".parquet", ".txt")
"""How the names of tables end; a .txt has a path and a label in each line."""
_PATHS = ("path", "image_path", "file_path", "filepath", "file_name", "filename", "file", "image", "img_path")
_LABELS = ("label", "label_a", "class", "target")
_DIGITS = {"0": REAL, "1": AI, "0.0": REAL, "1.0": AI}


@dataclass(frozen=True, slots=True)
class Manifest:
    """One row per image, column by column."""

    paths: tuple[str, ...]
    labels: tuple[int, ...]
    splits: tuple[str | None, ...]
    slices: dict[str, tuple[str, ...]]
    """Every further column that has a name, as text."""
    tally: Tally = field(default_factory=Tally, repr=False)


@dataclass(frozen=True, slots=True)
class _Published:
    """A table as its authors publish it, told by its columns."""

    name: str
    columns: frozenset[str]
    labelling: Labelling


_PUBLISHED = (
    _Published(
        "ArtiFact",
        frozenset({"filename", "image_path", "target"}),
        Labelling(real=("0",), ai=("*",), image_column="image_path", label_column="target"),
    ),
    _Published(
        "Community Forensics",
        frozenset({"image_data", "label", "model_name"}),
        Labelling(image_column="image_data", label_column="label", generator_column="model_name"),
    ),
    _Published(
        "OpenFake",
        frozenset({"image", "label", "model", "release_date"}),
        Labelling(image_column="image", label_column="label", generator_column="model"),
    ),
    _Published(
        "Defactify",
        frozenset({"Image", "Label_A", "Label_B"}),
        Labelling(image_column="Image", label_column="Label_A"),
    ),
)


def read_manifest(name: str, data: bytes, labelling: Labelling | None = None) -> Manifest:
    """Read a table (CSV, TSV, JSON lines, Parquet, or lines of a path and a label) with an image in each row.

    Args:
        name: of the table, whose end says which of these it is.
        data: its content, in UTF-8 where it is text.
        labelling: names of columns and classes, where they are not the usual ones.

    Raises:
        DatasetError: a column is missing, a row is not understood, two columns contradict each other, or there are
            no rows.
        MissingExtraError: Parquet without pyarrow.
    """
    return make_manifest(name, *read_columns(name, data), labelling)


def read_columns(name: str, data: bytes) -> tuple[list[str], list[list[str]]]:
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


def why_no_labels(name: str, header: list[str], values: list[list[str]], labelling: Labelling) -> str | None:
    """Return why a table does not say which images there are and what they are; `None` where it does."""
    _, wanted = as_published(header, labelling)
    try:
        image_column(name, header, labelling)
        column = _label_column(name, header, wanted)
        if column is None:
            return f"{name} has no column of labels."
        read_labels(name, values[header.index(column)], wanted, Tally())
    except DatasetError as error:
        return str(error)
    return None


def image_column(name: str, header: Sequence[str], labelling: Labelling) -> str:
    """Return the column that has the paths of images.

    Raises:
        DatasetError: there is none.
    """
    return _column(name, header, as_published(header, labelling)[1].image_column, _PATHS)


def as_published(header: Sequence[str], labelling: Labelling) -> tuple[str | None, Labelling]:
    """Return whose table one of these columns is, if that is known, and the labelling with what that means.

    What the user says counts more.
    """
    known = next((known for known in _PUBLISHED if known.columns <= set(header)), None)
    if known is None:
        return None, labelling
    theirs = known.labelling
    own_labels = labelling.names_classes or labelling.label_column not in (None, theirs.label_column)
    return known.name, replace(
        labelling,
        real=labelling.real if own_labels else theirs.real,
        ai=labelling.ai if own_labels else theirs.ai,
        image_column=labelling.image_column or theirs.image_column,
        label_column=labelling.label_column or theirs.label_column,
        generator_column=labelling.generator_column or theirs.generator_column,
    )


def make_manifest(
    name: str,
    header: list[str],
    values: list[list[str]],
    labelling: Labelling | None = None,
    paths: Sequence[str] | None = None,
) -> Manifest:
    """Make sense of a table's columns, as `read_manifest` does.

    Args:
        name: of the table.
        header: the columns' names.
        values: of each column.
        labelling: see `read_manifest`.
        paths: of the images, where they are not those that a column has.

    Raises:
        DatasetError: see `read_manifest`.
    """
    given = labelling or Labelling()
    whose, wanted = as_published(header, given)
    columns = named_columns(name, header, values, ())
    tally = Tally()
    if whose:
        tally.notes[f"{name} is read as {whose} is published."] += 1
    in_table = columns.pop(image_column(name, header, given), []) if paths is None else []
    paths = in_table if paths is None else paths
    columns.pop(_find(header, wanted.image_column, _PATHS) or "", None)
    label_column = _label_column(name, list(columns), wanted)
    if label_column is None:
        labels = _labels_by_folder(name, columns, paths, wanted, tally)
    else:
        texts = columns.pop(label_column)
        given.check_all_used((text.strip() for text in texts), f"label in {label_column} of {name}")
        labels = read_labels(name, texts, wanted, tally)
        _check_contradictions(name, label_column, texts, labels, columns, paths, given, tally)
    splits = _splits(name, columns, wanted, paths)
    if wanted.generator_column in columns and "generator" not in columns:
        columns["generator"] = columns.pop(wanted.generator_column)
    rows = [(i, label) for i, label in enumerate(labels) if label is not None]
    return Manifest(
        tuple(paths[i] for i, _ in rows),
        tuple(label for _, label in rows),
        tuple(splits[i] for i, _ in rows),
        {column: tuple(values[i] for i, _ in rows) for column, values in columns.items() if column},
        tally,
    )


def join_tables(tables: Mapping[str, tuple[list[str], list[list[str]]]]) -> tuple[list[str], list[list[str]]]:
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


def parse_labels(name: str, texts: list[str]) -> tuple[int, ...]:
    """Return the class of each row: 0 (real) or 1 (AI).

    Raises:
        DatasetError: a text is no class.
    """
    return tuple(label for label in read_labels(name, texts, Labelling(), Tally()) if label is not None)


def read_labels(name: str, texts: Sequence[str], labelling: Labelling, tally: Tally) -> list[int | None]:
    """Return the class of each row: 0 (real), 1 (AI), or `None` for a row that is left out.

    Labels are usual words for a class, names of known generators or sources of real images, or 0 (real) and 1 (AI).
    Where `real` stands beside known generators, all others are generators too.

    Args:
        name: of the table.
        texts: (n,) labels.
        labelling: names of classes, instead of these; rows of other labels are left out then.
        tally: gets what was guessed and left out.

    Raises:
        DatasetError: a text is no class.
    """
    counts = Counter(text.strip() for text in texts)
    meaning = {text: _meaning(text, labelling) for text in counts}
    unknown = [text for text, label in meaning.items() if label is None]
    if unknown and not labelling.names_classes:
        certain = {label_of(text) for text in counts if word_of(text) in CERTAIN_NAMES}
        if certain != {REAL} or not any(map(is_generator, counts)) or "" in unknown:
            row = next(i for i, text in enumerate(texts, start=1) if text.strip() in unknown)
            raise DatasetError(
                f"{name}, row {row}: {texts[row - 1]!r} is no class; use real or ai (or 0 and 1), or say what labels "
                "mean with --real LABEL and --ai LABEL, each of which may be given again and may be a pattern."
            )
        meaning |= dict.fromkeys(unknown, AI)
    digits = [text for text in counts if text in _DIGITS and not labelling.match(text)]
    if digits:
        tally.notes[f"In {name}, 0 is taken for real and 1 for AI."] += 1
    for text, label in meaning.items():
        found = labelling.match(text)
        if label is None:
            tally.left_out["rows with labels that --real and --ai do not name", text] += counts[text]
        elif not found[1] if found else label_of(text) is None and text not in digits:
            tally.taken[label, text] += counts[text]
    return [meaning[text.strip()] for text in texts]


def _meaning(text: str, labelling: Labelling) -> int | None:
    if found := labelling.match(text):
        return found[0]
    label = _DIGITS.get(text, label_of(text))
    label = source_of(text) if label is None else label
    return None if label is None or labelling.patterns[label] else label


def _label_column(name: str, header: Sequence[str], labelling: Labelling) -> str | None:
    """Return the column of labels; `None` where folders are to say them."""
    if labelling.label_column:
        return _column(name, header, labelling.label_column, ())
    return None if labelling.label_column == "" else _find(header, None, _LABELS)


def _labels_by_folder(
    name: str, columns: Mapping[str, list[str]], paths: Sequence[str], labelling: Labelling, tally: Tally
) -> list[int | None]:
    try:
        placed = place_files(paths, labelling, one_class=True)
    except DatasetError as error:
        raise DatasetError(
            f"{name} has no column 'label'; it has {', '.join(columns) or 'no other'}. Name it with --label-column. "
            f"Nor do its paths say the class: {error}"
        ) from error
    tally.taken.update(placed.tally.taken)
    tally.left_out.update(placed.tally.left_out)
    tally.notes[f"{name} has no column of labels, so its folders say the class."] += 1
    return [placed.files[path].label if path in placed.files else None for path in paths]


def _check_contradictions(
    name: str,
    label_column: str,
    texts: Sequence[str],
    labels: Sequence[int | None],
    columns: Mapping[str, list[str]],
    paths: Sequence[str],
    given: Labelling,
    tally: Tally,
) -> None:
    """Refuse labels that another column of labels or the folders contradict; tell of it where the user chose them."""
    others: dict[str, Sequence[int | None]] = {
        column: [label_of(text) for text in values]
        for column, values in columns.items()
        if (texts_of := set(values) - {""}) and all(word_of(text) in CERTAIN_NAMES for text in texts_of)
    }
    # A folder that all lie in says nothing of either class, where there are both.
    above = _folder_above(paths) if len(set(labels)) > 1 else ""
    others["the folder"] = certain_labels([path.removeprefix(above) for path in paths])
    chosen = given.names_classes or given.label_column is not None
    for what, others_say in others.items():
        rows = [i for i, own in enumerate(labels) if own is not None and others_say[i] == 1 - own]
        if not rows:
            continue
        row = rows[0]
        says = columns[what][row] if what in columns else paths[row]
        contradiction = (
            f"{name}, row {row + 1}: {label_column} is {texts[row]!r}, which means {'AI' if labels[row] else 'real'}, "
            f"but {what} says {says!r}"
        )
        if chosen:
            tally.notes[f"{contradiction}; so do {len(rows):,} of {len(labels):,} rows."] += 1
            continue
        raise DatasetError(
            f"{contradiction}, and so in {len(rows):,} of {len(labels):,} rows. Choose the column that counts with "
            f"--label-column NAME, or say what {label_column} means with --real LABEL and --ai LABEL."
        )


def _folder_above(paths: Sequence[str]) -> str:
    """Return the folders that all paths begin with, with a slash at the end; empty where there are none."""
    pairs = zip(min(paths).split("/")[:-1], max(paths).split("/")[:-1], strict=False)
    return "".join(f"{one}/" for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _splits(
    name: str, columns: dict[str, list[str]], labelling: Labelling, paths: Sequence[str]
) -> tuple[str | None, ...]:
    """Take the column of splits out, and return the split of each row; without one, that of its folders."""
    column = "split" if labelling.split_column is None and "split" in columns else labelling.split_column
    if not column:
        by_folder = {
            folder: next((s for s in map(split_of, reversed(PurePosixPath(folder).parts)) if s), None)
            for folder in set(map(posixpath.dirname, paths))
        }
        known = labelling.split_column is None
        return tuple(by_folder[posixpath.dirname(path)] if known else None for path in paths)
    splits = []
    for row, text in enumerate(columns.pop(_column(name, columns, column, ())), start=1):
        split = split_of(text)
        if text.strip() and split is None:
            raise DatasetError(
                f"{name}, row {row}: {text!r} is no split; use train, validation or test. --split-column NAME takes "
                "another column, and --split-column '' none."
            )
        splits.append(split)
    return tuple(splits)


def _find(header: Sequence[str], wanted: str | None, usual: Sequence[str]) -> str | None:
    """Return the column that was asked for, or the first of the usual ones, whatever its case."""
    there = {column.casefold(): column for column in reversed(header)}
    if wanted is not None:
        return wanted if wanted in header else there.get(wanted.casefold())
    return next((there[name] for name in usual if name in there), None)


def _column(name: str, columns: Iterable[str], wanted: str | None, usual: Sequence[str]) -> str:
    header = [*columns]
    found = _find(header, wanted, usual)
    if found is None:
        raise DatasetError(f"{name} has no column {wanted or usual[0]!r}; it has {', '.join(header) or 'none'}.")
    return found


def _csv(name: str, data: bytes, delimiter: str) -> tuple[list[str], list[list[str]]]:
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


def _json_lines(name: str, data: bytes) -> tuple[list[str], list[list[str]]]:
    rows = []
    try:
        for number, line in enumerate(_text(data).splitlines(), start=1):
            if line.strip():
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise DatasetError(f"{name}, line {number}: it is no JSON object.")
                rows.append(row)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{name} is not a file of JSON lines in UTF-8: {error}") from error
    header = list(dict.fromkeys(key for row in rows for key in row))
    return header, [["" if (value := row.get(key)) is None else str(value) for row in rows] for key in header]


_LINE = re.compile(r"(.*\S)[\s,;]+(\S+)")


def _list(name: str, data: bytes) -> tuple[list[str], list[list[str]]]:
    """Read lines of a path, which may have blanks, and a label."""
    try:
        lines = [line.strip() for line in _text(data).splitlines()]
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
