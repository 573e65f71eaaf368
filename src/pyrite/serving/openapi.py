"""The OpenAPI document beside its schemas: requests, answers, errors and examples."""

from typing import Any

from pyrite.serving.progress import LINES
from pyrite.serving.rates import LEFT, POLICY
from pyrite.serving.refusal import JSON

DESCRIPTION = """Judge images: `ai`, `real` or `uncertain`, each with its evidence.

Results are those of `pyrite detect --json`. Nothing is stored, and nothing is sent anywhere.

All errors have one shape, and each answer has the request's id in the header `X-Request-ID`."""

_ERRORS = {
    400: ("malformed_body", "The form cannot be read, or was cut short; or this is not HTTP (`bad_request`)."),
    401: ("unauthorized", "The API key is missing or wrong."),
    403: ("cross_origin", "The request comes from a page of a site that may not use the server."),
    408: ("timed_out", "The body did not come in time."),
    413: ("too_large", "The body is too large (`too_large`), or has too many files (`too_many_files`)."),
    415: ("unsupported_media_type", "The body is neither a form nor an image, or is packed."),
    421: ("misdirected_request", "The server does not answer for the name in the header Host."),
    422: ("invalid_request", "The request is not valid: its query, its form, or, to explain, its image."),
    429: ("too_many_requests", "More than a rate limit allows; Retry-After says when to try again."),
    431: ("headers_too_large", "The request's headers are too long."),
    500: ("internal_server_error", "Something failed on the server."),
    503: ("queue_full", "The server is full or not ready; Retry-After says when to try again."),
    504: ("timed_out", "It took longer than a request may take."),
}
_REQUEST_ID = {
    "X-Request-ID": {
        "description": "The request's id: the one that came with it, or a new one.",
        "schema": {"type": "string"},
    }
}
_GIVEN_ID = {
    "name": "X-Request-ID",
    "in": "header",
    "description": "An id for this request: up to 64 letters, digits, dots, dashes and underscores. Without one, and "
    "instead of any other text, the server generates one.",
    "schema": {"type": "string"},
}
"""Of every operation. Some generators need a parameter that may be left out wherever a body has several types."""
_RETRY = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}}
_SCHEME = {"WWW-Authenticate": {"description": "How to send a key.", "schema": {"type": "string"}}}
_RATES = {
    POLICY: {
        "description": "The rate limits, if there are any: each allows `q` of what its name says in `w` seconds.",
        "schema": {"type": "string"},
        "example": '"requests";q=600;w=60, "megapixels";q=10000;w=3600',
    },
    LEFT: {
        "description": "What is left of each rate limit: `r`, for `t` seconds.",
        "schema": {"type": "string"},
        "example": '"requests";r=598;t=42, "megapixels";r=9951;t=3102',
    },
}
_MORE_HEADERS = {401: _SCHEME, 429: _RETRY | _RATES, 503: _RETRY}
_IMAGE = {"type": "string", "format": "binary", "description": "The bytes of an image, in any format that is read."}


SAMPLES = {
    "detect": "curl -F files=@a.jpg -F client_id=post-4711 \\\n"
    "     -F files=@b.png -F client_id=post-4712 http://127.0.0.1:8000/v1/detect",
    "explain": "curl -F files=@a.jpg http://127.0.0.1:8000/v1/explain -o why.png",
    "history": "curl -F files=@a.jpg http://127.0.0.1:8000/v1/history",
    "thumbnail": "curl -F files=@a.heic http://127.0.0.1:8000/v1/thumbnail",
}
"""Commands that ask, by the operation's name."""


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the descriptions of these errors, for FastAPI's `responses`."""
    return {status: _error(status) for status in sorted(statuses)}


def _error(status: int) -> dict[str, Any]:
    code, description = _ERRORS[status]
    return {
        "description": description,
        "headers": {**_REQUEST_ID, **_MORE_HEADERS.get(status, {})},
        "content": {JSON: {"schema": {"$ref": "#/components/schemas/Error"}, "example": example_error(code)}},
    }


