"""What several bundles say of one image, as one answer: which of them judges it, and how their p-values merge."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pyrite.bundle import JointCalibration, Panel
from pyrite.bundle.calibration import Floats
from pyrite.decision import Outside, Policy, Scope, decide, explain, is_scored
from pyrite.detector.reader import Prepared, Unreadable
from pyrite.results import Detection, Evidence, Model, Reason, Strength, Verdict


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one bundle says of an image by its pixels."""

    model: Model
    scope: Scope
    knows: tuple[str, ...]
    """The generators whose images trained the bundle, where that is known."""
    fits: bool
    """Whether the bundle was made for images of this size."""
    foreign_rate: float
    """Up to which `p_typical` makes an image foreign, 0 to 1."""
    threshold: float | None
    """The logit above which the model's authors call an image AI, where they say."""
    logit: float | None
    """`None` where the bundle did not judge the image."""
    probability: float | None
    p_real: float | None
    p_ai: float | None
    p_typical: float | None
    """The share of calibration images that are as unlike the others; `None` where the bundle does not tell."""

    @property
    def foreign(self) -> bool:
        """Whether the image is unlike those that calibrated the bundle."""
        return self.fits and self.p_typical is not None and self.p_typical <= self.foreign_rate

    @property
    def in_scope(self) -> bool:
        """Whether the score may decide anything."""
        return self.fits and not self.foreign


@dataclass(frozen=True, slots=True)
class Merged:
    """What all bundles say of an image."""

    opinions: tuple[Opinion, ...]
    """Of each, at least one."""
    p_real: float | None
    p_ai: float | None


def merge(opinions: Sequence[Sequence[Opinion]], panel: Panel) -> list[Merged]:
    """Return what the bundles of a panel say of each image together.

    Where they were calibrated together, that gives each one's p-values too.

    Args:
        opinions: Of each bundle, on each image.
        panel: The bundles.
    """
    if panel.calibration is not None:
        return _merge_jointly(opinions, panel.calibration)
    counts = panel.share_counts(ai=False), panel.share_counts(ai=True)
    return [
        Merged(
            said,
            bonferroni([o.p_real if o.in_scope else None for o in said], counts[0]),
            bonferroni([o.p_ai if o.in_scope else None for o in said], counts[1]),
        )
        for said in zip(*opinions, strict=True)
    ]


def _merge_jointly(opinions: Sequence[Sequence[Opinion]], calibration: JointCalibration) -> list[Merged]:
    scores = {
        said[0].model.name: np.array([o.logit if o.in_scope and o.logit is not None else np.nan for o in said])
        for said in opinions
        if said
    }
    if not scores:
        return []
    singles = calibration.single_p_real(scores), calibration.single_p_ai(scores)
    own = [
        [
            replace(o, probability=None, p_real=_at(singles[0], o, i), p_ai=_at(singles[1], o, i))
            for i, o in enumerate(said)
        ]
        for said in opinions
    ]
    merged = (_listed(p, len(own[0])) for p in (calibration.p_real(scores), calibration.p_ai(scores)))
    return [Merged(said, p, q) for said, p, q in zip(zip(*own, strict=True), *merged, strict=True)]


def _at(p_values: Mapping[str, Floats] | None, opinion: Opinion, place: int) -> float | None:
    """Return a bundle's own p-value of one image, `None` where it did not judge it."""
    return None if p_values is None else _known(float(p_values[opinion.model.name][place]))


def _listed(p_values: Floats | None, count: int) -> list[float | None]:
    return [None] * count if p_values is None else [_known(p) for p in p_values.tolist()]


def _known(p: float) -> float | None:
    return None if math.isnan(p) else p


