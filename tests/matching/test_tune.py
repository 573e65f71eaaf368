"""Decoders with another upsampling: exact where they can be, tuned where not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny import take_photograph, tiny_weights, write_tiny

from pyrite.errors import DatasetError, DecoderError, PyriteError, SettingsError
from pyrite.matching import tune_decoder
from pyrite.matching.autoencoder import open_autoencoder
from pyrite.matching.taesd import build_autoencoder, read_weights
from pyrite.matching.upsampling import Upsampling, upsample_by
from pyrite.runtime import Network

WAYS: tuple[Upsampling, ...] = ("bilinear", "transposed", "shuffle")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(10):
        take_photograph(folder / f"{number}.jpg", seed=number)
    take_photograph(folder / "small.jpg", width=60)
    (folder / "bad.jpg").write_bytes(b"")
    return folder


@pytest.mark.parametrize("way", ["transposed", "shuffle"])
def test_without_noise_both_compute_what_repeating_pixels_does(way: Upsampling) -> None:
    image = np.random.default_rng(1).random((1, 3, 16, 12), np.float32)
    weights = tiny_weights()
    changed = upsample_by(weights, way, noise=0)
    assert "decoder.5.weight" not in changed
    original, other = (Network(build_autoencoder(one, name="tiny"))(image) for one in (weights, changed))
    np.testing.assert_allclose(other, original, atol=2e-6)
    noisy = Network(build_autoencoder(upsample_by(weights, way, seed=1), name="tiny"))(image)
    assert np.abs(noisy - original).max() > 0.01


def test_what_does_not_repeat_pixels_is_refused() -> None:
    with pytest.raises(DecoderError, match="does not double the resolution by repeating pixels"):
        upsample_by(tiny_weights(upsampling="shuffle"), "bilinear")


@pytest.mark.parametrize("way", WAYS)
def test_tuning_brings_a_decoder_closer_and_leaves_the_encoder(
    photos: Path, tmp_path: Path, way: Upsampling, run_pyrite: Callable[..., tuple[int, str, str]]
) -> None:
    base, out = write_tiny(tmp_path / "tiny.onnx"), tmp_path / "other.onnx"
    seen: list[tuple[int, int]] = []
    tuned = tune_decoder(photos, out, upsampling=way, base=str(base), steps=20, progress=lambda *at: seen.append(at))
    assert seen == [(step, 20) for step in range(1, 21)]
    assert (tuned.photographs, tuned.views, tuned.passed_over) == (10, 80, 2)
    assert tuned.after > tuned.before + 0.05
    before, after = read_weights(base), read_weights(out)
    assert f"decoder.5.{way}.weight" in after
    same = {name: np.array_equal(after[name], before[name].astype(np.float16)) for name in set(before) & set(after)}
    assert all(same[name] for name in same if name.startswith("encoder."))
    assert not any(same[name] for name in same if name.startswith("decoder."))
    assert open_autoencoder(str(out), 32).name == "other"
    if way == "bilinear":
        check_command(photos, base, tmp_path / "again.onnx", after, run_pyrite)


def check_command(
    photos: Path,
    base: Path,
    out: Path,
    expected: dict[str, np.ndarray],
    run_pyrite: Callable[..., tuple[int, str, str]],
) -> None:
    """The command says how close it comes, and tunes the same again."""
    code, said, told = run_pyrite(
        "decoder", "tune", photos, "--out", out, "--upsampling", "bilinear", "--decoder", base, "--steps", 20
    )
    assert code == 0
    assert "80 views of 10 photographs\nPSNR on held-out views: " in said
    assert "too small or unreadable: 2." in told
    for name, value in read_weights(out).items():
        np.testing.assert_allclose(value.astype(float), expected[name].astype(float), atol=2e-3)


def test_another_seed_starts_elsewhere() -> None:
    name = "decoder.5.shuffle.weight"
    first, again, other = (upsample_by(tiny_weights(), "shuffle", seed=seed)[name] for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert np.abs(first - other).max() > 0.01


def test_what_cannot_be_tuned_is_a_sentence(photos: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    take_photograph(few / "a.jpg")
    plain = tmp_path / "plain.onnx"
    plain.write_bytes(build_autoencoder(tiny_weights(upsampling="bilinear"), name="plain"))
    out, base = tmp_path / "x.onnx", str(write_tiny(tmp_path / "tiny.onnx"))
    cases: list[tuple[Path, Path, dict[str, object], type[PyriteError], str]] = [
        (few, out, {}, DatasetError, "few has 1 photographs of 64 pixels or more, which give 8 views; tuning takes 64"),
        (photos, out, {"base": str(plain)}, DecoderError, "repeating pixels"),
        (photos, out, {"base": "nope"}, DecoderError, "There is no decoder 'nope'"),
        (photos, tmp_path / "x.bin", {}, SettingsError, r"x\.bin does not end so"),
        (photos, out, {"upsampling": "odd"}, SettingsError, "There are bilinear, transposed, shuffle"),
        (photos, out, {"steps": 0}, SettingsError, "at least one step"),
        (photos, tmp_path / "nowhere" / "x.onnx", {"steps": 1}, DatasetError, "cannot be written: there is no folder"),
    ]
    for source, target, changes, error, sentence in cases:
        settings = {"upsampling": "shuffle", "base": base, **changes}
        with pytest.raises(error, match=sentence):
            tune_decoder(source, target, **settings)  # type: ignore[arg-type]
    assert not out.exists()
