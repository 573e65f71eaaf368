"""What a detection says: plain values, with no behaviour beyond turning into JSON, and into HTML in a notebook."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """The answer, in one word."""

    AI = "ai"
    REAL = "real"
    UNCERTAIN = "uncertain"


class Reason(StrEnum):
    """What decided the verdict."""

    PIXELS = "pixels"
    """The model's score was clear at this error budget."""
    BORDERLINE = "borderline"
    """The score is usual for both classes, so it decides nothing."""
    UNPROVEN = "unproven"
    """The score shows no trace of the generators that are known, which makes no image real by this policy."""
    OUT_OF_SCOPE = "out_of_scope"
    """No model here was made for such an image."""
    UNCALIBRATED = "uncalibrated"
    """No images have calibrated the model, so what its score means is not known."""
    VERIFIED = "verified"
    """A signature checked against a trust list."""
    ASSERTED = "asserted"
    """Something that anyone could have written."""
    UNREADABLE = "unreadable"
    """No image could be read, so nothing was judged."""


class Strength(StrEnum):
    """How far a piece of evidence can be trusted."""

    VERIFIED = "verified"
    """A signature checked against a trust list."""
    ASSERTED = "asserted"
    """Anyone could have written it."""
    INFERRED = "inferred"
    """Concluded from the pixels."""


class Extent(StrEnum):
    """How much of an image a trained model made, where a file says so; under `extent` in the data of evidence."""

    WHOLE = "whole"
    """All of it: the image was made with AI."""
    PART = "part"
    """A part: the image was changed with AI."""
    UNKNOWN = "unknown"
    """It does not say."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One finding."""

    kind: str
    strength: Strength
    says: Verdict | None
    """`None` for context that speaks for neither side."""
    detail: str
    """One sentence for a person."""
    data: dict[str, Any] = field(default_factory=dict, hash=False)
    """Details for a program, which JSON can hold; what they are depends on `kind`."""


@dataclass(frozen=True, slots=True)
class Model:
    """Which bundle made a detection; of several, their names and versions with `+` between."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a file could not be judged: a stable code and a sentence."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Detection:
    """Everything Pyrite says about one image; its fields are the JSON's."""

    path: str | None
    """As it was given, or below the folder that was; `None` for pixels that never were a file."""
    sha256: str | None
    """Of the file's bytes, in hexadecimal; `None` for pixels that never were a file."""
    format: str | None
    width: int | None
    height: int | None
    frames: int | None
    """How many the file has; one of them is judged: the first, or the primary one of a HEIF."""
    verdict: Verdict
    probability: float | None
    """Calibrated probability of AI, 0 to 1; `None` where it decides nothing: out of scope, outweighed by evidence, or
    judged by several bundles, which have none in common."""
    logit: float | None
    """The model's raw score, also where it decides nothing; above 0 leans to AI. Of several bundles, that of the only
    one that judged the image, else `None`."""
    reason: Reason
    explanation: str
    """One sentence for a person: why this verdict, or why none."""
    p_real: float | None
    """Conformal p-value: the share of real calibration images that look at least this much like AI; of several bundles,
    merged. `None` out of scope, and without such images."""
    p_ai: float | None
    """Conformal p-value: the share of AI calibration images that look at least this much like real; as `p_real`."""
    max_fpr: float
    """The error budget at which the verdict was made."""
    evidence: tuple[Evidence, ...] = field(default=())
    model: Model | None = None
    error: Failure | None = None

    def _repr_html_(self) -> str | None:
        """Return what a notebook shows."""
        return notebook_html(self) if notebook_html else None


notebook_html: Callable[[Detection], str] | None = None
"""What draws a detection for a notebook. The package sets it, since this room knows nothing of how one is drawn."""
