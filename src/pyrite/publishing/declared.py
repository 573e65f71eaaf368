"""What surrounds a published model: read from its files, and declared by the user where they do not say."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from pyrite.bundle import Crops, Preprocess, Resize, ShorterSide
from pyrite.bundle.preprocess import Filter
from pyrite.converting.clip import CLIP_MEAN, CLIP_STD
from pyrite.datasets.vocabulary import AI_NAMES, REAL_NAMES
from pyrite.errors import ExportError
from pyrite.graph import Wrapping
from pyrite.publishing.configs import FILTERS, read_configs, read_geometry

SCALES: Mapping[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "clip": (CLIP_MEAN, CLIP_STD),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "unit": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "none": ((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
}
"""Means and standard deviations by name, of values from 0 to 1; `none` leaves them from 0 to 255."""
_AI_WORDS = AI_NAMES | {"artificial", "aigenerated", "fakes", "sd", "sdxl"}
_GEOMETRIES_OF = {
    "shorter_side": ("shorter_side",),
    "filter": ("resize", "shorter_side"),
    "most": ("crops",),
    "top_share": ("crops",),
}
"""The geometries that a declaration means something to."""


class Declared(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a user declares about a model; `None` means: read it from the files."""

    architecture: str | None = None
    """Of weights in safetensors that no config.json says the network of: `timm:NAME`."""
    geometry: Literal["resize", "shorter_side", "crops"] | None = None
    height: int | None = None
    width: int | None = None
    shorter_side: int | None = None
    filter: Filter | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    layout: Literal["nchw", "nhwc"] | None = None
    channels: Literal["rgb", "bgr"] | None = None
    output: Literal["logits", "probability"] | None = None
    ai: tuple[int | str, ...] | None = None
    """Which outputs speak for AI: by number, or by the label in config.json."""
    real: tuple[int | str, ...] | None = None
    bias: float | None = None
    most: int | None = None
    """Crops, at most."""
    top_share: float | None = None
    min_side: int | None = None
    """Pixels of the smallest side of an image that it is for; by default, the model's."""
    threshold: float | None = None
    """The logit above which its authors call an image AI."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What surrounds a model."""

    wrapping: Wrapping
    preprocess: Preprocess
    read: dict[str, str]
    """What was read from the model's files rather than declared, by name."""


def settle(
    declared: Declared, folder: Path, original: Any, head: tuple[tuple[float, ...], float] | None = None
) -> Settled:
    """Return what surrounds a model: as declared, else as its files say, else the only safe answer.

    Args:
        declared: What a user says.
        folder: Where the model's file lies; config.json and preprocessor_config.json are here or in the folder above.
        original: The model, an `onnx.ModelProto`.
        head: A linear layer upon the model's output: see `Wrapping`.

    Raises:
        ExportError: Something must be declared, or cannot be so.
    """
    read: dict[str, str] = {}
    configs = read_configs(folder)

    def choose(name: str, said: Any, found: Any, why: str, ask: str) -> Any:
        if said is not None:
            return said
        if found is None:
            raise ExportError(ask)
        read[name] = why
        return found

    prepared, config = configs.get("preprocessor_config.json", {}), configs.get("config.json", {})
    shape = _input_shape(original)
    layout = choose(
        "layout", declared.layout, _layout(shape), "from the graph",
        f"The model's input has the shape {_tell(shape)}, which does not say where its colours are. "
        "Declare --layout nchw or --layout nhwc.",
    )  # fmt: skip
    height, width = _size(declared, shape, layout, prepared, config, read)
    mean, std = _statistics(declared, prepared, read)
    preprocess = _geometry(declared, height, width, prepared, read)
    if head is not None:
        wrapping = Wrapping(
            height=height, width=width, mean=mean, std=std, layout=layout, channels=declared.channels or "rgb",
            output="logits", classes=1, ai=(0,), bias=declared.bias or 0.0, head=head,
        )  # fmt: skip
        return Settled(wrapping, preprocess, read)
    classes = _classes(original, config)
    ai, real = _labels(declared, classes, config, read)
    output = choose(
        "output", declared.output, _output(original, classes), "from the graph's last layer",
        "The graph does not show whether the model's output comes before or after its softmax or sigmoid. "
        "Declare --output logits or --output probability: its model card says, or the code that its authors run it by.",
    )  # fmt: skip
    wrapping = Wrapping(
        height=height, width=width, mean=mean, std=std, layout=layout, channels=declared.channels or "rgb",
        output=output, classes=classes, ai=ai, real=real, bias=declared.bias or 0.0,
    )  # fmt: skip
    return Settled(wrapping, preprocess, read)


