"""From logits to probabilities of AI and conformal p-values."""

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyrite.errors import EvaluationError

Floats = NDArray[np.float64]


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What turns a model's logit into a probability and two p-values.

    The p-values are conformal (Vovk, Gammerman & Shafer 2005): among images exchangeable with the
    calibration images of that class, a p-value of at most r comes up at a rate of at most r.
    """

    slope: float
    intercept: float
    real_logits: tuple[float, ...]
    """Of real calibration images, ascending."""
    ai_logits: tuple[float, ...]
    """Of AI calibration images, ascending."""

    def __post_init__(self) -> None:
        for name, kept in (("real_logits", self.real_logits), ("ai_logits", self.ai_logits)):
            if not kept:
                raise ValueError(f"{name} must hold at least one logit")
            if np.any(np.diff(kept) < 0):
                raise ValueError(f"{name} must be in ascending order")

    @property
    def smallest_p_real(self) -> float:
        """The smallest p-value that this many real calibration images can give."""
        return 1 / (len(self.real_logits) + 1)

    def probability(self, logits: ArrayLike) -> Floats:
        """Return the calibrated probability of AI, 0 to 1, in the shape of `logits`."""
        return _sigmoid(self.slope * np.asarray(logits, np.float64) + self.intercept)

    def p_real(self, logits: ArrayLike) -> Floats:
        """Return how usual each logit is among real images: the share with one at least as high."""
        kept = np.asarray(self.real_logits)
        below = np.searchsorted(kept, np.asarray(logits, np.float64), side="left")
        return np.asarray((1 + kept.size - below) / (kept.size + 1))

    def p_ai(self, logits: ArrayLike) -> Floats:
        """Return how usual each logit is among AI images: the share with one at most as high."""
        kept = np.asarray(self.ai_logits)
        up_to = np.searchsorted(kept, np.asarray(logits, np.float64), side="right")
        return np.asarray((1 + up_to) / (kept.size + 1))


def fit_calibration(logits: ArrayLike, labels: ArrayLike, *, seed: int = 0, keep: int = 2000) -> Calibration:
    """Fit a calibration to images that neither trained the model nor chose it.

    Args:
        logits: (n,), finite.
        labels: (n,), 0 for real and 1 for AI; both must be there.
        seed: Chooses which logits are kept where there are too many.
        keep: How many logits of each class to keep for p-values; they are rounded to 4 decimals.

    Raises:
        EvaluationError: Such arrays allow no calibration.
    """
    scores = np.asarray(logits, np.float64)
    classes = np.asarray(labels)
    if scores.ndim != 1 or scores.shape != classes.shape:
        raise EvaluationError(
            f"Calibration needs a logit and a label per image, not shapes {scores.shape} and {classes.shape}."
        )
    if not np.isfinite(scores).all():
        raise EvaluationError("Calibration needs finite logits; this model gives infinite ones or NaN.")
    if set(np.unique(classes).tolist()) != {0, 1}:
        raise EvaluationError("Calibration needs images of both classes, labelled 0 (real) and 1 (AI).")
    if keep < 1:
        raise EvaluationError(f"Calibration must keep at least one logit of each class, not {keep}.")
    slope, intercept = _fit_platt(scores, classes == 1)
    random = np.random.default_rng(seed)
    return Calibration(
        slope=slope,
        intercept=intercept,
        real_logits=_sample(scores[classes == 0], keep, random),
        ai_logits=_sample(scores[classes == 1], keep, random),
    )


def calibrated_loss(logits: ArrayLike, labels: ArrayLike) -> float:
    """Return the mean cross-entropy in nats that is left once the logits are calibrated by themselves.

    The plain loss tells mostly of how sure a network is of itself, which calibration mends. By this one, networks
    can be compared before it (Berta et al. 2025, "Rethinking early stopping: refine, then calibrate").

    Args:
        logits: (n,), finite.
        labels: (n,), 0 for real and 1 for AI; both must be there.

    Raises:
        EvaluationError: As `fit_calibration` does.
    """
    calibration = fit_calibration(logits, labels)
    scaled = calibration.slope * np.asarray(logits, np.float64) + calibration.intercept
    return float(np.mean(np.logaddexp(0, scaled) - np.asarray(labels) * scaled))


def _sample(logits: Floats, keep: int, random: np.random.Generator) -> tuple[float, ...]:
    kept = random.choice(logits, keep, replace=False) if logits.size > keep else logits
    return tuple(np.sort(kept.round(4)).tolist())


def _sigmoid(x: Floats) -> Floats:
    return np.exp(-np.logaddexp(0, -x))


def _fit_platt(scores: Floats, is_ai: NDArray[np.bool_]) -> tuple[float, float]:
    """Return slope and intercept of Platt's sigmoid.

    Platt 1999 with the Newton method and constants of Lin, Lin & Weng 2007, "A note on Platt's
    probabilistic outputs for support vector machines", algorithm 1. The smoothed targets keep the
    fit finite where the classes separate perfectly.
    """
    n_ai = int(is_ai.sum())
    n_real = is_ai.size - n_ai
    targets = np.where(is_ai, (n_ai + 1) / (n_ai + 2), 1 / (n_real + 2))
    inputs = np.stack([scores, np.ones_like(scores)])

    def loss(parameters: Floats) -> float:
        x = parameters @ inputs
        return float(np.sum(np.logaddexp(0, x) - targets * x))

    parameters = np.array([0.0, np.log((n_ai + 1) / (n_real + 1))])
    value = loss(parameters)
    for _ in range(100):
        p = _sigmoid(parameters @ inputs)
        gradient = inputs @ (p - targets)
        if np.abs(gradient).max() < 1e-5:
            break
        hessian = (inputs * (p * (1 - p))) @ inputs.T + 1e-12 * np.eye(2)
        direction = -np.linalg.solve(hessian, gradient)
        step = 1.0
        while loss(parameters + step * direction) > value + 1e-4 * step * float(gradient @ direction):
            step /= 2
            if step < 1e-10:
                return float(parameters[0]), float(parameters[1])
        parameters = parameters + step * direction
        value = loss(parameters)
    return float(parameters[0]), float(parameters[1])
