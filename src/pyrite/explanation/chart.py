"""A chart of an image's spectrum beside the averages of both classes."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pyrite.explanation.drawing import AI, INK, MUTED, PAPER, REAL, RULE, Colour, load_font, stack, write
from pyrite.explanation.spectra import Spectra
from pyrite.spectrum import BANDS

Floats = NDArray[np.float64]
_FINER = 3  # Lines are drawn so many times larger and brought down, for Pillow draws them with steps.
_BAND = 60  # of 255: how far one standard deviation around a mean is covered
_DECADE = math.log(10)


def draw_chart(spectrum: Floats, spectra: Spectra | None, width: int, size: float) -> Image.Image:
    """Draw the chart with its legend.

    Args:
        spectrum: (BANDS,), the natural logarithm of the power.
        spectra: Of both classes; without them, the image stands alone.
        width: In pixels.
        size: Of the letters, in pixels.
    """
    means = [(spectra.real, REAL, "real"), (spectra.ai, AI, "AI")] if spectra else []
    keys = [_key("this image", INK, width, size)]
    keys += [_key(f"average {name} image, ± 1 standard deviation", colour, width, size) for _, colour, name in means]
    height = round(0.62 * width)
    edges = [spectrum, *(np.add(of.mean, np.multiply(side, of.deviation)) for of, _, _ in means for side in (-1, 1))]
    low, high = np.min(edges) / _DECADE - 0.2, np.max(edges) / _DECADE + 0.2
    left, bottom = round(4.6 * size), height - round(1.8 * size)

    def place(band: float, log_power: float) -> tuple[float, float]:
        x = left + (width - 1 - left) * band / (BANDS - 1)
        return x, bottom * (1 - (log_power / _DECADE - low) / (high - low))

    picture = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(picture)
    font = load_font(0.85 * size)
    decades = range(math.ceil(low), math.floor(high) + 1)
    for decade in decades[:: 1 + len(decades) // 6]:
        y = place(0, decade * _DECADE)[1]
        draw.line([(left, y), (width, y)], RULE, max(1, round(size / 15)))
        draw.text((left - size / 2, y), f"{10.0**decade:g}", MUTED, font, anchor="rm")
    draw.text((left, height), "coarse", MUTED, font, anchor="ld")
    draw.text(((left + width) / 2, height), "fineness of detail", MUTED, font, anchor="md")
    draw.text((width - 1, height), "fine", MUTED, font, anchor="rd")

    def layer(points: list[tuple[float, float]], colour: Colour, alpha: int, thickness: float) -> None:
        mask = Image.new("L", (width * _FINER, height * _FINER))
        scaled = [(x * _FINER, y * _FINER) for x, y in points]
        if thickness:
            ImageDraw.Draw(mask).line(scaled, alpha, round(thickness * _FINER), joint="curve")
        else:
            ImageDraw.Draw(mask).polygon(scaled, alpha)
        picture.paste(colour, mask=mask.reduce(_FINER))

    for of, colour, _ in means:
        above, below = (np.add(of.mean, np.multiply(side, of.deviation)).tolist() for side in (1, -1))
        there, back = ([place(i, value) for i, value in enumerate(side)] for side in (above, below))
        layer([*there, *reversed(back)], colour, _BAND, 0)
    for of, colour, _ in means:
        layer([place(i, value) for i, value in enumerate(of.mean)], colour, 255, size / 8)
    layer([place(i, value) for i, value in enumerate(spectrum.tolist())], INK, 255, size / 5)
    title = write("Power of detail, on a logarithmic scale", width, size, MUTED)
    return stack([title, *keys, picture], round(size / 5))


def _key(name: str, colour: Colour, width: int, size: float) -> Image.Image:
    """Return a line of the legend."""
    indent = round(2.4 * size)
    text = write(name, width - indent, size)
    key = Image.new("RGB", (width, text.height), PAPER)
    key.paste(text, (indent, 0))
    ImageDraw.Draw(key).line([(0, 0.6 * size), (1.8 * size, 0.6 * size)], colour, max(2, round(size / 4)))
    return key
