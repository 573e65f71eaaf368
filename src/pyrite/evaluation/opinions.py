"""What each bundle of a panel says of a dataset's images: what calibrations are made of."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pyrite.bundle import Panel
from pyrite.datasets import Dataset, content_hashes, content_sha256
from pyrite.detector import Detector
from pyrite.errors import EvaluationError
from pyrite.evaluation.choose import Chosen, Indices, Part, trained_on
from pyrite.evaluation.judge import UnreadableFile, judge_all
from pyrite.evaluation.scores import Floats
from pyrite.results import Reason
from pyrite.sources import encodable


@dataclass(frozen=True)
class Scored:
    """Scores of n images, and what is not among them."""

    indices: Indices
    """(n,), in the dataset."""
    scores: dict[str, Floats]
    """(n,) logits of each bundle, by its name; NaN where it has the image out of scope."""
    groups: tuple[str, ...] | None
    """(n,), of each image, where a column says so."""
    hashes: tuple[str, ...]
    """(n,), each file's hexadecimal SHA-256."""
    data_sha256: str
    """Of the whole dataset's content and labels."""
    trained: int
    """Images left out because they trained a bundle, or chose or calibrated it."""
    copies: int
    """Images left out because another one has their bytes."""
    unreadable: tuple[UnreadableFile, ...]


def score_images(
    panel: Panel, dataset: Dataset, *, group_column: str | None = None, progress: Callable[[int, int], None]
) -> Scored:
    """Score a dataset's images by each bundle; one that has an image out of scope gives no score for it.

    Args:
        panel: The bundles, each with a name of its own.
        dataset: The images. Those that trained a bundle are left out, and copies of others.
        group_column: The dataset's column that says which group each image is of, instead of its own groups.
        progress: Called with how many are judged, and how many there are.

    Raises:
        DatasetError: The dataset has no such column.
        EvaluationError: No image is left.
    """
    if group_column is not None:
        dataset = dataset.grouped_by(group_column)
    hashes = np.array(content_hashes(dataset))
    trained = trained_on(panel, hashes.tolist())
    first = np.zeros(len(dataset), np.bool_)
    first[np.unique(hashes, return_index=True)[1]] = True
    first |= hashes == ""  # Those that cannot be read are told of as such.
    kept = np.flatnonzero(first & ~trained)
    if not len(kept):
        raise EvaluationError(
            f"None of the {len(dataset):,} images of {encodable(dataset.name)} is left: {int(trained.sum()):,} trained "
            "a bundle. Calibrate with others."
        )
    detector = Detector(panel, evidence=False)
    judged = judge_all(detector, Chosen(dataset, hashes.tolist(), kept, Part("all", "")), progress)
    scores = {bundle.info.name: np.full(len(judged.indices), np.nan) for bundle in panel.bundles}
    for row, detection in enumerate(judged.detections):
        for item in detection.evidence:
            if item.kind == "pixels" and item.data["reason"] != Reason.OUT_OF_SCOPE:
                scores[item.data["bundle"]][row] = item.data["logit"]
    groups = dataset.groups
    return Scored(
        indices=judged.indices,
        scores=scores,
        groups=None if groups is None else tuple(encodable(groups[i]) or "none" for i in judged.indices),
        hashes=tuple(hashes[judged.indices].tolist()),
        data_sha256=content_sha256(dataset, hashes.tolist()),
        trained=int(trained.sum()),
        copies=int(np.sum(~first & ~trained)),
        unreadable=judged.unreadable,
    )
