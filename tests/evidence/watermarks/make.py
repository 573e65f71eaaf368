"""Makes the golden files beside it with the real writer, once: they are kept, and tests need none of these packages.

    python -m venv scratch
    scratch/bin/pip install --no-deps invisible-watermark==0.2.0
    scratch/bin/pip install opencv-python-headless PyWavelets numpy pillow
    scratch/bin/python tests/evidence/watermarks/make.py

The package imports torch for another method than this one, so an empty module takes its place.
"""

import sys
import types
from pathlib import Path

sys.modules["torch"] = types.ModuleType("torch")
sys.modules["onnxruntime"] = types.ModuleType("onnxruntime")

import numpy as np  # noqa: E402
from imwatermark import WatermarkEncoder  # noqa: E402
from PIL import Image  # noqa: E402

HERE = Path(__file__).parent
SIDE = 256
SDXL = 0b101100111110110010010000011110111011000110011110
FLUX = 0b001010101111111010000111100111001111010100101110


def picture() -> np.ndarray:
    """Return a slope with a blue spot in each block, so that it takes few bytes, and each block holds its bit."""
    y, x = np.mgrid[:SIDE, :SIDE]
    plane = (64 + x // 16 * 3 + y // 16).astype(np.uint8)
    pixels = np.stack([plane] * 3, 2)
    spots = (x % 8 // 2 == 2) & (y % 8 // 2 == 1)
    pixels[spots, 2] += 80
    return pixels


def main() -> None:
    """Write one file for each mark."""
    marks = {
        "sdxl": ("bits", [int(bit) for bit in bin(SDXL)[2:]]),
        "flux": ("bits", [int(bit) for bit in bin(FLUX)[2:]]),
        "sd1": ("bytes", b"StableDiffusionV1"),
        "sd2": ("bytes", b"SDV2"),
    }
    for name, (kind, content) in marks.items():
        encoder = WatermarkEncoder()
        encoder.set_watermark(kind, content)
        marked = encoder.encode(np.ascontiguousarray(picture()[..., ::-1]), "dwtDct")
        Image.fromarray(marked[..., ::-1]).save(HERE / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
