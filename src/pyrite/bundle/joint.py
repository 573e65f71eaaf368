"""One p-value of several detectors' scores of an image, calibrated together on the same images.

Fisher's statistic (Fisher 1932, "Statistical methods for research workers", section 21.1) is the mean of −log p over
the members. Its own p-value comes not from the chi-squared distribution, which takes independent members, but from the
statistics of calibration images, so it holds however dependent the members are.

**Exact with halves.** One half of a group's images gives the members' p-values, the other half the statistics. Given
the first half, the statistic is a fixed function of an image, so the p-value is conformal.

**Safe with one set.** A calibration image's own p-value leaves out the 1 that a new image's has for itself:
c / (n + 1) instead of (c + 1) / (n + 1), where c of n calibration images, itself among them, are as extreme. Full
conformal prediction (Vovk, Gammerman & Shafer 2005) ranks the new image within the n + 1, where that count is c, or
c + 1 where the new image is as extreme too. So a calibration image's statistic here is at least the one
that it has there, the new image's is the same, and the p-value is at least the exact one. The price is small where
there are many images, and all of them serve twice.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyrite.bundle.calibration import (
    ALL,
    Floats,
    Logits,
    images_needed,
    share_from,
    share_up_to,
    tell_too_few,
)
from pyrite.decision import Policy
from pyrite.errors import EvaluationError

Merge = Literal["fisher", "bonferroni"]
Scores = Mapping[str, ArrayLike]
"""By member, all of one shape; NaN or `None` where a member did not judge an image."""
_DECIMALS = 6  # Of a statistic, so that equal p-values make equal statistics whatever the order of the sum.


class JointGroup(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is kept of the calibration images of one group."""

    images: int
    """How many there are, in both halves."""
    scores: dict[str, Logits]
    """Of each member, ascending."""
    statistics: Logits = ()
    """Fisher's, ascending; none for Bonferroni."""

    def __post_init__(self) -> None:
        for name, kept in (*self.scores.items(), ("statistics", self.statistics)):
            if any(one > other for one, other in pairwise(kept)):
                raise ValueError(f"{name} must be in ascending order")
        for name, kept in self.scores.items():
            if not 1 <= len(kept) <= self.images:
                raise ValueError(f"{name} must have at least one score, and at most one of each image")


class JointCalibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What turns the scores of several detectors into one p-value of each kind.

    Among real images exchangeable with those of a group, `p_real` is at most r at a rate of at most r; so is
    `p_ai` among AI images. Each group is a calibration of its own, and the p-value is the largest over them, so that it
    holds for each.

    A member that did not judge an image counts with a p-value of 1: it says nothing against it. Whether it judges an
    image is then a property of the image like any other, so the budget holds over all images of a group, whatever
    decides that, and losing a member never makes an image look more unusual. Bonferroni counts each member, and not
    only those that judged, for the same reason. The budget need not hold among only the images that some member misses:
    make these a group of their own where that matters. An image that no member judged has no p-value (NaN).
    """

    members: tuple[str, ...]
    merge: Merge
    """`fisher`, or `bonferroni`: k times the smallest p-value of k members."""
    halves: bool = False
    """Whether one half gave the members' p-values and the other the statistics; see the module."""
    real: dict[str, JointGroup] = {}
    """Of real calibration images, by group."""
    ai: dict[str, JointGroup] = {}
    """Of AI calibration images, by group."""

    def __post_init__(self) -> None:
        if not self.members or len(set(self.members)) < len(self.members):
            raise ValueError("members must be at least one, each of them once")
        if self.merge == "bonferroni" and self.halves:
            raise ValueError("halves are for fisher alone")
        for kind, groups in (("real", self.real), ("ai", self.ai)):
            for name, group in groups.items():
                if set(group.scores) != set(self.members):
                    raise ValueError(f"{kind} must have scores of each member, and of no other, in the group {name!r}")
                half = group.images // 2 if self.halves else 0
                wanted = group.images - half if self.merge == "fisher" else 0
                if len(group.statistics) != wanted:
                    raise ValueError(
                        f"{kind} must have {wanted} statistics in the group {name!r}, not {len(group.statistics)}"
                    )

    @property
    def smallest_p_real(self) -> float:
        """The smallest p-value that these real calibration images can give; 1 without any."""
        return max((self._smallest(group) for group in self.real.values()), default=1.0)

    def p_real(self, scores: Scores) -> Floats | None:
        """Return how usual each image is among real ones, in the shape of each member's scores.

        Raises:
            EvaluationError: A member's scores are missing, or their shapes differ.
        """
        return self._p(self.real, scores, high=True)

    def p_ai(self, scores: Scores) -> Floats | None:
        """Return how usual each image is among AI ones; see `p_real`."""
        return self._p(self.ai, scores, high=False)

    def single_p_real(self, scores: Scores) -> dict[str, Floats] | None:
        """Return each member's own p-value among real images, NaN where it did not judge; see `p_real`."""
        return self._single(self.real, scores, high=True)

    def single_p_ai(self, scores: Scores) -> dict[str, Floats] | None:
        """Return each member's own p-value among AI images, NaN where it did not judge; see `p_real`."""
        return self._single(self.ai, scores, high=False)

    def too_few(self, policy: Policy) -> tuple[str, ...]:
        """Return a sentence for each error budget that these images cannot resolve, and what follows of it."""
        classes = (("real", "AI", self.real, policy.max_fpr), ("AI", "real", self.ai, policy.max_fnr))
        told = (
            tell_too_few(kind, verdict, budget, {name: self._images(group, budget) for name, group in groups.items()})
            for kind, verdict, groups, budget in classes
        )
        return tuple(sentence for sentence in told if sentence)

    def _p(self, groups: Mapping[str, JointGroup], scores: Scores, *, high: bool) -> Floats | None:
        stacked = _stack(self.members, scores)
        if not groups:
            return None
        merged = [
            self._merged(group, _shares(self.members, group.scores, stacked, high=high)) for group in groups.values()
        ]
        return np.where(np.isnan(stacked).all(axis=-1), np.nan, np.maximum.reduce(merged))

    def _merged(self, group: JointGroup, shares: Floats) -> Floats:
        if self.merge == "fisher":
            return share_from(group.statistics, _fisher(shares))
        return np.asarray(np.minimum(1.0, len(self.members) * shares.min(axis=-1)))

    def _single(self, groups: Mapping[str, JointGroup], scores: Scores, *, high: bool) -> dict[str, Floats] | None:
        stacked = _stack(self.members, scores)
        if not groups:
            return None
        shares = np.maximum.reduce(
            [_shares(self.members, group.scores, stacked, high=high) for group in groups.values()]
        )
        shares = np.where(np.isnan(stacked), np.nan, shares)
        return {name: shares[..., i] for i, name in enumerate(self.members)}

    def _smallest(self, group: JointGroup) -> float:
        """Return the p-value of an image that every member finds beyond all of a group."""
        counts = np.array([len(group.scores[name]) for name in self.members])
        return float(self._merged(group, 1 / (counts + 1)))

    def _images(self, group: JointGroup, budget: float) -> tuple[int, int]:
        """Return how many images a group has, and how many it would take for a budget."""
        if self.merge == "bonferroni":
            return max(map(len, group.scores.values())), images_needed(budget / len(self.members))
        # Calibration images that every member finds beyond all others are level with any image.
        beyond = round(self._smallest(group) * (len(group.statistics) + 1))
        needed = images_needed(budget / beyond)
        return group.images, 2 * needed - 1 if self.halves else needed


