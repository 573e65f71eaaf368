"""The OpenAPI document: what every answer looks like, from the types that the answers are made of."""

from typing import Any

import msgspec

from pyrite.bundle import TrainingInfo
from pyrite.calibration import Calibration
from pyrite.decision import Policy, Scope
from pyrite.explanation import Spectra
from pyrite.explanation.faithfulness import Faithfulness
from pyrite.results import Detection, Model, Verdict
from pyrite.serving.answers import JSON

DESCRIPTION = """Judge images: `ai`, `real` or `uncertain`, each with its evidence.

Results are those of `pyrite detect --json`. Nothing is stored, and nothing is sent anywhere.

All errors have one shape, and each answer has the request's id in the header `X-Request-ID`."""


class Detections(msgspec.Struct, kw_only=True):
    """What `detect` found, image by image, in the order of the files."""

    detections: list[Detection]
    model: Model
    max_fpr: float
    request_id: str


class Card(msgspec.Struct, kw_only=True):
    """The bundle that judges, with all that is needed to decide again for another error budget."""

    name: str
    version: str
    licence: str
    scope: Scope
    policy: Policy
    calibration: Calibration
    training: TrainingInfo | None
    card: str


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


class Explanation(msgspec.Struct, kw_only=True):
    """What moved the score of an image: the figures of `pyrite explain --json`, and the picture."""

    detection: Detection
    leans: Verdict
    better_than_random: bool
    faithfulness: Faithfulness
    moved: list[list[float]] | None
    spectrum: list[float]
    spectra: Spectra | None
    input_size: tuple[int, int]
    scored: int
    picture: str
    request_id: str


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


DESCRIPTIONS = {
    "Detections": {
        "detections": "One for each file, in their order; a file that cannot be read is one too, with its `error`.",
        "model": "Which bundle judged.",
        "max_fpr": "The error budget of these verdicts.",
        "request_id": "Also in the header X-Request-ID, and in the server's log where something failed.",
    },
    "Detection": {
        "path": "The file's name as it was sent; null where none was.",
        "sha256": "Of the file's bytes, in hexadecimal.",
        "format": "As found in the file: JPEG, PNG, WEBP and so on.",
        "width": "In pixels, upright.",
        "height": "In pixels, upright.",
        "frames": "How many the file has; one of them is judged.",
        "verdict": "`ai`, `real` or `uncertain`.",
        "probability": "Of AI, calibrated, 0 to 1.",
        "logit": "The model's raw score; above 0 leans to AI.",
        "reason": "What decided the verdict.",
        "explanation": "The same in one sentence.",
        "p_real": "The share of real calibration images that look at least this much like AI.",
        "p_ai": "The share of AI calibration images that look at least this much like real.",
        "max_fpr": "The error budget of this verdict.",
        "evidence": "Everything that was found, the model's own conclusion last.",
        "model": "Which bundle judged.",
        "error": "Why the file could not be judged; null where it was.",
    },
    "Evidence": {
        "kind": "`pixels`, `credentials`, `generator`, `camera` and so on.",
        "strength": "How far it can be trusted: verified, asserted by anyone, or inferred from pixels.",
        "says": "`ai`, `real`, or null for context.",
        "detail": "One sentence for a person.",
        "data": "Details for a program; which, depends on `kind`.",
    },
    "Model": {"name": "Of the bundle.", "version": "Of the bundle."},
    "Failure": {
        "code": "Stable: `unsupported_format`, `corrupt`, `too_many_pixels`, `too_slow` and so on.",
        "message": "One sentence for a person.",
    },
    "Explanation": {
        "detection": "As `detect` has it.",
        "leans": "The class that the pixels' score leans to, whatever the verdict.",
        "better_than_random": "Whether the map tells more than 19 random ones.",
        "faithfulness": "By which figures.",
        "moved": "By how much each cell of the map moves the log-odds of AI; null where it is no better than random.",
        "spectrum": "Of the image as the model sees it, in 16 bands.",
        "spectra": "Of training images of both classes; null where the bundle keeps none.",
        "input_size": "Height and width of what the model sees.",
        "scored": "How many images the model scored for this.",
        "picture": "PNG, in base64.",
        "request_id": "Also in the header X-Request-ID.",
    },
    "Faithfulness": {
        "deletion": "The mean score while the cells are taken away, the ones that spoke most first; lower is better.",
        "insertion": "The mean score while they come back; higher is better.",
        "random_deletion": "The same in random orders.",
        "random_insertion": "The same in random orders.",
    },
    "Card": {
        "name": "Of the bundle.",
        "version": "Of the bundle.",
        "licence": "Of the bundle.",
        "scope": "Which images the model was made for.",
        "policy": "The error budgets of this server's verdicts, where a request names none.",
        "calibration": "What turns a logit into a probability and two p-values.",
        "training": "What trained the model; null where the bundle does not say.",
        "card": "The bundle's card in Markdown; empty where it has none.",
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
        "max_side": "Of the longer side, in pixels.",
        "description": "The same in words.",
    },
    "Policy": {
        "max_fpr": "The share of real images that may be called ai.",
        "max_fnr": "The share of AI images that may be called real.",
    },
    "Calibration": {
        "slope": "What a logit is multiplied by, before the logistic function makes a probability of it.",
        "intercept": "What is added to that.",
        "real_logits": "Of the real calibration images, ascending.",
        "ai_logits": "Of the AI calibration images, ascending.",
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
    "Health": {"status": "`ok`, or `ready`."},
    "Error": {"error": "What went wrong."},
    "ErrorContent": {
        "code": "Stable and machine-readable.",
        "message": "One sentence for a person.",
        "request_id": "Also in the header X-Request-ID.",
    },
}  # fmt: skip

_ERRORS = {
    400: ("malformed_body", "The form cannot be read, or was cut short; or this is no HTTP (`bad_request`)."),
    401: ("unauthorized", "An API key is needed, and none or a wrong one came."),
    403: ("cross_origin", "A page of an origin that may not ask sent this."),
    408: ("too_slow", "The body did not come in time."),
    413: ("too_large", "The body is too large (`too_large`), or has too many files (`too_many_files`)."),
    415: ("unsupported_media_type", "The body is neither a form nor an image, or is packed."),
    421: ("misdirected_request", "The name in the header Host is none that this server answers for."),
    422: ("invalid_request", "The request is not valid: its query, its form, or, to explain, its image."),
    429: ("too_many_requests", "More requests than the rate limit allows; Retry-After says when to come again."),
    431: ("headers_too_large", "The request's headers are too long."),
    500: ("internal_server_error", "Something failed on the server."),
    503: ("queue_full", "There is no room now, or the server is not ready; Retry-After says when to come again."),
    504: ("timed_out", "It took longer than a request may take."),
}
_REQUEST_ID = {
    "X-Request-ID": {
        "description": "The request's id: the one that came with it, or a new one.",
        "schema": {"type": "string"},
    }
}
_RETRY = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}}
_SCHEME = {"WWW-Authenticate": {"description": "How to send a key.", "schema": {"type": "string"}}}
_MORE_HEADERS = {401: _SCHEME, 429: _RETRY, 503: _RETRY}
_IMAGE = {"type": "string", "format": "binary", "description": "The bytes of an image, in any format that is read."}


