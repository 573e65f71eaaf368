"""Panels of detectors that run elsewhere: calibrated by a table of their scores, kept in a file."""

import hashlib
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from pyrite.bundle import JointCalibration, fit_joint
from pyrite.bundle.joint import Merge
from pyrite.errors import BundleError, EvaluationError
from pyrite.provenance import current_command, package_versions, source_commit
from pyrite.scores.table import ScoreTable
from pyrite.writing import whole_file

FORMAT: Literal[1] = 1


class ScorePanel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of a panel's file."""

    format: Literal[1] = FORMAT
    calibration: JointCalibration
    table: str
    """The name of the table that calibrated it."""
    table_sha256: str
    seed: int
    command: str
    commit: str | None
    packages: dict[str, str]


def calibrate(
    table: ScoreTable, *, merge: Merge = "fisher", halves: bool = False, seed: int = 0, keep: int = 2000
) -> ScorePanel:
    """Calibrate a panel by images that trained none of its detectors.

    Args:
        table: With labels.
        merge: How the detectors' p-values become one.
        halves: Whether Fisher's statistics have images of their own; see `pyrite.bundle.joint`.
        seed: Chooses the halves, and which images are kept where there are too many.
        keep: How many images of each group to keep at most.

    Raises:
        EvaluationError: The table allows no calibration.
    """
    if table.labels is None:
        raise EvaluationError(f"{table.name} has no labels, and a calibration needs them.")
    if not np.any(table.judged & (table.labels == 0)):
        raise EvaluationError(
            f"{table.name} has no real images with a score, and {int(table.labels.sum()):,} AI images. An error budget "
            "is a share of real images: a calibration needs some."
        )
    for name, column in table.scores.items():
        known = column[~np.isnan(column)]
        if not known.size:
            raise EvaluationError(f"{name} has no score of any of the {len(column):,} images. Leave it out.")
        if known.size > 1 and (known == known[0]).all():
            raise EvaluationError(
                f"{name} has the same score, {known[0]:g}, for all {known.size:,} images, so it tells nothing. "
                "Leave it out: name the others with --columns."
            )
    fitted = fit_joint(table.scores, table.labels, table.groups, merge=merge, halves=halves, seed=seed, keep=keep)
    return ScorePanel(
        calibration=fitted,
        table=table.name,
        table_sha256=table.sha256,
        seed=seed,
        command=current_command(),
        commit=source_commit(),
        packages=package_versions(),
    )


def save_panel(panel: ScorePanel, path: Path) -> None:
    """Write a panel's file.

    Raises:
        BundleError: It cannot be written.
    """
    try:
        with whole_file(path) as draft:
            draft.write_bytes(msgspec.json.encode(panel) + b"\n")
    except OSError as error:
        raise BundleError(f"{path} cannot be written: {error.strerror}.") from error


def load_panel(path: Path) -> tuple[ScorePanel, str]:
    """Read a panel's file; return it with its SHA-256, in hexadecimal.

    Raises:
        BundleError: It is missing, damaged or not understood.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        return msgspec.json.decode(data, type=ScorePanel), hashlib.sha256(data).hexdigest()
    except msgspec.DecodeError as error:
        raise BundleError(f"{path} is no panel that this version understands: {error}.") from error


def describe_panel(panel: ScorePanel, table: ScoreTable) -> tuple[str, ...]:
    """Return what calibrated a panel, one sentence each: its detectors, and the images of each group.

    Args:
        panel: What was calibrated.
        table: By what.
    """
    fitted = panel.calibration
    told = [f"{len(fitted.members)} detectors: {', '.join(fitted.members)}"]
    labels = np.zeros(len(table.images), np.int8) if table.labels is None else table.labels
    names = np.asarray(table.groups) if table.groups else np.full(len(labels), "all")
    for label, kind, groups in ((0, "real", fitted.real), (1, "AI", fitted.ai)):
        for name, group in groups.items():
            there = int(np.sum(table.judged & (labels == label) & (names == name)))
            kept = f", {group.images:,} of them kept" if group.images < there else ""
            told.append(f"{kind}, {name}: {there:,} images{kept}")
    if not fitted.ai:
        told.append("There are no AI images, so this panel can say ai and uncertain, and never real.")
    return tuple(told)
