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
    values: Floats
    """(n,), the higher, the more like AI: the probability of AI, 0 to 1, unless `calibrated` says otherwise."""
    verdicts: NDArray[np.str_]
    """(n,), `ai`, `real` or `uncertain`."""
    calibrated: bool = True
    """Whether `values` are probabilities; else figures that need one are left out."""

    def __post_init__(self) -> None:
        if not len(self.labels):
            raise EvaluationError("There are no images to measure.")
        if not len(self.labels) == len(self.values) == len(self.verdicts):
            raise EvaluationError("Each image needs a label, a value and a verdict.")
        if not np.isin(self.labels, (0, 1)).all():
            raise EvaluationError("Each label must be 0 (real) or 1 (AI).")
        if self.calibrated and not ((self.values >= 0) & (self.values <= 1)).all():
            raise EvaluationError("Each probability must be a number from 0 to 1.")
        if not np.isfinite(self.values).all():
            raise EvaluationError("Each value must be a finite number.")
        if not np.isin(self.verdicts, list(Verdict)).all():
            raise EvaluationError(f"Each verdict must be one of: {', '.join(Verdict)}.")

    @property
    def called_ai(self) -> NDArray[np.bool_]:
        """(n,), where the probability is above 0.5; means nothing unless `calibrated`."""
        return self.values > 0.5

    def select(self, chosen: "NDArray[np.bool_] | NDArray[np.intp]") -> "Scores":
        """Return the scores of some images, by a mask or by places; raises `EvaluationError` where there are none."""
        return Scores(self.labels[chosen], self.values[chosen], self.verdicts[chosen], self.calibrated)
