"""Manifests: a table that names each image's file, class and whatever else is known of it."""

import posixpath
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import PurePosixPath

from pyrite.datasets.columns import find_column, named_columns, read_columns
from pyrite.datasets.labelling import Labelling
from pyrite.datasets.labels import certain_labels, place_files
from pyrite.datasets.published import as_published
from pyrite.datasets.tally import Tally
from pyrite.datasets.vocabulary import AI, CERTAIN_NAMES, REAL, is_generator, label_of, source_of, split_of, word_of
from pyrite.errors import DatasetError

_PATHS = ("path", "image_path", "file_path", "filepath", "file_name", "filename", "file", "image", "img_path")
_LABELS = ("label", "class", "target")
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
    columns.pop(find_column(header, wanted.image_column, _PATHS) or "", None)
    label_column = _label_column(name, list(columns), wanted)
    if label_column is None:
        labels = _labels_by_folder(name, columns, paths, wanted, tally)
    else:
        texts = columns.pop(label_column)
        given.check_all_used((text.strip() for text in texts), f"label in {label_column} of {name}")
        labels = read_labels(name, texts, wanted, tally)
        _check_contradictions(name, label_column, texts, labels, columns, paths, given, tally)
    splits = _splits(name, columns, wanted, paths)
    generators = find_column(columns, None, ["generator", *filter(None, [wanted.generator_column])])
    if generators and "generator" not in columns:
        columns["generator"] = columns.pop(generators)
    rows = [(i, label) for i, label in enumerate(labels) if label is not None]
    return Manifest(
        tuple(paths[i] for i, _ in rows),
        tuple(label for _, label in rows),
        tuple(splits[i] for i, _ in rows),
        {column: tuple(values[i] for i, _ in rows) for column, values in columns.items() if column},
        tally,
    )


def parse_labels(name: str, texts: list[str]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the class of each row, 0 (real) or 1 (AI), and a sentence for each class that names were guessed to mean.

    Raises:
        DatasetError: a text is no class.
    """
    tally = Tally()
    labels = tuple(label for label in read_labels(name, texts, Labelling(), tally) if label is not None)
    return labels, tuple(Tally(tally.taken).taken_lines())


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
                f"{name}, row {row}: {texts[row - 1]!r} is not a class; use real or ai (or 0 and 1), or say what "
                "labels mean with --real LABEL and --ai LABEL, each of which may be repeated and may be a pattern."
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
    return None if labelling.label_column == "" else find_column(header, None, _LABELS)


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
    column = find_column(columns, None, ["split"]) if labelling.split_column is None else labelling.split_column
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
                f"{name}, row {row}: {text!r} is not a split; use train, validation or test. --split-column NAME takes "
                "another column, and --split-column '' none."
            )
        splits.append(split)
    return tuple(splits)


def _column(name: str, columns: Iterable[str], wanted: str | None, usual: Sequence[str]) -> str:
    header = [*columns]
    found = find_column(header, wanted, usual)
    if found is None:
        raise DatasetError(f"{name} has no column {wanted or usual[0]!r}; it has {', '.join(header) or 'none'}.")
    return found
