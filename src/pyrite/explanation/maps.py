"""The picture of an image's history: its maps, what each can and cannot show, and its thumbnail."""

import base64
import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pyrite.bundle.preprocess import Pixels
from pyrite.explanation.drawing import INK, MUTED, PALE, PAPER, Colour, beside, framed, load_font, stack, write
from pyrite.explanation.history import History, Trace

_SMALLEST = 440  # Smaller images are enlarged by a whole number until their longer side has as many pixels.
_LETTERS = 1 / 29  # of a column's width: the size of its text
_PACKED = 480  # pixels on the longer side of a map that is sent
_UNKNOWN: Colour = (190, 190, 190)
# Viridis (S. van der Walt and N. Smith 2015, CC0) at equal distances: evenly brighter, also for the colour-blind.
_VIRIDIS = np.array([(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)], np.float64)


def draw_history(history: History) -> Image.Image:
    """Return the picture: the image beside its thumbnail, what the file says, and the maps."""
    image = Image.fromarray(history.pixels)
    scale = max(1, math.ceil(_SMALLEST / max(image.size)))
    panel = image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
    column = max(panel.width, _SMALLEST)
    size = column * _LETTERS
    gap = round(size)
    says = [write(item.detail, column, size) for item in history.evidence]
    says = says or [write("The file says nothing about its own history.", column, size)]
    first = [write("The image", column, size, MUTED), panel, *says]
    parts = [_draw_thumbnail(history, panel.size, column, size)]
    parts += [_draw_part(trace, panel.size, history, column, size) for trace in history.traces]
    rows = [beside([stack(first, gap // 2), parts[0]], gap, column), beside(parts[1:3], gap, column), *parts[3:]]
    title = "The image's own history"
    meaning = "Context for a person who compares parts of the image. None of this is a verdict, or changes one."
    width = rows[0].width
    intro = stack([write(title, width, 1.4 * size), write(meaning, width, size, MUTED)], 0)
    return framed(stack([intro, *rows], gap), gap)


def draw_map(trace: Trace, size: tuple[int, int], within: tuple[int, int]) -> Image.Image | None:
    """Return a map as a picture: dark where levels are low, bright where they are high, grey where there are none.

    Args:
        trace: A map. The picture is `None` if it has no levels.
        size: Width and height of the picture.
        within: Width and height of the image that the map's `region` is a part of.
    """
    if trace.levels is None or trace.region is None:
        return None
    low, high = scale_of(trace)
    known = np.isfinite(trace.levels)
    share = np.clip((np.where(known, trace.levels, low) - low) / (high - low), 0, 1)
    x, y = size[0] / within[0], size[1] / within[1]
    left, top, right, bottom = (round(at * by) for at, by in zip(trace.region, (x, y, x, y), strict=True))
    part = max(1, right - left), max(1, bottom - top)
    smooth = Image.fromarray(share.astype(np.float32)).resize(part, Image.Resampling.BILINEAR)
    picture = Image.new("RGB", size, _UNKNOWN)
    mask = Image.fromarray(known).resize(part, Image.Resampling.NEAREST)
    picture.paste(Image.fromarray(_colour(np.asarray(smooth))), (left, top), mask)
    return picture


def pack_history(history: History) -> dict[str, Any]:
    """Return a history as JSON has it, with the maps and the thumbnail as PNG pictures in data URLs.

    A map's `picture` covers the whole image, with 480 pixels on the longer side, or is `None`.
    """
    content = history.to_builtins()
    scale = _PACKED / max(history.size)
    size = max(1, round(history.size[0] * scale)), max(1, round(history.size[1] * scale))
    for packed, trace in zip(content["maps"], history.traces, strict=True):
        drawn = draw_map(trace, size, history.size)
        packed["picture"] = drawn and _data_url(drawn)
        packed["scale"] = drawn and scale_of(trace)
    small = history.thumbnail
    content["thumbnail"]["picture"] = None if small is None else _data_url(_from_pixels(small))
    return content


def _data_url(picture: Image.Image) -> str:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _from_pixels(pixels: Pixels) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(pixels))


def scale_of(trace: Trace) -> tuple[float, float]:
    """Return the levels drawn darkest and brightest: one cell in a hundred is beyond each."""
    assert trace.levels is not None
    known = trace.levels[np.isfinite(trace.levels)]
    if not len(known):
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(known, (1, 99)))
    if trace.about.kind == "ghosts":
        return 0.0, max(1.0, high)
    return low, max(high, low + 0.1)


def _draw_part(trace: Trace, size: tuple[int, int], history: History, column: int, letters: float) -> Image.Image:
    drawn = draw_map(trace, size, history.size)
    about = trace.about
    parts = [write(about.title, column, letters, MUTED)]
    if drawn is None:
        parts.append(_instead(trace.found, size, column, letters))
    else:
        parts += [drawn, _legend(trace, column, letters), write(trace.found, column, letters)]
    parts += [write(f"Shows: {about.shows}", column, letters), write(f"Limits: {about.limits}", column, letters)]
    return stack(parts, round(letters) // 2)


def _draw_thumbnail(history: History, size: tuple[int, int], column: int, letters: float) -> Image.Image:
    title = write("The thumbnail in its EXIF data, enlarged", column, letters, MUTED)
    if history.thumbnail is None:
        return stack([title, _instead(history.thumbnail_says, size, column, letters)], round(letters) // 2)
    small = _from_pixels(history.thumbnail)
    scale = min(size[0] / small.width, size[1] / small.height)
    shown = small.resize(
        (max(1, round(small.width * scale)), max(1, round(small.height * scale))), Image.Resampling.BICUBIC
    )
    return stack([title, shown, write(history.thumbnail_says, column, letters)], round(letters) // 2)


def _instead(text: str, size: tuple[int, int], column: int, letters: float) -> Image.Image:
    """Return what is drawn in place of a missing picture."""
    written = write(text, round(column - 4 * letters), letters, INK, PALE)
    whole = Image.new("RGB", (column, max(min(size[1], column // 2), round(written.height + 4 * letters))), PALE)
    whole.paste(written, (round(2 * letters), round(2 * letters)))
    return whole


def _legend(trace: Trace, width: int, letters: float) -> Image.Image:
    low, high = scale_of(trace)
    bar = Image.fromarray(_colour(np.linspace(0, 1, width)[None].repeat(round(letters), 0)))
    labels = Image.new("RGB", (width, round(1.4 * letters)), PAPER)
    draw = ImageDraw.Draw(labels)
    marks = ((0, "lm", f"{low:.2f}"), (width / 2, "mm", trace.about.unit), (width, "rm", f"{high:.2f}"))
    for x, anchor, label in marks:
        draw.text((x, 0.7 * letters), label, MUTED, load_font(0.85 * letters), anchor)
    return stack([bar, labels], 0)


def _colour(share: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return the colours (rows, columns, 3) of shares (rows, columns) from 0 to 1."""
    stops = np.linspace(0, 1, len(_VIRIDIS))
    return np.stack([np.interp(share, stops, channel) for channel in _VIRIDIS.T], axis=-1).round().astype(np.uint8)
