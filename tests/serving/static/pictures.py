"""Small files to drop on the page."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

SETTINGS = (
    "a duck, by a lake\nNegative prompt: blurry\n"
    "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 4183556137, Size: 512x512, Model: duck_v2"
)


def picture(brightness: float = 127.5, size: int = 32, **texts: str) -> bytes:
    """Return a PNG of noise with this mean, and with these texts in it."""
    noise = np.random.default_rng(int(10 * brightness)).integers(-40, 41, (size, size, 3))
    pixels = np.clip(noise - noise.mean() + brightness, 0, 255).round().astype(np.uint8)
    info = PngImagePlugin.PngInfo()
    for key, text in texts.items():
        info.add_text(key, text)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", pnginfo=info)
    return stream.getvalue()


def chessboard() -> bytes:
    """Return a PNG that the model of `served_bundle` calls AI for its top left corner."""
    light = np.indices((32, 32)).sum(0) % 2 == 0
    stream = io.BytesIO()
    Image.fromarray(np.repeat(np.where(light, 200, 50).astype(np.uint8)[..., None], 3, axis=2)).save(stream, "PNG")
    return stream.getvalue()


def plain(brightness: int) -> bytes:
    """Return a PNG of one colour, of which no part moves a score when it is blurred."""
    stream = io.BytesIO()
    Image.new("RGB", (32, 32), (brightness,) * 3).save(stream, "PNG")
    return stream.getvalue()


def camera() -> bytes:
    """Return a JPEG with a camera's note."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Nikon", "D70"
    exif.get_ifd(0x8769).update({0x829A: 1 / 125, 0x829D: 5.6})
    stream = io.BytesIO()
    Image.new("RGB", (32, 32), (60, 60, 60)).save(stream, "JPEG", exif=exif)
    return stream.getvalue()


def write(folder: Path, **files: bytes) -> list[Path]:
    """Write files, whose names end with .png where they have no other end, and return their paths."""
    paths = [folder / (name.replace("__", ".") if "__" in name else f"{name}.png") for name in files]
    for path, content in zip(paths, files.values(), strict=True):
        path.write_bytes(content)
    return paths
