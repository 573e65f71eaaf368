"""Images of one colour, whose score can be told by hand."""

from pathlib import Path

from PIL import Image


def paint(path: Path, brightness: int) -> None:
    """Write a grey image of 32 pixels a side, in a folder that is made for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (32, 32), (brightness,) * 3).save(path)
