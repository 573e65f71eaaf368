"""`import`: a detector that others published, as a bundle.

What its authors do around the network (scaling, statistics, channel order, a softmax) goes into the graph, which is
held against the original on images, so that a bundle says what the original says. What cannot be read from the files
must be declared, and nothing is guessed that has two answers.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyrite.bundle import (
    DEFAULT,
    Bundle,
    BundleInfo,
    Calibration,
    Crops,
    ModelOrigin,
    Preprocess,
    Resize,
    ShorterSide,
    load_bundle,
    save_bundle,
)
from pyrite.bundle.preprocess import Filter
from pyrite.datasets.labels import AI_NAMES, REAL_NAMES
from pyrite.decision import Policy, Scope
from pyrite.errors import ExportError, require
from pyrite.graph import CUT, Wrapping, expose_features, wrap
from pyrite.publishing.card import write_import_card
from pyrite.publishing.golden import golden_images, make_golden, settle_batching
from pyrite.runtime import Session

PARITY = 1e-4
"""What a logit may differ by from the original's; relative to logits beyond 1."""
SCALES: Mapping[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "unit": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "none": ((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
}
"""Means and standard deviations by name, of values from 0 to 1; `none` leaves them from 0 to 255."""
_PICKLES = (".pt", ".pth", ".bin", ".pkl", ".ckpt", ".joblib")
_FILTERS: Mapping[int, Filter] = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""Of `resample` in a preprocessor_config.json, which has Pillow's numbers."""
_MAX_PART = 1_900_000_000  # bytes of a model in one file
_SIDE = 160  # pixels of the images that the graph is held against the original on
_AI_WORDS = AI_NAMES | {"artificial", "aigenerated", "fakes", "sd", "sdxl"}


class Declared(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a user says of a model; `None` is to be read from its files."""

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
    ai: tuple[int, ...] | None = None
    real: tuple[int, ...] | None = None
    bias: float | None = None
    most: int | None = None
    """Crops, at most."""
    top_share: float | None = None
    min_side: int | None = None
    """Pixels of the smallest side of an image that it is for; by default, the model's."""
    threshold: float | None = None
    """The logit above which its authors call an image AI."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A bundle, and what is known of how well it was imported."""

    bundle: Bundle
    parity: float
    """The largest difference of a logit from the original fed by hand."""
    filter_effect: float | None
    """The largest that another filter makes; `None` where nothing is resized."""
    read: dict[str, str]
    """What was read from the model's files rather than declared, by name."""


def import_model(
    model: Path,
    out: Path,
    declared: Declared,
    *,
    name: str,
    version: str = "1",
    licence: str,
    origin: ModelOrigin,
    knows: Sequence[str] = (),
    head: tuple[tuple[float, ...], float] | None = None,
) -> Imported:
    """Make a bundle of an ONNX file.

    Args:
        model: The file; a config.json and preprocessor_config.json beside it, or in the folder above, are read.
        out: A folder that does not exist yet.
        declared: What the files do not say.
        name: Of the bundle.
        version: Of the bundle.
        licence: Of the model, in a few words.
        origin: Where it came from; its hash and parity are filled in.
        knows: The generators whose images trained it, where that is known.
        head: A linear layer upon the model's output: see `Wrapping`.

    Raises:
        BundleError: `out` exists or cannot be written.
        ExportError: The model is not one that can be a bundle, or something must be declared.
        MissingExtraError: The extra `train` is not installed.
    """
    require("train", "onnx")
    import onnx

    if model.suffix.lower() in _PICKLES:
        raise ExportError(
            f"{model.name} is a pickle, which can run any program when it is opened. Convert it to ONNX on a machine "
            "that you can lose, and import that."
        )
    try:
        original = onnx.load(model)
    except Exception as error:  # Protobuf's and onnx's own, of several kinds.
        raise ExportError(f"{model} cannot be read as ONNX: {error}") from error
    settled = _settle(declared, _read_configs(model.parent), original, head)
    how, preprocess = settled.wrapping, settled.preprocess
    exposed = onnx.load_model_from_string(expose_features(original.SerializeToString()))
    content = expose_features(wrap(exposed, how).SerializeToString())
    parity = _compare(model, content, how, preprocess)
    scope = _scope(preprocess, declared.min_side, name)
    origin = msgspec.structs.replace(
        origin,
        sha256=hashlib.sha256(model.read_bytes()).hexdigest(),
        parity=parity,
        filter_effect=_filter_effect(content, preprocess),
        threshold=origin.threshold if declared.threshold is None else declared.threshold,
    )
    info = BundleInfo(
        name=name,
        version=version,
        licence=licence,
        preprocess=preprocess,
        scope=scope,
        calibration=Calibration(),
        policy=Policy(real_needs_provenance=scope.is_photographs),
        knows=tuple(knows),
        origin=origin,
    )
    images = golden_images(load_bundle(DEFAULT), _SIDE)
    info = settle_batching(info, content, images)
    files = {
        "model.onnx": content,
        "golden.json": make_golden(info, content, images),
        "card.md": write_import_card(info).encode(),
    }
    return Imported(
        bundle=save_bundle(out, info, files), parity=parity, filter_effect=origin.filter_effect, read=settled.read
    )


@dataclass(frozen=True, slots=True)
class _Settled:
    wrapping: Wrapping
    preprocess: Preprocess
    read: dict[str, str]


def _settle(
    declared: Declared, configs: Mapping[str, Any], original: Any, head: tuple[tuple[float, ...], float] | None
) -> _Settled:
    """Return what is done around a model: as declared, else as its files say, else where there is one safe answer."""
    read: dict[str, str] = {}

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
        return _Settled(wrapping, preprocess, read)
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
    return _Settled(wrapping, preprocess, read)


def _read_configs(folder: Path) -> dict[str, Any]:
    """Return the configurations beside a model, or in the folder above, as Hugging Face lays them out."""
    found: dict[str, Any] = {}
    for name in ("config.json", "preprocessor_config.json"):
        for place in (folder / name, folder.parent / name):
            if place.is_file():
                try:
                    content = msgspec.json.decode(place.read_bytes())
                except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise ExportError(f"{place} cannot be read: {error}.") from error
                if not isinstance(content, dict):
                    raise ExportError(f"{place} is not a JSON object.")
                found[name] = content
                break
    return found


def _input_shape(original: Any) -> list[int | str]:
    """Return the lengths of the model's input, or what the graph calls those that are not fixed."""
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
    sides = shape[2:4] if layout == "nchw" else shape[1:3]
    size = prepared.get("crop_size") or prepared.get("size") or config.get("image_size")
    if isinstance(size, dict):
        size = [size.get("height"), size.get("width")]
    elif not isinstance(size, list):
        size = [size, size]
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
    """Return mean and standard deviation, of values from 0 to 1."""
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
    size = prepared.get("size")
    if geometry is None and prepared:
        edge = size.get("shortest_edge") if isinstance(size, dict) else None
        cropped = prepared.get("do_center_crop", False)
        if edge is not None or cropped:
            geometry, shorter = "shorter_side", shorter or edge or height
        else:
            geometry = "resize"
        read["geometry"] = f"{geometry}, from preprocessor_config.json"
    if geometry is None:
        raise ExportError(
            "No file says how an image becomes the model's input. Declare --geometry: resize squeezes all of it, "
            "shorter_side resizes and takes the centre, crops takes parts at their own resolution."
        )
    if kind is None and geometry != "crops":
        kind = _FILTERS.get(prepared.get("resample", -1))
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
        raise ExportError(f"Such a geometry cannot be: {error}.") from error


def _classes(original: Any, config: Mapping[str, Any]) -> int:
    """Return how many numbers the output has for an image."""
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
    names = {int(place): str(name) for place, name in (config.get("id2label") or {}).items()}
    listed = ", ".join(f"{place} = {name}" for place, name in sorted(names.items())) or "no labels"
    ai, real = declared.ai, declared.real
    if classes == 1:
        if ai is None and real is None:
            raise ExportError(
                "The model gives a single number, and no file says what a higher one means. Declare --ai-index 0 where "
                "it means AI, or --real-index 0 where it means real."
            )
        if ai and real:
            raise ExportError("A single number speaks for AI or for real, not for both.")
        return ((0,), ()) if ai is not None else ((), (0,))
    if ai is None and real is None:
        words = {place: set(re.findall(r"[a-z]+", name.lower())) for place, name in names.items()}
        ai = tuple(sorted(place for place, found in words.items() if found & _AI_WORDS and not found & REAL_NAMES))
        real = tuple(sorted(place for place, found in words.items() if found & REAL_NAMES and not found & _AI_WORDS))
        if not ai or not real or len(ai) + len(real) < classes:
            raise ExportError(
                f"Of the model's {classes} outputs ({listed}), it cannot be told which mean AI and which real. Declare "
                "--ai-index and --real-index, once for each: its model card says, or id2label in its config.json."
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


def _output(original: Any, classes: int) -> str | None:
    """Return whether a softmax or sigmoid comes last; `None` where that cannot be seen."""
    makers = {name: node for node in original.graph.node for name in node.output}
    node = makers.get(original.graph.output[0].name)
    while node is not None and node.op_type in ("Reshape", "Squeeze", "Identity", "Cast", "Flatten"):
        node = makers.get(node.input[0])
    if node is None:
        return None
    if node.op_type in ("Softmax", "Sigmoid"):
        return "probability"
    return "logits" if node.op_type in ("Gemm", "MatMul", "Add", "Conv", "Mul") else None


def _compare(model: Path, content: bytes, how: Wrapping, preprocess: Preprocess) -> float:
    """Return the largest difference of a logit between the original fed by hand and its wrapping.

    Raises:
        ExportError: One exceeds `PARITY`.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    original = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    taken = original.get_inputs()[0]
    session = Session(content, one_by_one=True)
    differences = []
    for image in golden_images(load_bundle(DEFAULT), _SIDE):
        inputs = preprocess.apply(image)[:1]
        values = (inputs[..., ::-1] if how.channels == "bgr" else inputs).astype(np.float32) / 255
        values = (values - np.array(how.mean, np.float32)) / np.array(how.std, np.float32)
        if how.layout == "nchw":
            values = values.transpose(0, 3, 1, 2)
        fed = np.ascontiguousarray(values, np.float16 if "16" in taken.type else np.float32)
        given = np.asarray(original.run(None, {taken.name: fed})[0], np.float64).reshape(-1)
        ours, theirs = float(session.logits(inputs)[0]), by_hand(given, how)
        differences.append(abs(ours - theirs) / max(1.0, abs(theirs)))
    worst = max(differences)
    if not worst <= PARITY:
        raise ExportError(
            f"The imported graph differs from the original by {worst:.2g} in a logit; at most {PARITY:g} is allowed."
        )
    return worst


def by_hand(given: NDArray[np.float64], how: Wrapping) -> float:
    """Return the logit that a model's output (classes,) for one image comes to."""
    if how.head:
        weights, bias = how.head
        return float(given / np.linalg.norm(given) @ np.asarray(weights) + bias + how.bias)
    if how.output == "probability":
        given = np.clip(given, CUT, 1 - CUT)
        if how.classes == 1:
            sign = 1 if how.ai else -1
            return float(sign * (np.log(given[0]) - np.log(1 - given[0])) + how.bias)
        return float(np.log(given[list(how.ai)].sum()) - np.log(given[list(how.real)].sum()) + how.bias)
    if how.classes == 1:
        return float((1 if how.ai else -1) * given[0] + how.bias)
    ai, real = (float(np.logaddexp.reduce(given[list(chosen)])) for chosen in (how.ai, how.real))
    return ai - real + how.bias


def _filter_effect(content: bytes, preprocess: Preprocess) -> float | None:
    """Return by how much another filter moves a logit, at most: what a slip in the declared one would cost."""
    if isinstance(preprocess, Crops):
        return None
    other: Filter = "bilinear" if preprocess.filter == "bicubic" else "bicubic"
    changed = msgspec.structs.replace(preprocess, filter=other)
    session = Session(content, one_by_one=True)
    images = golden_images(load_bundle(DEFAULT), _SIDE)
    ours, others = (
        session.logits(np.concatenate([geometry.apply(image) for image in images]))
        for geometry in (preprocess, changed)
    )
    return float(np.abs(ours - others).max())


def _scope(preprocess: Preprocess, min_side: int | None, name: str) -> Scope:
    """Return which images a model is for: those of which nothing has to be made up."""
    sides = (preprocess.shorter_side,) if isinstance(preprocess, ShorterSide) else preprocess.size
    scope = Scope(min_side=min_side or max(sides), max_side=None, description="")
    return msgspec.structs.replace(scope, description=f"Images as {name} takes them, {scope.sizes} pixels a side.")
