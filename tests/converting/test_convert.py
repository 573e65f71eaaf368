"""Published weights as ONNX, by Keras Hub and with errors."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from pyrite.converting import convert
from pyrite.converting.architecture import Architecture, identify
from pyrite.errors import ExportError, MissingExtraError
from weights import CONFIG, GOLDEN, IMAGES, SIDE, pixels, publish_vit, run_onnx


def require_keras_hub() -> None:
    if not find_spec("keras_hub"):
        pytest.skip("The extra keras-hub is not installed: there is no keras_hub.")


def test_a_vision_transformer_is_converted_by_keras_hub(tmp_path: Path) -> None:
    require_keras_hub()
    found = convert(publish_vit(tmp_path / "vit"), tmp_path, pixels(SIDE))
    assert found.library == "Keras Hub"
    assert run_onnx(found, IMAGES) == pytest.approx(np.array(GOLDEN), abs=1e-4)
    assert 0 <= found.difference <= 1e-4


def test_weights_that_are_not_all_of_the_network_are_refused(tmp_path: Path) -> None:
    require_keras_hub()
    if find_spec("torch"):
        pytest.skip("PyTorch is installed, and is tried next.")
    weights = publish_vit(tmp_path / "shallow", num_hidden_layers=1)
    with pytest.raises(ExportError, match=r"has 23,970 weights, and the network .* has 15,426, so it is another"):
        convert(weights, tmp_path, pixels(SIDE))
    weights = publish_vit(tmp_path / "deep", num_hidden_layers=3)
    with pytest.raises(ExportError, match=r"Keras Hub cannot convert model\.safetensors"):
        convert(weights, tmp_path, pixels(SIDE))


@pytest.mark.parametrize(
    ("config", "architecture", "network"),
    [
        ({"model_type": "vit"}, None, Architecture("transformers", "vit")),
        ({"architecture": "resnet50"}, None, Architecture("timm", "resnet50")),
        (None, "timm:vit_small_patch16_384", Architecture("timm", "vit_small_patch16_384")),
    ],
)
def test_the_network_is_as_config_json_says_or_as_declared(
    config: object, architecture: str | None, network: Architecture, tmp_path: Path
) -> None:
    if config:
        (tmp_path / "config.json").write_text(json.dumps(config))
    assert identify(tmp_path / "model.safetensors", architecture) == network


@pytest.mark.parametrize(
    ("config", "architecture", "sentence"),
    [
        (None, None, r"No config\.json beside model\.safetensors says which network .* Declare --architecture"),
        (b'{"input_size": 384}', None, "Declare --architecture timm:NAME"),
        (b"[1]", None, "Declare --architecture timm:NAME"),
        (b"{", None, r"config\.json cannot be read"),
        (None, "resnet50", "of the form timm:NAME, not resnet50"),
        (None, "keras:resnet50", "of the form timm:NAME"),
    ],
)
def test_a_network_that_is_not_known_is_asked_for(
    config: bytes | None, architecture: str | None, sentence: str, tmp_path: Path
) -> None:
    if config is not None:
        (tmp_path / "config.json").write_bytes(config)
    with pytest.raises(ExportError, match=sentence):
        identify(tmp_path / "model.safetensors", architecture)


def test_what_keras_hub_does_not_convert_needs_pytorch(tmp_path: Path) -> None:
    if find_spec("torch"):
        pytest.skip("PyTorch is installed.")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | {"model_type": "swin"}))
    with pytest.raises(MissingExtraError, match=r"pip install 'pyrite\[torch\]'"):
        convert(tmp_path / "model.safetensors", tmp_path, pixels(SIDE))
