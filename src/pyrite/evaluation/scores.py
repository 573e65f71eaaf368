"""What was said of each image: all that figures are made of."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyrite.errors import EvaluationError
from pyrite.results import Verdict

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """What was said of each judged image."""

    labels: NDArray[np.int8]
    """(n,), 0 for real and 1 for AI."""
    probabilities: Floats
    """(n,), of AI, 0 to 1."""
    verdicts: NDArray[np.str_]
    """(n,), `ai`, `real` or `uncertain`."""

    def __post_init__(self) -> None:
        if not len(self.labels):
            raise EvaluationError("There are no images to measure.")
        if not len(self.labels) == len(self.probabilities) == len(self.verdicts):
            raise EvaluationError("Each image needs a label, a probability and a verdict.")
        if not np.isin(self.labels, (0, 1)).all():
            raise EvaluationError("Each label must be 0 (real) or 1 (AI).")
        if not ((self.probabilities >= 0) & (self.probabilities <= 1)).all():
            raise EvaluationError("Each probability must be a number from 0 to 1.")
        if not np.isin(self.verdicts, list(Verdict)).all():
            raise EvaluationError(f"Each verdict must be one of: {', '.join(Verdict)}.")

    @property
    def called_ai(self) -> NDArray[np.bool_]:
        """(n,), where the probability is above 0.5."""
        return self.probabilities > 0.5

    def select(self, chosen: NDArray[np.bool_]) -> "Scores":
        """Return the scores of some images; raises `EvaluationError` where there are none."""
        return Scores(self.labels[chosen], self.probabilities[chosen], self.verdicts[chosen])