def example_error(code: str) -> dict[str, Any]:
    """Return an error with a code as the server sends it."""
    return {"error": {"code": code, "message": "One sentence for a person.", "request_id": "5f1c0e3a9b7d2468"}}


def answer(description: str, name: str) -> dict[int | str, dict[str, Any]]:
    """Return the description of a good answer in JSON, for FastAPI's `responses`.

    Args:
        description: One sentence.
        name: Of its schema.
    """
    content = {JSON: {"schema": {"$ref": f"#/components/schemas/{name}"}}}
    return {200: {"description": description, "headers": _REQUEST_ID | _RATES, "content": content}}


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
        JSON: {"schema": {"$ref": "#/components/schemas/ExplanationResponse"}},
        LINES: {"schema": {"$ref": "#/components/schemas/ExplanationLine"}},
    }
    return {
        200: {"description": "The picture.", "headers": {**_REQUEST_ID, **_RATES, header: told}, "content": content}
    }


def give_examples(document: dict[str, Any]) -> None:
    """Put an example beside every schema of a good answer: FastAPI would leave out of it what is null."""
    for operations in document["paths"].values():
        for operation in operations.values():
            for kind in (JSON, LINES):
                if content := operation["responses"]["200"]["content"].get(kind):
                    content["example"] = EXAMPLES[content["schema"]["$ref"].rpartition("/")[2]]


def take_request_ids(document: dict[str, Any]) -> None:
    """Say of every operation that it takes an id for the request."""
    for operations in document["paths"].values():
        for operation in operations.values():
            operation.setdefault("parameters", []).append(_GIVEN_ID)


def security() -> dict[str, Any]:
    """Return how a key may be sent."""
    return {
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."},
    }


def images(name: str, max_files: int, *, smallest: float | None = None, client_ids: bool = False) -> dict[str, Any]:
    """Return the description of a request with images, for FastAPI's `openapi_extra`.

    Args:
        name: Of the operation.
        max_files: Of one request.
        smallest: Error budget that can be asked for; by default, none can.
        client_ids: Whether each file may have an id.
    """
    properties = {"files": {"type": "array", "items": _IMAGE, "minItems": 1, "maxItems": max_files}}
    if client_ids:
        properties["client_id"] = {
            "type": "array",
            "items": {"type": "string", "maxLength": 250},
            "maxItems": max_files,
            "description": "What the client calls the files: one for each, in their order, or none at all.",
        }
    form = {"type": "object", "properties": properties, "required": ["files"], "additionalProperties": False}
    raw = {"schema": _IMAGE}
    content = {"multipart/form-data": {"schema": form}, "image/*": raw, "application/octet-stream": raw}
    parts = "parts named `files`, and `client_id` for their ids" if client_ids else "one part named `files`"
    body = {"required": True, "content": content, "description": f"A form with {parts}; or one image."}
    whole = {"requestBody": body, "x-codeSamples": [{"lang": "Shell", "label": "curl", "source": SAMPLES[name]}]}
    if smallest is None:
        return whole
    budget = {
        "name": "max_fpr",
        "in": "query",
        "description": "Error budget: the share of real images that may be called ai. Default: the server's.",
        "schema": {"type": "number", "minimum": smallest, "exclusiveMaximum": 1},
    }
    return {"parameters": [budget], **whole}


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
            "data": {
                "bundle": "default",
                "version": "4",
                "reason": "pixels",
                "logit": 4.41,
                "p_real": 0.002,
                "p_ai": 0.61,
                "p_typical": 0.34,
                "knows": ["Stable Diffusion 1.4"],
            },
        }
    ],
    "model": {"name": "default", "version": "4"},
    "error": None,
}

