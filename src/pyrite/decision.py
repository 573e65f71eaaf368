"""From p-values and evidence to a verdict, with the reason for it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec

from pyrite.results import Evidence, Reason, Strength, Verdict

PHOTOGRAPH = 256
"""Pixels of the longer side from which an image may be a photograph, and no thumbnail of one."""
_NAMED = 3
"""Generators that a sentence names."""

Rate = Annotated[float, msgspec.Meta(gt=0, lt=1)]
Side = Annotated[int, msgspec.Meta(ge=1)]


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many wrong verdicts are acceptable."""

    max_fpr: Rate = 0.05
    """The share of real images that may be called AI."""
    max_fnr: Rate = 0.05
    """The share of AI images that may be called real."""
    real_needs_provenance: bool = False
    """Whether the pixels alone make no image real: they show that no known generator made it, and others leave other
    traces."""


class Scope(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which images a model was made for, by their size in pixels before any resizing."""

    min_side: Side
    max_side: Side | None
    """`None` where there is no upper bound."""
    description: str

    def __post_init__(self) -> None:
        if self.max_side is not None and self.min_side > self.max_side:
            raise ValueError("min_side must not be greater than max_side")

    def contains(self, width: int, height: int) -> bool:
        """Say whether an image of this original size is in scope."""
        return self.min_side <= min(width, height) and (self.max_side is None or max(width, height) <= self.max_side)

    @property
    def is_photographs(self) -> bool:
        """Whether images as large as photographs are in scope."""
        return self.max_side is None or self.max_side >= PHOTOGRAPH

    @property
    def sizes(self) -> str:
        """The sizes in words: `32`, `32 to 64`, `96 or more`."""
        if self.max_side is None:
            return f"{self.min_side:,} or more"
        return f"{self.min_side:,}" if self.min_side == self.max_side else f"{self.min_side:,} to {self.max_side:,}"


@dataclass(frozen=True, slots=True)
class Outside:
    """What tells why models do not judge an image."""

    scopes: tuple[Scope, ...]
    """Of the models."""
    size: tuple[int, int]
    """Width and height of the image in pixels."""
    p_typical: float | None = None
    """Of an image whose size is in scope, and which is unlike those that calibrated a model: the share of these that
    are as unlike the others, 0 to 1."""


def decide(
    p_real: float | None, p_ai: float | None, in_scope: bool, policy: Policy, evidence: Sequence[Evidence] = ()
) -> tuple[Verdict, Reason]:
    """Return the verdict on one image.

    Verified evidence decides alone, and evidence of AI outweighs evidence of a real image. Asserted
    evidence decides only where it says AI, with a reason that tells that it can be forged. Otherwise the
    pixels decide, where the score is unusual for one class by its budget. Where it is for both, the class that it
    is less unusual for decides, and of equals the real one. So each budget holds, and a larger `max_fpr` never moves
    a verdict away from AI, nor a larger `max_fnr` away from real.

    Args:
        p_real: Conformal p-value of the score among real images, 0 to 1; `None` where no real images calibrated it.
        p_ai: Conformal p-value of the score among AI images, 0 to 1; `None` where no AI images calibrated it.
        in_scope: Whether any model was made for images of this size, and knows such images.
        policy: The error budgets that the p-values are held against.
        evidence: What was found beside the score; inferred evidence decides nothing.
    """
    said = {(item.strength, item.says) for item in evidence}
    if (Strength.VERIFIED, Verdict.AI) in said:
        return Verdict.AI, Reason.VERIFIED
    if (Strength.VERIFIED, Verdict.REAL) in said:
        return Verdict.REAL, Reason.VERIFIED
    if (Strength.ASSERTED, Verdict.AI) in said:
        return Verdict.AI, Reason.ASSERTED
    if not in_scope:
        return Verdict.UNCERTAIN, Reason.OUT_OF_SCOPE
    if p_real is None and p_ai is None:
        return Verdict.UNCERTAIN, Reason.UNCALIBRATED
    unlike_real = p_real is not None and p_real <= policy.max_fpr
    unlike_ai = p_ai is not None and p_ai <= policy.max_fnr
    more_like_ai = p_ai is None or (p_real is not None and p_ai > p_real)
    if unlike_real and (more_like_ai or not unlike_ai):
        return Verdict.AI, Reason.PIXELS
    if not unlike_ai:
        return Verdict.UNCERTAIN, Reason.BORDERLINE
    return (Verdict.UNCERTAIN, Reason.UNPROVEN) if policy.real_needs_provenance else (Verdict.REAL, Reason.PIXELS)


def is_scored(reason: Reason) -> bool:
    """Say whether the score had a part in a verdict of this reason; else it decides nothing, and is not shown."""
    return reason in (Reason.PIXELS, Reason.BORDERLINE, Reason.UNPROVEN)


_HINT = 0.01
"""The p-value above which an `ai` by the pixels is worded as a hint: a large error budget allows it."""


def explain(
    verdict: Verdict,
    reason: Reason,
    p_real: float | None,
    p_ai: float | None,
    outside: Outside = Outside((), (0, 0)),
    evidence: Sequence[Evidence] = (),
    knows: Sequence[str] = (),
) -> str:
    """Return one sentence that tells a person why `decide` said so.

    Args:
        verdict: What `decide` gave.
        reason: What `decide` gave.
        p_real: As `decide` had it.
        p_ai: As `decide` had it.
        outside: Of an image that is out of scope, why.
        evidence: As `decide` had it.
        knows: The generators whose images trained the models, where that is known.
    """
    match reason:
        case Reason.PIXELS if verdict is Verdict.AI and p_real is not None:
            looks = "look AI-generated" if p_real <= _HINT else "lean towards AI"
            return f"The pixels {looks}: {_share(p_real)} real images score as high."
        case Reason.PIXELS if p_ai is not None:
            return _tell_no_trace(p_ai, knows)
        case Reason.UNPROVEN if p_ai is not None:
            return f"{_tell_no_trace(p_ai, knows)} Other generators leave other traces, so this does not prove it real."
        case Reason.BORDERLINE if p_ai is None:
            return "The model cannot tell: it knows only real images, and too many of them score like this."
        case Reason.BORDERLINE:
            return "The model cannot tell: too many real and too many AI images score like this."
        case Reason.UNCALIBRATED:
            return "No images have calibrated this model, so its score decides nothing."
        case Reason.OUT_OF_SCOPE:
            return _tell_outside(outside)
    strength = Strength.VERIFIED if reason is Reason.VERIFIED else Strength.ASSERTED
    return next(item.detail for item in evidence if (item.strength, item.says) == (strength, verdict))


def _tell_outside(outside: Outside) -> str:
    """Return the sentence of an image that no model was made for."""
    width, height = outside.size
    many = len(outside.scopes) > 1
    so = f"so {'their scores decide' if many else 'its score decides'} nothing."
    if outside.p_typical is not None:
        return (
            f"This image looks unlike those that calibrated the model{'s' if many else ''}: "
            f"{_share(outside.p_typical)} of them are as unusual, {so}"
        )
    made_for = " pixels a side, or of ".join(dict.fromkeys(scope.sizes for scope in outside.scopes))
    models = "The models were" if many else "The model was"
    return f"{models} made for images of {made_for} pixels a side and this one has {width:,} × {height:,}, {so}"


def _tell_no_trace(p_ai: float, knows: Sequence[str]) -> str:
    """Return the sentence of a score that is low for AI images."""
    if not knows:
        return f"No trace of the AI images that calibrated this model: {_share(p_ai)} of them score as low."
    if len(knows) == 1:
        return f"No trace of {knows[0]}, the only generator known here: {_share(p_ai)} of its images score as low."
    named = ", ".join(knows[:_NAMED]) + (f" and {len(knows) - _NAMED:,} others" if len(knows) > _NAMED else "")
    return f"No trace of {named}, the generators known here: {_share(p_ai)} of their images score as low."


def _share(p: float) -> str:
    """Return a p-value in words: the share of calibration images that are at least as extreme, rounded up."""
    return f"at most {math.ceil(p * 1000 - 1e-9):,} in 1,000"
