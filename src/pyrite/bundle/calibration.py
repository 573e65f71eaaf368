"""From logits to probabilities of AI and conformal p-values."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyrite.decision import Policy, decide
from pyrite.errors import EvaluationError
from pyrite.results import Verdict

Floats = NDArray[np.float64]
Logits = tuple[float, ...]
ALL = "all"
"""The group of every image, where there is no other."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What the images of a group show of an error budget."""

    kind: str
    """`real` or `AI`."""
    group: str
    images: int
    smallest: float
    """The smallest budget that so many can resolve."""
    wrong: float
    """The share of them with the wrong verdict by the pixels, 0 to 1."""


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What turns a model's logit into a probability and two p-values.

    The p-values are conformal (Vovk, Gammerman & Shafer 2005): among images exchangeable with the
    calibration images of a group, a p-value of at most r comes up at a rate of at most r. With several groups it is
    the largest over them, so that it holds for each. Without AI images there is neither a probability nor `p_ai`, and
    without any images, nothing.
    """

    slope: float | None = None
    intercept: float | None = None
    """Of the sigmoid that gives the probability; both, or neither without images of both classes."""
    real: dict[str, Logits] = {}
    """Of real calibration images, by group, each ascending."""
    ai: dict[str, Logits] = {}
    """Of AI calibration images, by group, each ascending."""

    def __post_init__(self) -> None:
        for name, groups in (("real", self.real), ("ai", self.ai)):
            for group, kept in groups.items():
                if not kept:
                    raise ValueError(f"{name} must hold at least one logit of the group {group!r}")
                if np.any(np.diff(kept) < 0):
                    raise ValueError(f"{name} must be in ascending order in the group {group!r}")
        if (self.slope is None) != (self.intercept is None):
            raise ValueError("slope and intercept go together")
        if self.slope is not None and not (self.real and self.ai):
            raise ValueError("slope and intercept need images of both classes")

    @property
    def smallest_p_real(self) -> float:
        """The smallest p-value that this many real calibration images can give; 1 without any."""
        return max((1 / (len(kept) + 1) for kept in self.real.values()), default=1.0)

    def too_few(self, policy: Policy, *, sharing: tuple[int, int] = (1, 1)) -> tuple[str, ...]:
        """Return a sentence for each error budget that this many images cannot resolve, and what follows of it.

        The smallest p-value of n images is 1/(n + 1). Where there are no images of a class at all, there is no budget.

        Args:
            policy: The budgets.
            sharing: How many bundles share the budget of real images, and that of AI images, by Bonferroni.
        """
        classes = (
            ("real", "AI", self.real, policy.max_fpr, sharing[0]),
            ("AI", "real", self.ai, policy.max_fnr, sharing[1]),
        )
        told = (
            tell_too_few(
                kind,
                verdict,
                budget,
                {group: (len(kept), images_needed(budget / bundles)) for group, kept in groups.items()},
            )
            for kind, verdict, groups, budget, bundles in classes
        )
        return tuple(sentence for sentence in told if sentence)

    def kept(self, policy: Policy) -> Iterator[Kept]:
        """Yield, for each group of either class, what its own images show of the error budgets."""
        for kind, groups, wrong in (("real", self.real, Verdict.AI), ("AI", self.ai, Verdict.REAL)):
            for group, logits in groups.items():
                nothing = (None,) * len(logits)
                p_real, p_ai = (nothing if p is None else p.tolist() for p in (self.p_real(logits), self.p_ai(logits)))
                verdicts = [decide(p, q, True, policy)[0] for p, q in zip(p_real, p_ai, strict=True)]
                yield Kept(kind, group, len(logits), 1 / (len(logits) + 1), verdicts.count(wrong) / len(logits))

    def probability(self, logits: ArrayLike) -> Floats | None:
        """Return the calibrated probability of AI, 0 to 1, in the shape of `logits`."""
        if self.slope is None or self.intercept is None:
            return None
        return _sigmoid(self.slope * np.asarray(logits, np.float64) + self.intercept)

    def p_real(self, logits: ArrayLike) -> Floats | None:
        """Return how usual each logit is among real images: the share with one at least as high."""
        return _largest(share_from(kept, logits) for kept in self.real.values())

    def p_ai(self, logits: ArrayLike) -> Floats | None:
        """Return how usual each logit is among AI images: the share with one at most as high."""
        return _largest(share_up_to(kept, logits) for kept in self.ai.values())


def images_needed(budget: float) -> int:
    """Return how many calibration images of a group it takes to resolve an error budget."""
    return math.ceil(1 / budget - 1 - 1e-9)


def tell_too_few(kind: str, verdict: str, budget: float, groups: Mapping[str, tuple[int, int]]) -> str | None:
    """Return a sentence on an error budget that groups of calibration images cannot resolve; `None` where they can.

    Args:
        kind: `real` or `AI`: which images they are.
        verdict: The one that the budget bounds.
        budget: The share of images of this kind that may get it.
        groups: How many images each has, and how many it would take.
    """
    short = {group: count for group, (count, needed) in groups.items() if count < needed}
    if not short:
        return None
    needed = max(groups[group][1] for group in short)
    has = ", ".join(f"{group} has {count:,}" for group, count in short.items())
    each, has = ("", f"there are {short[ALL]:,}") if set(groups) == {ALL} else (" in each group", has)
    return (
        f"An error budget of {100 * budget:.3g}% needs at least {needed:,} {kind} calibration images{each}, and {has}: "
        f"no image can be called {verdict} by its pixels."
    )


def share_from(ascending: ArrayLike, logits: ArrayLike) -> Floats:
    """Return the conformal p-value of each logit: the share at least as high, of those kept and itself."""
    kept = np.asarray(ascending)
    below = np.searchsorted(kept, np.asarray(logits, np.float64), side="left")
    return np.asarray((1 + kept.size - below) / (kept.size + 1))


def share_up_to(ascending: ArrayLike, logits: ArrayLike) -> Floats:
    """Return the conformal p-value of each logit: the share at most as high, of those kept and itself."""
    kept = np.asarray(ascending)
    up_to = np.searchsorted(kept, np.asarray(logits, np.float64), side="right")
    return np.asarray((1 + up_to) / (kept.size + 1))


def _largest(p_values: Iterable[Floats]) -> Floats | None:
    found = list(p_values)
    return np.maximum.reduce(found) if found else None


def fit_calibration(
    logits: ArrayLike,
    labels: ArrayLike,
    groups: Sequence[str] | None = None,
    *,
    seed: int = 0,
    keep: int = 2000,
) -> Calibration:
    """Fit a calibration to images that did not train the model.

    Args:
        logits: (n,), finite.
        labels: (n,), 0 for real and 1 for AI; without AI images, there will be no probability.
        groups: (n,), of each image: its source, camera, kind of picture …; by default, all are of one.
        seed: Chooses which logits are kept where there are too many.
        keep: How many logits of each group to keep for p-values; they are rounded to 4 decimals.

    Raises:
        EvaluationError: Such arrays allow no calibration.
    """
    scores, classes = np.asarray(logits, np.float64), np.asarray(labels)
    names = np.full(scores.shape, ALL) if groups is None else np.asarray(groups, np.str_)
    if scores.ndim != 1 or not scores.shape == classes.shape == names.shape:
        raise EvaluationError(
            "Calibration needs a logit, a label and a group per image, not shapes "
            f"{scores.shape}, {classes.shape} and {names.shape}."
        )
    if not np.isfinite(scores).all():
        raise EvaluationError("Calibration needs finite logits; this model gives infinite ones or NaN.")
    if not set(np.unique(classes).tolist()) <= {0, 1} or not np.any(classes == 0):
        raise EvaluationError("Calibration needs real images, labelled 0, and takes AI images, labelled 1.")
    if keep < 1:
        raise EvaluationError(f"Calibration must keep at least one logit of each group, not {keep}.")
    slope, intercept = _fit_platt(scores, classes == 1) if np.any(classes == 1) else (None, None)
    random = np.random.default_rng(seed)

    def by_group(label: int) -> dict[str, Logits]:
        of_class = classes == label
        outward = 1 if label == 0 else -1
        return {
            str(name): _sample(scores[of_class & (names == name)], keep, random, outward)
            for name in np.unique(names[of_class])
        }

    return Calibration(slope=slope, intercept=intercept, real=by_group(0), ai=by_group(1))


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
    fitted = fit_calibration(logits, labels)
    if fitted.slope is None or fitted.intercept is None:
        raise EvaluationError("This loss needs images of both classes, labelled 0 (real) and 1 (AI).")
    scaled = fitted.slope * np.asarray(logits, np.float64) + fitted.intercept
    return float(np.mean(np.logaddexp(0, scaled) - np.asarray(labels) * scaled))


def _sample(logits: Floats, keep: int, random: np.random.Generator, outward: int) -> Logits:
    """Return some logits in ascending order, with four decimals.

    They are rounded up where `outward` is 1, and down where it is -1. So a later logit that equals one of them also
    counts as no more unusual, and its p-value is never too small.
    """
    kept = random.choice(logits, keep, replace=False) if logits.size > keep else logits
    rounded = kept.round(4)
    inside = outward * (kept - rounded) > 0
    return tuple(np.sort((rounded + outward * 1e-4 * inside).round(4)).tolist())


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
