"""What several bundles say of one image, as one answer: which of them judges it, and how their p-values merge."""

from collections.abc import Sequence
from dataclasses import dataclass

from pyrite.decision import Policy, Scope, decide, explain, is_scored
from pyrite.detector.reader import Prepared, Unreadable
from pyrite.results import Detection, Evidence, Model, Reason, Strength, Verdict


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one bundle says of an image by its pixels."""

    model: Model
    scope: Scope
    knows: tuple[str, ...]
    """The generators whose images trained the bundle, where that is known."""
    in_scope: bool
    """Whether the bundle was made for such an image; else its score decides nothing."""
    logit: float | None
    """`None` where the bundle did not judge the image."""
    probability: float | None
    p_real: float | None
    p_ai: float | None


def judge(image: Prepared, opinions: Sequence[Opinion], policy: Policy, model: Model) -> Detection:
    """Return the detection of one image.

    Args:
        image: What was read.
        opinions: Of each bundle, at least one.
        policy: The error budgets.
        model: What made the detection: the bundle, or all of them.
    """
    size = (image.width, image.height)
    judging = [opinion for opinion in opinions if opinion.in_scope]
    p_real, p_ai = bonferroni([o.p_real for o in judging]), bonferroni([o.p_ai for o in judging])
    said = tuple(_evidence(opinion, policy, size) for opinion in opinions)
    evidence = (*image.evidence, *_frame_note(image), *said)
    verdict, reason = decide(p_real, p_ai, bool(judging), policy, evidence)
    scopes = [opinion.scope for opinion in opinions]
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
        explanation=explain(verdict, reason, p_real, p_ai, scopes, size, evidence, known),
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
    why = explain(verdict, reason, None, None, (), (0, 0), found.evidence) if decided else found.error.message
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


def bonferroni(p_values: Sequence[float | None]) -> float | None:
    """Return one p-value of several, k times the smallest, which holds however dependent they are.

    Those that are `None`, of bundles that have no such images in their calibration, do not count; `None` of none.
    """
    known = [p for p in p_values if p is not None]
    return min(1.0, len(known) * min(known)) if known else None


def _evidence(opinion: Opinion, policy: Policy, size: tuple[int, int]) -> Evidence:
    p_real, p_ai = (opinion.p_real, opinion.p_ai) if opinion.in_scope else (None, None)
    seen, why = decide(p_real, p_ai, opinion.in_scope, policy)
    return Evidence(
        kind="pixels",
        strength=Strength.INFERRED,
        says=None if seen is Verdict.UNCERTAIN else seen,
        detail=explain(seen, why, p_real, p_ai, [opinion.scope], size, knows=opinion.knows),
        data={
            "bundle": opinion.model.name,
            "version": opinion.model.version,
            "reason": why,
            "logit": opinion.logit,
            "p_real": p_real,
            "p_ai": p_ai,
            "knows": list(opinion.knows),
        },
    )


def _frame_note(image: Prepared) -> tuple[Evidence, ...]:
    if image.frames < 2:
        return ()
    detail = f"Of its {image.frames:,} frames, only number {image.frame + 1:,} was judged."
    return (Evidence(kind="frames", strength=Strength.INFERRED, says=None, detail=detail),)
