"""Of an image that no bundle here judges: what was looked at, what was not, and what one can do next."""

from pyrite.results import Detection, Reason

# unjudged.js has the same for the page.
NEXT_SIZE = (
    "Use a bundle for images of this size: the one that comes with Pyrite knows only images of 32 pixels a side. "
    "`pyrite bundle catalogue` lists others."
)
NEXT_FOREIGN = (
    "Judge the picture by itself: a border, a collage or a caption makes it look unlike what the bundle was made for."
)
NEXT_STEPS = (
    "Find the original with a reverse image search: who published it first, and what do they say about it?",
    "Get the file from its source: screenshots, and copies from chats, have lost what cameras and generators write "
    "into files.",
)


def is_unjudged(found: Detection) -> bool:
    """Say whether no bundle had an image in scope, so that nothing judged its pixels."""
    reasons = [item.data.get("reason") for item in found.evidence if item.kind == "pixels"]
    return bool(reasons) and all(reason == Reason.OUT_OF_SCOPE for reason in reasons)


def is_foreign(found: Detection) -> bool:
    """Say whether an image has a size that a bundle is made for, and looks unlike those that calibrated it."""
    return is_unjudged(found) and any(item.data.get("p_typical") is not None for item in found.evidence)


def next_steps(found: Detection) -> tuple[str, ...]:
    """Return what one can do with an image that is out of scope, or with any other."""
    if found.reason is not Reason.OUT_OF_SCOPE:
        return NEXT_STEPS
    return (NEXT_FOREIGN if is_foreign(found) else NEXT_SIZE, *NEXT_STEPS)


def looked_at(found: Detection, *, evidence: bool = True) -> dict[str, str]:
    """Return what was made of the pixels and of the file of such an image, by these names.

    Args:
        found: Its detection.
        evidence: Whether what its file says was read.
    """
    pixels = (
        "Not judged: the image looks unlike those that calibrated the bundle."
        if is_foreign(found)
        else "Not judged: no bundle here is made for images of this size."
    )
    return {"Pixels": pixels, "File": _file(found) if evidence else "Not looked at: reading evidence is switched off."}


def _file(found: Detection) -> str:
    count = sum(item.kind not in ("pixels", "frames", "reader") for item in found.evidence)
    if not count:
        return "No evidence found. That proves nothing, since it is easily removed."
    rests = "None of that decides the verdict." if found.reason is Reason.OUT_OF_SCOPE else "The verdict rests on that."
    return f"{count:,} piece{'' if count == 1 else 's'} of evidence found. {rests}"
