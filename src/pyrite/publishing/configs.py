"""The configuration files beside a published model, and what they ask for."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from pyrite.bundle.preprocess import Filter
from pyrite.errors import ExportError

FILTERS: Mapping[int, Filter] = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""Of `resample` in a preprocessor_config.json, which has Pillow's numbers."""


class _Config(msgspec.Struct):
    """What is read of a config.json, to be refused where it is something else."""

    id2label: dict[int, str | int] | None = None
    label_names: list[str] | None = None


class _Preparation(msgspec.Struct):
    """The same of a preprocessor_config.json."""

    resample: int | None = None
    rescale_factor: float = 1 / 255
    crop_pct: float | None = None
    size: int | list[int] | dict[str, int | None] | None = None
    crop_size: int | list[int] | dict[str, int | None] | None = None


_READ: Mapping[str, type[_Config | _Preparation]] = {"config.json": _Config, "preprocessor_config.json": _Preparation}


def read_configs(folder: Path) -> dict[str, Any]:
    """Return the configuration files beside a model or in the folder above, as Hugging Face lays them out."""
    found: dict[str, Any] = {}
    for name, kind in _READ.items():
        for place in (folder / name, folder.parent / name):
            if place.is_file():
                try:
                    content = place.read_bytes()
                    msgspec.json.decode(content, type=kind)
                    found[name] = msgspec.json.decode(content)
                except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise ExportError(f"{place} cannot be read: {error}.") from error
                break
    said = found.get("config.json", {}).get("pretrained_cfg")
    if isinstance(said, dict) and "preprocessor_config.json" not in found:
        found["preprocessor_config.json"] = _read_timm(said)
    return found


def _read_timm(said: Mapping[str, Any]) -> dict[str, Any]:
    """Translate what timm says about a model's input into a preprocessor_config.json.

    See `create_transform` in timm's data/transforms_factory.py: the shorter side becomes the input's by `crop_pct`.

    Raises:
        ExportError: It says something that no geometry here does.
    """
    try:
        _, height, width = said["input_size"]
        shares, mode = float(said.get("crop_pct", 0.875)), said.get("crop_mode", "center")
        filters = {name: number for number, name in FILTERS.items()}
        prepared = {
            "image_mean": said["mean"],
            "image_std": said["std"],
            "resample": filters[said.get("interpolation", "bicubic")],
            "crop_size": {"height": height, "width": width},
        }
        edge = math.floor(height / shares)
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise ExportError(f"pretrained_cfg in config.json is not understood: {error!r}.") from error
    if mode == "center" and height == width:
        return prepared | {"size": {"shortest_edge": edge}, "do_center_crop": True}
    if mode == "squash" and shares == 1:
        return prepared | {"size": {"height": height, "width": width}}
    raise ExportError(
        f"pretrained_cfg in config.json asks for crop_mode {mode} at {height}x{width} with crop_pct {shares:g}, which "
        "no geometry here does. Add a preprocessor_config.json that says what to do."
    )


def read_geometry(
    prepared: Mapping[str, Any], height: int, width: int
) -> tuple[Literal["resize", "shorter_side"], int | None]:
    """Return what transformers' image processors do by their settings, and the shorter side that they resize to.

    Raises:
        ExportError: No geometry here does the same.
    """
    size, edge = prepared.get("size"), None
    if isinstance(size, dict):
        edge = size.get("shortest_edge")
    cropped = prepared.get("do_center_crop", False)
    share = prepared.get("crop_pct")
    if prepared.get("do_resize") is False:
        raise _no_geometry("do_resize is false")
    if share is not None:
        edge = edge if edge is not None else size
        if not isinstance(edge, int) or not isinstance(share, float | int) or not 0 < share <= 1:
            raise _no_geometry(f"crop_pct is {share!r} and size {size!r}")
        # ConvNeXT's, which ResNet and others have, too: from 384 pixels on, it squeezes the image instead.
        return ("resize", None) if edge >= 384 and not cropped else ("shorter_side", int(edge / share))
    if edge is not None:
        return "shorter_side", edge
    if not cropped:
        return "resize", None
    # An integer is of CLIP's older files, which mean the shorter side by it.
    sides = (size.get("height"), size.get("width")) if isinstance(size, dict) else (size, size)
    if sides != (height, width):
        raise _no_geometry(f"size is {size!r} and the centre of {height} x {width} is cropped")
    return ("resize", None) if isinstance(size, dict) else ("shorter_side", height)


def _no_geometry(why: str) -> ExportError:
    return ExportError(f"preprocessor_config.json: {why}, which no geometry here does. Declare --geometry.")
