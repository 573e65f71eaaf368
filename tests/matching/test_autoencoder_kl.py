"""Stable Diffusion's kind of autoencoder, with random weights, against NumPy."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PillowImage
from tiny import convolve, tiny_weights

from hub import hub, run
from pyrite.errors import DecoderError
from pyrite.matching.autoencoder import open_autoencoder
from pyrite.matching.autoencoder_kl import build_autoencoder_kl, is_autoencoder_kl
from pyrite.runtime import Network
from web import web

Array = NDArray[np.float64]
WIDTHS, LATENTS = (32, 64), 4


def kl_weights(*, quantised: bool = True) -> dict[str, NDArray[np.float32]]:
    """Return weights of two blocks of one layer, as Diffusers names them; `quantised` as in SD, else as in SD3."""
    rng = np.random.default_rng(0)
    weights: dict[str, NDArray[np.float32]] = {}

    def layer(name: str, *shape: int) -> None:
        weights[f"{name}.weight"] = rng.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)
        weights[f"{name}.bias"] = rng.normal(0, 0.1, shape[0]).astype(np.float32)

    def norm(name: str, channels: int) -> None:
        weights[f"{name}.weight"] = rng.normal(1, 0.1, channels).astype(np.float32)
        weights[f"{name}.bias"] = rng.normal(0, 0.1, channels).astype(np.float32)

    def residual(name: str, given: int, made: int) -> None:
        norm(f"{name}.norm1", given)
        layer(f"{name}.conv1", made, given, 3, 3)
        norm(f"{name}.norm2", made)
        layer(f"{name}.conv2", made, made, 3, 3)
        if given != made:
            layer(f"{name}.conv_shortcut", made, given, 1, 1)

    def middle(half: str) -> None:
        residual(f"{half}.mid_block.resnets.0", WIDTHS[1], WIDTHS[1])
        norm(f"{half}.mid_block.attentions.0.group_norm", WIDTHS[1])
        for part in ("to_q", "to_k", "to_v", "to_out.0"):
            layer(f"{half}.mid_block.attentions.0.{part}", WIDTHS[1], WIDTHS[1])
        residual(f"{half}.mid_block.resnets.1", WIDTHS[1], WIDTHS[1])

    layer("encoder.conv_in", WIDTHS[0], 3, 3, 3)
    residual("encoder.down_blocks.0.resnets.0", WIDTHS[0], WIDTHS[0])
    layer("encoder.down_blocks.0.downsamplers.0.conv", WIDTHS[0], WIDTHS[0], 3, 3)
    residual("encoder.down_blocks.1.resnets.0", WIDTHS[0], WIDTHS[1])
    middle("encoder")
    norm("encoder.conv_norm_out", WIDTHS[1])
    layer("encoder.conv_out", 2 * LATENTS, WIDTHS[1], 3, 3)
    if quantised:
        layer("quant_conv", 2 * LATENTS, 2 * LATENTS, 1, 1)
        layer("post_quant_conv", LATENTS, LATENTS, 1, 1)
    layer("decoder.conv_in", WIDTHS[1], LATENTS, 3, 3)
    middle("decoder")
    residual("decoder.up_blocks.0.resnets.0", WIDTHS[1], WIDTHS[1])
    layer("decoder.up_blocks.0.upsamplers.0.conv", WIDTHS[1], WIDTHS[1], 3, 3)
    residual("decoder.up_blocks.1.resnets.0", WIDTHS[1], WIDTHS[0])
    norm("decoder.conv_norm_out", WIDTHS[0])
    layer("decoder.conv_out", 3, WIDTHS[0], 3, 3)
    return weights


def reconstruct(image: Array, w: dict[str, Array]) -> Array:
    """Reconstruct (3, height, width), written after Diffusers' `AutoencoderKL`."""

    def conv(name: str, x: Array) -> Array:
        return convolve(x, w[f"{name}.weight"], w[f"{name}.bias"])

    def norm(name: str, x: Array) -> Array:
        groups = x.reshape(32, -1)
        y = ((groups - groups.mean(1, keepdims=True)) / np.sqrt(groups.var(1, keepdims=True) + 1e-6)).reshape(x.shape)
        return y * w[f"{name}.weight"][:, None, None] + w[f"{name}.bias"][:, None, None]

    def silu(x: Array) -> Array:
        return x / (1 + np.exp(-x))

    def residual(name: str, x: Array) -> Array:
        y = conv(f"{name}.conv1", silu(norm(f"{name}.norm1", x)))
        y = conv(f"{name}.conv2", silu(norm(f"{name}.norm2", y)))
        return y + (conv(f"{name}.conv_shortcut", x) if f"{name}.conv_shortcut.weight" in w else x)

    def attend(name: str, x: Array) -> Array:
        places = norm(f"{name}.group_norm", x).reshape(len(x), -1).T
        q, k, v = (
            places @ w[f"{name}.{part}.weight"].T + w[f"{name}.{part}.bias"] for part in ("to_q", "to_k", "to_v")
        )
        scores = q @ k.T / np.sqrt(len(x))
        shares = np.exp(scores - scores.max(1, keepdims=True))
        seen = (shares / shares.sum(1, keepdims=True)) @ v
        out = seen @ w[f"{name}.to_out.0.weight"].T + w[f"{name}.to_out.0.bias"]
        return x + out.T.reshape(x.shape)

    def middle(half: str, x: Array) -> Array:
        x = attend(f"{half}.mid_block.attentions.0", residual(f"{half}.mid_block.resnets.0", x))
        return residual(f"{half}.mid_block.resnets.1", x)

    def shrink(name: str, x: Array) -> Array:
        """Convolve by a stride of 2 after a row and a column of zeros below and on the right."""
        padded = np.pad(x, ((0, 0), (1, 2), (1, 2)))  # `convolve` pads on both sides, and is asked for odd places.
        return convolve(padded, w[f"{name}.weight"], w[f"{name}.bias"])[:, 2:-1:2, 2:-1:2][
            :, : x.shape[1] // 2, : x.shape[2] // 2
        ]

    x = residual("encoder.down_blocks.0.resnets.0", conv("encoder.conv_in", 2 * image - 1))
    x = residual("encoder.down_blocks.1.resnets.0", shrink("encoder.down_blocks.0.downsamplers.0.conv", x))
    x = conv("encoder.conv_out", silu(norm("encoder.conv_norm_out", middle("encoder", x))))
    if "quant_conv.weight" in w:
        x = conv("quant_conv", x)
    latents = x[: len(x) // 2]
    x = conv("post_quant_conv", latents) if "post_quant_conv.weight" in w else latents
    x = residual("decoder.up_blocks.0.resnets.0", middle("decoder", conv("decoder.conv_in", x)))
    x = conv("decoder.up_blocks.0.upsamplers.0.conv", x.repeat(2, axis=1).repeat(2, axis=2))
    x = residual("decoder.up_blocks.1.resnets.0", x)
    return ((conv("decoder.conv_out", silu(norm("decoder.conv_norm_out", x))) + 1) / 2).clip(0, 1)


@pytest.mark.parametrize("quantised", [True, False])
def test_the_graph_computes_what_the_architecture_says(quantised: bool) -> None:
    weights = kl_weights(quantised=quantised)
    assert is_autoencoder_kl(weights)
    image = np.random.default_rng(1).random((1, 3, 8, 6), np.float32)
    network = Network(build_autoencoder_kl(weights, name="tiny"))
    assert network.metadata["stride"] == "2"
    expected = reconstruct(
        image[0].astype(np.float64), {name: value.astype(np.float64) for name, value in weights.items()}
    )
    assert np.mean((expected > 0) & (expected < 1)) > 0.3
    np.testing.assert_allclose(network(image)[0], expected, atol=2e-5)


def test_a_file_of_it_is_a_decoder_with_variants(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "vae.safetensors"
    save_file(kl_weights(), path)
    pixels = np.random.default_rng(2).integers(0, 256, (32, 32, 3), np.uint8)
    plain, coarse = (
        open_autoencoder(f"{path}{variant}", 32).reconstruct(pixels, np.random.default_rng(0))
        for variant in ("", ":levels=2")
    )
    assert plain.std() > 5
    assert not np.array_equal(plain, coarse)


def test_one_of_the_hub_is_fetched_once(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub", reason="The extra hub is not installed: there is no huggingface_hub.")
    from safetensors.numpy import save

    photos, asked = tmp_path / "photos", list[str]()
    photos.mkdir()
    drawn = np.random.default_rng(3).integers(0, 256, (40, 40, 3), np.uint8)
    PillowImage.fromarray(drawn).save(photos / "one.png")
    weights = save(kl_weights())
    files = {"vae/diffusion_pytorch_model.safetensors": weights, "unet/model.safetensors": b""}
    home = {"HF_HOME": str(tmp_path / "home")}

    def match(out: str, decoder: str, **environment: str) -> tuple[int, str]:
        options = ("--side", "32", "--views", "1", "--history", "none", "--decoder", decoder)
        return run("match", photos, "--out", tmp_path / out, *options, **home, **environment)

    with web(hub("owner/tiny-vae", files, asked)) as address:
        code, said = match("pairs", "hf:owner/tiny-vae", HF_ENDPOINT=address)
        assert code == 0, said
        code, said = match("none", "hf:owner/tiny-vae#vae/other.onnx", HF_ENDPOINT=address)
        assert (code, "vae/other.onnx of owner/tiny-vae cannot be fetched from the Hub" in said) == (1, True)
    assert not any("unet" in path for path in asked)
    assert list(tmp_path.glob("pairs/images/*/0-tiny-vae.png"))
    (decoder,) = json.loads((tmp_path / "pairs" / "match.json").read_text())["settings"]["decoders"]
    assert (decoder["given"], decoder["sha256"]) == ("hf:owner/tiny-vae", hashlib.sha256(weights).hexdigest())
    code, said = match("again", "hf:owner/tiny-vae:twice", HF_HUB_OFFLINE="1")
    assert code == 0, said


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda w: w.pop("decoder.conv_norm_out.bias"), "lack decoder.conv_norm_out.bias"),
        (lambda w: w.pop("decoder.conv_in.weight"), "lack decoder.conv_in.weight"),
        (lambda w: w.update({"loss.logvar": w["encoder.conv_in.bias"]}), "1 more, such as loss.logvar"),
        (lambda w: [w.pop(name) for name in list(w) if name.startswith("decoder.up_blocks.1")], "has 2 blocks"),
        (lambda w: [w.pop(name) for name in list(w) if name.startswith("decoder.up_blocks.0")], r"are \[1\]"),
    ],
)
def test_weights_that_are_not_all_of_it_are_refused_in_a_sentence(change: object, sentence: str) -> None:
    weights = kl_weights()
    change(weights)  # type: ignore[operator]
    with pytest.raises(DecoderError, match=sentence):
        build_autoencoder_kl(weights, name="odd")


def test_other_weights_are_not_taken_for_it() -> None:
    assert not is_autoencoder_kl(tiny_weights())
