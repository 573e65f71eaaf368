"""`import`: a detector that others published, as a bundle.

What its authors do around the network (scaling, statistics, channel order, a softmax) goes into the graph, which is held
against the original on images, so that a bundle says what the original says. What cannot be read from the files must be
declared, and nothing is guessed that has two answers.
"""

import hashlib
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
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
    Pixels,
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
from pyrite.graph import Wrapping, expose_features, wrap
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
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
    images = [np.asarray(image) for image in golden_images(load_bundle(DEFAULT), _SIDE)]
    info = settle_batching(info, content, images)
    files = {"model.onnx": content, "golden.json": make_golden(info, content, images), "card.md": write_import_card(info)}
    return Imported(
        bundle=save_bundle(out, info, files), parity=parity, filter_effect=origin.filter_effect, read=settled.read
    )
