"""Tables of scores: what detectors that run elsewhere say of images, one column each."""

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyrite.datasets.columns import named_columns, read_columns
from pyrite.datasets.manifest import parse_labels
from pyrite.errors import DatasetError
from pyrite.evaluation.metrics import ranking
from pyrite.evaluation.scores import Floats

GROUP = "group"
"""The column of groups, where no other is named."""


@dataclass(frozen=True)
class ScoreTable:
    """One row per image, column by column."""

    name: str
    sha256: str
    """Of the file, in hexadecimal."""
    images: tuple[str, ...]
    """What each is called, no two alike."""
    scores: dict[str, Floats]
    """(n,) of each detector, the higher, the more like AI; NaN where there is none."""
    labels: NDArray[np.int8] | None = None
    """(n,), 0 for real and 1 for AI."""
    groups: tuple[str, ...] | None = None
    guessed: tuple[str, ...] = ()
    """What labels were taken for, where they are no usual word for a class: a sentence each."""

    def select(self, rows: NDArray[np.intp]) -> "ScoreTable":
        """Return some of its rows, by their places (m,)."""
        return replace(
            self,
            images=tuple(self.images[row] for row in rows),
            scores={name: column[rows] for name, column in self.scores.items()},
            labels=None if self.labels is None else self.labels[rows],
            groups=None if self.groups is None else tuple(self.groups[row] for row in rows),
        )

    @property
    def judged(self) -> NDArray[np.bool_]:
        """(n,), whether any detector has a score of the image."""
        return np.asarray(np.any([~np.isnan(column) for column in self.scores.values()], axis=0))


def read_scores(
    path: Path,
    *,
    columns: Sequence[str] | None = None,
    group: str | None = None,
    pooled: bool = False,
    labelled: bool = True,
) -> ScoreTable:
    """Read a table of scores: CSV (UTF-8) or Parquet.

    Its columns are image, label (a class's name, or 0 for real and 1 for AI), a group if there are any, and for each
    detector one of numbers. A blank or NaN is no score.

    Args:
        path: The file.
        columns: The detectors; by default, every other column.
        group: The column of groups; by default `group`, where there is one.
        pooled: Whether to leave the groups out.
        labelled: Whether labels are needed; else they are not read, and neither are groups.

    Raises:
        DatasetError: The table cannot be read or understood.
        MissingExtraError: Parquet without pyarrow.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}.") from error
    name = path.name
    found = named_columns(name, *read_columns(name, data), ("image", "label") if labelled else ("image",))
    images = _images(name, found.pop("image"))
    labels = found.pop("label", None)
    place = group or GROUP
    if group and group not in found:
        raise DatasetError(f"{name} has no column {group!r} for groups; it has {', '.join(found) or 'no other'}.")
    groups = found.pop(place, None)
    if columns is not None:
        if missing := [column for column in columns if column not in found]:
            raise DatasetError(f"{name} has no column {missing[0]!r} for a detector; it has {', '.join(found)}.")
        found = {column: found[column] for column in columns}
    if not found:
        raise DatasetError(f"{name} has no column of scores: it needs one for each detector.")
    table = ScoreTable(name, hashlib.sha256(data).hexdigest(), images, _numbers(name, found))
    if labels is None or not labelled:
        return table
    parsed, guessed = parse_labels(name, labels)
    table = replace(table, labels=np.array(parsed, np.int8), guessed=guessed)
    return table if groups is None or pooled else replace(table, groups=_groups(name, place, groups))


def describe_scores(table: ScoreTable) -> tuple[str, ...]:
    """Return a sentence for each thing about a labelled table's scores that a reader would want to know of."""
    told = [*table.guessed]
    count = len(table.images)
    for name, column in table.scores.items():
        if missing := int(np.isnan(column).sum()):
            told.append(f"{name} has no score for {missing:,} of {count:,} images: of these it says nothing.")
    if unjudged := count - int(table.judged.sum()):
        told.append(f"No detector has a score for {unjudged:,} of {count:,} images.")
    if table.labels is None:
        return tuple(told)
    for name, column in table.scores.items():
        real = column[(table.labels == 0) & ~np.isnan(column)]
        highest = np.nanmax(column) if real.size else 0.0
        if (level := int(np.sum(real == highest))) > 0.05 * real.size:
            told.append(
                f"{name} gives its highest score, {highest:g}, to {level:,} of {real.size:,} real images, so by itself "
                f"it calls no image AI at a budget below {level / real.size:.1%}."
            )
    classes = set(table.labels[table.judged].tolist())
    if classes != {0, 1}:
        missing_kind = "AI" if classes == {0} else "real"
        told.append(f"There are no {missing_kind} images here, so nothing shows whether higher scores point to AI.")
        return tuple(told)
    return (*told, *_reversed(table.scores, table.labels))


def _reversed(scores: dict[str, Floats], labels: NDArray[np.int8]) -> list[str]:
    told = []
    for name, column in scores.items():
        known = ~np.isnan(column)
        if set(labels[known].tolist()) != {0, 1}:
            continue
        auroc = ranking(labels[known], column[known]).value
        if auroc < 0.5:
            told.append(
                f"{name} ranks real images above AI ones (AUROC {auroc:.3f}), and higher must mean AI. Its scores were "
                "taken as they stand; if they point the other way, change their sign in the table."
            )
    return told


def _images(name: str, texts: list[str]) -> tuple[str, ...]:
    if blank := sum(not text.strip() for text in texts):
        raise DatasetError(f"{name} has {blank:,} of {len(texts):,} rows without an image's name.")
    if twice := {text: count for text, count in Counter(texts).items() if count > 1}:
        first, times = next(iter(twice.items()))
        raise DatasetError(
            f"{name} has {len(twice):,} images more than once; the first, {first!r}, {times:,} times. "
            "Keep one row of each: copies make a budget look better kept than it is."
        )
    return tuple(texts)


def _groups(name: str, column: str, texts: list[str]) -> tuple[str, ...]:
    if blank := sum(not text.strip() for text in texts):
        raise DatasetError(f"{name} has {blank:,} of {len(texts):,} rows without a group in the column {column!r}.")
    return tuple(text.strip() for text in texts)


def _numbers(name: str, columns: dict[str, list[str]]) -> dict[str, Floats]:
    scores, wrong = {}, []
    for column, texts in columns.items():
        values = [_number(text) for text in texts]
        if bad := [row for row, value in enumerate(values, start=1) if value is None]:
            wrong.append(
                f"{column} has {len(bad):,} of {len(texts):,} values that are not finite numbers; the first, in row "
                f"{bad[0]}: {texts[bad[0] - 1]!r}"
            )
        else:
            scores[column] = np.array(values, np.float64)
    if wrong:
        raise DatasetError(
            f"{name}: {'. '.join(wrong)}. Name the columns of the detectors, if these are none of them, with --columns."
        )
    return scores


def _number(text: str) -> float | None:
    """Return a finite number, NaN for none, and `None` where a text is neither."""
    try:
        value = float(text) if text.strip() else math.nan
    except ValueError:
        return None
    return None if math.isinf(value) else value
