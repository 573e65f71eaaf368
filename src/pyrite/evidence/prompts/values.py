"""What programs were asked for, in one form for all of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pyrite.evidence.values import trim
from pyrite.results import Extent, Verdict


@dataclass(frozen=True, slots=True)
class Made:
    """What one program says of an image."""

    program: str
    details: Mapping[str, object] = field(default_factory=dict)
    """`model`, `prompt`, `negative_prompt`, `seed`, and what is a program's own."""
    says: Verdict | None = Verdict.AI
    extent: Extent | None = Extent.WHOLE
    note: str = ""
    """What is told instead of that the program made the image."""


def asked(
    model: object = None, prompt: object = None, negative: object = None, seed: object = None
) -> dict[str, object]:
    """Return what a program was asked for, without what is of a kind that it cannot be."""
    number = isinstance(seed, str) and seed.isascii() and seed.isdigit() and len(seed) < 20
    return {
        "model": trim(model) if isinstance(model, str) else None,
        "prompt": trim(prompt) if isinstance(prompt, str) else None,
        "negative_prompt": trim(negative) if isinstance(negative, str) else None,
        "seed": int(str(seed)) if number else seed,
    }
