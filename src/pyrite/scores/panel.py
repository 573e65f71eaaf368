"""Panels, calibrated by a table of their detectors' scores, or by images that bundles score."""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from pyrite.bundle import Bundle, Panel, PanelInfo, describe_members, fit_joint, save_panel
from pyrite.bundle.joint import Merge
from pyrite.bundle.panel import is_panel
from pyrite.datasets import Dataset
from pyrite.errors import EvaluationError
from pyrite.evaluation.opinions import Scored, kept_beside, score_images
from pyrite.provenance import current_command, package_versions, source_commit
from pyrite.scores.table import ScoreTable
from pyrite.sources import encodable


def calibrate(
    table: ScoreTable, *, merge: Merge = "fisher", halves: bool = False, seed: int = 0, keep: int = 2000
) -> PanelInfo:
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
    return PanelInfo(
        calibration=fitted,
        data=encodable(table.name),
        data_sha256=table.sha256,
        seed=seed,
        command=current_command(),
        commit=source_commit(),
        packages=package_versions(),
    )


def calibrate_bundles(
    bundles: Sequence[Bundle | str | Path],
    dataset: Dataset,
    out: Path,
    *,
    merge: Merge = "fisher",
    halves: bool = False,
    seed: int = 0,
    keep: int = 2000,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[PanelInfo, ScoreTable, Scored]:
    """Calibrate bundles together by a dataset's images, and write the panel's file.

    Args:
        bundles: Two or more, each with a name of its own, or where they lie.
        dataset: With images that trained none of them; those that did are left out.
        out: The file: its name ends in `.json`, by which it is told from a bundle.
        merge: See `calibrate`.
        halves: See `calibrate`.
        seed: See `calibrate`.
        keep: See `calibrate`.
        progress: Called with how many images are judged, and how many there are.

    Raises:
        BundleError: A bundle cannot be used, or `out` cannot be written.
        EvaluationError: The images allow no calibration.
    """
    if len(bundles) < 2:
        raise EvaluationError(f"A panel takes two bundles or more, not {len(bundles)}.")
    if not is_panel(out):
        raise EvaluationError(f"A panel is kept in a .json file, and {out} has another name.")
    panel = Panel.open(bundles)
    members = describe_members(panel.bundles, out)
    kept = kept_beside(out)
    scored = score_images(panel, dataset, keep=kept, progress=progress)
    table = ScoreTable(
        encodable(dataset.name),
        scored.data_sha256,
        tuple(encodable(dataset.paths[i]) for i in scored.indices),
        scored.scores,
        dataset.labels[scored.indices],
        scored.groups,
    )
    fitted = calibrate(table, merge=merge, halves=halves, seed=seed, keep=keep)
    info = msgspec.structs.replace(fitted, bundles=members)
    save_panel(info, out)
    kept.unlink(missing_ok=True)
    return info, table, scored


def describe_panel(panel: PanelInfo, table: ScoreTable) -> tuple[str, ...]:
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
        told.append("There are no AI images, so this panel can say ai and uncertain, but never real.")
    return tuple(told)
