"""`calibrate`: recalibrate a bundle with a user's own images."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from pyrite.bundle import (
    HEAD,
    NOVELTY,
    VALIDATED,
    Bundle,
    Panel,
    fit_calibration,
    load_bundle,
    refuse_existing,
    save_bundle,
    write_novelty,
)
from pyrite.datasets import Dataset, remember
from pyrite.errors import BundleError, EvaluationError, require
from pyrite.evaluation.opinions import Scored, kept_beside, score_images
from pyrite.golden import golden_images, record_golden
from pyrite.publishing.card import write_calibration_note
from pyrite.publishing.novelty import calibrate_novelty
from pyrite.publishing.preparation import Stage
from pyrite.sources import encodable

_KEPT = ("model.onnx", "model.onnx.data", "recipe.toml", "spectra.json", VALIDATED, HEAD)


@dataclass(frozen=True, slots=True)
class Recalibrated:
    """A bundle, and what calibrated it."""

    bundle: Bundle
    scored: Scored
    real: int
    """Real images that calibrated it."""
    ai: int
    out_of_scope: int
    """Images that were left out because of their size."""


def recalibrate(
    bundle: Bundle | str | Path,
    dataset: Dataset,
    out: str | Path,
    *,
    keep: int = 2000,
    seed: int = 0,
    watch: Callable[[Stage], None] = lambda stage: None,
) -> Recalibrated:
    """Make a bundle of the same network with a new calibration, which remembers the images it used.

    With real images alone it says `ai` or `uncertain`, and never `real`. The figures of its training are left out,
    because they are from another calibration.

    Args:
        bundle: The bundle, or where it lies.
        dataset: The images. Those that trained the bundle are left out, and copies of others.
        out: A folder that does not exist yet.
        keep: How many logits of each group to keep at most.
        seed: Chooses which are kept.
        watch: Called with how far it is.

    Raises:
        BundleError: The bundle cannot be used, or `out` cannot be written.
        EvaluationError: The images allow no calibration.
        MissingExtraError: The extra `train` is not installed.
    """
    require("train", "sklearn", "scipy")
    before = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
    refuse_existing(Path(out))
    kept = kept_beside(Path(out))
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BundleError(f"The bundle cannot be written to {out}: {error.strerror}.") from error
    scored = score_images(
        # What its earlier calibration images looked like says nothing of those that are to calibrate it now.
        Panel((before.without(NOVELTY),)),
        dataset,
        keep=kept,
        progress=lambda done, total: watch(Stage("Judging", done, total)),
    )
    logits = scored.scores[before.info.name]
    judged = ~np.isnan(logits)
    if not judged.any():
        raise EvaluationError(
            f"{before.info.name} has none of the {len(logits):,} images in scope: {before.info.scope.description}"
        )
    labels, indices = dataset.labels[scored.indices][judged], scored.indices[judged]
    groups = None if scored.groups is None else np.array(scored.groups)[judged].tolist()
    calibration = fit_calibration(logits[judged], labels, groups, seed=seed, keep=keep)
    real, ai = (int(np.sum(labels == label)) for label in (0, 1))
    made = replace(
        before,
        info=msgspec.structs.replace(before.info, calibration=calibration),
        files={name: content for name, content in before.files.items() if name in _KEPT},
    )
    novelty = calibrate_novelty(made, dataset, indices, seed=seed, watch=watch)
    made = replace(made, files={**made.files, **({NOVELTY: write_novelty(novelty)} if novelty else {})})
    more = {
        "golden.json": record_golden(made, golden_images(before)),
        "trained_on.bin": remember(scored.hashes, before.files.get("trained_on.bin", b"")),
        "card.md": write_calibration_note(before, encodable(dataset.name), real, ai).encode(),
    }
    large = {name: before.content(name) for name in before.info.files if name in _KEPT and name not in before.files}
    watch(Stage("Writing the bundle"))
    saved = save_bundle(out, made.info, {**large, **made.files, **more})
    kept.unlink(missing_ok=True)
    return Recalibrated(saved, scored, real, ai, int(np.sum(~judged)))
