"""What each kind of evidence can show, and what it cannot."""

from pyrite.results import Evidence, Reason, Strength

_FORGED = "prove it: this can be added to any image, changed, or removed."

# ledger.js has the same for the page.
POWERS = {
    "pixels": (
        "how usual this score is among the real and the AI images that calibrated the model.",
        "prove anything about a single image, or hold for other generators, cameras or sizes, for screenshots or "
        "edits.",
    ),
    "frames": ("which of several frames the verdict is about.", "say anything about the others."),
    "generator": ("what was written into the file, mostly by the program that made it.", _FORGED),
    "source_type": ("what was declared as the image's origin.", _FORGED),
    "watermark": ("that the pixels hold a watermark that a generator's code writes.", _FORGED),
    "camera": (
        "which camera and settings the file names.",
        "make an image real: the note can be copied into any file, and stays when a photo is edited.",
    ),
    "history": ("what programs and services left in the file.", _FORGED),
    "reader": ("that the file holds something that was not read.", "say what that is."),
}


def powers(item: Evidence) -> tuple[str, str] | None:
    """Return what a piece of evidence can show and what it cannot, as the ends of two sentences.

    `None` where there is nothing to say: of a score that decides nothing, and of a kind that is not known here.
    """
    if item.data.get("reason") == Reason.OUT_OF_SCOPE:
        return None
    if item.kind != "credentials":
        return POWERS.get(item.kind)
    if item.data.get("remote_url"):
        return "where credentials are said to be kept.", "show what they say: nothing was downloaded."
    if "valid" not in item.data:
        return "that there are credentials.", "show what they say: they could not be read."
    if not item.data["valid"]:
        return "that there are credentials, and that they are not valid for this file.", "show anything else."
    if item.strength is Strength.VERIFIED:
        return (
            "that a signer on the trust list stands behind this, and that the file has not changed since.",
            "show that the signer told the truth, or that the camera was not pointed at a screen or a print.",
        )
    if item.data.get("trusted"):
        return (
            "who signed this file, and that it has not changed since.",
            "show that the part about AI is true: it is by somebody whom no trust list vouches for.",
        )
    return (
        "what was claimed, and that the file has not changed since it was signed.",
        "show who signed: nobody on the trust list vouches for that.",
    )
