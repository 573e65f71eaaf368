"""What every answer looks like: the types that answers are made of, and what each of their fields means."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import msgspec

from pyrite.bundle import TrainingInfo
from pyrite.bundle.calibration import Calibration
from pyrite.decision import Policy, Scope
from pyrite.explanation import Spectra
from pyrite.explanation.faithfulness import Faithfulness
from pyrite.results import Detection, Evidence, Model, Verdict


@dataclass(frozen=True, slots=True)
class FileDetection(Detection):
    """Everything Pyrite says about one file, with the id that its client gave it."""

    client_id: str = ""


class Detections(msgspec.Struct, kw_only=True):
    """What `detect` found, image by image, in the order of the files."""

    detections: list[FileDetection]
    model: Model
    max_fpr: float
    request_id: str


class BundleCard(msgspec.Struct, kw_only=True):
    """One of the bundles that judge."""

    name: str
    version: str
    sha256: str
    licence: str
    scope: Scope
    training: TrainingInfo | None
    card: str


class Card(msgspec.Struct, kw_only=True):
    """What judges, with all that is needed to decide again for another error budget."""

    name: str
    version: str
    licence: str
    scope: Scope
    policy: Policy
    calibration: Calibration
    training: TrainingInfo | None
    card: str
    device: str
    pyrite: str
    bundles: list[BundleCard]


class Budget(msgspec.Struct, kw_only=True):
    """Which error budgets a request may ask for."""

    smallest: float
    default: float


class Bounds(msgspec.Struct, kw_only=True):
    """What a request may bring."""

    max_bytes: int
    max_pixels: int
    max_files: int
    max_request_bytes: int
    max_fpr: Budget
    timeout_seconds: float


class ExplanationResponse(msgspec.Struct, kw_only=True):
    """What moved the score of an image: the figures of `pyrite explain --json`, and the picture."""

    detection: Detection
    model: Model
    leans: Verdict
    better_than_random: bool
    faithfulness: Faithfulness
    moved: list[list[float]] | None
    spectrum: list[float]
    spectra: Spectra | None
    input_size: tuple[int, int]
    region: tuple[int, int, int, int]
    rows: list[tuple[int, int]]
    columns: list[tuple[int, int]]
    scored: int
    picture: str
    request_id: str


class ExplanationProgress(msgspec.Struct, kw_only=True):
    """How far the scoring for an explanation is."""

    done: int
    total: int


class ErrorContent(msgspec.Struct, kw_only=True):
    """What went wrong."""

    code: str
    message: str
    request_id: str


class ExplanationLine(msgspec.Struct, kw_only=True):
    """One line of an answer that comes while an image is explained: it has one of these, and the last no progress."""

    progress: ExplanationProgress | msgspec.UnsetType = msgspec.UNSET
    result: ExplanationResponse | msgspec.UnsetType = msgspec.UNSET
    error: ErrorContent | msgspec.UnsetType = msgspec.UNSET


class HistoryMap(msgspec.Struct, kw_only=True):
    """One map of an image, or why there is none."""

    kind: str
    title: str
    found: str
    shows: str
    limits: str
    unit: str
    figures: dict[str, float] | None
    region: tuple[int, int, int, int] | None
    scale: tuple[float, float] | None
    picture: str | None


class HistoryThumbnail(msgspec.Struct, kw_only=True):
    """The thumbnail in a file's EXIF data, beside the image."""

    found: str
    correlation: float | None
    alike: bool | None
    size: tuple[int, int] | None
    picture: str | None


class HistoryResponse(msgspec.Struct, kw_only=True):
    """What the file and pixels of an image tell of earlier saves and edits: context, never a verdict."""

    evidence: list[Evidence]
    maps: list[HistoryMap]
    thumbnail: HistoryThumbnail
    request_id: str


class SmallPicture(msgspec.Struct, kw_only=True):
    """An image, small."""

    picture: str
    request_id: str


class ExampleImage(msgspec.Struct, kw_only=True):
    """An image to try."""

    name: str
    picture: bytes


class ExamplesResponse(msgspec.Struct, kw_only=True):
    """Images to try."""

    examples: list[ExampleImage]


