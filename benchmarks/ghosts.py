"""How often JPEG ghosts are found where there are some, and where there are none: the figures in docs/explanation.md.

    python benchmarks/ghosts.py FOLDER

FOLDER has photographs as PNG, of 440 pixels or more on the shorter side. They are halved, which leaves nothing of
earlier saves. A square of 96 × 96 pixels is replaced by another photograph's.
"""

import io
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pyrite.explanation.traces import CELL, Ghost, find_ghost

Pixels = NDArray[np.uint8]
SHORTEST, SIDE, AT, APART = 440, 96, 64, 0.3
ONCE = (70, 80, 90, 95, None)
TWICE = ((60, 80), (75, 90), (85, 95), (75, None))


def load(folder: Path) -> list[Pixels]:
    """Return photographs at half their size, cut to whole cells."""
    found = []
    for path in sorted(folder.glob("*.png")):
        with Image.open(path) as image:
            if min(image.size) >= SHORTEST:
                half = np.asarray(image.convert("RGB").reduce(2))
                rows, columns = (side // CELL * CELL for side in half.shape[:2])
                found.append(half[:rows, :columns])
    return found


def save(pixels: Pixels, quality: int | None) -> Pixels:
    """Return an image after a save as JPEG, or as it is."""
    if quality is None:
        return pixels
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    with Image.open(stream) as image:
        return np.asarray(image)


def contrast(ghost: Ghost | None) -> float:
    """Return by how much the median dip outside the square is above that inside; 0 where there is no ghost."""
    if ghost is None:
        return 0.0
    start, end = AT // CELL, (AT + SIDE) // CELL
    inside, outside = np.zeros(ghost.dips.shape, np.bool_), np.ones(ghost.dips.shape, np.bool_)
    inside[start + 1 : end - 1, start + 1 : end - 1] = True
    outside[start - 1 : end + 1, start - 1 : end + 1] = False
    medians = (ghost.dips[part & np.isfinite(ghost.dips)] for part in (outside, inside))
    without, within = (float(np.median(values)) if len(values) else 0.0 for values in medians)
    return without - within


def main() -> None:
    """Print how many of all."""
    photographs = load(Path(sys.argv[1]))
    print(f"{len(photographs)} photographs")
    for last in ONCE:
        found = sum(find_ghost(save(image, last), last) is not None for image in photographs)
        print(f"saved at {last}: {found} have a ghost")
    for first, last in TWICE:
        told = [0, 0]
        for image, other in zip(photographs, np.roll(np.arange(len(photographs)), -7), strict=True):
            for i, (whole, part) in enumerate(((first, None), (None, first))):
                spliced = save(image, whole).copy()
                spliced[AT : AT + SIDE, AT : AT + SIDE] = save(photographs[other], part)[CELL:, CELL:][:SIDE, :SIDE]
                found_contrast = contrast(find_ghost(save(spliced, last), last))
                told[i] += (found_contrast if i == 0 else -found_contrast) > APART
        print(f"saved at {first}, then {last}: told apart {told[0]}; square alone saved before {told[1]}")


if __name__ == "__main__":
    main()
