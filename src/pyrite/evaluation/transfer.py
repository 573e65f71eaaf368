"""What bundles say of AI images by generators that they do not know: most of what is out there."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyrite.bundle import Panel
from pyrite.datasets import Dataset, Progress
from pyrite.detector import ConfinedReader, Detector
from pyrite.errors import EvaluationError
from pyrite.evaluation.choose import choose
from pyrite.evaluation.figures import GENERATOR
from pyrite.evaluation.judge import judge_all
from pyrite.evaluation.metrics import Metric, share
from pyrite.results import Verdict
from pyrite.sources import encodable


@dataclass(frozen=True, slots=True)
class Unknown:
    """What was said of one generator's images: shares of them, with Wilson's intervals."""

    generator: str
    images: int
    called_ai: Metric
    called_real: Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """What was said of AI images by unknown generators, where the pixels alone may make an image real."""

    data: str
    images: int
    called_ai: Metric
    called_real: Metric
    generators: tuple[Unknown, ...]
    """Of each, where the data has a column `generator`."""
    unreadable: int
    """Files that could not be judged."""
    caution: str | None
    """What speaks against taking the figures at face value."""


def check_unknown(dataset: Dataset) -> None:
    """Refuse a dataset that shows nothing of unknown generators, before anything is judged.

    Raises:
        EvaluationError: It has no AI images.
    """
    if not dataset.labels.any():
        raise EvaluationError(f"{encodable(dataset.name)} has no AI images, so it shows nothing of unknown generators.")


def measure_transfer(
    panel: Panel,
    dataset: Dataset,
    progress: Progress,
    *,
    max_fpr: float | None = None,
    confined: ConfinedReader | None = None,
) -> Transfer:
    """Judge the AI images of a dataset; its real ones are left alone.

    Args:
        panel: What judges.
        dataset: With images of generators that trained none of the bundles.
        progress: Called with how many are judged, and how many there are.
        max_fpr: The error budget, instead of the bundles' own.
        confined: What opens the images; by default, this process.

    Raises:
        EvaluationError: The data has no AI images that can be read.
    """
    detector = Detector(panel, max_fpr=max_fpr, evidence=False, allow_real=True, confined=confined)
    check_unknown(dataset)
    chosen = choose(panel, dataset.select(np.flatnonzero(dataset.labels == 1)), "all", None, 0)
    judged = judge_all(detector, chosen, progress)
    verdicts = np.array([str(detection.verdict) for detection in judged.detections])
    column = chosen.dataset.slices.get(GENERATOR)
    names = np.array([encodable(column[i]) or "not named" for i in judged.indices] if column else [], np.object_)

    def shares(verdicts: NDArray[np.str_]) -> tuple[Metric, Metric]:
        ai, real = (share(int(np.sum(verdicts == verdict)), len(verdicts)) for verdict in (Verdict.AI, Verdict.REAL))
        assert ai
        assert real
        return ai, real

    called_ai, called_real = shares(verdicts)
    return Transfer(
        data=encodable(dataset.name),
        images=len(verdicts),
        called_ai=called_ai,
        called_real=called_real,
        generators=tuple(
            Unknown(str(name), int(np.sum(names == name)), *shares(verdicts[names == name]))
            for name in np.unique(names)
        ),
        unreadable=len(judged.unreadable),
        caution=chosen.part.caution,
    )
