"""IPTC's digital source types: terms that say where an image came from, and the few that speak for one side.

Source: https://cv.iptc.org/newscodes/digitalsourcetype/
"""

import re

AI_TYPES = frozenset(
    {
        "trainedAlgorithmicMedia",
        "compositeWithTrainedAlgorithmicMedia",
        "compositeSynthetic",
        "trainedAlgorithmicData",
    }
)
"""Terms that mean a trained model, for the whole image or a part of it; the last is C2PA's own."""

CAPTURE_TYPES = frozenset({"digitalCapture", "computationalCapture", "negativeFilm", "positiveFilm"})
"""Terms that mean light on a sensor or on film."""


def read_term(address: str) -> str:
    """Return the term that a digital source type's address ends in; a bare term is its own."""
    return re.split(r"[/:]", address.strip().rstrip("/"))[-1]
