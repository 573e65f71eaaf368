"""Weights in safetensors, as the Hugging Face Hub has them."""

import json
from pathlib import Path

import numpy as np

from pyrite.converting import Converted

SIDE, HIDDEN, MLP = 32, 32, 64  # pixels; values
IMAGES = np.random.default_rng(1).normal(size=(3, SIDE, SIDE, 3)).astype(np.float32)
GOLDEN = [[0.51549, -0.19418], [0.51361, -0.16486], [0.55967, -0.20839]]
"""What transformers 5.24.0 makes of these images and weights: `test_the_golden_logits_are_those_of_transformers`."""
CONFIG = {
    "architectures": ["ViTForImageClassification"],
    "attention_probs_dropout_prob": 0.0,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.0,
    "hidden_size": HIDDEN,
    "id2label": {"0": "artificial", "1": "human"},
    "label2id": {"artificial": 0, "human": 1},
    "image_size": SIDE,
    "intermediate_size": MLP,
    "layer_norm_eps": 1e-12,
    "model_type": "vit",
    "num_attention_heads": 4,
    "num_channels": 3,
    "num_hidden_layers": 2,
    "patch_size": 8,
    "qkv_bias": True,
}
PREPARED = {
    "do_normalize": True,
    "do_resize": True,
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.2, 0.3, 0.4],
    "resample": 3,
    "size": {"height": SIDE, "width": SIDE},
}


def vit_weights() -> dict[str, np.ndarray]:
    """Return the weights of a vision transformer (Dosovitskiy et al. 2021), as transformers names them."""
    rng = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {
        "vit.embeddings.cls_token": (1, 1, HIDDEN),
        "vit.embeddings.position_embeddings": (1, (SIDE // 8) ** 2 + 1, HIDDEN),
        "vit.embeddings.patch_embeddings.projection.weight": (HIDDEN, 3, 8, 8),
        "vit.embeddings.patch_embeddings.projection.bias": (HIDDEN,),
        "vit.layernorm.weight": (HIDDEN,),
        "vit.layernorm.bias": (HIDDEN,),
        "classifier.weight": (2, HIDDEN),
        "classifier.bias": (2,),
    }
    for number in range(CONFIG["num_hidden_layers"]):
        layer = f"vit.encoder.layer.{number}"
        for name in ("attention.attention.query", "attention.attention.key", "attention.attention.value"):
            shapes |= {f"{layer}.{name}.weight": (HIDDEN, HIDDEN), f"{layer}.{name}.bias": (HIDDEN,)}
        for name, given, taken in (
            ("attention.output.dense", HIDDEN, HIDDEN),
            ("intermediate.dense", MLP, HIDDEN),
            ("output.dense", HIDDEN, MLP),
        ):
            shapes |= {f"{layer}.{name}.weight": (given, taken), f"{layer}.{name}.bias": (given,)}
        for name in ("layernorm_before", "layernorm_after"):
            shapes |= {f"{layer}.{name}.weight": (HIDDEN,), f"{layer}.{name}.bias": (HIDDEN,)}
    return {name: rng.normal(scale=0.2, size=shape).astype(np.float32) for name, shape in shapes.items()}


def publish_vit(folder: Path, **config: object) -> Path:
    """Write a folder as the Hub has it: weights, config.json and preprocessor_config.json. Return the weights' path."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True)
    save_file(vit_weights(), folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(CONFIG | config))
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPARED))
    return folder / "model.safetensors"


def pixels(side: int) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (3, side, side, 3), np.uint8)


def run_onnx(converted: Converted, images: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(converted.model, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: images})[0]