class Health(msgspec.Struct, kw_only=True):
    """Whether the server lives, or is ready."""

    status: str


class Error(msgspec.Struct, kw_only=True):
    """The one shape of all errors."""

    error: ErrorContent


_DETECTION = {
    "path": "The file's name as sent; null if none was sent.",
    "sha256": "Hash of the file's bytes, in hexadecimal.",
    "format": "Format found in the file: JPEG, PNG, WEBP and so on.",
    "width": "In pixels, of the upright image.",
    "height": "In pixels, of the upright image.",
    "frames": "Number of frames in the file; one of them is judged.",
    "verdict": "`ai`, `real` or `uncertain`.",
    "probability": "Calibrated probability of AI, 0 to 1; null if it decides nothing, or if several bundles judged.",
    "logit": "The model's raw score, also if it decides nothing; above 0 leans to AI. Null if several bundles judged.",
    "reason": "What decided the verdict.",
    "explanation": "The reason in one sentence.",
    "p_real": "The share of real calibration images that look at least this much like AI; null if there are none, or "
    "the image is out of scope.",
    "p_ai": "The share of AI calibration images that look at least this real; null if there are none, or the image is "
    "out of scope.",
    "max_fpr": "The error budget of this verdict.",
    "evidence": "All evidence found; the conclusion of each model comes last.",
    "model": "Which bundle judged.",
    "error": "Why the file could not be judged; null if it was judged.",
}

