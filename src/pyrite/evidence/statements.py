"""What one manifest of content credentials says, action by action, wherever in it writers have put that.

Source: C2PA technical specification 2.2 to 2.4, on actions, metadata, ingredients and AI disclosure.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pyrite.evidence.names import find_name
from pyrite.evidence.source_types import AI_EXTENTS, read_term
from pyrite.evidence.values import LETTER, plain
from pyrite.results import Extent

_MAX_DEPTH = 4
_MAX_VALUES = 500

# Assertions whose being there says that a trained model was at work: C2PA's own, Adobe's, and those of others.
AI_ASSERTION = re.compile(r"(?:.*[._-])?(?:generative[-_]ai|ai[-_](?:disclosure|generated\w*))(?:[._-].*)?")
NOT_AI = {"ai_generated", "aigenerated", "isaigenerated"}
STARTS = frozenset({"c2pa.created"})
EDITS = frozenset({"c2pa.edited", "c2pa.enhanced", "c2pa.removed", "c2pa.filtered", "c2pa.placed", "c2pa.drawing"})
# What programs say that they did, in the action's name, its description or a parameter.
GENERATED = re.compile(
    r"(?:text|image|sketch)[ _-]?to[ _-]?image|txt2img|img2img|created by google generative ai\.?", re.I
)
_VERSION = re.compile(r"(?:\.v\d[\d.]*)?(?:__\d+)?\Z")
_WORDS = rf"(?:(?!(?:no|not|without|never)(?!{LETTER}))(?:{LETTER}|\.)+[ :_-]){{0,4}}"
CHANGED = re.compile(
    _WORDS + r"(?:generative[ _-]?(?:fill|expand|erase|edit|remove|upscale|ai)|object[ _-]?(?:removal|eraser)|"
    r"magic[ _-]?(?:editor|eraser)|edited (?:with|by) google (?:generative )?ai|inpaint(?:ing)?|outpaint(?:ing)?)"
    rf"(?:[ .:_-](?:{LETTER}|\.)+){{0,3}}\.?",
    re.IGNORECASE,
)
WATERMARK = re.compile(
    rf"\b(?:applied|added|embedded|contains|with|has)\b(?:{LETTER}|[_ ]){{0,40}}\bSynthID\b", re.IGNORECASE | re.ASCII
)
"""Marks in the pixels that a manifest tells of, and that nobody but their maker can read."""


@dataclass(frozen=True, slots=True)
class Statement:
    """An action, with or without a digital source type, or a digital source type from elsewhere."""

    action: str | None
    term: str | None
    stands: bool
    """Whether the signer stands behind it."""
    agent: str = ""
    extent: Extent | None = None
    """That of the term, or of what else the statement says."""
    told: str = ""
    """What says that a trained model was at work, where no term does."""


def read_statements(manifest: Mapping[str, Any]) -> Iterator[Statement]:
    """Yield what a manifest's assertions say of how the image came about, and what it says of its parts."""
    for assertion in manifest.get("assertions") or []:
        # Since version 2 of the claim, the signer stands behind what it created, not what it gathered.
        stands = manifest.get("claim_version", 1) < 2 or assertion.get("created") is True
        data, kind = assertion.get("data"), kind_of(assertion)
        if not isinstance(data, dict):
            continue
        if kind == "c2pa.actions":
            for action in dicts_in(data, "actions"):
                yield from _read_action(action, stands)
            # A template holds what several actions have in common.
            for template in dicts_in(data, "templates"):
                for term in _terms(template):
                    yield Statement(None, term, stands, _agent(template), AI_EXTENTS.get(term))
        elif AI_ASSERTION.fullmatch(kind):
            if not _denies(data):
                terms: list[str | None] = [*_terms(data)] or [None]
                yield from (
                    Statement(None, term, stands, _model(data), AI_EXTENTS.get(term or "", Extent.UNKNOWN), kind)
                    for term in terms
                )
        else:
            # IPTC's in metadata assertions, and whatever vendors have thought of.
            for term in _terms(data):
                yield Statement(None, term, stands, _agent(data), AI_EXTENTS.get(term))
    for ingredient in parts_of(manifest):
        for term in _terms(ingredient):
            # A part's own term is told by whoever took it in, and means that part.
            meant = AI_EXTENTS.get(term)
            whole = ingredient.get("relationship") == "parentOf"
            if meant is not None:
                yield Statement(None, term, True, "", meant if whole else Extent.PART)