def judge(image: Prepared, merged: Merged, policy: Policy, model: Model) -> Detection:
    """Return the detection of one image.

    Args:
        image: What was read.
        merged: What the bundles say of it.
        policy: The error budgets.
        model: What made the detection: the bundle, or all of them.
    """
    size = (image.width, image.height)
    opinions, p_real, p_ai = merged.opinions, merged.p_real, merged.p_ai
    judging = [opinion for opinion in opinions if opinion.in_scope]
    said = tuple(_evidence(opinion, policy, size) for opinion in opinions)
    evidence = (*image.evidence, *_frame_note(image), *said)
    verdict, reason = decide(p_real, p_ai, bool(judging), policy, evidence)
    known = list(dict.fromkeys(name for opinion in judging for name in opinion.knows))
    # Several bundles have no probability in common.
    alone = judging[0] if len(judging) == 1 else None
    return Detection(
        path=image.path,
        sha256=image.sha256,
        format=image.format,
        width=image.width,
        height=image.height,
        frames=image.frames,
        verdict=verdict,
        probability=alone.probability if alone and is_scored(reason) else None,
        logit=alone.logit if alone else opinions[0].logit if len(opinions) == 1 else None,
        reason=reason,
        explanation=said[0].detail
        if reason is Reason.UNCALIBRATED and len(said) == 1
        else explain(verdict, reason, p_real, p_ai, _outside(opinions, size), evidence, known),
        p_real=p_real,
        p_ai=p_ai,
        max_fpr=policy.max_fpr,
        evidence=evidence,
        model=model,
    )


def unreadable(found: Unreadable, model: Model, policy: Policy) -> Detection:
    """Return the detection of what was never decoded, by a model: its file alone decides, if that says anything."""
    verdict, reason = decide(None, None, False, policy, found.evidence)
    decided = verdict is not Verdict.UNCERTAIN
    why = explain(verdict, reason, None, None, evidence=found.evidence) if decided else found.error.message
    note = Evidence("reader", Strength.INFERRED, None, f"The pixels were not judged. {found.error.message}")
    return Detection(
        path=found.path,
        sha256=found.sha256,
        format=None,
        width=None,
        height=None,
        frames=None,
        verdict=verdict,
        probability=None,
        logit=None,
        reason=reason if decided else Reason.UNREADABLE,
        explanation=why,
        p_real=None,
        p_ai=None,
        max_fpr=policy.max_fpr,
        evidence=(*found.evidence, note) if decided else found.evidence,
        model=model,
        error=None if decided else found.error,
    )


def bonferroni(p_values: Sequence[float | None], counts: Sequence[int]) -> float | None:
    """Return one p-value of several, which holds however dependent they are; `None` of none.

    Args:
        p_values: Of each bundle; `None` where it did not judge the image, or has no images of that kind.
        counts: How many share the budget with each; see `Panel.share_counts`. That is more than those that judged
            this image: which do depends on the image, and the budget is for all images.
    """
    known = [count * p for p, count in zip(p_values, counts, strict=True) if p is not None]
    return min(1.0, *known) if known else None


def _evidence(opinion: Opinion, policy: Policy, size: tuple[int, int]) -> Evidence:
    p_real, p_ai = (opinion.p_real, opinion.p_ai) if opinion.in_scope else (None, None)
    seen, why = decide(p_real, p_ai, opinion.in_scope, policy)
    told = explain(seen, why, p_real, p_ai, _outside([opinion], size), knows=opinion.knows)
    if why is Reason.UNCALIBRATED and opinion.threshold is not None and opinion.logit is not None:
        told += (
            f" Its authors call an image AI above a score of {opinion.threshold:g}; this one has {opinion.logit:.2f}."
        )
    return Evidence(
        kind="pixels",
        strength=Strength.INFERRED,
        says=None if seen is Verdict.UNCERTAIN else seen,
        detail=told,
        data={
            "bundle": opinion.model.name,
            "version": opinion.model.version,
            "reason": why,
            "logit": opinion.logit,
            "p_real": p_real,
            "p_ai": p_ai,
            "p_typical": opinion.p_typical if opinion.fits else None,
            "knows": list(opinion.knows),
        },
    )


def _outside(opinions: Sequence[Opinion], size: tuple[int, int]) -> Outside:
    return Outside(
        scopes=tuple(opinion.scope for opinion in opinions),
        size=size,
        p_typical=max((o.p_typical for o in opinions if o.foreign and o.p_typical is not None), default=None),
    )


def _frame_note(image: Prepared) -> tuple[Evidence, ...]:
    if image.frames < 2:
        return ()
    detail = f"Of its {image.frames:,} frames, only number {image.frame + 1:,} was judged."
    return (Evidence(kind="frames", strength=Strength.INFERRED, says=None, detail=detail),)
