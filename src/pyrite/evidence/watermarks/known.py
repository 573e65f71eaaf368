"""Which marks are known, who writes each, and what it survives: for the page, and for `pyrite watermark list`."""

from dataclasses import dataclass

from pyrite.evidence.watermarks.haar import MARKS
from pyrite.evidence.watermarks.weights import is_here, weights_of

_LOSSLESS = "lossless files, as long as nothing is resized, turned, or cut from the top or the left"


@dataclass(frozen=True, slots=True)
class KnownMark:
    """A mark, and what there is to know of it."""

    mark: str
    writer: str
    bits: str
    """How many it has."""
    found_at: str
    """What it takes to be reported."""
    survives: str
    network: str | None = None
    """What `pyrite watermark fetch` calls what reads it; `None` where it takes none, or cannot be read."""
    readable: bool = True
    """Whether anyone but its maker can read it."""


KNOWN = (
    *(
        KnownMark(mark.generator, mark.writer, str(len(mark.bits)), f"{mark.least} or more", _LOSSLESS)
        for mark in MARKS
    ),
    KnownMark(
        "RivaGAN",
        "anyone who uses method rivaGan of invisible-watermark; no generator is known to do so by default",
        "32",
        "30 or more of a known code (SDV2); of any other, 32 of which none is in doubt",
        "JPEG, cropping and slight resizing, in three of four pictures, but not smooth ones",
        "rivagan",
    ),
    KnownMark(
        "TrustMark",
        "Adobe's and others' programs for content credentials, into photographs as well",
        "100",
        "a valid code word, with 8 bits corrected at most in schema BCH_SUPER, 3 in BCH_5, 1 in BCH_4, none in BCH_3",
        "JPEG and resizing, as its authors report; Pyrite has not been tried on such files",
        "trustmark",
    ),
    KnownMark(
        "SynthID",
        "Google",
        "–",
        "only where content credentials tell of it",
        "not known here, since nobody else can read it",
        readable=False,
    ),
)
"""All of them."""


@dataclass(frozen=True, slots=True)
class MarkHere:
    """A mark, and whether it is read here."""

    mark: str
    writer: str
    survives: str
    readable: bool
    """Here and now."""
    fetch: str | None
    """What to run so that it is read."""


def describe_marks() -> list[MarkHere]:
    """Return what there is to know of each mark, and whether it is read here."""
    found = []
    for known in KNOWN:
        here = known.readable and (known.network is None or all(map(is_here, weights_of(known.network))))
        fetch = f"pyrite watermark fetch {known.network}" if known.network and not here else None
        found.append(MarkHere(known.mark, known.writer, known.survives, here, fetch))
    return found