def components() -> dict[str, Any]:
    """Return the schemas of all that the server sends, by their names."""
    kinds = [Detections, Explanation, Card, Bounds, Health, Error]
    _, schemas = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    for name, fields in DESCRIPTIONS.items():
        for key, text in fields.items():
            schemas[name]["properties"][key]["description"] = text
    for schema in schemas.values():
        # What is always sent is required, whether or not the type has a default for it.
        if "properties" in schema:
            schema["required"] = list(schema["properties"])
    return schemas


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the descriptions of these errors, for FastAPI's `responses`."""
    return {status: _error(status) for status in statuses}


def _error(status: int) -> dict[str, Any]:
    code, description = _ERRORS[status]
    example = {"error": {"code": code, "message": "One sentence for a person.", "request_id": "5f1c0e3a9b7d2468"}}
    return {
        "description": description,
        "headers": {**_REQUEST_ID, **_MORE_HEADERS.get(status, {})},
        "content": {JSON: {"schema": {"$ref": "#/components/schemas/Error"}, "example": example}},
    }


def answer(description: str, name: str) -> dict[int | str, dict[str, Any]]:
    """Return the description of a good answer in JSON, for FastAPI's `responses`.

    Args:
        description: One sentence.
        name: Of its schema.
    """
    content = {JSON: {"schema": {"$ref": f"#/components/schemas/{name}"}}}
    return {200: {"description": description, "headers": _REQUEST_ID, "content": content}}


def text(description: str) -> dict[int | str, dict[str, Any]]:
    """Return the description of a good answer in plain text, for FastAPI's `responses`."""
    content = {"text/plain": {"schema": {"type": "string"}}}
    return {200: {"description": description, "headers": _REQUEST_ID, "content": content}}


