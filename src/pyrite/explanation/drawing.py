"""The picture's text, colours and layout, with Pillow alone."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Font = ImageFont.ImageFont | ImageFont.FreeTypeFont
PAPER: Colour = (255, 255, 255)
INK: Colour = (28, 27, 25)
MUTED: Colour = (105, 102, 95)
RULE: Colour = (217, 214, 207)
PALE: Colour = (241, 239, 234)
GREY: Colour = (150, 150, 150)
# Apart for the colour-blind too: Okabe and Ito's blue and vermilion.
REAL: Colour = (0, 114, 178)
AI: Colour = (213, 94, 0)
_LINE = 1.35  # of the size of a text, from line to line
# The font that comes with Pillow has few signs beyond ASCII.
_SIGNS = str.maketrans({"×": "x", "–": "-", "—": "-", "−": "-", "≤": "<=", "≥": ">="})
_DRAWN = "±…’“”"


def load_font(size: float) -> Font:
    """Return the font that comes with Pillow, at a size in pixels."""
    return ImageFont.load_default(size)


def write(text: str, width: int, size: float, colour: Colour = INK, ground: Colour = PAPER) -> Image.Image:
    """Draw a text at this width, in as many lines as it takes.

    Args:
        text: Characters that the font lacks are replaced.
        width: In pixels.
        size: Of the font, in pixels.
        colour: Of the letters.
        ground: The background.
    """
    font = load_font(size)
    lines = _wrap(drawable(text), font, width)
    picture = Image.new("RGB", (width, max(1, round(_LINE * size * len(lines)))), ground)
    draw = ImageDraw.Draw(picture)
    for i, line in enumerate(lines):
        draw.text((0, round(_LINE * size * i)), line, colour, font)
    return picture


def drawable(text: str) -> str:
    """Return a text in characters that the font has."""
    return "".join(sign if " " <= sign <= "~" or sign in _DRAWN else "?" for sign in text.translate(_SIGNS))


def stack(parts: Sequence[Image.Image], gap: int) -> Image.Image:
    """Stack pictures vertically, aligned left."""
    height = sum(part.height for part in parts) + gap * (len(parts) - 1)
    whole = Image.new("RGB", (max(part.width for part in parts), height), PAPER)
    top = 0
    for part in parts:
        whole.paste(part, (0, top))
        top += part.height + gap
    return whole


def beside(parts: Sequence[Image.Image], gap: int, column: int) -> Image.Image:
    """Put pictures side by side, aligned at the top, each in a column of this width."""
    width = column * len(parts) + gap * (len(parts) - 1)
    whole = Image.new("RGB", (width, max(part.height for part in parts)), PAPER)
    for i, part in enumerate(parts):
        whole.paste(part, (i * (column + gap), 0))
    return whole


def framed(part: Image.Image, margin: int) -> Image.Image:
    """Add a margin around a picture."""
    whole = Image.new("RGB", (part.width + 2 * margin, part.height + 2 * margin), PAPER)
    whole.paste(part, (margin, margin))
    return whole


def _wrap(text: str, font: Font, width: int) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if font.getlength(longer) <= width:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        for sign in word:  # A word that is wider than a line is broken.
            if lines[-1] and font.getlength(lines[-1] + sign) > width:
                lines.append("")
            lines[-1] += sign
    return lines