def _read_action(action: Mapping[str, Any], stands: bool) -> Iterator[Statement]:
    name = plain(action.get("action"), 100) or "an action without a name"
    agent, terms = _agent(action), _terms(action)
    ai = [term for term in terms if term in AI_EXTENTS]
    listed: list[str | None] = [*terms] or [None]
    for term in listed:
        extent = AI_EXTENTS.get(term or "")
        told = "" if ai or extent else _tells(name, agent, action)
        if told:
            extent = Extent.WHOLE if name in STARTS or GENERATED.fullmatch(told) else Extent.PART
            if WATERMARK.search(told):
                extent = Extent.UNKNOWN
        yield Statement(name, term, stands, agent, extent, told)


def _tells(name: str, agent: str, action: Mapping[str, Any]) -> str:
    """Return what in an action says that a trained model was at work, where no digital source type does."""
    for text in (name.rpartition(".")[2], *texts_in(action)):
        if GENERATED.fullmatch(text[:200]) or CHANGED.fullmatch(text[:200]) or WATERMARK.search(text[:500]):
            return text[:200]
    known = find_name(agent) if name in STARTS | EDITS else None
    return f"{name} by {agent}" if known is not None and not known.common else ""


def _denies(data: Mapping[str, Any]) -> bool:
    """Say whether an assertion on AI says that there was none."""
    flags = [value for key, value in data.items() if str(key).lower() in NOT_AI]
    return bool(flags) and not any(flags)


def _agent(data: Mapping[str, Any]) -> str:
    """Return the program or model behind an action, with its version."""
    agent = data.get("softwareAgent")
    if isinstance(agent, dict):
        agent = f"{agent.get('name') or ''} {agent.get('version') or ''}"
    parameters = data.get("parameters")
    if isinstance(parameters, dict) and isinstance(parameters.get("com.adobe.details"), str):
        # Another's model in a program of Adobe's.
        agent = parameters["com.adobe.details"]
    return plain(agent, 100)


def _model(data: Mapping[str, Any]) -> str:
    """Return the model that an assertion on AI names."""
    for key in ("modelName", "model", "model_name", "description", "modelIdentifier", "softwareAgent"):
        if isinstance(data.get(key), str):
            return f"{plain(data[key], 100)} {plain(data.get('version'), 50)}".strip()
    return ""


def _terms(data: object) -> list[str]:
    """Return the digital source types that a value holds, wherever in it writers have put them."""
    found: dict[str, None] = {}
    for key, value in _walk(data):
        if re.split(r"[.:]", key)[-1].replace("_", "").lower() == "digitalsourcetype":
            for text in value if isinstance(value, list) else [value]:
                if isinstance(text, str) and (term := plain(read_term(text), 100)):
                    found[term] = None
    return list(found)


def texts_in(action: Mapping[str, Any]) -> Iterator[str]:
    """Yield the texts of an action and its parameters, without the addresses in them."""
    for _, value in _walk(action):
        if isinstance(value, str) and "://" not in value and not value.startswith("self#"):
            yield value


def _walk(data: object) -> Iterator[tuple[str, object]]:
    """Yield key and value of a value's dictionaries, and of those within them, but not of lists of ingredients."""
    waiting, left = [(data, 0)], _MAX_VALUES
    while waiting:
        value, depth = waiting.pop()
        pairs = list(value.items()) if isinstance(value, dict) else [("", item) for item in value]  # type: ignore[attr-defined]
        for key, item in pairs:
            left -= 1
            if left < 0:
                return
            if key:
                yield str(key), item
            if (
                isinstance(item, dict | list)
                and depth < _MAX_DEPTH
                and key not in ("ingredients", "validation_results")
            ):
                waiting.append((item, depth + 1))


def kind_of(assertion: Mapping[str, Any]) -> str:
    """Return an assertion's label without its version and its number."""
    return _VERSION.sub("", str(assertion.get("label") or ""))


def dicts_in(data: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """Return the dictionaries of a list that stands under a key, if it does."""
    items = data.get(key)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def parts_of(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the ingredients that became part of the image: what was only an input did not."""
    listed = manifest.get("ingredients") or []
    return [item for item in listed if item.get("relationship") in ("parentOf", "componentOf")]