DESCRIPTIONS = {
    "Detections": {
        "detections": "One for each file, in the same order; a file that cannot be read has one too, with its `error`.",
        "model": "Which bundle judged.",
        "max_fpr": "The error budget of these verdicts.",
        "request_id": "Also in the header X-Request-ID, and in the server's log if something failed.",
    },
    "Detection": _DETECTION,
    "FileDetection": {
        **_DETECTION,
        "client_id": "The client's own id for the file, from the form; left out if it sent none.",
    },
    "Evidence": {
        "kind": "`pixels`, `credentials`, `generator`, `camera` and so on.",
        "strength": "How far to trust it: verified, asserted by anyone, or inferred from pixels.",
        "says": "`ai`, `real`, or null for context.",
        "detail": "One sentence for people.",
        "data": "Details for programs, depending on `kind`; for `pixels`, the bundle and its own p-values.",
    },
    "Model": {"name": "Name of the bundle; several are joined by +.", "version": "Version, in the same form."},
    "Failure": {
        "code": "Stable: `unsupported_format`, `corrupt`, `too_many_pixels`, `timed_out` and so on.",
        "message": "One sentence for people.",
    },
    "ExplanationResponse": {
        "detection": "The same as from `detect`.",
        "model": "Which bundle's score is explained.",
        "leans": "The class that the pixels' score leans to, whatever the verdict.",
        "better_than_random": "Whether the map does better than 19 random ones.",
        "faithfulness": "The figures behind that.",
        "moved": "How much each cell of the map moves the log-odds of AI; null if the map is no better than random.",
        "spectrum": "Spectrum of the image as the model sees it, in 16 bands.",
        "spectra": "Average spectra of the training images of each class; null if the bundle has none.",
        "input_size": "Height and width of what the model sees.",
        "region": "The part of the image that the map shows: left, top, right, bottom, in its pixels.",
        "rows": "From where to where each row of the map goes, in the image's pixels. Those of several crops may leave "
        "gaps, which the model does not see, or overlap.",
        "columns": "The same of its columns.",
        "scored": "How many model inputs were scored for this.",
        "picture": "PNG, in base64.",
        "request_id": "Also in the header X-Request-ID.",
    },
    "ExplanationProgress": {"done": "Model inputs scored so far.", "total": "Model inputs that are scored in all."},
    "ExplanationLine": {
        "progress": "How far it is: in every line but the last. `done` only grows, and `total` stays.",
        "result": "What the answer in JSON is: in the last line.",
        "error": "What went wrong after the first line: in the last line, instead of a result.",
    },
    "HistoryResponse": {
        "evidence": "What the file says of its history, and how a JPEG was compressed; of kind `history`, "
        "`compression`, or `reader` where something could not be read.",
        "maps": "Maps of `error_levels`, `noise` and `ghosts`, in this order.",
        "thumbnail": "The thumbnail in the EXIF data, or that there is none.",
        "request_id": "Also in the header X-Request-ID.",
    },
    "HistoryMap": {
        "kind": "`error_levels`, `noise` or `ghosts`.",
        "title": "A title for people.",
        "found": "One sentence: the figures, or why there is nothing to see.",
        "shows": "What such a map can show, whatever the image.",
        "limits": "What it cannot show.",
        "unit": "Unit of its levels.",
        "figures": "`low`, `median` and `high`: levels that 5%, 50% and 95% of the cells are below; for `ghosts`, the "
        "`quality` and the `share` of cells that have it. Null without a map.",
        "region": "The part of the upright image that it covers: left, top, right, bottom, in pixels; null if none.",
        "scale": "The levels that are drawn darkest and brightest; null without a map.",
        "picture": "The map over the whole upright image, 480 pixels on its longer side: PNG in a data URL, or null.",
    },
    "HistoryThumbnail": {
        "found": "One sentence for people.",
        "correlation": "Correlation of its brightness with the image's, -1 to 1; null if they cannot be compared.",
        "alike": "Whether both show the same; null if they cannot be compared.",
        "size": "Its width and height as shown; null if there is none.",
        "picture": "The thumbnail, turned like the image and without bars if it matches: PNG in a data URL, or null.",
    },
    "Faithfulness": {
        "deletion": "The mean score while cells are removed, the most important ones first; lower is better.",
        "insertion": "The mean score while they are put back; higher is better.",
        "random_deletion": "The same in random order.",
        "random_insertion": "The same in random order.",
    },
    "BundleCard": {
        "name": "Name of the bundle.",
        "version": "Version of the bundle.",
        "sha256": "Hash of the whole bundle, in hexadecimal.",
        "licence": "Licence of the bundle.",
        "scope": "The images that its model supports.",
        "training": "How its model was trained; null if the bundle does not say.",
        "card": "Its card in Markdown; empty if it has none.",
    },
    "Card": {
        "name": "Name of the bundle; several are joined by +. Except for `policy`, what follows is of the first.",
        "version": "Version, in the same form as the name.",
        "licence": "Licence of the bundle.",
        "scope": "The images that the model supports.",
        "policy": "The error budgets of this server's verdicts if a request names none.",
        "calibration": "Turns a logit into a probability and two p-values.",
        "training": "How the model was trained; null if the bundle does not say.",
        "card": "The bundle's card in Markdown; empty if it has none.",
        "device": "What the models run on: `cpu`, `cuda` and so on.",
        "pyrite": "The version of Pyrite.",
        "bundles": "All bundles that judge, in order; at least one.",
    },
    "Bounds": {
        "max_bytes": "Limit for one file.",
        "max_pixels": "Limit for one image.",
        "max_files": "Limit for one request.",
        "max_request_bytes": "Limit for the whole body.",
        "max_fpr": "The error budgets that a request may ask for.",
        "timeout_seconds": "The time after which a request gets the status 504.",
    },
    "Budget": {"smallest": "The smallest that the calibration can keep.", "default": "Used if a request names none."},
    "Scope": {
        "min_side": "Smallest length of the shorter side, in pixels.",
        "max_side": "Largest length of the longer side, in pixels; null for no limit.",
        "description": "The supported images in words.",
    },
    "Policy": {
        "max_fpr": "The share of real images that may be called ai.",
        "max_fnr": "The share of AI images that may be called real.",
        "real_needs_provenance": "Whether an image needs provenance to be called real.",
    },
    "Calibration": {
        "slope": "Factor for a logit, before the logistic function gives a probability; null if there is none.",
        "intercept": "What is added to that; null like `slope`.",
        "real": "Logits of the real calibration images by group, ascending; `p_real` is the largest over the groups.",
        "ai": "The same for the AI calibration images and `p_ai`.",
    },
    "TrainingInfo": {
        "recipe": "Name of the recipe.",
        "recipe_sha256": "Hash of the recipe, in hexadecimal.",
        "data": "The data that it was trained, chosen and tested on.",
        "seed": "Seed of everything random.",
        "command": "The command that trained it.",
        "commit": "Commit of Pyrite's code; null if unknown.",
        "packages": "Versions of packages by name.",
        "epochs": "Number of epochs trained.",
        "parity": "The largest difference in a logit between the trained network and this model; null if not measured.",
        "teachers": "Bundles that taught it in addition to the labels; absent if there were none.",
        "started_from": "Bundles whose weights training started from, or their mean; absent if there were none.",
    },
    "SourceBundle": {
        "name": "Name of the bundle.",
        "version": "Version of the bundle.",
        "sha256": "Hash of the whole bundle, in hexadecimal.",
    },
    "DataInfo": {
        "name": "Name of the dataset.",
        "sha256": "Hash of its content, labels and own splits, in hexadecimal.",
        "fingerprint": "Fingerprint of its list of files.",
        "protocol": "Whether its own test split was kept (`official`) or all was pooled.",
        "fractions": "Shares of training, validation and test.",
        "train": "Number of training images.",
        "validation": "Number of validation images.",
        "test": "Number of test images.",
    },
    "Spectra": {"real": "Spectrum of real images.", "ai": "Spectrum of AI images."},
    "ClassSpectrum": {
        "images": "Number of images.",
        "mean": "Mean of the natural logarithm of the power, in each of 16 bands.",
        "deviation": "Its standard deviation, in each band.",
    },
    "SmallPicture": {
        "picture": "The upright image, up to 320 pixels a side: JPEG, or PNG for the smallest, in a data URL.",
        "request_id": "Also in the header X-Request-ID.",
    },
    "ExampleImage": {
        "name": "Its number, and its verdict where the bundle was made.",
        "picture": "PNG, in base64.",
    },
    "ExamplesResponse": {"examples": "Between 8 and 16 images."},
    "Health": {"status": "`ok`, or `ready`."},
    "Error": {"error": "What went wrong."},
    "ErrorContent": {
        "code": "Stable and machine-readable.",
        "message": "One sentence for people.",
        "request_id": "Also in the header X-Request-ID.",
    },
}  # fmt: skip