def input_sides(declared: Declared, folder: Path) -> tuple[int, int]:
    """Return the height and width, in pixels, to convert weights for.

    Raises:
        ExportError: Neither the files nor the user say.
    """
    configs = read_configs(folder)
    prepared, config = configs.get("preprocessor_config.json", {}), configs.get("config.json", {})
    return _size(declared, ("N", 3, "height", "width"), "nchw", prepared, config, {})


def _input_shape(original: Any) -> list[int | str]:
    """Return the dimensions of the model's input, by number or by the graph's name for those that are not fixed."""
    fixed = {value.name for value in original.graph.initializer}
    inputs = [value for value in original.graph.input if value.name not in fixed]
    dims = inputs[0].type.tensor_type.shape.dim if inputs else []
    return [dim.dim_value if dim.dim_value > 0 else dim.dim_param or "?" for dim in dims]


def _layout(shape: Sequence[int | str]) -> str | None:
    if len(shape) != 4:
        return None
    places = [name for name, place in (("nchw", 1), ("nhwc", 3)) if shape[place] == 3 or "channel" in str(shape[place])]
    return places[0] if len(places) == 1 else None


def _tell(shape: Sequence[int | str]) -> str:
    return f"({', '.join(map(str, shape))})"


def _size(
    declared: Declared,
    shape: Sequence[int | str],
    layout: str,
    prepared: Mapping[str, Any],
    config: Mapping[str, Any],
    read: dict[str, str],
) -> tuple[int, int]:
    """Return the height and width of a model input."""
    sides: Sequence[int | str | None] = shape[2:4] if layout == "nchw" else shape[1:3]
    size = prepared.get("crop_size") or prepared.get("size") or config.get("image_size")
    if isinstance(size, dict):
        size = [size.get("height"), size.get("width")]
    elif not isinstance(size, list) or len(size) != 2:
        size = [size, size]
    if not shape:  # The graph does not even say how many dimensions it takes.
        sides = (None, None)
    elif len(shape) != 4:
        raise ExportError(f"The graph's input {_tell(shape)} is no batch of images: it has {len(shape)} dimensions.")
    found = []
    for name, said, fixed, configured in zip(
        ("height", "width"), (declared.height, declared.width), sides, size, strict=True
    ):
        if said is not None and isinstance(fixed, int) and said != fixed:
            raise ExportError(f"The graph fixes the {name} at {fixed} pixels, and {said} was declared.")
        value = said or (fixed if isinstance(fixed, int) else configured)
        if not isinstance(value, int):
            raise ExportError(
                f"The graph takes images of any {name}. Declare --size: the model card says which it was trained with."
            )
        if said is None:
            read[name] = "from the graph" if isinstance(fixed, int) else "from the files beside the model"
        found.append(value)
    return found[0], found[1]


