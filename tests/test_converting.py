"""Published weights as ONNX. What needs PyTorch is run by `make test-torch`, in an environment of its own."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from pyrite.converting import Converted, Network, convert, identify
from pyrite.errors import ExportError, MissingExtraError
from weights import CONFIG, SIDE, publish_vit

IMAGES = np.random.default_rng(1).normal(size=(3, SIDE, SIDE, 3)).astype(np.float32)
GOLDEN = [[0.51549, -0.19418], [0.51361, -0.16486], [0.55967, -0.20839]]
"""What transformers 5.24.0 makes of these images and weights: `test_the_golden_logits_are_those_of_transformers`."""


def require_keras_hub() -> None:
    if not find_spec("keras_hub"):
        pytest.skip("The extra keras-hub is not installed: there is no keras_hub.")


def run_onnx(converted: Converted, images: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(converted.model, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: images})[0]


def test_a_vision_transformer_is_converted_by_keras_hub(tmp_path: Path) -> None:
    require_keras_hub()
    found = convert(publish_vit(tmp_path / "vit"), tmp_path, height=SIDE, width=SIDE)
    assert found.library == "Keras Hub"
    assert run_onnx(found, IMAGES) == pytest.approx(np.array(GOLDEN), abs=1e-4)
    assert found.run(IMAGES) == pytest.approx(np.array(GOLDEN), abs=1e-4)


def test_weights_that_are_not_all_of_the_network_are_refused(tmp_path: Path) -> None:
    require_keras_hub()
    if find_spec("torch"):
        pytest.skip("PyTorch is installed, and is tried next.")
    weights = publish_vit(tmp_path / "shallow", num_hidden_layers=1)
    with pytest.raises(ExportError, match=r"has 23,970 weights, and the network .* has 15,426, so it is another"):
        convert(weights, tmp_path, height=SIDE, width=SIDE)
    weights = publish_vit(tmp_path / "deep", num_hidden_layers=3)
    with pytest.raises(ExportError, match=r"Keras Hub cannot convert model\.safetensors"):
        convert(weights, tmp_path, height=SIDE, width=SIDE)


@pytest.mark.parametrize(
    ("config", "architecture", "network"),
    [
        ({"model_type": "vit"}, None, Network("transformers", "vit")),
        ({"architecture": "resnet50"}, None, Network("timm", "resnet50")),
        (None, "timm:vit_small_patch16_384", Network("timm", "vit_small_patch16_384")),
    ],
)
def test_the_network_is_as_config_json_says_or_as_declared(
    config: object, architecture: str | None, network: Network, tmp_path: Path
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
        convert(tmp_path / "model.safetensors", tmp_path, height=SIDE, width=SIDE)


class TestTorch:
    """Held to the libraries that the weights come from."""

    @pytest.fixture(autouse=True)
    def _torch(self) -> None:
        for name in ("torch", "transformers", "timm", "onnxscript"):
            pytest.importorskip(name, reason=f"The extra torch is not installed: there is no {name}.")

    def test_the_golden_logits_are_those_of_transformers(self, tmp_path: Path) -> None:
        import torch
        from transformers import AutoModelForImageClassification

        model = AutoModelForImageClassification.from_pretrained(publish_vit(tmp_path / "vit").parent).eval()
        with torch.no_grad():
            logits = model(torch.from_numpy(IMAGES.transpose(0, 3, 1, 2))).logits.numpy()
        assert logits == pytest.approx(np.array(GOLDEN), abs=1e-5)

    @pytest.mark.parametrize("kind", ["Swin", "Swinv2", "Dinov2", "ConvNext", "Siglip", "ViT"])
    def test_transformers(self, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import torch
        import transformers

        monkeypatch.setattr("pyrite.converting._KERAS_HUB", {"transformers": "none", "timm": "none"})
        vit = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 56, "patch_size": 14}
        swin = {
            "image_size": 56,
            "patch_size": 7,
            "embed_dim": 16,
            "depths": [1, 1],
            "num_heads": [2, 4],
            "window_size": 4,
        }
        settings = {
            "ConvNext": {"hidden_sizes": [8, 16, 16, 16], "depths": [1, 1, 1, 1]},
            "Dinov2": vit,
            "Siglip": {
                "vision_config": vit | {"intermediate_size": 64},
                "text_config": {"bos_token_id": 1, "eos_token_id": 2},
            },
            "Swin": swin,
            "Swinv2": swin,
            "ViT": vit | {"intermediate_size": 64},
        }[kind]
        torch.manual_seed(0)
        config = getattr(transformers, f"{kind}Config")(**settings, id2label=CONFIG["id2label"])
        model = getattr(transformers, f"{kind}ForImageClassification")(config).eval()
        model.save_pretrained(tmp_path)
        found = convert(tmp_path / "model.safetensors", tmp_path, height=56, width=56)
        images = torch.randn(3, 3, 56, 56)
        with torch.no_grad():
            logits = model(images).logits.numpy()
        assert found.library == "PyTorch"
        for count in (1, 3):  # Of any number.
            assert run_onnx(found, images[:count].numpy()) == pytest.approx(logits[:count], abs=1e-4)
        assert found.run(images.numpy()) == pytest.approx(logits, abs=1e-5)

    @pytest.mark.parametrize(
        "name", ["resnet18", "efficientnet_lite0", "mobilenetv3_small_100", "densenet121", "vgg11"]
    )
    @pytest.mark.parametrize("library", ["Keras Hub", "PyTorch"])
    def test_timm_by_either(self, name: str, library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import timm
        import torch
        from timm.models import save_for_hf

        if library == "PyTorch":
            monkeypatch.setattr("pyrite.converting._KERAS_HUB", {"transformers": "none", "timm": "none"})
        torch.manual_seed(0)
        model = timm.create_model(name, num_classes=2).train()
        with torch.no_grad():
            model(torch.randn(8, 3, 64, 64))  # So that normalisation has statistics of its own.
        model.eval()
        save_for_hf(model, tmp_path, safe_serialization=True)
        found = convert(tmp_path / "model.safetensors", tmp_path, height=64, width=64)
        images = torch.randn(2, 3, 64, 64)
        with torch.no_grad():
            logits = model(images).numpy()
        given = images.numpy() if library == "PyTorch" else images.numpy().transpose(0, 2, 3, 1)
        assert found.library == library
        assert run_onnx(found, given) == pytest.approx(logits, abs=1e-3)

    def test_weights_in_a_field_of_their_authors_class(self, tmp_path: Path) -> None:
        import timm
        import torch
        from safetensors.torch import save_file

        model = timm.create_model("vit_tiny_patch16_224", num_classes=1).eval()
        save_file({f"vit.{key}": value for key, value in model.state_dict().items()}, tmp_path / "model.safetensors")
        (tmp_path / "config.json").write_text(json.dumps({"input_size": 224, "model_size": "tiny"}))
        weights = tmp_path / "model.safetensors"
        found = convert(weights, tmp_path, height=224, width=224, architecture="timm:vit_tiny_patch16_224")
        images = torch.randn(2, 3, 224, 224)
        with torch.no_grad():
            logits = model(images).numpy()
        assert run_onnx(found, images.numpy()) == pytest.approx(logits, abs=1e-4)
        for architecture, sentence in (
            ("timm:vit_small_patch16_224", "do not fit timm's vit_small_patch16_224"),
            ("timm:resnet18", r"has no fc\.weight, which resnet18 ends with"),
            ("timm:resnet19", "timm has no network resnet19"),
        ):
            with pytest.raises(ExportError, match=sentence):
                convert(weights, tmp_path, height=224, width=224, architecture=architecture)

    def test_weights_that_lack_some_are_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("pyrite.converting._KERAS_HUB", {"transformers": "none", "timm": "none"})
        weights = publish_vit(tmp_path / "deep", num_hidden_layers=3)
        with pytest.raises(ExportError, match=r"lacks 16 weights of the network, vit\.\S+ among them"):
            convert(weights, tmp_path, height=SIDE, width=SIDE)