def picture(header: str) -> dict[int | str, dict[str, Any]]:
    """Return the description of an explanation, for FastAPI's `responses`.

    Args:
        header: That has the figures where the answer is a picture.
    """
    told = {"description": "The figures that are never long, as JSON in ASCII.", "schema": {"type": "string"}}
    content = {
        "image/png": {"schema": _IMAGE},
        JSON: {"schema": {"$ref": "#/components/schemas/Explanation"}},
    }
    return {200: {"description": "The picture.", "headers": {**_REQUEST_ID, header: told}, "content": content}}


def give_examples(document: dict[str, Any]) -> None:
    """Put an example beside every schema of a good answer: FastAPI would leave out of it what is null."""
    for operations in document["paths"].values():
        for operation in operations.values():
            content = operation["responses"]["200"]["content"].get(JSON)
            if content:
                content["example"] = EXAMPLES[content["schema"]["$ref"].rpartition("/")[2]]


def security() -> dict[str, Any]:
    """Return how a key may be sent."""
    return {
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."},
    }


def images(max_files: int, smallest: float) -> dict[str, Any]:
    """Return the description of a request with images, for FastAPI's `openapi_extra`.

    Args:
        max_files: Of one request.
        smallest: Error budget that can be asked for.
    """
    files = {"type": "array", "items": _IMAGE, "minItems": 1, "maxItems": max_files}
    form = {"type": "object", "properties": {"files": files}, "required": ["files"], "additionalProperties": False}
    raw = {"schema": _IMAGE}
    content = {"multipart/form-data": {"schema": form}, "image/*": raw, "application/octet-stream": raw}
    body = {"required": True, "content": content, "description": "A form with parts named `files`, or one image."}
    budget = {
        "name": "max_fpr",
        "in": "query",
        "description": "Error budget: the share of real images that may be called ai. The server's own without it.",
        "schema": {"type": "number", "minimum": smallest, "exclusiveMaximum": 1},
    }
    return {"parameters": [budget], "requestBody": body}


_DETECTION = {
    "path": "photo.jpg",
    "sha256": "0f343b0931126a20f133d67c2b018a3b1b2f3d0b5a1f2c6f9f5f4a3f0d5d7c11",
    "format": "JPEG",
    "width": 32,
    "height": 32,
    "frames": 1,
    "verdict": "ai",
    "probability": 0.973,
    "logit": 4.41,
    "reason": "pixels",
    "explanation": "The pixels look AI-generated: at most 2 in 1,000 real images score as high.",
    "p_real": 0.002,
    "p_ai": 0.61,
    "max_fpr": 0.05,
    "evidence": [
        {
            "kind": "pixels",
            "strength": "inferred",
            "says": "ai",
            "detail": "The pixels look AI-generated: at most 2 in 1,000 real images score as high.",
            "data": {},
        }
    ],
    "model": {"name": "default", "version": "1"},
    "error": None,
}

EXAMPLES: dict[str, Any] = {
    "Explanation": {
        "detection": _DETECTION,
        "leans": "ai",
        "better_than_random": True,
        "faithfulness": {
            "deletion": 0.21,
            "insertion": 0.83,
            "random_deletion": [0.44, 0.52],
            "random_insertion": [0.47, 0.55],
        },
        "moved": [[0.2, -0.1], [1.4, 0.3]],
        "spectrum": [6.1, 5.2, 4.6, 4.1, 3.7, 3.4, 3.1, 2.9, 2.7, 2.5, 2.4, 2.2, 2.1, 2.0, 1.9, 1.8],
        "spectra": None,
        "input_size": [32, 32],
        "scored": 1430,
        "picture": "iVBORw0KGgo=",
        "request_id": "5f1c0e3a9b7d2468",
    },
    "Detections": {
        "detections": [_DETECTION],
        "model": {"name": "default", "version": "1"},
        "max_fpr": 0.05,
        "request_id": "5f1c0e3a9b7d2468",
    },
    "Card": {
        "name": "default",
        "version": "1",
        "licence": "Apache-2.0",
        "scope": {"min_side": 32, "max_side": 32, "description": "Images like those of CIFAKE, 32 pixels a side."},
        "policy": {"max_fpr": 0.05, "max_fnr": 0.05},
        "calibration": {"slope": 0.8, "intercept": -0.1, "real_logits": [-6.1, -2.3], "ai_logits": [1.9, 7.4]},
        "training": None,
        "card": "# default 1",
    },
    "Bounds": {
        "max_bytes": 25_000_000,
        "max_pixels": 50_000_000,
        "max_files": 100,
        "max_request_bytes": 250_000_000,
        "max_fpr": {"smallest": 0.0005, "default": 0.05},
        "timeout_seconds": 60.0,
    },
    "Health": {"status": "ok"},
}