_OPTIONAL = {("FileDetection", "client_id"), *(("ExplanationLine", one) for one in ("progress", "result", "error"))}
_FIELDS = [one.name for one in fields(Detection)]


def components() -> dict[str, Any]:
    """Return the schemas of all that the server sends, by their names."""
    kinds = [
        Detections,
        ExplanationResponse,
        ExplanationLine,
        HistoryResponse,
        SmallPicture,
        Card,
        ExamplesResponse,
        Bounds,
        Health,
        Error,
    ]
    _, schemas = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    for name, texts in DESCRIPTIONS.items():
        for key, text in texts.items():
            schemas[name]["properties"][key]["description"] = text
    for name, schema in schemas.items():
        schemas[name] = _without_tuples(schema)
        # What is always sent is required, whether or not the type has a default for it.
        if "properties" in schema:
            schemas[name]["required"] = [key for key in schema["properties"] if (name, key) not in _OPTIONAL]
    del schemas["FileDetection"]["properties"]["client_id"]["default"]
    return schemas


def with_ids(detections: Sequence[Detection], ids: Sequence[str | None]) -> list[Detection]:
    """Return detections with the ids of their files, where these have any."""
    return [
        one if name is None else FileDetection(**{key: getattr(one, key) for key in _FIELDS}, client_id=name)
        for one, name in zip(detections, ids, strict=True)
    ]


def _without_tuples(schema: Any) -> Any:
    """Return a schema with plain arrays where there were tuples, which not every generator of clients knows.

    All tuples here are of one type, and keep their length.
    """
    if isinstance(schema, list):
        return [_without_tuples(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: _without_tuples(value) for key, value in schema.items() if key != "prefixItems"}
    if "prefixItems" in schema:
        [plain["items"]] = {str(part): part for part in schema["prefixItems"]}.values()
    return plain