def fit_joint(
    scores: Scores,
    labels: ArrayLike,
    groups: Sequence[str] | None = None,
    *,
    merge: Merge = "fisher",
    halves: bool = False,
    seed: int = 0,
    keep: int = 2000,
) -> JointCalibration:
    """Calibrate several detectors together, by their scores of images that trained none of them.

    An image that no member judged does not count.

    Args:
        scores: (n,) of each member, the higher, the more like AI; NaN where it did not judge the image.
        labels: (n,), 0 for real and 1 for AI; without AI images there will be no `p_ai`.
        groups: (n,), of each image: its source, camera, kind of picture …; by default, all are of one.
        merge: How the members' p-values become one.
        halves: Whether the members' p-values and Fisher's statistics have images of their own; not for Bonferroni.
        seed: Chooses the halves, and which images are kept where there are too many.
        keep: How many images of each group to keep at most.

    Raises:
        EvaluationError: Such scores allow no calibration.
    """
    members = tuple(scores)
    if not members:
        raise EvaluationError("A joint calibration needs the scores of at least one detector.")
    stacked, classes = _stack(members, scores), np.asarray(labels)
    names = np.full(classes.shape, ALL) if groups is None else np.asarray(groups, np.str_)
    if stacked.ndim != 2 or not stacked.shape[:1] == classes.shape == names.shape:
        raise EvaluationError(
            "A joint calibration needs a score of each member, a label and a group per image, not shapes "
            f"{stacked.shape[:-1]}, {classes.shape} and {names.shape}."
        )
    if np.isinf(stacked).any():
        raise EvaluationError("A joint calibration needs finite scores, and some are infinite.")
    judged = ~np.isnan(stacked).all(axis=1)
    if not set(np.unique(classes).tolist()) <= {0, 1} or not np.any(judged & (classes == 0)):
        raise EvaluationError("A joint calibration needs real images, labelled 0, and takes AI images, labelled 1.")
    if halves and merge == "bonferroni":
        raise EvaluationError("Two halves are for Fisher's statistics, and Bonferroni has none.")
    if keep < 1:
        raise EvaluationError(f"A joint calibration must keep at least one image of each group, not {keep}.")
    random = np.random.default_rng(seed)

    def by_group(label: int) -> dict[str, JointGroup]:
        kind, of_class = ("real", "AI")[label], judged & (classes == label)
        fitted = {}
        for name in np.unique(names[of_class]):
            rows = stacked[of_class & (names == name)]
            rows = rows[random.permutation(len(rows))[:keep]]
            what = f"{kind} images of the group {str(name)!r}"
            half = len(rows) // 2 if halves else None
            fitted[str(name)] = _fit_group(what, members, rows, merge, half, high=label == 0)
        return fitted

    return JointCalibration(members=members, merge=merge, halves=halves, real=by_group(0), ai=by_group(1))


def _fit_group(
    what: str, members: tuple[str, ...], rows: Floats, merge: Merge, half: int | None, *, high: bool
) -> JointGroup:
    if half == 0:
        raise EvaluationError(f"Two halves take at least 2 {what}, and there is 1.")
    first, second = (rows, rows) if half is None else (rows[:half], rows[half:])
    known = {name: column[~np.isnan(column)] for name, column in zip(members, first.T, strict=True)}
    if silent := [name for name, column in known.items() if not column.size]:
        part = "" if half is None else f" in the {len(first):,} that are for the members' p-values"
        raise EvaluationError(
            f"{', '.join(silent)} judged none of the {len(rows):,} {what}{part}. "
            "Leave out the detector or the group, or add images that it judges."
        )
    ordered = {name: np.sort(column) for name, column in known.items()}
    statistics: tuple[float, ...] = ()
    if merge == "fisher":
        shares = _shares(members, ordered, second, high=high)
        if half is None:
            # Without the 1 of a new image; see the module.
            own = 1 / (np.array([len(ordered[name]) for name in members]) + 1)
            shares -= np.where(np.isnan(second), 0, own)
        statistics = tuple(np.sort(_fisher(shares)).tolist())
    scores = {name: tuple(column.tolist()) for name, column in ordered.items()}
    return JointGroup(images=len(rows), scores=scores, statistics=statistics)


def _stack(members: Sequence[str], scores: Scores) -> Floats:
    """Return scores, (…, k), of k members."""
    if missing := [name for name in members if name not in scores]:
        raise EvaluationError(f"There are no scores of {', '.join(missing)}.")
    columns = [np.asarray(scores[name], np.float64) for name in members]
    if len({column.shape for column in columns}) > 1:
        shapes = ", ".join(f"{name} {column.shape}" for name, column in zip(members, columns, strict=True))
        raise EvaluationError(f"The members' scores must have one shape, and have: {shapes}.")
    return np.stack(columns, axis=-1)


def _shares(members: Sequence[str], kept: Mapping[str, ArrayLike], stacked: Floats, *, high: bool) -> Floats:
    """Return the members' p-values, (…, k), by the scores of a group that are kept; 1 where there is no score."""
    tail = share_from if high else share_up_to
    shares = np.stack([tail(kept[name], stacked[..., i]) for i, name in enumerate(members)], axis=-1)
    missing: NDArray[np.bool_] = np.isnan(stacked)
    return np.where(missing, 1.0, shares)


def _fisher(shares: Floats) -> Floats:
    # Plus 0, which makes a 0 of a -0.
    return np.asarray(np.round(-np.log(shares).mean(axis=-1), _DECIMALS) + 0.0)
