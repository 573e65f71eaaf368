"""An explanation as one picture, for any image viewer."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from pyrite.explanation.chart import draw_chart
from pyrite.explanation.drawing import (
    AI,
    GREY,
    INK,
    MUTED,
    PALE,
    PAPER,
    REAL,
    beside,
    framed,
    load_font,
    stack,
    write,
)
from pyrite.explanation.values import Explanation, describe_faithfulness, describe_spectrum
from pyrite.rendering.text import budget_line
from pyrite.results import Detection, Verdict

LARGEST = 2048
"""The most pixels on the longer side of the image under the map."""
PNG: Mapping[str, Any] = {"format": "PNG", "compress_level": 3}
"""How pictures are saved. Of a photograph's, Pillow's own level of 6 takes 2.5 times as long, for 13% fewer bytes."""
_SMALLEST = 440  # Smaller images are enlarged by a whole number until their longer side has as many pixels.
_LETTERS = 1 / 29  # of a column's width: the size of its text
_COLOURS = {Verdict.AI: AI, Verdict.REAL: REAL, Verdict.UNCERTAIN: INK}
_BLACK = (72, 72, 72)
_STRONGEST = 0.8  # How far the colour of the largest value covers the image.
_MEANING = (
    "Orange parts raise the score for AI, compared with the same part blurred; blue parts lower it. The map shows "
    "where this model's score comes from. It does not show what was generated or edited, and proves nothing."
)


def draw(explanation: Explanation) -> Image.Image:
    """Return the picture: the image, the map over it, how far to trust the map, and the spectrum.

    Both panels have the image's own size, except for images of less than 440 pixels or more than 2,048 on the longer
    side; the picture says so. A map that is no better than random is left out, and the picture says so.
    """
    image = Image.fromarray(explanation.pixels)
    scale = max(1, math.ceil(_SMALLEST / max(image.size)))
    panel = image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
    column = max(panel.width, _SMALLEST)
    size = column * _LETTERS
    gap = round(size)
    if explanation.faithfulness.better_than_random:
        largest = float(np.abs(explanation.moved).max())
        panel_of_map = [_colour(panel, _spread(explanation, panel)), _legend(largest, column, size)]
        what = [write(_MEANING, column, size, MUTED)]
    else:
        panel_of_map, what = [_instead(panel.height, column, size)], []
    left = [
        write(_size_note(explanation, scale), column, size, MUTED),
        panel,
        *(write(line, column, size) for line in describe_faithfulness(explanation)),
        *what,
    ]
    right = [
        write("What moved the score", column, size, MUTED),
        *panel_of_map,
        write(describe_spectrum(explanation), column, size),
        draw_chart(explanation.spectrum, explanation.spectra, column, size),
    ]
    columns = beside([stack(left, gap // 2), stack(right, gap // 2)], gap, column)
    return framed(stack([_head(explanation, columns.width, size), columns], gap), gap)


def draw_verdict(detection: Detection, sentence: str, width: int, size: float) -> Image.Image:
    """Return the head of a picture: the verdict, and a sentence below it in letters of this size."""
    verdict = write(f"Verdict: {detection.verdict}", width, 1.8 * size, _COLOURS[detection.verdict])
    return stack([verdict, write(sentence, width, size)], 0)


def _head(explanation: Explanation, width: int, size: float) -> Image.Image:
    found = explanation.detection
    by = f"by {explanation.model.name} {explanation.model.version}"
    score = f"The pixels' score, {by}, leans towards {explanation.leans}. "
    if line := budget_line(found.verdict, found.probability):
        score = f"The pixels' score, {by}, is {line}. "
    elif found.probability is not None:
        score = f"Probability of AI from the pixels alone, {by}: {found.probability:.1%}. "
    return draw_verdict(found, f"{score}{found.explanation}", width, size)


def _size_note(explanation: Explanation, scale: int) -> str:
    found = explanation.detection
    size = f"The image, {found.width:,} × {found.height:,} pixels"
    if scale > 1:
        return f"{size}, each drawn as {scale} × {scale}"
    height, width = explanation.pixels.shape[:2]
    return size if (width, height) == (found.width, found.height) else f"{size}, reduced to {width:,} × {height:,}"


def _spread(explanation: Explanation, panel: Image.Image) -> NDArray[np.float32]:
    """Return how strongly to colour each pixel of the panel, -1 to 1, (height, width).

    Where cells lie side by side, the map is smoothed between their centres. Where they overlap, the mean is drawn;
    between them, nothing.
    """
    found, moved = explanation.detection, explanation.moved
    strength = (moved / (np.abs(moved).max() or 1)).astype(np.float32)
    x, y = panel.width / (found.width or panel.width), panel.height / (found.height or panel.height)
    whole = np.zeros((panel.height, panel.width), np.float32)
    if explanation.is_whole:
        left, top, right, bottom = explanation.region
        left, top, right, bottom = round(left * x), round(top * y), round(right * x), round(bottom * y)
        whole[top:bottom, left:right] = _smooth(strength, max(1, right - left), max(1, bottom - top))
        return whole
    count = np.zeros_like(whole)
    for (top, bottom), row in zip(explanation.rows, strength, strict=True):
        for (left, right), value in zip(explanation.columns, row.tolist(), strict=True):
            cell = np.s_[round(top * y) : round(bottom * y), round(left * x) : round(right * x)]
            whole[cell] += value
            count[cell] += 1
    np.divide(whole, count, out=whole, where=count > 0)
    return whole


def _smooth(strength: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(strength).resize((width, height), Image.Resampling.BILINEAR))


def _colour(panel: Image.Image, strength: NDArray[np.float32]) -> Image.Image:
    """Return the image in grey below the colours of the map, at the same size."""
    # Black would swallow the colours, so it becomes a grey.
    whole = ImageOps.colorize(ImageOps.grayscale(panel), _BLACK, PAPER)
    for colour, part in ((AI, strength), (REAL, -strength)):
        mask = (np.clip(part, 0, 1) * 255 * _STRONGEST).round().astype(np.uint8)
        whole.paste(colour, mask=Image.fromarray(mask))
    return whole


def _legend(largest: float, width: int, size: float) -> Image.Image:
    ground = Image.new("RGB", (width, round(size)), GREY)
    bar = _colour(ground, _smooth(np.linspace(-1, 1, width, dtype=np.float32)[None], *ground.size))
    labels = Image.new("RGB", (width, round(1.4 * size)), PAPER)
    marks = ((0, "lm", f"-{largest:.2f}, to real"), (width / 2, "mm", "0"), (width, "rm", f"to AI, +{largest:.2f}"))
    for x, anchor, label in marks:
        ImageDraw.Draw(labels).text((x, 0.7 * size), label, MUTED, load_font(size), anchor)
    return stack([bar, labels, write("How much each part moves the log-odds of AI", width, size, MUTED)], 0)


def _instead(height: int, width: int, size: float) -> Image.Image:
    """Return what is drawn in place of a map that would mislead."""
    text = write("No map is shown: it is no better than random.", round(width - 4 * size), size, INK, PALE)
    whole = Image.new("RGB", (width, max(height, round(text.height + 4 * size))), PALE)
    whole.paste(text, (round(2 * size), round(2 * size)))
    return whole
