"""IPTC's digital source types: terms that say where an image came from, and the few that speak for one side.

Source: https://cv.iptc.org/newscodes/digitalsourcetype/ and the C2PA technical specification 2.2, on actions.
"""

import re
from collections.abc import Mapping

from pyrite.results import Extent

DID: Mapping[Extent, str] = {
    Extent.WHOLE: "made with AI",
    Extent.PART: "changed with AI",
    Extent.UNKNOWN: "made or changed with AI",
}
"""What a sentence says that AI did to an image."""
TERMS: Mapping[str, str] = {
    "digitalCapture": "captured by a digital camera",
    "computationalCapture": "captured by a digital camera from several images or with computation",
    "multiFrameComputationalCapture": "captured by a digital camera from several images",
    "negativeFilm": "digitised from a negative",
    "positiveFilm": "digitised from a positive",
    "print": "digitised from a print or another flat medium",
    "minorHumanEdits": "with minor edits by a person",
    "humanEdits": "edited by a person",
    "compositeCapture": "composed of captures",
    "algorithmicallyEnhanced": "enhanced by an algorithm",
    "dataDrivenMedia": "made from data",
    "digitalArt": "drawn by a person with digital tools",
    "digitalCreation": "created by a person with digital tools",
    "virtualRecording": "recorded in a virtual world",
    "compositeSynthetic": "composed of parts of which at least one was made with AI",
    "trainedAlgorithmicMedia": "made with AI",
    "compositeWithTrainedAlgorithmicMedia": "changed with AI",
    "trainedAlgorithmicData": "data from a trained model",
    "algorithmicMedia": "made by an algorithm that nobody trained",
    "screenCapture": "captured from a screen",
    "composite": "composed of several parts",
    "softwareImage": "made by software",
    "empty": "an empty image",
}
"""Every term, with the retired ones, and C2PA's own (`trainedAlgorithmicData`, `empty`)."""

AI_EXTENTS: Mapping[str, Extent] = {
    "trainedAlgorithmicMedia": Extent.WHOLE,
    "compositeWithTrainedAlgorithmicMedia": Extent.PART,
    "compositeSynthetic": Extent.PART,
    "trainedAlgorithmicData": Extent.UNKNOWN,
}
"""Terms that mean a trained model, and for how much of the image."""

CAPTURE_TYPES = frozenset({"digitalCapture", "computationalCapture", "negativeFilm", "positiveFilm"})
"""Terms that mean light on a sensor or on film."""

BY_NAME = {term.lower(): term for term in TERMS}
# What the vocabulary calls them for people, and some programs write instead.
BY_NAME |= {
    "created using generative ai": "trainedAlgorithmicMedia",
    "edited using generative ai": "compositeWithTrainedAlgorithmicMedia",
    "trained algorithmic media": "trainedAlgorithmicMedia",
    "trained algorithm media": "trainedAlgorithmicMedia",
    "composite with trained algorithmic media": "compositeWithTrainedAlgorithmicMedia",
    "composite including synthetic elements": "compositeSynthetic",
    "composite including generative ai elements": "compositeSynthetic",
    "digital capture": "digitalCapture",
}
"""Terms by what writers call them, in lower case."""


def read_term(address: str) -> str:
    """Return the term that a digital source type's address ends in, as the vocabulary spells it.

    An address may begin with http or https or a prefix, a bare term is its own, and a term that is not in the
    vocabulary stays as it is.
    """
    text = address.strip()
    term = re.split(r"[/:#]", text.rstrip("/#"))[-1]
    return BY_NAME.get(term.lower(), BY_NAME.get(text.lower(), term))
