"""Values that strangers wrote, made safe to look at and to show."""

import ast
import json
import math
from collections.abc import Mapping
from typing import Any

MAX_TEXT = 2_000_000
"""Characters; no known generator writes as much into one field."""
MAX_SHOWN = 2_000
"""Characters of one text that are passed on."""
_MAX_LITERAL = 20_000
"""Characters of a Python dictionary: parsing one takes more memory than JSON does."""
LETTER = r"[^\x00-\x2f\x3a-\x40\x5b-\x60\x7b-\xbf\u2000-\u206f\u3000-\u303f]"
"""A letter or digit of any script, in a pattern that JavaScript reads alike: there, `\\w` is ASCII alone."""
_TRIMMED = "\0 \t\r\n\ufeff"


def trim(text: str) -> str:
    """Return a text without the padding that fixed-size fields leave around it, and of bounded length."""
    return text[:MAX_TEXT].strip(_TRIMMED)


def read_json(text: str) -> Any:
    """Return what a text holds as JSON, or `None`; objects that Python printed (`{'a': 1}`) count too."""
    text = trim(text) if text else ""
    # As in nearly every file; and an exception takes its time.
    if text[:1] not in ("{", "[", '"'):
        return None
    try:
        found = json.loads(text)
        # Some write JSON into JSON, as a string.
        return json.loads(found) if isinstance(found, str) and found[:1] in ("{", "[") else found
    except (ValueError, RecursionError):
        return _read_literal(text)


def _read_literal(text: str) -> Any:
    if not text.startswith("{'") or len(text) > _MAX_LITERAL:
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def read_object(text: object) -> dict[str, Any]:
    """Return a JSON object that a text holds, or that a value is already; empty where there is none."""
    found = read_json(text) if isinstance(text, str) else text
    return found if isinstance(found, dict) else {}


def plain(text: object, limit: int = MAX_SHOWN) -> str:
    """Return a text that is safe to show: of bounded length, without control characters or half a character."""
    cut = str(text)[:limit] if isinstance(text, str | int | float) else ""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in cut).strip()


def tidy(details: Mapping[str, object]) -> dict[str, Any]:
    """Return details that any JSON writer takes, of bounded size, without those that are empty."""
    cleaned = {plain(key, 100): _tidy(value, 4) for key, value in details.items()}
    return {key: value for key, value in cleaned.items() if value not in (None, "", [], {})}


def _tidy(value: object, depth: int) -> Any:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int) and abs(value) < 2**63:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, Mapping) and depth:
        return {plain(key, 100): _tidy(item, depth - 1) for key, item in list(value.items())[:50]}
    if isinstance(value, list | tuple) and depth:
        return [_tidy(item, depth - 1) for item in value[:50]]
    return plain(value)
