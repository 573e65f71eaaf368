"""Published weights in safetensors as ONNX: through Keras Hub where it converts their network, else through PyTorch."""

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyrite.errors import ExportError, MissingExtraError, require
from pyrite.graph import LARGE
from pyrite.keras_backend import export_onnx, load_keras

_KERAS_HUB = {"transformers": r"vit", "timm": r"(densenet|efficientnet|mobilenetv3|resnet|vgg)\w*"}
"""Networks that Keras Hub converts with their last layer."""
_OPSET = 18


@dataclass(frozen=True, slots=True)
class Network:
    """What the weights are of."""

    library: str
    """`transformers` or `timm`."""
    name: str
    """Of the kind of model there."""


@dataclass(frozen=True, slots=True)
class Converted:
    """A network as ONNX, and as its authors' library runs it."""

    model: Path
    """ONNX: normalised images in, float32 (N, height, width, 3) or (N, 3, height, width); classes (N, c) out."""
    run: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    """The network itself, of what the file takes and gives."""
    library: str
    """What converted it."""


def identify(weights: Path, architecture: str | None = None) -> Network:
    """Return which network weights are of.

    Args:
        weights: A safetensors file, with config.json beside it unless `architecture` is given.
        architecture: `timm:NAME`.

    Raises:
        ExportError: config.json is missing or does not say, or the name is of another form.
    """
    if architecture is not None:
        library, _, name = architecture.partition(":")
        if library != "timm" or not name:
            raise ExportError(f"An architecture is of the form timm:NAME, not {architecture}.")
        return Network(library, name)
    config = _read_config(weights)
    for library, key in (("transformers", "model_type"), ("timm", "architecture")):
        if isinstance(said := config.get(key), str):
            return Network(library, said)
    raise ExportError(
        f"No config.json beside {weights.name} says which network it has the weights of: a model_type of transformers, "
        "or an architecture of timm. Declare --architecture timm:NAME, or convert it to ONNX and import that."
    )


def convert(weights: Path, folder: Path, *, height: int, width: int, architecture: str | None = None) -> Converted:
    """Convert weights to ONNX.

    Args:
        weights: A safetensors file, with config.json beside it unless `architecture` is given.
        folder: Where the ONNX file goes.
        height: Of an input, in pixels.
        width: Of an input, in pixels.
        architecture: `timm:NAME`; by default, as config.json says.

    Raises:
        ExportError: It is not known which network the weights are of, or they do not fit it.
        MissingExtraError: Neither Keras Hub nor PyTorch is installed, or only the one that cannot do it.
    """
    network = identify(weights, architecture)
    if architecture is None and re.fullmatch(_KERAS_HUB[network.library], network.name):
        try:
            return _by_keras_hub(weights, folder, height, width)
        except (ExportError, MissingExtraError):
            if not find_spec("torch"):
                raise
    require("torch", "torch", network.library, "onnxscript", "safetensors")
    return _by_torch(weights, folder, network, height, width)


def _read_config(weights: Path) -> dict[str, Any]:
    path = weights.parent / "config.json"
    try:
        config = msgspec.json.decode(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ExportError(f"{path} cannot be read: {error}.") from error
    return config if isinstance(config, dict) else {}


def _by_keras_hub(weights: Path, folder: Path, height: int, width: int) -> Converted:
    require("keras-hub", "keras_hub", "safetensors")
    require("train", "keras", "onnx", "tf2onnx")
    keras = load_keras()
    import keras_hub
    from safetensors import safe_open

    try:
        loaded = keras_hub.models.ImageClassifier.from_preset(str(weights.parent), preprocessor=None)
        inputs = keras.Input((height, width, 3), name="image")
        model = keras.Model(inputs, loaded(inputs))
    except Exception as error:  # Keras Hub's own, and those of each converter.
        raise ExportError(f"Keras Hub cannot convert {weights.name}: {' '.join(str(error).split())[:300]}") from error
    with safe_open(weights, framework="np") as stored:
        counted = sum(
            int(np.prod(stored.get_slice(name).get_shape(), dtype=np.int64))
            for name in stored.keys()  # noqa: SIM118 - it is no dict
            if not name.endswith("num_batches_tracked") and ".pooler." not in name  # Which logits do not come from.
        )
    if counted != loaded.count_params():
        raise ExportError(
            f"{weights.name} has {counted:,} weights, and the network that Keras Hub makes of config.json has "
            f"{loaded.count_params():,}, so it is another. Convert it to ONNX by its authors' code, and import that."
        )
    path = folder / "model.onnx"
    path.write_bytes(export_onnx(model))
    return Converted(path, lambda images: np.asarray(model(images, training=False), np.float32), "Keras Hub")


def _by_torch(weights: Path, folder: Path, network: Network, height: int, width: int) -> Converted:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Theirs of each other; none is a user's to mend.
        module = (_of_transformers if network.library == "transformers" else _of_timm)(weights, network.name)
        path = folder / "model.onnx"
        size = sum(parameter.nbytes for parameter in module.parameters())
        try:
            torch.onnx.export(
                module,
                (torch.zeros(2, 3, height, width),),
                path,
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("N")},),
                external_data=size > LARGE,
                input_names=["image"],
                opset_version=_OPSET,
                output_names=["classes"],
                verbose=False,
            )
        except Exception as error:  # PyTorch's own, of several kinds.
            raise ExportError(
                f"PyTorch cannot export {network.name} to ONNX: {' '.join(str(error).split())[:300]}"
            ) from error

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            given: NDArray[np.float32] = module(torch.from_numpy(images)).numpy()
        return given

    return Converted(path, run, "PyTorch")


def _of_transformers(weights: Path, name: str) -> Any:
    """Return a `torch.nn.Module` from images to logits."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        model, told = transformers.AutoModelForImageClassification.from_pretrained(
            weights.parent,
            attn_implementation="eager",  # Others cannot be exported for any number of images.
            dtype=torch.float32,
            local_files_only=True,
            output_loading_info=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
    except Exception as error:  # Its own, of several kinds.
        raise ExportError(
            f"transformers cannot load {name} from {weights.name}: {' '.join(str(error).split())[:300]}"
        ) from error
    if lacking := [*told["missing_keys"], *told["mismatched_keys"]]:
        raise ExportError(f"{weights.name} lacks {len(lacking)} weights of the network, {lacking[0]} among them.")

    class Logits(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, images: Any) -> Any:
            return self.model(pixel_values=images).logits

    return Logits().eval()


def _of_timm(weights: Path, name: str) -> Any:
    """Return a `torch.nn.Module` from images to logits."""
    import timm
    from safetensors.torch import load_file

    if not timm.is_model(name):
        raise ExportError(f"timm has no network {name}.")
    stored = {key: value.float() for key, value in load_file(weights).items()}
    last = f"{timm.get_pretrained_cfg(name).classifier}.weight"
    found = next((key for key in stored if key.endswith(last)), None)
    if found is None:
        raise ExportError(f"{weights.name} has no {last}, which {name} ends with.")
    said = _read_config(weights).get("model_args") or {}
    try:
        module = timm.create_model(name, pretrained=False, **{**said, "num_classes": len(stored[found])})
        # Authors who keep the network in a field of a class of theirs have the field's name before each weight's.
        before = found.removesuffix(last)
        module.load_state_dict({key.removeprefix(before): value for key, value in stored.items()})
    except (RuntimeError, TypeError, ValueError) as error:
        raise ExportError(
            f"The weights in {weights.name} do not fit timm's {name}: {' '.join(str(error).split())[:300]}"
        ) from error
    return module.eval()
