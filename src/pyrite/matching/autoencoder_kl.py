"""Autoencoders of latent diffusion (Rombach et al. 2022) as ONNX: Stable Diffusion's, SDXL's, SD3's and FLUX.1's.

Weights are named as Diffusers stores an `AutoencoderKL`. The latents are the mean of what the encoder gives, without
sampling; their scale and shift, which only diffusion needs, cancel. Images are computed with in [-1, 1].
"""

import math
import re

import numpy as np

from pyrite.errors import DecoderError
from pyrite.matching.layers import LATENTS, Layers, Weights, make_model

_GROUPS, _EPSILON = 32, 1e-6  # of every normalisation, in all that were published
_ENCODER, _DECODER = "encoder.down_blocks", "decoder.up_blocks"


def is_autoencoder_kl(weights: Weights) -> bool:
    """Say whether weights are named as an autoencoder of this kind."""
    return any(name.startswith(f"{_ENCODER}.") for name in weights)


def build_autoencoder_kl(weights: Weights, *, name: str) -> bytes:
    """Return an autoencoder as the content of an ONNX file; see `make_model`.

    Args:
        weights: See above.
        name: Of the graph.

    Raises:
        DecoderError: The weights are not of such an autoencoder, or there are others among them.
        MissingExtraError: onnx is not installed.
    """
    downs, ups = (_count(weights, prefix) for prefix in (_ENCODER, _DECODER))
    if downs != ups:
        raise DecoderError(
            f"The encoder of {name} has {downs} blocks, and its decoder {ups}: they are of two networks."
        )
    used: set[str] = set()

    def compute(layers: Layers, x: str) -> str:
        parts = layers.parts
        one, two = parts.number(1), parts.number(2)
        x = parts.add("Sub", parts.add("Mul", x, two), one)
        moments = _encode(layers, x, downs)
        if "quant_conv.weight" in weights:
            moments = layers.convolve("quant_conv", moments)
        channels = weights["decoder.conv_in.weight"].shape[1] if "decoder.conv_in.weight" in weights else 0
        starts, ends, axes = (parts.constant([number], np.int64) for number in (0, channels, 1))
        parts.add("Slice", moments, starts, ends, axes, out=LATENTS)
        y = layers.convolve("post_quant_conv", LATENTS) if "post_quant_conv.weight" in weights else LATENTS
        y = _decode(layers, y, ups)
        used.update(layers.used)
        return parts.add("Div", parts.add("Add", y, one), two)

    content = make_model(name, weights, 2 ** (downs - 1), compute)
    if left := sorted(set(weights) - used):
        raise DecoderError(
            f"The weights of {name} are not of an AutoencoderKL alone: {len(left):,} more, such as {left[0]}."
        )
    return content


def _encode(layers: Layers, x: str, blocks: int) -> str:
    """Add what makes the moments of an image: mean and logarithm of the variance."""
    x = layers.convolve("encoder.conv_in", x)
    for block in range(blocks):
        prefix = f"{_ENCODER}.{block}"
        for number in range(_count(layers.weights, f"{prefix}.resnets")):
            x = _residual(layers, f"{prefix}.resnets.{number}", x)
        if block < blocks - 1:
            # Padded on the right and below alone, as Diffusers does it.
            x = layers.convolve(f"{prefix}.downsamplers.0.conv", x, 2, pads=(0, 0, 1, 1))
    return layers.convolve(
        "encoder.conv_out", _activated(layers, "encoder.conv_norm_out", _middle(layers, "encoder", x))
    )


def _decode(layers: Layers, x: str, blocks: int) -> str:
    """Add what makes an image of latents."""
    x = _middle(layers, "decoder", layers.convolve("decoder.conv_in", x))
    for block in range(blocks):
        prefix = f"{_DECODER}.{block}"
        for number in range(_count(layers.weights, f"{prefix}.resnets")):
            x = _residual(layers, f"{prefix}.resnets.{number}", x)
        if block < blocks - 1:
            x = layers.convolve(f"{prefix}.upsamplers.0.conv", layers.repeat_pixels(x))
    return layers.convolve("decoder.conv_out", _activated(layers, "decoder.conv_norm_out", x))


def _middle(layers: Layers, half: str, x: str) -> str:
    x = _residual(layers, f"{half}.mid_block.resnets.0", x)
    if f"{half}.mid_block.attentions.0.group_norm.weight" in layers.weights:
        x = _attend(layers, f"{half}.mid_block.attentions.0", x)
    return _residual(layers, f"{half}.mid_block.resnets.1", x)


def _residual(layers: Layers, prefix: str, x: str) -> str:
    y = layers.convolve(f"{prefix}.conv1", _activated(layers, f"{prefix}.norm1", x))
    y = layers.convolve(f"{prefix}.conv2", _activated(layers, f"{prefix}.norm2", y))
    if f"{prefix}.conv_shortcut.weight" in layers.weights:
        x = layers.convolve(f"{prefix}.conv_shortcut", x)
    return layers.parts.add("Add", x, y)


def _activated(layers: Layers, prefix: str, x: str) -> str:
    """Add group normalisation and SiLU."""
    y = layers.normalise(prefix, x, _GROUPS, _EPSILON)
    return layers.parts.add("Mul", y, layers.parts.add("Sigmoid", y))


def _attend(layers: Layers, prefix: str, x: str) -> str:
    """Add self-attention between all places, with one head."""
    parts = layers.parts
    y = layers.normalise(f"{prefix}.group_norm", x, _GROUPS, _EPSILON)
    flat = parts.add("Reshape", y, parts.constant([0, 0, -1], np.int64))
    places = parts.add("Transpose", flat, perm=[0, 2, 1])

    def project(name: str, of: str) -> str:
        weight = parts.add("Transpose", layers.weight(f"{prefix}.{name}.weight"), perm=[1, 0])
        return parts.add("Add", parts.add("MatMul", of, weight), layers.weight(f"{prefix}.{name}.bias"))

    query, key, value = (project(name, places) for name in ("to_q", "to_k", "to_v"))
    channels = len(layers.weights[f"{prefix}.to_q.bias"])
    scores = parts.add("MatMul", query, parts.add("Transpose", key, perm=[0, 2, 1]))
    shares = parts.add("Softmax", parts.add("Mul", scores, parts.number(1 / math.sqrt(channels))), axis=-1)
    seen = project("to_out.0", parts.add("MatMul", shares, value))
    back = parts.add("Reshape", parts.add("Transpose", seen, perm=[0, 2, 1]), parts.add("Shape", x))
    return parts.add("Add", x, back)


def _count(weights: Weights, prefix: str) -> int:
    """Return how many numbered parts there are below a name."""
    pattern = re.compile(re.escape(prefix) + r"\.(\d+)\.")
    numbers = {int(match[1]) for name in weights if (match := pattern.match(name))}
    if numbers != set(range(len(numbers))) or not numbers:
        raise DecoderError(f"The weights are not of an AutoencoderKL: below {prefix} are {sorted(numbers) or 'none'}.")
    return len(numbers)
