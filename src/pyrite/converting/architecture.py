"""Which architecture weights are of."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from pyrite.errors import ExportError


@dataclass(frozen=True, slots=True)
class Architecture:
    """A kind of model, as a library calls it."""

    library: str
    """`transformers` or `timm`."""
    name: str


def identify(weights: Path, architecture: str | None = None) -> Architecture:
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
        return Architecture(library, name)
    config = read_config(weights)
    for library, key in (("transformers", "model_type"), ("timm", "architecture")):
        if isinstance(said := config.get(key), str):
            return Architecture(library, said)
    raise ExportError(
        f"No config.json beside {weights.name} says which network it has the weights of: a model_type of transformers, "
        "or an architecture of timm. Declare --architecture timm:NAME, or convert it to ONNX and import that."
    )


def read_config(weights: Path) -> dict[str, Any]:
    """Return what config.json beside weights says; nothing where there is none.

    Raises:
        ExportError: It cannot be read.
    """
    path = weights.parent / "config.json"
    try:
        config = msgspec.json.decode(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ExportError(f"{path} cannot be read: {error}.") from error
    return config if isinstance(config, dict) else {}
