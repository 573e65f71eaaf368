"""RivaGAN: 32 bits by a network, in the pixels of any format.

Source: `RivaWatermark` (method rivaGan) in ShieldMnt/invisible-watermark 0.2.0 (MIT); K. A. Zhang et al., Robust
Invisible Video Watermarking with Attention, arXiv:1909.01285.
"""

import numpy as np
from numpy.typing import NDArray

from pyrite.evidence.names import company_of
from pyrite.evidence.values import tidy
from pyrite.evidence.watermarks.haar import MARKS, Watermark
from pyrite.evidence.watermarks.pixels import full_pixels
from pyrite.evidence.watermarks.weights import load, weights_of
from pyrite.image import Image
from pyrite.results import Evidence, Extent, Strength, Verdict

BITS = 32
SIDE = 256
"""Pixels of the square in the middle that is read: nearly a second of one CPU, and four times that for twice the side.
Smaller images have no mark, since its writer refuses them."""
LEAST = 30
"""Bits that must agree with a known code. Over 184 pictures without a mark (photographs and AI images), the highest
agreement was 25. Of 26 pictures with one, by the real writer, 21 reach it as PNG, 20 and 19 as JPEG of quality 90 and
75; of 10, 8 once cut, and 7 and 6 resized to 80 and 65%. The others are too smooth for the mark."""
FIRM = 2.0
"""How far from the middle every bit must be where the code is not known. Over the same 184 pictures the bit nearest to
it was 0.75 away at most. Of the 26, 16 reach it as PNG, 12 and 2 as JPEG of quality 90 and 75, each with the right
code."""
_MIDDLE = 0.52
"""Above it, the writer's own reader takes a bit for 1."""


def read_rivagan(image: Image) -> list[Evidence]:
    """Report a RivaGAN mark, where its network was fetched.

    Raises:
        PyriteError: The network is damaged.
    """
    if min(image.width, image.height) < SIDE:
        return []
    network = load(weights_of("rivagan")[0])
    whole = full_pixels(image) if network else None
    if network is None or whole is None:
        return []
    output = network(prepare(whole[0]))
    return _judge(output[0]) if output.shape == (1, BITS) else []


def prepare(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return what the network takes of an image: (1, 3, 1, 256, 256), blue, green and red, -1 to 1.

    Args:
        pixels: (rows, columns, 3), sRGB, 256 or more on either side.
    """
    top, left = ((side - SIDE) // 2 for side in pixels.shape[:2])
    square = pixels[top : top + SIDE, left : left + SIDE, ::-1]
    return np.ascontiguousarray((square.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None, :, None])


def _judge(output: NDArray[np.float32]) -> list[Evidence]:
    """Report what the network's 32 outputs say, if anything."""
    bits = output > _MIDDLE
    for mark in MARKS:
        if len(mark.bits) == BITS:
            agreeing = int((bits == (np.frombuffer(mark.bits.encode(), np.uint8) == ord("1"))).sum())
            if agreeing >= LEAST:
                return [_known(mark, agreeing)]
    if np.abs(output - _MIDDLE).min() >= FIRM:
        return [_unknown(np.packbits(bits).tobytes())]
    return []


def _known(mark: Watermark, agreeing: int) -> Evidence:
    code = bytes(int(mark.bits[at : at + 8], 2) for at in range(0, BITS, 8)).decode("ascii")
    return Evidence(
        kind="watermark",
        strength=Strength.ASSERTED,
        says=Verdict.AI,
        detail=f"The pixels hold a RivaGAN mark with the code {code} ({agreeing} of {BITS} bits), which "
        f"is that of {mark.generator}, so the image was made with AI, or someone put the mark there.",
        data=tidy(
            {
                "mark": "RivaGAN",
                "generator": mark.generator,
                "company": company_of(mark.generator),
                "extent": Extent.WHOLE,
                "code": code.encode().hex(),
                "bits": BITS,
                "agreeing_bits": agreeing,
            }
        ),
    )


def _unknown(code: bytes) -> Evidence:
    text = code.decode("ascii", "replace")
    shown = f"{code.hex()} (“{text}”)" if text.isprintable() and text.isascii() else code.hex()
    return Evidence(
        kind="watermark",
        strength=Strength.ASSERTED,
        says=None,
        detail=f"The pixels hold a RivaGAN mark with the code {shown}, which Pyrite does not know. Anyone can "
        "put one into any picture, so it does not say whether the image was made with AI.",
        data=tidy({"mark": "RivaGAN", "code": code.hex(), "text": text if shown != code.hex() else None, "bits": BITS}),
    )