EXAMPLES: dict[str, Any] = {
    "HistoryResponse": {
        "evidence": [
            {
                "kind": "history",
                "strength": "asserted",
                "says": None,
                "detail": "The file's XMP lists its history: saved with Duckshop on 2024-05-01, which anyone could "
                "have written.",
                "data": {"steps": [{"action": "saved", "softwareAgent": "Duckshop", "when": "2024-05-01"}]},
            }
        ],
        "maps": [
            {
                "kind": "noise",
                "title": "Noise",
                "found": "The noise is 2.10 out of 255 in the median part, and 0.90 to 4.20 in 90% of parts.",
                "shows": "How strong the finest noise is in each part.",
                "limits": "Fine texture counts as noise.",
                "unit": "standard deviation, out of 255",
                "figures": {"low": 0.9, "median": 2.1, "high": 4.2},
                "region": [0, 0, 4032, 3024],
                "scale": [0.4, 6.3],
                "picture": "data:image/png;base64,iVBORw0KGgo=",
            },
            {
                "kind": "error_levels",
                "title": "Error levels",
                "found": "No map: the file is PNG, not JPEG, so there are no error levels to compare.",
                "shows": "How much each part changes when the image is saved as JPEG once more.",
                "limits": "Edges and texture change more in any image.",
                "unit": "mean change of a pixel, out of 255",
                "figures": None,
                "region": None,
                "scale": None,
                "picture": None,
            },
        ],
        "thumbnail": {
            "found": "The file has no thumbnail in its EXIF data. Most edited or sent files have none.",
            "correlation": None,
            "alike": None,
            "size": None,
            "picture": None,
        },
        "request_id": "5f1c0e3a9b7d2468",
    },
    "ExplanationResponse": {
        "detection": _DETECTION,
        "model": {"name": "default", "version": "4"},
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
        "region": [0, 0, 32, 32],
        "rows": [[0, 16], [16, 32]],
        "columns": [[0, 16], [16, 32]],
        "scored": 651,
        "picture": "iVBORw0KGgo=",
        "request_id": "5f1c0e3a9b7d2468",
    },
    "ExplanationLine": {"progress": {"done": 64, "total": 651}},
    "Detections": {
        "detections": [{**_DETECTION, "client_id": "post-4711"}],
        "model": {"name": "default", "version": "4"},
        "max_fpr": 0.05,
        "request_id": "5f1c0e3a9b7d2468",
    },
    "Card": {
        "name": "default",
        "version": "4",
        "licence": "Apache-2.0",
        "scope": {
            "min_side": 32,
            "max_side": 32,
            "description": "Images similar to those in CIFAKE, 32 pixels a side.",
        },
        "policy": {"max_fpr": 0.05, "max_fnr": 0.05, "real_needs_provenance": False},
        "calibration": {"slope": 0.8, "intercept": -0.1, "real": {"all": [-6.1, -2.3]}, "ai": {"all": [1.9, 7.4]}},
        "training": None,
        "card": "# default 4",
        "device": "cpu",
        "pyrite": "0.1.0",
        "bundles": [
            {
                "name": "default",
                "version": "4",
                "sha256": "19e5829222a47f8ca1c5944b8034b6ea7f91517bf5082b240bcea63da9b8ed57",
                "licence": "Apache-2.0",
                "scope": {
                    "min_side": 32,
                    "max_side": 32,
                    "description": "Images similar to those in CIFAKE.",
                },
                "training": None,
                "card": "# default 4",
            }
        ],
    },
    "Bounds": {
        "max_bytes": 25_000_000,
        "max_pixels": 50_000_000,
        "max_files": 100,
        "max_request_bytes": 250_000_000,
        "max_fpr": {"smallest": 0.0005, "default": 0.05},
        "timeout_seconds": 60.0,
    },
    "SmallPicture": {"picture": "data:image/jpeg;base64,/9j/4AA=", "request_id": "5f1c0e3a9b7d2468"},
    "ExamplesResponse": {"examples": [{"name": "0-real.png", "picture": "iVBORw0KGgo="}]},
    "Health": {"status": "ok"},
}