def _statistics(
    declared: Declared, prepared: Mapping[str, Any], read: dict[str, str]
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return the mean and standard deviation of values from 0 to 1."""
    if (declared.mean is None) != (declared.std is None):
        raise ExportError("A mean and a standard deviation go together: declare both, or --scale.")
    if declared.mean and declared.std:
        return declared.mean, declared.std
    if not prepared:
        raise ExportError(
            "No file says how pixels are scaled before the network. Declare --scale imagenet, clip, half, unit or "
            "none, or --mean and --std: a preprocessor_config.json or the authors' code says which."
        )
    factor = prepared.get("rescale_factor", 1 / 255) if prepared.get("do_rescale", True) else 1.0
    if not prepared.get("do_normalize", True):
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    else:
        try:
            mean, std = (
                msgspec.convert(prepared[name], tuple[float, float, float], strict=False)
                for name in ("image_mean", "image_std")
            )
        except (KeyError, msgspec.ValidationError) as error:
            raise ExportError(
                f"preprocessor_config.json has no mean and standard deviation of three numbers ({error}). "
                "Declare --scale, or --mean and --std."
            ) from error
    read["mean and std"] = "from preprocessor_config.json"
    scale = 255 * factor  # Of values from 0 to 1, which is what ours are of.
    return tuple(value / scale for value in mean), tuple(value / scale for value in std)  # type: ignore[return-value]


def _geometry(
    declared: Declared, height: int, width: int, prepared: Mapping[str, Any], read: dict[str, str]
) -> Preprocess:
    """Return how an image becomes model inputs."""
    geometry, shorter, kind = declared.geometry, declared.shorter_side, declared.filter
    if geometry is None and prepared:
        geometry, edge = read_geometry(prepared, height, width)
        shorter = shorter or edge
        read["geometry"] = f"{geometry}, from preprocessor_config.json"
    if geometry is None:
        raise ExportError(
            "No file says how an image becomes the model's input. Declare --geometry: resize squeezes all of it, "
            "shorter_side resizes and takes the centre, crops takes parts at their own resolution."
        )
    for name, geometries in _GEOMETRIES_OF.items():
        if getattr(declared, name) is not None and geometry not in geometries:
            raise ExportError(f"{name} means nothing to the geometry {geometry}: do not declare it.")
    if kind is None and geometry != "crops":
        kind = FILTERS.get(prepared.get("resample", -1))
        if kind is None:
            raise ExportError(
                "No file says which filter resizes an image. Declare --filter: bilinear is torchvision's default, and "
                "bicubic is usual for CLIP."
            )
        read["filter"] = f"{kind}, from preprocessor_config.json"
    if geometry == "crops":
        return Crops(
            height=height, width=width, most=declared.most or 16,
            top_share=1.0 if declared.top_share is None else declared.top_share,
        )  # fmt: skip
    assert kind
    if geometry == "resize":
        return Resize(height=height, width=width, filter=kind, draft=False)
    try:
        return ShorterSide(height=height, width=width, shorter_side=shorter or max(height, width), filter=kind)
    except ValueError as error:
        raise ExportError(f"This geometry is not possible: {error}.") from error


def _classes(original: Any, config: Mapping[str, Any]) -> int:
    """Return how many numbers the model gives for an image."""
    dims = original.graph.output[0].type.tensor_type.shape.dim
    sides = [dim.dim_value for dim in dims[1:]]
    if all(side > 0 for side in sides):
        return int(np.prod(sides, dtype=int))
    if labels := config.get("id2label"):
        return len(labels)
    raise ExportError("The graph does not fix how many numbers the model gives for an image, so it cannot be imported.")


def _labels(
    declared: Declared, classes: int, config: Mapping[str, Any], read: dict[str, str]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return which outputs speak for AI, and which for real."""
    said = config.get("id2label") or dict(enumerate(config.get("label_names") or ()))
    names = {int(place): str(name) for place, name in said.items()}
    listed = ", ".join(f"{place} = {name}" for place, name in sorted(names.items())) or "no labels"
    ai, real = (_places(chosen, names, listed) for chosen in (declared.ai, declared.real))
    if classes == 1:
        if ai is None and real is None:
            raise ExportError(
                "The model gives a single number, and no file says what a higher one means. Declare --ai-index 0 where "
                "it means AI, or --real-index 0 where it means real."
            )
        if ai and real:
            raise ExportError("The model has one output: declare it as AI or as real, not for both.")
        return ((0,), ()) if ai is not None else ((), (0,))
    if ai is None and real is None:
        words = {place: set(re.findall(r"[a-z]+", name.lower())) for place, name in names.items()}
        ai = tuple(sorted(place for place, found in words.items() if found & _AI_WORDS and not found & REAL_NAMES))
        real = tuple(sorted(place for place, found in words.items() if found & REAL_NAMES and not found & _AI_WORDS))
        if not ai or not real or len(ai) + len(real) < classes:
            raise ExportError(
                f"Of the model's {classes} outputs ({listed}), it is not known which mean AI and which real. Declare "
                "--ai-index and --real-index, once for each, or --ai-label and --real-label: its model card says, or "
                "id2label in its config.json."
            )
        read["labels"] = f"AI is {', '.join(names[place] for place in ai)}, from config.json"
    elif ai is None or real is None:
        rest = tuple(place for place in range(classes) if place not in (ai or real or ()))
        ai, real = (ai, rest) if real is None else (rest, real)
    assert ai is not None
    assert real is not None
    if wrong := [place for place in (*ai, *real) if not 0 <= place < classes] or sorted(set(ai) & set(real)):
        raise ExportError(f"The model has the outputs 0 to {classes - 1}, each for one class: {wrong[0]} will not do.")
    return ai, real


def _places(chosen: Sequence[int | str] | None, names: Mapping[int, str], listed: str) -> tuple[int, ...] | None:
    """Return the indices of outputs declared by number or label."""
    if chosen is None:
        return None
    numbers = {name.lower(): place for place, name in names.items()}
    if unknown := [each for each in chosen if isinstance(each, str) and each.lower() not in numbers]:
        raise ExportError(f"The model has no output labelled {unknown[0]}. It has: {listed}.")
    return tuple(numbers[each.lower()] if isinstance(each, str) else each for each in chosen)


def _output(original: Any, classes: int) -> str | None:
    """Return whether a softmax or sigmoid comes last; `None` if the graph does not show it."""
    makers = {name: node for node in original.graph.node for name in node.output}
    node = makers.get(original.graph.output[0].name)
    while node is not None and node.op_type in ("Reshape", "Squeeze", "Identity", "Cast", "Flatten"):
        node = makers.get(node.input[0])
    if node is None:
        return None
    if node.op_type in ("Softmax", "Sigmoid"):
        return "probability"
    return "logits" if node.op_type in ("Gemm", "MatMul", "Add", "Conv", "Mul") else None
