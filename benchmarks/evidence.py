"""What reading evidence costs: a JPEG that has none, one with a camera's EXIF, PNGs, and signed files of 5 MB.

    python benchmarks/evidence.py

Prints the median and the smallest of many runs, in milliseconds of the CPU, of `read_evidence` alone: the image is open
already.
Signing needs the development extra.
"""

import io
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from pyrite.evidence import Trust, read_evidence, trust_of
from pyrite.image import open_image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "evidence"))
from metadata_files import SETTINGS, Base, jpeg, png

from authority import make_authority, sign

RUNS = 200


def encode(side: int, name: str, **options: object) -> bytes:
    """Return a file of noise."""
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    PillowImage.fromarray(noise).save(stream, name, **options)
    return stream.getvalue()


def measure(name: str, data: bytes, trust: Trust | None = None, runs: int = RUNS) -> None:
    """Print what reading a file's evidence takes."""
    image = open_image(data, at_least=(32, 32))
    read_evidence(image, trust)
    costs = []
    for _ in range(runs):
        start = time.process_time()
        read_evidence(image, trust)
        costs.append(1000 * (time.process_time() - start))
    print(f"{name:<44} {len(data):>10,} bytes  median {statistics.median(costs):8.3f} ms  least {min(costs):8.3f} ms")


def main() -> None:
    """Measure each kind."""
    large = encode(2060, "JPEG", quality=95)
    authority = make_authority("Benchmark")
    signed = sign(large, source_type="trainedAlgorithmicMedia", signer=authority)
    measure("JPEG without metadata", encode(256, "JPEG"))
    measure("JPEG without metadata, large", large)
    measure("JPEG of a camera", jpeg({Base.Make: "Canon", Base.Model: "EOS"}, {Base.FNumber: 8.0}))
    measure("PNG with settings", png(parameters=SETTINGS))
    measure("PNG without metadata, 1,024 pixels a side", encode(1024, "PNG", compress_level=1), runs=50)
    measure("JPEG, signed, trusted by one list", signed, trust_of(authority[0]), runs=50)
    measure("JPEG, signed, with the lists of Pyrite", signed, runs=50)


if __name__ == "__main__":
    main()
