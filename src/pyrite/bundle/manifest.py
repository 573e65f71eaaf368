"""What bundle.json says, and the formats that it has had."""

import difflib
import re
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from pyrite.bundle.calibration import ALL, Calibration
from pyrite.bundle.preprocess import GEOMETRIES, Preprocess, Resize
from pyrite.decision import Policy, Scope
from pyrite.errors import BundleError
from pyrite.writing import indented_json

FORMAT: Literal[2] = 2
MANIFEST = "bundle.json"

Text = Annotated[str, msgspec.Meta(min_length=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class DataInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The data a model was trained, chosen and tested on, with the images in each split."""

    name: Text
    sha256: str
    fingerprint: str
    protocol: Literal["official", "pooled"]
    fractions: tuple[float, float, float]
    train: Count
    validation: Count
    test: Count


class SourceBundle(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A bundle that another learnt from."""

    name: Text
    version: Text
    sha256: str
    """Of all of it, in hexadecimal."""


class TrainingInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a model was trained: enough to do it again."""

    recipe: Text
    recipe_sha256: str
    data: DataInfo
    seed: int
    command: str
    commit: str | None
    packages: dict[str, str]
    epochs: Count
    parity: float | None = None
    """The largest difference of a logit between the trained network and model.onnx, over validation images."""
    teachers: tuple[SourceBundle, ...] | msgspec.UnsetType = msgspec.UNSET
    """What taught it besides the labels; left out without, so that bundles from before keep their hash."""
    started_from: tuple[SourceBundle, ...] | msgspec.UnsetType = msgspec.UNSET
    """Whose weights, or their mean, training started from; left out where they were random, or of a backbone."""


class Quantization(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a float32 network was brought to int8, and what that cost on the validation images."""

    images: Count
    """Training images that the ranges of the activations are of."""
    float_accuracy: float
    """Of the float32 network, on the validation images."""
    int8_accuracy: float
    """The same of the network in int8."""
    command: str
    """That quantised it."""


class ModelOrigin(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a model came from that was not trained here."""

    source: Text
    """Its address: a URL, a repository, a package, a file."""
    revision: str | None = None
    """The commit or version of it."""
    sha256: str
    """Of the original file, in hexadecimal."""
    authors: str | None = None
    """Of the model."""
    paper: str | None = None
    """The address of the paper that describes it."""
    allows: Literal["free", "non-commercial", "unclear"] = "unclear"
    """What its licence allows, in a word."""
    threshold: float | None = None
    """The logit above which its authors call an image AI."""
    parity: float | None = None
    """The largest difference of a logit between the original and model.onnx, over some images."""
    filter_effect: float | None = None
    """The largest that another resampling filter made to a logit there; `None` where nothing is resized."""


class BundleInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of bundle.json."""

    format: Literal[2] = FORMAT
    """Of the file; this is 2."""
    name: Text
    """Of the bundle."""
    version: Text
    """Of the bundle, as its maker counts."""
    licence: Text
    """Of the model, and of what it was trained on."""
    files: dict[str, str] = {}
    """SHA-256 of each other file, in hexadecimal; `save_bundle` fills it in."""
    preprocess: Preprocess
    """How an image becomes inputs of the model."""
    scope: Scope
    """Which images the model was made for."""
    calibration: Calibration
    """What turns a logit into a probability and p-values."""
    policy: Policy
    """The error budgets of its verdicts, where nobody names others."""
    knows: tuple[Text, ...] = ()
    """The generators whose images trained the model, where that is known."""
    one_by_one: bool = False
    """Whether the model is given a single input at a time, since its answer depends on what else is in a batch."""
    training: TrainingInfo | None = None
    """Of a model that was trained here."""
    origin: ModelOrigin | None = None
    """Of a model that was not."""
    quantization: Quantization | None = None
    """Of a network that computes in int8."""


def format_manifest(info: BundleInfo) -> bytes:
    """Return the content of bundle.json."""
    return indented_json(info)


class _Calibration1(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    slope: float
    intercept: float
    real_logits: tuple[float, ...]
    ai_logits: tuple[float, ...]

    def __post_init__(self) -> None:
        self.grouped()  # What is wrong with the logits is wrong in either form.

    def grouped(self) -> Calibration:
        """Return what format 2 has of it."""
        return Calibration(
            slope=self.slope, intercept=self.intercept, real={ALL: self.real_logits}, ai={ALL: self.ai_logits}
        )


class _BundleInfo1(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of bundle.json in format 1, which had one geometry, and one group of either class."""

    format: Literal[1]
    name: Text
    version: Text
    licence: Text
    files: dict[str, str] = {}
    preprocess: Resize
    scope: Scope
    calibration: _Calibration1
    policy: Policy
    training: TrainingInfo | None = None
    quantization: Quantization | None = None


class _Versioned(msgspec.Struct):
    format: int


def parse_manifest(manifest: bytes, path: Path) -> BundleInfo:
    """Return the content of bundle.json, in the newest format.

    Args:
        manifest: The file's bytes.
        path: Of the bundle, for errors.

    Raises:
        BundleError: It is not valid, or of a format that is not read here.
    """
    try:
        found = msgspec.json.decode(manifest, type=_Versioned).format
        if found == 1:
            return _from_format_1(msgspec.json.decode(manifest, type=_BundleInfo1))
        if found != FORMAT:
            raise BundleError(
                f"{path} has bundle format {found}, and this Pyrite reads formats 1 to {FORMAT}. "
                "Use another version of Pyrite, or export the bundle again."
            )
        return msgspec.json.decode(manifest, type=BundleInfo)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        unknown = re.search(r"unknown field `(.*?)`", str(error))
        hint = suggest(unknown[1], _KEYS) if unknown else ""
        raise BundleError(f"{MANIFEST} in {path} is not valid: {error}.{hint}") from error


def _from_format_1(old: _BundleInfo1) -> BundleInfo:
    same = {name: getattr(old, name) for name in old.__struct_fields__ if name not in ("format", "calibration")}
    return BundleInfo(**same, calibration=old.calibration.grouped())


def suggest(name: str, known: tuple[str, ...]) -> str:
    """Return a question whether the nearest of the known names was meant, or nothing."""
    near = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


_STRUCTS = (
    BundleInfo, *GEOMETRIES, Scope, Calibration, Policy, TrainingInfo, SourceBundle, DataInfo, Quantization, ModelOrigin
)  # fmt: skip
_KEYS = tuple(key for struct in _STRUCTS for key in struct.__struct_fields__)
