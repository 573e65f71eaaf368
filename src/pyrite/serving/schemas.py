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
    scored: int
    picture: str
    request_id: str


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


class ErrorContent(msgspec.Struct, kw_only=True):
    """What went wrong."""

    code: str
    message: str
    request_id: str


class Error(msgspec.Struct, kw_only=True):
    """The one shape of all errors."""

    error: ErrorContent


_DETECTION = {
    "path": "The file's name as it was sent; null where none was.",
    "sha256": "Of the file's bytes, in hexadecimal.",
    "format": "As found in the file: JPEG, PNG, WEBP and so on.",
    "width": "In pixels, upright.",
    "height": "In pixels, upright.",
    "frames": "How many the file has; one of them is judged.",
    "verdict": "`ai`, `real` or `uncertain`.",
    "probability": "Of AI, calibrated, 0 to 1; null where it decides nothing, or several bundles judged.",
    "logit": "The model's raw score, also where it decides nothing; above 0 leans to AI. Null of several bundles.",
    "reason": "What decided the verdict.",
    "explanation": "The same in one sentence.",
    "p_real": "The share of real calibration images that look at least this much like AI; null of none.",
    "p_ai": "The share of AI calibration images that look at least this much like real; null of none.",
    "max_fpr": "The error budget of this verdict.",
    "evidence": "Everything that was found, the conclusion of each model last.",
    "model": "Which bundle judged.",
    "error": "Why the file could not be judged; null where it was.",
}

