"""How a JPEG was compressed: whose tables, and whether it was saved as JPEG before. Context, read where asked for.

Saved twice, the first time more coarsely, a JPEG's coefficients pile up at some multiples of the second step and leave
others empty, so that their histogram has a period.
Source: A. C. Popescu and H. Farid, "Statistical tools for digital forensics", Information Hiding 2004.
"""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL.JpegPresets import presets

from pyrite.evidence.values import tidy
from pyrite.image import Image
from pyrite.results import Evidence, Strength

PERIODIC = 8.0
"""The strength of a period from which on a JPEG counts as saved twice. Of 149 photographs saved once, at seven
qualities from 60 to 98, none of 1,043 files reaches it (7.5 at most); saved at 60 and 85, 75 and 90, 85 and 95, or 90
and 95, 86 to 93% do. Where the second save is the coarser one, or about the same, next to none do."""
FALSE_ALARMS = (0, 1_043)
"""How many files saved once reach that, and of how many; see `PERIODIC`."""

# The tables of the JPEG standard (ITU-T T.81, annex K.1) for brightness, which libjpeg scales by quality.
_STANDARD = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55], [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62], [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)  # fmt: skip
_MODES = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (1, 2), (2, 1), (0, 3), (3, 0))
"""Row and column of the low frequencies whose histograms are looked at."""
_LARGEST = 48
"""Multiples of the step up to which coefficients are counted."""
_MIN_COUNT, _MIN_BINS = 500, 8
_MAX_PIXELS = 1 << 21
_SPECTRUM = 128
_SLOWEST = 10
"""Frequencies below this many of `_SPECTRUM` are the histogram's own shape."""


def read_compression(image: Image) -> list[Evidence]:
    """Report a JPEG's tables, and whether it was saved as JPEG before; decodes its brightness once more.

    Args:
        image: As it was opened from a file; of other formats there is nothing to say.
    """
    if image.data is None or image.format not in ("JPEG", "MPO"):
        return []
    with PillowImage.open(io.BytesIO(image.data), formats=["JPEG", "MPO"]) as canvas:
        tables = getattr(canvas, "quantization", {})
        if 0 not in tables:
            return []
        table = np.array(tables[0]).reshape(8, 8)
        canvas.draft("L", canvas.size)
        rows = max(8, _MAX_PIXELS // max(1, canvas.width))
        brightness = np.asarray(canvas.convert("L").crop((0, 0, canvas.width, min(canvas.height, rows))), np.float32)
    quality, preset = find_quality(table), find_preset(tables)
    period = measure_period(brightness, table)
    whose = f"libjpeg's at quality {quality}" if quality else f"Photoshop's “{preset}”" if preset else "a program's own"
    twice = period is not None and period > PERIODIC
    alarms, of = FALSE_ALARMS
    told = (
        f"its coefficients show that it was saved as JPEG before, more coarsely ({alarms:,} of {of:,} files saved once "
        "show such); most services save images again, so this is not a sign of forgery"
        if twice
        else "no sign was found that it was saved as JPEG before; one shows only if it was saved more coarsely then"
    )
    return [
        Evidence(
            kind="compression",
            strength=Strength.ASSERTED,
            says=None,
            detail=f"The JPEG's tables are {whose}, and {told}.",
            data=tidy(
                {
                    "quality": quality,
                    "preset": preset,
                    "table": [int(step) for step in table.ravel()[:8]],
                    "period": None if period is None else round(period, 2),
                    "saved_before": twice,
                    "false_alarms": {"files": alarms, "of": of},
                }
            ),
        )
    ]


def find_quality(table: NDArray[np.int_]) -> int | None:
    """Return the quality, 1 to 100, at which libjpeg scales the standard's table to this one, or `None`."""
    return next((quality for quality in range(1, 101) if np.array_equal(scale_table(quality), table)), None)


def scale_table(quality: int) -> NDArray[np.int_]:
    """Return the (8, 8) quantisation steps of brightness that libjpeg takes at a quality, 1 to 100."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    steps: NDArray[np.int_] = np.clip((_STANDARD * scale + 50) // 100, 1, 255)
    return steps


def estimate_quality(image: Image) -> int | None:
    """Return the quality, 1 to 100, whose libjpeg table is the nearest to a JPEG's own; `None` of other formats."""
    if image.data is None or image.format not in ("JPEG", "MPO"):
        return None
    with PillowImage.open(io.BytesIO(image.data), formats=["JPEG", "MPO"]) as canvas:
        table = np.array(getattr(canvas, "quantization", {}).get(0, [1] * 64)).reshape(8, 8)
    return min(range(1, 101), key=lambda quality: int(np.abs(scale_table(quality) - table).sum()))


def find_preset(tables: dict[int, Sequence[int]]) -> str | None:
    """Return which of Photoshop's presets, as Pillow lists them, has these tables."""
    listed = [list(tables[key]) for key in sorted(tables)][:2]
    known: dict[str, Any] = presets
    for name, preset in known.items():
        if [list(table) for table in preset["quantization"]][: len(listed)] == listed:
            return name
    return None


def measure_period(brightness: NDArray[np.float32], table: NDArray[np.int_]) -> float | None:
    """Return how strong a period the histograms of low frequencies have: the median over them, 0 and up.

    Counts, as their square roots with about the same noise, are freed of their trend; the largest part of their
    spectrum is held against what noise alone gives. `None` where there is too little to count.

    Args:
        brightness: (rows, columns), 0 to 255.
        table: (8, 8) quantisation steps.
    """
    rows, columns = (side // 8 * 8 for side in brightness.shape)
    if not rows or not columns:
        return None
    blocks = (brightness[:rows, :columns] - 128).reshape(rows // 8, 8, columns // 8, 8).swapaxes(1, 2)
    found = []
    for row, column in _MODES:
        wave = np.outer(COSINES[row], COSINES[column]).astype(np.float32)
        steps = np.rint(np.tensordot(blocks, wave, axes=2) / table[row, column]).astype(np.int64)
        strength = _strength(np.abs(steps).ravel())
        if strength is not None:
            found.append(strength)
    return float(np.median(found)) if found else None


def _strength(steps: NDArray[np.int64]) -> float | None:
    counts = np.bincount(steps[(steps > 0) & (steps <= _LARGEST)], minlength=_LARGEST + 1)[1:].astype(np.float64)
    total = counts.sum()
    if total < _MIN_COUNT:
        return None
    length = min(_LARGEST, int(np.searchsorted(np.cumsum(counts), 0.97 * total)) + 1)
    if length < _MIN_BINS:
        return None
    roots, at = np.sqrt(counts[:length]), np.arange(length)
    rest = roots - np.polynomial.Polynomial.fit(at, roots, min(4, length - 3))(at)
    window = np.hanning(length)
    spectrum = np.abs(np.fft.rfft(rest * window, _SPECTRUM))[_SLOWEST:]
    # The square root of a Poisson variable has a standard deviation of a half.
    return float(spectrum.max() / (0.5 * np.sqrt((window**2).sum())))


COSINES = np.sqrt(2 / 8) * np.cos((2 * np.arange(8)[None] + 1) * np.arange(8)[:, None] * np.pi / 16)
COSINES[0] /= np.sqrt(2)
