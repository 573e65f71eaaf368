"""The graph of an autoencoder, against NumPy."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny import convolve, tiny_weights

from pyrite.errors import DecoderError
from pyrite.matching.taesd import build_autoencoder, read_weights
from pyrite.runtime import Network

SHARED = Path(__file__).parents[3] / "shared" / "data" / "decoders" / "taef2.safetensors"
SHIPPED = Path(__file__).parents[2] / "src" / "pyrite" / "decoders" / "taef2.onnx"
Array = NDArray[np.float64]


def pool(x: Array, w: dict[str, Array], prefix: str) -> Array:
    wide = convolve(x, w[f"{prefix}.0.weight"])
    groups = wide.reshape(4, -1)
    normal = (groups - groups.mean(1, keepdims=True)) / np.sqrt(groups.var(1, keepdims=True) + 1e-5)
    scaled = normal.reshape(wide.shape) * w[f"{prefix}.1.weight"][:, None, None] + w[f"{prefix}.1.bias"][:, None, None]
    return convolve(np.maximum(scaled, 0), w[f"{prefix}.3.weight"])


def block(x: Array, w: dict[str, Array], prefix: str) -> Array:
    x = x + pool(x, w, f"{prefix}.pool")
    y = x
    for number in (0, 2, 4):
        y = convolve(y, w[f"{prefix}.conv.{number}.weight"], w[f"{prefix}.conv.{number}.bias"])
        y = np.maximum(y, 0) if number < 4 else y
    return np.maximum(y + x, 0)


def double(x: Array, w: dict[str, Array], way: str | None) -> Array:
    if way is None:
        return convolve(x.repeat(2, axis=1).repeat(2, axis=2), w["decoder.5.weight"])
    weight = w[f"decoder.5.{way}.weight"]
    if way == "shuffle":
        wide = convolve(x, weight)
        channels, height, width = wide.shape
        return (
            wide.reshape(channels // 4, 2, 2, height, width)
            .transpose(0, 3, 1, 4, 2)
            .reshape(channels // 4, 2 * height, 2 * width)
        )
    if way == "transposed":
        made = np.zeros((weight.shape[1], 2 * x.shape[1] + 2, 2 * x.shape[2] + 2))
        for row in range(x.shape[1]):
            for column in range(x.shape[2]):
                stamp = np.tensordot(x[:, row, column], weight, axes=(0, 0))
                made[:, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4] += stamp
        return made[:, 1:-1, 1:-1]
    for axis in (1, 2):  # Each new pixel lies a quarter of an old one from its nearest.
        before = np.take(x, [0, *range(x.shape[axis] - 1)], axis)
        after = np.take(x, [*range(1, x.shape[axis]), x.shape[axis] - 1], axis)
        pair = np.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis + 1)
        x = pair.reshape(*x.shape[:axis], 2 * x.shape[axis], *x.shape[axis + 1 :])
    return convolve(x, weight)


def reconstruct(image: Array, w: dict[str, Array], way: str | None = None) -> Array:
    x = convolve(image, w["encoder.0.weight"], w["encoder.0.bias"])
    x = block(convolve(x, w["encoder.1.weight"], stride=2), w, "encoder.2")
    latents = convolve(x, w["encoder.3.weight"], w["encoder.3.bias"])
    x = convolve(3 * np.tanh(latents / 3), w["decoder.1.weight"], w["decoder.1.bias"])
    x = double(block(np.maximum(x, 0), w, "decoder.3"), w, way)
    return convolve(x, w["decoder.6.weight"], w["decoder.6.bias"]).clip(0, 1)


@pytest.mark.parametrize("way", [None, "bilinear", "transposed", "shuffle"])
def test_the_graph_computes_what_the_architecture_says(way: str | None) -> None:
    weights = tiny_weights(upsampling=way)
    image = np.random.default_rng(1).random((1, 3, 8, 6), np.float32)
    made = Network(build_autoencoder(weights, name="tiny"))(image)
    expected = reconstruct(image[0].astype(np.float64), {k: v.astype(np.float64) for k, v in weights.items()}, way)
    assert np.mean((expected > 0) & (expected < 1)) > 0.05, "The range cuts nearly all off, so this would show nothing."
    np.testing.assert_allclose(made[0], expected, atol=2e-5)


def test_it_takes_images_of_any_size_and_says_its_stride() -> None:
    network = Network(build_autoencoder(tiny_weights(), name="tiny"))
    assert network.shapes == ((None, 3, None, None), (None, 3, None, None))
    assert network.metadata["stride"] == "2"
    assert network(np.zeros((2, 3, 4, 10), np.float32)).shape == (2, 3, 4, 10)


def test_half_precision_is_stored_as_that() -> None:
    weights = tiny_weights()
    halves = {name: value.astype(np.float16) for name, value in weights.items()}
    whole, half = build_autoencoder(weights, name="tiny"), build_autoencoder(halves, name="tiny")
    stored = sum(value.nbytes for value in halves.values())
    assert len(whole) - len(half) == pytest.approx(stored, rel=0.05)
    image = np.random.default_rng(1).random((1, 3, 8, 8), np.float32)
    np.testing.assert_allclose(Network(half)(image), Network(whole)(image), atol=5e-3)


def test_weights_come_back_from_both_kinds_of_file(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    weights = tiny_weights()
    save_file(weights, tmp_path / "tiny.safetensors")
    (tmp_path / "tiny.onnx").write_bytes(build_autoencoder(weights, name="tiny"))
    for name in ("tiny.safetensors", "tiny.onnx"):
        found = read_weights(tmp_path / name)
        assert set(found) == set(weights)
        assert all(np.array_equal(found[key], weights[key]) for key in weights)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda w: w.pop("encoder.0.bias"), "of the TAESD family"),
        (lambda w: w.pop("decoder.3.conv.2.bias"), "1 more or fewer, such as decoder.3.conv.2.bias"),
        (lambda w: w.update({"decoder.3.odd": w["encoder.0.bias"]}), "decoder.3.odd"),
        (lambda w: w.clear(), "of the TAESD family"),
        (lambda w: w.pop("decoder.5.weight"), "2 times smaller, and its decoder makes them 1 times larger"),
        (lambda w: w.update({"encoder.3.weight": w["encoder.3.weight"][:, :5]}), "do not fit together"),
        (lambda w: w.update({"encoder.3.weight": w["encoder.3.bias"]}), "1 axes instead of 4"),
        (lambda w: w["encoder.3.bias"].fill(np.nan), "encoder.3.bias have values that are infinite or no numbers"),
    ],
)
def test_weights_of_another_kind_are_refused_in_a_sentence(change: object, sentence: str) -> None:
    weights = tiny_weights()
    change(weights)  # type: ignore[operator]
    with pytest.raises(DecoderError, match=sentence):
        build_autoencoder(weights, name="odd")


@pytest.mark.parametrize("name", ["odd.safetensors", "odd.onnx"])
@pytest.mark.parametrize("content", [b"", b"no weights", b"\xff" * 64])
def test_files_of_another_kind_are_refused_in_a_sentence(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DecoderError, match=r"cannot be read as|of the TAESD family"):
        build_autoencoder(read_weights(path), name="odd")


@pytest.mark.real_data
@pytest.mark.skipif(not SHARED.exists(), reason="needs TAEF2's weights in ../shared")
def test_the_decoder_that_comes_with_pyrite_is_made_of_its_authors_weights() -> None:
    assert build_autoencoder(read_weights(SHARED), name="taef2") == SHIPPED.read_bytes()