DESCRIPTIONS = {
    "Detections": {
        "detections": "One for each file, in their order; a file that cannot be read is one too, with its `error`.",
        "model": "Which bundle judged.",
        "max_fpr": "The error budget of these verdicts.",
        "request_id": "Also in the header X-Request-ID, and in the server's log where something failed.",
    },
    "Detection": _DETECTION,
    "FileDetection": {
        **_DETECTION,
        "client_id": "What the client called the file in its form; left out where it called it nothing.",
    },
    "Evidence": {
        "kind": "`pixels`, `credentials`, `generator`, `camera` and so on.",
        "strength": "How far it can be trusted: verified, asserted by anyone, or inferred from pixels.",
        "says": "`ai`, `real`, or null for context.",
        "detail": "One sentence for a person.",
        "data": "Details for a program; which, depends on `kind`. Of `pixels`, the bundle and its own p-values.",
    },
    "Model": {"name": "Of the bundle; of several, all with + between.", "version": "As the name."},
    "Failure": {
        "code": "Stable: `unsupported_format`, `corrupt`, `too_many_pixels`, `timed_out` and so on.",
        "message": "One sentence for a person.",
    },
    "ExplanationResponse": {
        "detection": "As `detect` has it.",
        "model": "Which bundle's score is explained.",
        "leans": "The class that the pixels' score leans to, whatever the verdict.",
        "better_than_random": "Whether the map tells more than 19 random ones.",
        "faithfulness": "By which figures.",
        "moved": "By how much each cell of the map moves the log-odds of AI; null where it is no better than random.",
        "spectrum": "Of the image as the model sees it, in 16 bands.",
        "spectra": "Of training images of both classes; null where the bundle keeps none.",
        "input_size": "Height and width of what the model sees.",
        "region": "What the model sees of the image, and the map shows: left, top, right, bottom, in its pixels.",
        "scored": "How many images the model scored for this.",
        "picture": "PNG, in base64.",
        "request_id": "Also in the header X-Request-ID.",
    },
    "HistoryResponse": {
        "evidence": "What the file says of its history, and how a JPEG was compressed; of kind `history`, "
        "`compression`, or `reader` where something could not be read.",
        "maps": "Of `error_levels`, `noise` and `ghosts`, in this order.",
        "thumbnail": "What is in the EXIF data, or that there is none.",
        "request_id": "Also in the header X-Request-ID.",
    },
    "HistoryMap": {
        "kind": "`error_levels`, `noise` or `ghosts`.",
        "title": "For a person.",
        "found": "One sentence: the figures, or why there is nothing to see.",
        "shows": "What such a map can show, whatever the image.",
        "limits": "What it cannot.",
        "unit": "Of its levels.",
        "figures": "`low`, `median` and `high`: levels that 5%, 50% and 95% of the cells are below; of `ghosts`, the "
        "`quality` and the `share` of cells that have it. Null without a map.",
        "region": "The part of the upright image that it is of: left, top, right, bottom, in pixels; null without one.",
        "scale": "The levels that are drawn darkest and brightest; null without a map.",
        "picture": "The map over the whole upright image, 480 pixels on its longer side: PNG in a data URL, or null.",
    },
    "HistoryThumbnail": {
        "found": "One sentence for a person.",
        "correlation": "Of its brightness with the image's, -1 to 1; null where they cannot be compared.",
        "alike": "Whether both show the same; null where they cannot be compared.",
        "size": "Its width and height as it is shown; null where there is none.",
        "picture": "Turned as the image is, without bars where it matches: PNG in a data URL, or null.",
    },
    "Faithfulness": {
        "deletion": "The mean score while the cells are taken away, the ones that spoke most first; lower is better.",
        "insertion": "The mean score while they come back; higher is better.",
        "random_deletion": "The same in random orders.",
        "random_insertion": "The same in random orders.",
    },
    "BundleCard": {
        "name": "Of the bundle.",
        "version": "Of the bundle.",
        "sha256": "Of all of it, in hexadecimal.",
        "licence": "Of the bundle.",
        "scope": "Which images its model was made for.",
        "training": "What trained its model; null where the bundle does not say.",
        "card": "Its card in Markdown; empty where it has none.",
    },
    "Card": {
        "name": "Of the bundle; of several, all with + between. What follows is the first's, but for `policy`.",
        "version": "As the name.",
        "licence": "Of the bundle.",
        "scope": "Which images the model was made for.",
        "policy": "The error budgets of this server's verdicts, where a request names none.",
        "calibration": "What turns a logit into a probability and two p-values.",
        "training": "What trained the model; null where the bundle does not say.",
        "card": "The bundle's card in Markdown; empty where it has none.",
        "device": "What the models run on: `cpu`, `cuda` and so on.",
        "pyrite": "The version of Pyrite.",
        "bundles": "All that judge, in their order; at least one.",
    },
    "Bounds": {
        "max_bytes": "Of one file.",
        "max_pixels": "Of one image.",
        "max_files": "Of one request.",
        "max_request_bytes": "Of the whole body.",
        "max_fpr": "Which error budgets a request may ask for.",
        "timeout_seconds": "After which a request is answered with 504.",
    },
    "Budget": {"smallest": "That the calibration can keep.", "default": "Where a request names none."},
    "Scope": {
        "min_side": "Of the shorter side, in pixels.",
        "max_side": "Of the longer side, in pixels; null for no bound.",
        "description": "The same in words.",
    },
    "Policy": {
        "max_fpr": "The share of real images that may be called ai.",
        "max_fnr": "The share of AI images that may be called real.",
        "real_needs_provenance": "Whether the pixels alone make no image real.",
    },
    "Calibration": {
        "slope": "What a logit is multiplied by, before the logistic function gives a probability; null for none.",
        "intercept": "What is added to that; null for none.",
        "real": "Logits of the real calibration images by group, ascending; `p_real` is the largest over the groups.",
        "ai": "The same of the AI calibration images, for `p_ai`.",
    },
    "TrainingInfo": {
        "recipe": "Its name.",
        "recipe_sha256": "Of the recipe, in hexadecimal.",
        "data": "What it was trained, chosen and tested on.",
        "seed": "Of all that was random.",
        "command": "That trained it.",
        "commit": "Of Pyrite's code; null where it was not known.",
        "packages": "Versions by name.",
        "epochs": "That were trained.",
        "parity": "The largest difference of a logit between the trained network and this model; null if not measured.",
        "teachers": "Bundles that taught it besides the labels; absent where there were none.",
    },
    "TeacherInfo": {
        "name": "Of the bundle.",
        "version": "Of the bundle.",
        "sha256": "Of all of it, in hexadecimal.",
    },
    "DataInfo": {
        "name": "Of the dataset.",
        "sha256": "Of its content, labels and own splits, in hexadecimal.",
        "fingerprint": "Of its listing.",
        "protocol": "Whether its own test split was kept (`official`) or all was pooled.",
        "fractions": "Of training, validation and test.",
        "train": "Images.",
        "validation": "Images.",
        "test": "Images.",
    },
    "Spectra": {"real": "Of real images.", "ai": "Of AI images."},
    "ClassSpectrum": {
        "images": "How many it is of.",
        "mean": "Of the natural logarithm of the power, in each of 16 bands.",
        "deviation": "Its standard deviation, in each band.",
    },
    "SmallPicture": {
        "picture": "Upright, up to 320 pixels a side: JPEG, or PNG of the smallest, in a data URL.",
        "request_id": "Also in the header X-Request-ID.",
    },
    "ExampleImage": {
        "name": "Its number, and the verdict that it got where the bundle was made.",
        "picture": "PNG, in base64.",
    },
    "ExamplesResponse": {"examples": "Between 8 and 16."},
    "Health": {"status": "`ok`, or `ready`."},
    "Error": {"error": "What went wrong."},
    "ErrorContent": {
        "code": "Stable and machine-readable.",
        "message": "One sentence for a person.",
        "request_id": "Also in the header X-Request-ID.",
    },
}  # fmt: skip


_FIELDS = [one.name for one in fields(Detection)]


def components() -> dict[str, Any]:
    """Return the schemas of all that the server sends, by their names."""
    kinds = [
        Detections,
        ExplanationResponse,
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
            schemas[name]["required"] = [key for key in schema["properties"] if key != "client_id"]
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
