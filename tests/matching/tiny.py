"""An autoencoder of the TAESD family that is small enough for tests, and photographs to match."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float64]
WIDTH, LATENTS = 8, 4  # channels


def tiny_weights(seed: int = 0, *, upsampling: str | None = None) -> dict[str, NDArray[np.float32]]:
    """Return random weights of an autoencoder of stride 2, with a normalised block on either side of its latents."""
    rng = np.random.default_rng(seed)
    weights: dict[str, NDArray[np.float32]] = {}

    def conv(prefix: str, given: int, made: int, side: int = 3, *, bias: bool = True) -> None:
        scale = 1 / np.sqrt(given * side * side)
        weights[f"{prefix}.weight"] = rng.normal(0, scale, (made, given, side, side)).astype(np.float32)
        if bias:
            weights[f"{prefix}.bias"] = rng.normal(0, 0.1, made).astype(np.float32)

    def block(prefix: str, *, pool: bool = False) -> None:
        for number in (0, 2, 4):
            conv(f"{prefix}.conv.{number}", WIDTH, WIDTH)
        if pool:
            conv(f"{prefix}.pool.0", WIDTH, 4 * WIDTH, 1, bias=False)
            weights[f"{prefix}.pool.1.weight"] = rng.normal(1, 0.1, 4 * WIDTH).astype(np.float32)
            weights[f"{prefix}.pool.1.bias"] = rng.normal(0, 0.1, 4 * WIDTH).astype(np.float32)
            conv(f"{prefix}.pool.3", 4 * WIDTH, WIDTH, 1, bias=False)

    conv("encoder.0", 3, WIDTH)
    conv("encoder.1", WIDTH, WIDTH, bias=False)
    block("encoder.2", pool=True)
    conv("encoder.3", WIDTH, LATENTS)
    conv("decoder.1", LATENTS, WIDTH)
    block("decoder.3", pool=True)
    conv("decoder.5", WIDTH, WIDTH, bias=False)
    conv("decoder.6", WIDTH, 3)
    if upsampling:
        shape = {
            "bilinear": (WIDTH, WIDTH, 3, 3),
            "transposed": (WIDTH, WIDTH, 4, 4),
            "shuffle": (4 * WIDTH, WIDTH, 3, 3),
        }
        del weights["decoder.5.weight"]
        weights[f"decoder.5.{upsampling}.weight"] = rng.normal(0, 0.1, shape[upsampling]).astype(np.float32)
    return weights


def write_tiny(path: Path, seed: int = 0) -> Path:
    """Write the autoencoder as ONNX."""
    from pyrite.matching.taesd import build_autoencoder

    path.write_bytes(build_autoencoder(tiny_weights(seed), name=path.stem))
    return path


def take_photograph(path: Path, width: int = 160, height: int = 120, seed: int = 0) -> Path:
    """Write a picture of a gradient and noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    scene = np.stack([x * 200 / width, y * 200 / height, (x + y) % 64], axis=-1) + rng.normal(20, 8, (height, width, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(scene.clip(0, 255).astype(np.uint8)).save(path, quality=95)
    return path


def convolve(
    x: NDArray[np.float64], weight: NDArray[np.float64], bias: NDArray[np.float64] | None = None, stride: int = 1
) -> NDArray[np.float64]:
    """Convolve (channels, height, width), pixel by pixel, as its definition has it."""
    side = weight.shape[-1]
    edge = side // 2
    padded = np.pad(x, ((0, 0), (edge, edge), (edge, edge)))
    height, width = (length // stride for length in x.shape[1:])
    made = np.zeros((len(weight), height, width))
    for row in range(height):
        for column in range(width):
            patch = padded[:, row * stride : row * stride + side, column * stride : column * stride + side]
            made[:, row, column] = (weight * patch).sum((1, 2, 3))
    return made if bias is None else made + bias[:, None, None]
