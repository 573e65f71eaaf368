"""What Pyrite writes, as JSON Schemas (draft 2020-12), made from the types that write it.

A schema's version rises when a file that was valid may be so no more. `make docs` writes them to docs/schemas.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import Any, get_args, get_type_hints

import msgspec

from pyrite.bundle import BundleInfo
from pyrite.errors import require
from pyrite.evaluation import Report
from pyrite.results import Detection
from pyrite.scanning.table import table_schema
from pyrite.serving.schemas import DESCRIPTIONS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
VERSIONS = {"detections": 1, "bundle": 2, "report": 1, "scan-row": 1}
"""Of each schema; those of `bundle` and `report` are the `format` that their files name."""

_ROW = {
    "shard": "The shard of the source that the image is in, from 0.",
    "position": "Its place in the shard, from 0; unique together with `shard`.",
    "partition": "The first folder below the source, or what the table of paths says.",
    "key": "The key of a WebDataset sample, the column `key` of a table, or the file's name without suffix; or null.",
    "path": "Of the image, below the source.",
    "pixels_say": "The verdict without evidence; null where no pixels were judged.",
    "in_scope": "Whether a bundle was made for the image; null where no pixels were judged.",
    "phash": "The perceptual hash of 63 bits; null without `--near-duplicates`, and of a flat picture.",
    "evidence": "What was found, as JSON in a text.",
    "model_name": "Of the bundle; of several, with + between.",
    "model_version": "As the name.",
    "error_code": "Why the image could not be judged; null where it was.",
    "error_message": "The same in one sentence.",
    "action": "What the policy says of the image: `keep`, `quarantine`, `drop` or the like; null without one.",
    "action_reason": "Which rule of the policy decided; null without one.",
    "seconds": "The image's share of the time that its batch took; the only column that differs between runs.",
}
_ALWAYS = ("shard", "position", "partition", "path", "evidence", "seconds")
_ARROW = {"int32": "integer", "int64": "integer", "float": "number", "double": "number", "bool": "boolean"}


def schemas() -> dict[str, dict[str, Any]]:
    """Return every schema by its name.

    Raises:
        MissingExtraError: The extra `scale` is not installed, whose Arrow describes the table of a scan.
    """
    require("scale", "pyarrow")
    detections = {"type": "array", "items": {"$ref": "#/$defs/Detection"}, "$defs": _definitions(Detection)}
    return {
        "detections": _headed(
            "detections", "What `pyrite detect --json` prints; with `--jsonl`, one item a line.", detections
        ),
        "bundle": _headed("bundle", "The content of a bundle's bundle.json.", _root(BundleInfo)),
        "report": _headed("report", "The content of a report's report.json.", _root(Report)),
        "scan-row": _headed("scan-row", "A row of the table that `pyrite scan` writes.", _scan_row()),
    }


def _headed(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    version = VERSIONS[name]
    head = {"$schema": DIALECT, "$id": f"urn:pyrite:schema:{name}:{version}"}
    return {**head, "title": f"Pyrite: {name}, version {version}", "description": description, **schema}


def _root(kind: type) -> dict[str, Any]:
    definitions = _definitions(kind)
    return {**definitions.pop(kind.__name__), "$defs": definitions}


def _definitions(kind: type) -> dict[str, Any]:
    """Return the schemas of a type and of all that it has, each of its fields with what the code says of it."""
    _, found = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    for one in _types(kind, {}):
        properties = found[one.__name__].get("properties", {})
        told = DESCRIPTIONS.get(one.__name__, {}) | _docstrings(one)
        for name in set(told) & set(properties):
            properties[name]["description"] = told[name]
    for schema in found.values():
        for value in schema.get("properties", {}).values():
            value.pop("discriminator", None)  # Of OpenAPI; strict validators refuse it.
    if kind is Detection:
        for schema in found.values():  # All is written, whether or not the type has a default for it.
            if "properties" in schema:
                schema["required"] = list(schema["properties"])
    return found


def _types(kind: object, seen: dict[type, None]) -> dict[type, None]:
    """Return the classes with fields that a type is made of, itself among them."""
    if isinstance(kind, type) and (is_dataclass(kind) or issubclass(kind, msgspec.Struct)):
        if kind not in seen:
            seen[kind] = None
            for hint in get_type_hints(kind, include_extras=True).values():
                _types(hint, seen)
    else:
        for part in get_args(kind):
            _types(part, seen)
    return seen


def _docstrings(kind: type) -> dict[str, str]:
    """Return what stands below each field of a class, in the words of JSON."""
    plain = ((name, " ".join(text.split()).replace("`None`", "null")) for name, text in _below_fields(kind))
    return {name: re.sub(r"(^|\. )null", r"\1Null", text) for name, text in plain}


def _below_fields(kind: type) -> Iterator[tuple[str, str]]:
    for one in (one for one in reversed(kind.__mro__) if one.__module__.startswith("pyrite.")):
        [body] = ast.parse(textwrap.dedent(inspect.getsource(one))).body
        assert isinstance(body, ast.ClassDef)
        for field, below in zip(body.body, body.body[1:], strict=False):
            match field, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    yield name, text


def _scan_row() -> dict[str, Any]:
    definitions = _definitions(Detection)
    plain = definitions.pop("Detection")["properties"]
    rows = {field.name: _column(field.name, str(field.type), plain) for field in table_schema()}
    rows["evidence"] |= {
        "contentMediaType": "application/json",
        "contentSchema": {"type": "array", "items": {"$ref": "#/$defs/Evidence"}},
    }
    kept = {name: definitions[name] for name in ("Verdict", "Reason", "Evidence", "Strength")}
    more = {"description": "A column of `--keep-columns`.", "type": ["string", "null"]}
    return {"type": "object", "properties": rows, "required": list(rows), "additionalProperties": more, "$defs": kept}


def _column(name: str, kind: str, of_detection: dict[str, Any]) -> dict[str, Any]:
    if name not in _ROW:
        return dict(of_detection[name])
    told = {"description": _ROW[name]}
    if name == "pixels_say":
        return {"anyOf": [{"$ref": "#/$defs/Verdict"}, {"type": "null"}]} | told
    json = _ARROW.get(kind, "string")
    return {"type": json if name in _ALWAYS else [json, "null"]} | told
