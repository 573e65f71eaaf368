"""What a panel says of the images of a table."""

import csv
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pyrite.bundle import JointCalibration
from pyrite.decision import Policy, decide
from pyrite.errors import EvaluationError
from pyrite.evaluation.scores import Floats
from pyrite.rendering.formats import inert
from pyrite.results import Reason, Verdict
from pyrite.scores.table import ScoreTable
from pyrite.writing import whole_file


@dataclass(frozen=True)
class Judgements:
    """What a panel says of each image, in the order of the table."""

    policy: Policy
    images: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    reasons: tuple[Reason, ...]
    """`out_of_scope` of an image that no detector judged."""
    p_real: Floats
    """(n,), NaN where no detector judged the image."""
    p_ai: Floats | None
    """(n,), likewise; `None` where no AI images calibrated the panel."""
    single: dict[str, Floats]
    """Each detector's own p-value among real images, (n,), NaN where it did not judge the image."""

    @property
    def counts(self) -> dict[str, int]:
        """How many images got each verdict."""
        found = Counter(self.verdicts)
        return {str(verdict): found[verdict] for verdict in Verdict}


def judge(table: ScoreTable, calibration: JointCalibration, policy: Policy) -> Judgements:
    """Judge every image of a table.

    Args:
        table: It needs no labels.
        calibration: Of the detectors together.
        policy: The error budgets.

    Raises:
        EvaluationError: A detector's scores are missing, or no real images calibrated the panel.
    """
    p_real, p_ai = calibration.p_real(table.scores), calibration.p_ai(table.scores)
    single = calibration.single_p_real(table.scores)
    if p_real is None or single is None:
        raise EvaluationError("No real images calibrated this panel, so it cannot judge.")
    found = verdicts(p_real, p_ai, policy)
    return Judgements(
        policy=policy,
        images=table.images,
        verdicts=tuple(verdict for verdict, _ in found),
        reasons=tuple(reason for _, reason in found),
        p_real=p_real,
        p_ai=p_ai,
        single=single,
    )


def verdicts(p_real: Floats, p_ai: Floats | None, policy: Policy) -> list[tuple[Verdict, Reason]]:
    """Return the verdict on each image by its p-values, (n,), with the reason; NaN where nothing judged it."""
    other: Sequence[float | None] = [None] * len(p_real) if p_ai is None else p_ai.tolist()
    return [
        decide(None, None, False, policy) if math.isnan(p) else decide(p, q, True, policy)
        for p, q in zip(p_real.tolist(), other, strict=True)
    ]


def write_judgements(found: Judgements, path: Path) -> None:
    """Write CSV: image, verdict, reason, p_real, p_ai, max_fpr, and `p_real:NAME` of each detector by itself.

    Where nothing judged an image, its p-values are blank.

    Raises:
        EvaluationError: It cannot be written.
    """
    numbers = [found.p_real, np.full(len(found.images), np.nan) if found.p_ai is None else found.p_ai]
    singles = list(found.single.values())
    try:
        with whole_file(path) as draft, draft.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
            names = (inert(f"p_real:{name}") for name in found.single)
            writer.writerow(["image", "verdict", "reason", "p_real", "p_ai", "max_fpr", *names])
            for i, image in enumerate(found.images):
                p_values = [_cell(column[i]) for column in numbers]
                own = [_cell(column[i]) for column in singles]
                row = [inert(image), str(found.verdicts[i]), str(found.reasons[i])]
                writer.writerow([*row, *p_values, found.policy.max_fpr, *own])
    except OSError as error:
        raise EvaluationError(f"{path} cannot be written: {error.strerror}.") from error


def _cell(value: float) -> float | str:
    return "" if np.isnan(value) else float(value)
