"""TrustMark: 100 bits that survive JPEG and resizing, most often an identifier.

Source: adobe/trustmark 0.9.2 (MIT), `trustmark.py` and `datalayer.py`, and trustmark-hailo 0.1.0 (MIT), which says what
its ONNX files take; T. Bui, S. Agarwal and J. Collomosse, TrustMark: Universal Watermarking for Arbitrary Resolution
Images, arXiv:2311.18297.
"""

from dataclasses import dataclass
from functools import cache
from math import comb

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from pyrite.evidence.values import tidy
from pyrite.evidence.watermarks.bch import find_errors
from pyrite.evidence.watermarks.pixels import full_pixels
from pyrite.evidence.watermarks.weights import Weights, load, weights_of
from pyrite.image import Box, Image
from pyrite.results import Evidence, Strength

_BITS, _CODED = 100, 96
"""Of all, and of those that the last four do not name the schema of."""
_MIN_SIDE = 128
"""Pixels; smaller images are not worth the time."""
_CHANCE = 1e-6
"""The most often that bits which mean nothing may pass for a mark of one schema."""


@dataclass(frozen=True, slots=True)
class Schema:
    """How many of the bits are the identifier; the others correct it."""

    name: str
    payload: int
    correctable: int

    @property
    def parity(self) -> int:
        """Bits that correct."""
        return _CODED - self.payload


SCHEMAS = (
    Schema("BCH_SUPER", 40, 8),
    Schema("BCH_5", 61, 5),
    Schema("BCH_4", 68, 4),
    Schema("BCH_3", 75, 3),
)
"""By the number in the last four bits."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One of the pairs of networks that write and read."""

    name: str
    file: str
    side: int
    """Pixels of the square that the network takes."""
    longest: float
    """How many times the shorter side the longer may be, or the square in the middle is marked alone."""


VARIANTS = (Variant("Q", "decoder_Q.onnx", 256, 2.0), Variant("P", "decoder_P.onnx", 224, 1.0))
"""Q is what its programs write if nothing else is chosen, P what Adobe's web pages read."""


@dataclass(frozen=True, slots=True)
class Payload:
    """What a mark says."""

    schema: Schema
    identifier: str
    """Its bits."""
    corrected: int
    """How many of the bits were wrong."""


def read_trustmark(image: Image) -> list[Evidence]:
    """Report a TrustMark, where its networks were fetched.

    Raises:
        PyriteError: A network is damaged.
    """
    if min(image.width, image.height) < _MIN_SIDE:
        return []
    for variant in VARIANTS:
        network = load(_weights(variant))
        whole = full_pixels(image, variant.side) if network else None
        if network is None or whole is None:
            continue
        logits = network(prepare(*whole, variant))
        if logits.shape == (1, _BITS) and (payload := decode(logits[0] > 0)):
            return [_to_evidence(variant, payload)]
    return []


def _weights(variant: Variant) -> Weights:
    return next(weights for weights in weights_of("trustmark") if weights.file == variant.file)


def prepare(pixels: NDArray[np.uint8], box: Box, variant: Variant) -> NDArray[np.float32]:
    """Return what a network takes of an image: (1, 3, side, side), -1 to 1.

    Args:
        pixels: (rows, columns, 3), sRGB.
        box: The part of them that is the image.
        variant: Which network.
    """
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    if max(width, height) > variant.longest * min(width, height):
        side = min(width, height)
        left, top = left + (width - side) // 2, top + (height - side) // 2
        right, bottom = left + side, top + side
    small = PillowImage.fromarray(pixels).resize(
        (variant.side, variant.side), PillowImage.Resampling.BILINEAR, (left, top, right, bottom)
    )
    return (np.asarray(small, np.float32) / 127.5 - 1).transpose(2, 0, 1)[None]


def decode(bits: NDArray[np.bool_]) -> Payload | None:
    """Return what 100 bits say, or `None` where they may as well be chance.

    Its own reader takes one in 40 random words for a mark (161 of 6,000). This takes fewer than one in a million, as
    `most_corrected` has it, and so corrects fewer bits of the schemas that have few to correct with. How often the bits
    of pictures without a mark pass has not been measured, for want of the networks.
    """
    word = int("".join("1" if bit else "0" for bit in bits), 2)
    number, coded = word & 0b1111, word >> 4
    if number >= len(SCHEMAS):
        return None
    schema = SCHEMAS[number]
    # Its writer fills up the last byte of the identifier with zeros before it computes what corrects it.
    filling = -schema.payload % 8
    payload, parity = coded >> schema.parity, coded & ((1 << schema.parity) - 1)
    length = _CODED + filling
    full = payload << (filling + schema.parity) | parity
    wrong = find_errors(full, length, schema.correctable)
    if wrong is None or len(wrong) > most_corrected(schema):
        return None
    for place in wrong:
        full ^= 1 << place
    filled = full >> schema.parity
    # Zeros alone are a code word too, and what a network gives that finds nothing at all.
    if not full or filled & ((1 << filling) - 1):
        return None
    return Payload(schema, f"{filled >> filling:0{schema.payload}b}", len(wrong))


@cache
def most_corrected(schema: Schema) -> int:
    """Return how many wrong bits are let pass: as many as keep chance marks below one in a million.

    Of all words with `n` coded bits, `sum(comb(n, i) for i in range(e + 1)) / 2**parity` lie within `e` bits of a code
    word, and one in 16 has the schema's number.
    """
    return max(
        wrong
        for wrong in range(schema.correctable + 1)
        if sum(comb(_CODED, i) for i in range(wrong + 1)) / 2 ** (schema.parity + 4) <= _CHANCE
    )


def _to_evidence(variant: Variant, payload: Payload) -> Evidence:
    wrong = payload.corrected
    told = "all bits agree" if not wrong else f"{wrong} of {_BITS} bits corrected"
    return Evidence(
        kind="watermark",
        strength=Strength.ASSERTED,
        says=None,
        detail=f"The pixels hold a TrustMark (variant {variant.name}, {told}): an identifier, to look up "
        "content credentials that the file has lost, or the number of another mark. Photographs can have one too, so "
        "it does not say whether the image was made with AI.",
        data=tidy(
            {
                "mark": "TrustMark",
                "variant": variant.name,
                "schema": payload.schema.name,
                "identifier": payload.identifier,
                "bits": _BITS,
                "agreeing_bits": _BITS - wrong,
            }
        ),
    )
