"""Conversion held to the libraries that weights come from: run by `make test-torch`, in an environment of its own.

PyTorch is imported first: TensorFlow before it ends the process.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from pyrite.converting import convert
from pyrite.detector import Detector
from pyrite.errors import ExportError, PyriteError
from pyrite.publishing import import_source, read_catalogue
from weights import CONFIG, GOLDEN, IMAGES, SIDE, pixels, publish_vit, run_onnx

for _name in ("torch", "transformers", "timm", "onnxscript"):
    pytest.importorskip(_name, reason=f"The extra torch is not installed: there is no {_name}.")


def without_keras_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["pyrite.converting.convert"]  # Which the function hides.
    monkeypatch.setattr(module, "_KERAS_HUB", {"transformers": "none", "timm": "none"})


def test_the_golden_logits_are_those_of_transformers(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForImageClassification

    model = AutoModelForImageClassification.from_pretrained(publish_vit(tmp_path / "vit").parent).eval()
    with torch.no_grad():
        logits = model(torch.from_numpy(IMAGES.transpose(0, 3, 1, 2))).logits.numpy()
    assert logits == pytest.approx(np.array(GOLDEN), abs=1e-5)


@pytest.mark.parametrize("kind", ["Swin", "Swinv2", "Dinov2", "ConvNext", "Siglip", "ViT"])
def test_transformers(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    import transformers

    without_keras_hub(monkeypatch)
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
    found = convert(tmp_path / "model.safetensors", tmp_path, pixels(56))
    images = torch.randn(3, 3, 56, 56)
    with torch.no_grad():
        logits = model(images).logits.numpy()
    assert found.library == "PyTorch"
    for count in (1, 3):  # Of any number.
        assert run_onnx(found, images[:count].numpy()) == pytest.approx(logits[:count], abs=1e-4)


@pytest.mark.parametrize(
    ("name", "library"),
    [
        ("resnet18", "Keras Hub"),
        ("resnet50", "Keras Hub"),
        ("efficientnet_lite0", "Keras Hub"),
        ("efficientnet_b0", "Keras Hub"),
        ("resnet18", "PyTorch"),
        ("densenet121", "PyTorch"),
        ("mobilenetv3_small_100", "PyTorch"),
    ],
)
def test_timm_by_either(name: str, library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import timm
    import torch
    from timm.models import save_for_hf

    if library == "PyTorch":
        without_keras_hub(monkeypatch)
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=2).train()
    with torch.no_grad():
        model(torch.randn(8, 3, 64, 64))  # So that normalisation has statistics of its own.
    model.eval()
    save_for_hf(model, tmp_path, safe_serialization=True)
    found = convert(tmp_path / "model.safetensors", tmp_path, pixels(64))
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        logits = model(images).numpy()
    given = images.numpy() if library == "PyTorch" else images.numpy().transpose(0, 2, 3, 1)
    assert found.library == library
    assert run_onnx(found, given) == pytest.approx(logits, abs=1e-3)


def test_weights_in_a_field_of_their_authors_class(tmp_path: Path) -> None:
    import timm
    import torch
    from safetensors.torch import save_file

    model = timm.create_model("vit_tiny_patch16_224", num_classes=1).eval()
    save_file({f"vit.{key}": value for key, value in model.state_dict().items()}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"input_size": 224, "model_size": "tiny"}))
    weights = tmp_path / "model.safetensors"
    found = convert(weights, tmp_path, pixels(224), architecture="timm:vit_tiny_patch16_224")
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
            convert(weights, tmp_path, pixels(224), architecture=architecture)


def test_weights_that_lack_some_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_keras_hub(monkeypatch)
    weights = publish_vit(tmp_path / "deep", num_hidden_layers=3)
    with pytest.raises(ExportError, match=r"lacks 16 weights of the network, vit\.\S+ among them"):
        convert(weights, tmp_path, pixels(SIDE))


def test_the_catalogue_says_what_community_forensics_needs(tmp_path: Path) -> None:
    import timm
    import torch
    from PIL import Image
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = timm.create_model("vit_small_patch16_384", num_classes=1).eval()
    (tmp_path / "repository").mkdir()
    weights = {f"vit.{key}": value for key, value in model.state_dict().items()}
    save_file(weights, tmp_path / "repository" / "model.safetensors")
    config = {"freeze_backbone": False, "input_size": 384, "model_size": "small", "patch_size": 16}
    (tmp_path / "repository" / "config.json").write_text(json.dumps(config))
    entry = read_catalogue()["commfor"]
    found = import_source(str(tmp_path / "repository"), tmp_path / "bundle", entry.inputs)
    image = np.random.default_rng(0).integers(0, 256, (500, 620, 3), np.uint8)
    # As torchvision has it: Resize(440), CenterCrop(384).
    resized = Image.fromarray(image).resize((545, 440), Image.Resampling.BILINEAR).crop((80, 28, 464, 412))
    values = (np.asarray(resized, np.float32) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    with torch.no_grad():
        expected = float(model(torch.from_numpy(values.transpose(2, 0, 1)[None].astype(np.float32))))
    assert Detector(found.bundle, evidence=False).detect(image).logit == pytest.approx(expected, abs=1e-4)
    with pytest.raises(PyriteError, match="has the SHA-256"):
        import_source(str(tmp_path / "repository"), tmp_path / "no", entry.inputs, sha256=entry.sha256)
