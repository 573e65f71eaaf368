"""Autoencoders by name and file, what is refused, and variants."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import tiny_weights, write_tiny

from pyrite.errors import DecoderError, PyriteError, SettingsError
from pyrite.matching.autoencoder import add_noise, open_autoencoder, quantise, shipped_decoders

PHOTOS = Path(__file__).parents[3] / "shared" / "data" / "photos.zip"
IMAGE = np.random.default_rng(2).integers(0, 256, (32, 48, 3), np.uint8)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def write_model(path: Path, *, given: tuple[object, ...], made: tuple[object, ...], nodes: int = 1) -> Path:
    """Write a network that gives what it takes, whatever its file says of the shapes."""
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], [f"y{i}"]) for i in range(nodes)],
        "identity",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, given)],
        [helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, made) for i in range(nodes)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


def test_an_autoencoder_of_ones_own_reconstructs_by_its_file(tmp_path: Path) -> None:
    path = write_model(tmp_path / "my net.onnx", given=("N", 3, "H", "W"), made=("N", 3, "H", "W"))
    found = open_autoencoder(str(path), 32)
    assert (found.name, found.stride, found.size) == ("my-net", 8, (None, None))
    assert np.array_equal(found.reconstruct(IMAGE, rng()), IMAGE)


def test_weights_in_safetensors_are_an_autoencoder_too(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file(tiny_weights(), tmp_path / "tiny.safetensors")
    write_tiny(tmp_path / "same.onnx")
    images = [
        open_autoencoder(str(tmp_path / name), 32).reconstruct(IMAGE, rng())
        for name in ("tiny.safetensors", "same.onnx")
    ]
    assert np.array_equal(*images)
    assert len(np.unique(images[0])) > 100


def test_the_shipped_decoder_gives_a_picture_back() -> None:
    assert shipped_decoders() == ("taef2",)
    y, x = np.mgrid[0:64, 0:64]
    picture = np.stack([128 + 80 * np.sin(x / 9), 2 * x + y, 255 - 3 * y], axis=-1).clip(0, 255).astype(np.uint8)
    made = open_autoencoder("taef2", 64).reconstruct(picture, rng())
    # By its authors' weights and another implementation, in NumPy and double precision: 28.6728.
    assert decibels(picture, made) == pytest.approx(28.6728, abs=0.01)


def decibels(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((one.astype(np.float64) - other) ** 2)))


@pytest.mark.real_data
@pytest.mark.skipif(not PHOTOS.exists(), reason="needs photos.zip in ../shared")
def test_photographs_come_back_from_the_shipped_decoder() -> None:
    import csv
    import io
    import zipfile

    decoder, found = open_autoencoder("taef2", 128), []
    with zipfile.ZipFile(PHOTOS) as archive:
        rows = list(csv.DictReader(io.TextIOWrapper(archive.open("manifest.csv"), "utf-8")))
        for row in [row for row in rows if row["label"].lower() == "real"][::100]:
            with archive.open(row["file"]) as stream, Image.open(stream) as image:
                view = np.asarray(image.convert("RGB"))[64:192, 64:192]
            found.append(decibels(view, decoder.reconstruct(view, rng())))
    assert len(found) == 6
    assert min(found) > 20
    assert 25 < np.median(found) < 40


@pytest.mark.parametrize(
    ("given", "made", "nodes", "sentence"),
    [
        (("N", 1, "H", "W"), ("N", 1, "H", "W"), 1, r"takes \(any, 1, any, any\)"),
        (("N", 3, "H", "W"), ("N", 3), 1, "must be an autoencoder"),
        (("N", "H", "W", 3), ("N", "H", "W", 3), 1, "must be an autoencoder"),
        (("N", 3, 64, 64), ("N", 3, 64, 64), 1, "for sides of 32 pixels"),
        (("N", 3, "H", "W"), ("N", 3, "H", "W"), 2, "one float32 input and one float32 output"),
    ],
)
def test_another_signature_is_refused_in_a_sentence(
    tmp_path: Path, given: tuple[object, ...], made: tuple[object, ...], nodes: int, sentence: str
) -> None:
    path = write_model(tmp_path / "odd.onnx", given=given, made=made, nodes=nodes)
    with pytest.raises(DecoderError, match=sentence):
        open_autoencoder(str(path), 32)


def test_one_of_fixed_size_takes_that_size(tmp_path: Path) -> None:
    path = write_model(tmp_path / "fixed.onnx", given=(1, 3, 32, 32), made=(1, 3, 32, 32))
    assert open_autoencoder(str(path), 32).size == (32, 32)


def test_a_network_that_changes_the_size_is_refused(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2])],
        "smaller",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("N", 3, "H", "W"))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("N", 3, "h", "w"))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (tmp_path / "half.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(DecoderError, match=r"half makes \(1, 3, 16, 16\) of \(1, 3, 32, 32\)"):
        open_autoencoder(str(tmp_path / "half.onnx"), 32)


@pytest.mark.parametrize(
    ("said", "error", "sentence"),
    [
        ("nope", DecoderError, "There is no decoder 'nope'. Name taef2, an .onnx file"),
        ("nope.onnx", DecoderError, "cannot be read: No such file"),
        ("taef2:levels=1", SettingsError, "from 2 to 65,536 levels, not 1"),
        ("taef2:level=4", DecoderError, "There is no decoder 'taef2:level=4'"),
        ("damaged.onnx", DecoderError, "cannot be loaded as ONNX"),
        ("plain.onnx:noise=0.1", DecoderError, "has no variants of its latents: The model has no value"),
        ("real.onnx", DecoderError, "cannot be called real"),
    ],
)
def test_what_cannot_be_used_is_told_in_a_sentence(
    tmp_path: Path, said: str, error: type[PyriteError], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("damaged.onnx").write_bytes(b"no graph")
    for name in ("plain.onnx", "real.onnx"):
        write_model(Path(name), given=("N", 3, "H", "W"), made=("N", 3, "H", "W"))
    with pytest.raises(error, match=sentence):
        open_autoencoder(said, 32)


def test_a_side_that_is_no_multiple_of_the_stride_is_refused() -> None:
    with pytest.raises(SettingsError, match="100 pixels is no multiple of 8"):
        open_autoencoder("taef2", 100)


def test_latents_are_brought_to_levels_of_their_own_spread() -> None:
    latents = np.array([-1, 1, -1, 1, 0.2, 9], np.float32).repeat(1000).reshape(1, 6, 1000)
    mean, reach = latents.mean(), 3 * latents.std()
    found = quantise(latents, 3)
    assert np.unique(found) == pytest.approx([mean, mean + reach], abs=1e-5)
    assert np.all((found == found.max()) == (latents == 9))
    fine = quantise(latents, 65_536)
    assert np.abs(fine - latents)[latents < 5].max() < 1e-3
    flat = np.full((1, 2, 2), 7, np.float32)
    assert np.array_equal(quantise(flat, 4), flat)


def test_noise_is_a_share_of_the_latents_own() -> None:
    latents = np.random.default_rng(1).normal(3, 5, (1, 4, 100, 100)).astype(np.float32)
    added = add_noise(latents, 0.2, rng()) - latents
    assert added.std() == pytest.approx(1.0, rel=0.02)
    assert np.array_equal(added, add_noise(latents, 0.2, rng()) - latents)


@pytest.mark.parametrize("variant", ["twice", "levels=2", "noise=0.5"])
def test_a_variant_makes_something_else_and_the_same_again(tmp_path: Path, variant: str) -> None:
    path = str(write_tiny(tmp_path / "tiny.onnx"))
    plain, other = open_autoencoder(path, 32), open_autoencoder(f"{path}:{variant}", 32)
    assert (other.name, other.sha256) == (f"tiny-{variant.replace('=', '')}", plain.sha256)
    made = other.reconstruct(IMAGE, rng())
    assert not np.array_equal(made, plain.reconstruct(IMAGE, rng()))
    assert np.array_equal(made, other.reconstruct(IMAGE, rng()))


def test_fine_levels_and_no_noise_change_nothing(tmp_path: Path) -> None:
    path = str(write_tiny(tmp_path / "tiny.onnx"))
    plain = open_autoencoder(path, 32).reconstruct(IMAGE, rng()).astype(int)
    for variant in ("levels=65536", "noise=0"):
        same = open_autoencoder(f"{path}:{variant}", 32).reconstruct(IMAGE, rng()).astype(int)
        assert np.abs(same - plain).max() <= 1


def test_twice_is_the_reconstruction_of_the_reconstruction(tmp_path: Path) -> None:
    path = str(write_tiny(tmp_path / "tiny.onnx"))
    plain = open_autoencoder(path, 32)
    by_hand = plain.reconstruct(plain.reconstruct(IMAGE, rng()), rng()).astype(int)
    assert np.abs(open_autoencoder(f"{path}:twice", 32).reconstruct(IMAGE, rng()).astype(int) - by_hand).max() <= 3
