"""Of an image that no bundle here is made for: what was looked at, what was not, and what one can do next."""

from pyrite.results import Detection, Reason

# unjudged.js has the same for the page.
NEXT_STEPS = (
    "Use a bundle for images of this size: the one that comes with Pyrite knows only images of 32 pixels a side.",
    "Find the original with a reverse image search: who published it first, and what do they say about it?",
    "Get the file from its source: screenshots, and copies from chats, have lost what cameras and generators write "
    "into files.",
)


def is_unjudged(found: Detection) -> bool:
    """Say whether no bundle had an image in scope, so that nothing judged its pixels."""
    reasons = [item.data.get("reason") for item in found.evidence if item.kind == "pixels"]
    return bool(reasons) and all(reason == Reason.OUT_OF_SCOPE for reason in reasons)


def looked_at(found: Detection, *, evidence: bool = True) -> dict[str, str]:
    """Return what was made of the pixels and of the file of such an image, by these names.

    Args:
        found: Its detection.
        evidence: Whether what its file says was read.
    """
    pixels = "Not judged: no bundle here is made for images of this size."
    return {"Pixels": pixels, "File": _file(found) if evidence else "Not looked at: reading evidence is switched off."}


def _file(found: Detection) -> str:
    count = sum(item.kind not in ("pixels", "frames", "reader") for item in found.evidence)
    if not count:
        return "No evidence found. That proves nothing, since it is easily removed."
    rests = "None of that decides the verdict." if found.reason is Reason.OUT_OF_SCOPE else "The verdict rests on that."
    return f"{count:,} piece{'' if count == 1 else 's'} of evidence found. {rests}"
