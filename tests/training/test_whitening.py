"""A first convolution that is not learnt."""

from pathlib import Path

import numpy as np

from pyrite.bundle import load_bundle
from pyrite.keras_backend import load_keras
from pyrite.recipe import load_recipe
from pyrite.training import train
from pyrite.training.architectures import build_model
from pyrite.training.whitening import set_whitening

SMALL = ("precision=float32", "channels=4,8,8,8", "stem=whitened")


def smooth_images(count: int) -> np.ndarray:
    """Return images whose neighbouring pixels and channels are much alike."""
    rng = np.random.default_rng(0)
    rough = rng.normal(size=(count, 32, 32, 1)) + 0.3 * rng.normal(size=(count, 32, 32, 3))
    blurred = rough + np.roll(rough, 1, 1) + np.roll(rough, 1, 2)
    return (128 + 20 * blurred).clip(0, 255).astype(np.uint8)


def test_parts_of_patches_are_uncorrelated_of_one_variance_and_of_mean_zero() -> None:
    pixels = smooth_images(60)
    model = build_model(load_recipe("scratch", list(SMALL)))
    set_whitening(model, pixels, np.arange(50), seed=0)
    keras = load_keras()
    layer = model.get_layer("whitening")
    parts = np.asarray(keras.Model(model.input, layer.output)(pixels[:50]))[:, :-1, :-1]  # Padded at the end.
    values = parts.reshape(-1, 24)
    np.testing.assert_allclose(values[:, 12:], -values[:, :12], atol=1e-4)
    np.testing.assert_allclose(values.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(np.cov(values[:, :12], rowvar=False), np.eye(12), atol=0.05)


def test_it_is_of_the_training_images_alone() -> None:
    pixels = smooth_images(60)
    kernels = []
    for change in (False, True):
        model = build_model(load_recipe("scratch", list(SMALL)))
        if change:
            pixels[50:] = 0
        set_whitening(model, pixels, np.arange(50), seed=0)
        kernels.append(np.asarray(model.get_layer("whitening").kernel))
    np.testing.assert_array_equal(*kernels)


def test_it_stays_as_it_is_in_training(toy: Path, tmp_path: Path) -> None:
    recipe = load_recipe("scratch", [*SMALL, "epochs=1", "batch_size=16", "protocol=pooled", "squeeze_excitation=true"])
    train(toy, recipe, tmp_path / "out")
    with np.load(tmp_path / "out" / "checkpoint.npz") as stored:
        kernels = [
            stored[name] for name in stored.files if name.startswith("model/") and stored[name].shape == (2, 2, 3, 24)
        ]
    [kernel] = kernels
    weights = kernel.reshape(12, 24)
    np.testing.assert_allclose(weights[:, 12:], -weights[:, :12])
    gram = weights[:, :12].T @ weights[:, :12]
    np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-3 * np.abs(gram).max())  # Eigenvectors.
    assert load_bundle(tmp_path / "out" / "bundle").info.training is not None
