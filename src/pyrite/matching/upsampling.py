"""Other ways to double the resolution in a decoder of the TAESD family, which leave another trace.

TAESD's decoder repeats pixels, and convolves. Another may interpolate instead, or have a transposed convolution, or a
convolution to four times the channels that are then shuffled into place (Shi et al. 2016). The last two can compute
exactly what the original does. They start from that with noise on their weights, so that tuning leads elsewhere.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pyrite.errors import DecoderError
from pyrite.matching.layers import Weights
from pyrite.matching.taesd import modules_of

Upsampling = Literal["bilinear", "transposed", "shuffle"]
Floats = NDArray[np.float32]
NOISE = 0.5
"""On weights that are new: a share of their standard deviation."""


def upsample_by(weights: Weights, way: Upsampling, *, seed: int = 0, noise: float = NOISE) -> dict[str, NDArray[Any]]:
    """Return weights whose decoder doubles the resolution another way, before they are tuned.

    Args:
        weights: Of an autoencoder that repeats pixels.
        way: The other way.
        seed: Of the noise.
        noise: On the weights of `transposed` and `shuffle`: a share of their standard deviation.

    Raises:
        DecoderError: It does not repeat pixels.
    """
    rng = np.random.default_rng(seed)
    doubling = [prefix for prefix, kind in modules_of(weights, "decoder") if kind == "nearest"]
    if not doubling:
        raise DecoderError("The decoder does not double the resolution by repeating pixels, so that cannot be changed.")
    found = {name: value for name, value in weights.items() if name.removesuffix(".weight") not in doubling}
    for prefix in doubling:
        kernel = weights[f"{prefix}.weight"].astype(np.float32)
        if way == "bilinear":
            found[f"{prefix}.bilinear.weight"] = kernel
            continue
        new = _transposed(kernel) if way == "transposed" else _shuffled(kernel)
        new = new + rng.normal(0, noise * new.std(), new.shape).astype(np.float32)
        found[f"{prefix}.{way}.weight"] = new
    return found


def _transposed(kernel: Floats) -> Floats:
    """Return the (in, out, 4, 4) of a transposed convolution that repeats pixels and convolves, (out, in, 3, 3)."""
    found = np.zeros((kernel.shape[1], kernel.shape[0], 4, 4), np.float32)
    turned = kernel.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
    for row in range(2):
        for column in range(2):
            found[:, :, row : row + 3, column : column + 3] += turned
    return found


def _shuffled(kernel: Floats) -> Floats:
    """Return the (4 × out, in, 3, 3) of a convolution whose shuffled channels are the same, (out, in, 3, 3)."""
    found = np.zeros((len(kernel), 2, 2, kernel.shape[1], 3, 3), np.float32)
    for row in range(2):
        for column in range(2):
            for i in range(3):
                for j in range(3):
                    # Where a pixel of the doubled image lies in the small one, from -1 to 1.
                    y, x = (row + i - 1) // 2 + 1, (column + j - 1) // 2 + 1
                    found[:, row, column, :, y, x] += kernel[:, :, i, j]
    return found.reshape(-1, kernel.shape[1], 3, 3)
