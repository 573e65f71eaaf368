"""What the manifests of content credentials say of an image's origin, and who stands behind it.

Source: C2PA technical specification 2.2, on actions, metadata and ingredients.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pyrite.evidence.fields import plain
from pyrite.evidence.source_types import CAPTURE_TYPES, read_term

HARMLESS_ACTIONS = frozenset(
    {
        "c2pa.converted",
        "c2pa.orientation",
        "c2pa.published",
        "c2pa.repackaged",
        "c2pa.resized.proportional",
        "c2pa.transcoded",
    }
)
"""Actions that leave what an image shows as it was. Not among them: `c2pa.enhanced`, which a trained model may do,
and `c2pa.edited.metadata` and `c2pa.redacted`, after which credentials may say less than before."""

UNTRUSTED = "signingCredential.untrusted"
"""The code of a signature that holds, by somebody who is not on the trust list."""

_TRUSTED = "signingCredential.trusted"
_IPTC_TYPES = ("Iptc4xmpExt:DigitalSourceType", "Iptc4xmpExt:DigitalsourceType")
_MAX_MANIFESTS = 100


@dataclass(frozen=True, slots=True)
class Origin:
    """One digital source type that a manifest gives."""

    term: str
    trusted: bool
    """Whether a trusted signer stands behind it."""
    own: bool
    """Whether it is in the active manifest, which speaks of this very file."""


@dataclass(frozen=True, slots=True)
class Capture:
    """A manifest's word that a camera took the image."""

    term: str
    trusted: bool
    """Whether a trusted signer stands behind it."""
    changes: tuple[str, ...]
    """What else the manifest tells of that may have changed what the image shows: actions, digital source types."""


@dataclass(frozen=True, slots=True)
class _Statement:
    """An action, with or without a digital source type, or a digital source type from elsewhere."""

    action: str | None
    term: str | None
    stands: bool
    """Whether the signer stands behind it."""


def find_origins(store: Mapping[str, Any], trusted: bool) -> list[Origin]:
    """Return what the active manifest says of the image's origin, and then the ingredients that became part of it.

    Args:
        store: As c2pa-python gives it, of a file whose credentials are valid.
        trusted: Whether the active manifest's signer is on the trust list.
    """
    return list(_find_origins(store, store["active_manifest"], trusted, own=True, seen=set()))


def _find_origins(
    store: Mapping[str, Any], label: str, trusted: bool, *, own: bool, seen: set[str]
) -> Iterator[Origin]:
    manifest = store["manifests"].get(label)
    if manifest is None or label in seen or len(seen) >= _MAX_MANIFESTS:
        return
    seen.add(label)
    for said in _read_statements(manifest):
        if said.term is not None:
            yield Origin(said.term, trusted and said.stands, own)
    for ingredient in manifest.get("ingredients") or []:
        inner = ingredient.get("active_manifest")
        if ingredient.get("relationship") not in ("parentOf", "componentOf") or not isinstance(inner, str):
            continue
        vouched, failures = _check_ingredient(store, ingredient, inner)
        if not failures:
            yield from _find_origins(store, inner, trusted and vouched, own=False, seen=seen)


def find_capture(store: Mapping[str, Any], trusted: bool) -> Capture | None:
    """Return the capture that the active manifest tells of; it has no changes only if there is no sign of any.

    The image is a capture if the manifest created it as one. It is one too if all that the manifest did was to open
    an image whose own manifest, by a signer who is also trusted, says so, and if it says that it left nothing out.

    Args:
        store: As c2pa-python gives it, of a file whose credentials are valid.
        trusted: Whether the active manifest's signer is on the trust list.
    """
    return _find_capture(store, store["active_manifest"], trusted, depth=0)


def _find_capture(store: Mapping[str, Any], label: str, trusted: bool, depth: int) -> Capture | None:
    manifest = store["manifests"].get(label)
    if manifest is None or depth >= _MAX_MANIFESTS:
        return None
    said = list(_read_statements(manifest))
    complete = _lists_all_actions(manifest)
    # What was only an input became no part of the image.
    parts = [item for item in manifest.get("ingredients") or [] if item.get("relationship") != "inputTo"]
    parent = _find_parent_capture(store, parts[0], trusted, depth + 1) if complete and len(parts) == 1 else None
    captures = sorted(
        (item for item in said if item.term in CAPTURE_TYPES),
        key=lambda item: (item.action != "c2pa.created", not item.stands),
    )
    created = bool(captures) and captures[0].action == "c2pa.created"
    opened = parent is not None and any(item.action == "c2pa.opened" and item.stands for item in said)

    changes = [change for item in said for change in _find_changes(item)]
    if parts and parent is None:
        changes.append("other images")
    if complete is False:
        changes.append("actions that are not listed")
    if not created and not opened:
        changes.append("no action that took or opened it")
    if captures:
        return Capture(captures[0].term or "", trusted and captures[0].stands, tuple(dict.fromkeys(changes)))
    # Where it was changed after opening, this manifest itself does not say that a camera took it.
    return parent if opened and not changes else None


def _find_parent_capture(
    store: Mapping[str, Any], ingredient: Mapping[str, Any], trusted: bool, depth: int
) -> Capture | None:
    """Return the capture that an ingredient is, if it is the image that was opened, trusted and unchanged."""
    label = ingredient.get("active_manifest")
    if ingredient.get("relationship") != "parentOf" or not isinstance(label, str):
        return None
    vouched, failures = _check_ingredient(store, ingredient, label)
    capture = None if failures else _find_capture(store, label, trusted and vouched, depth)
    return capture if capture is not None and capture.trusted and not capture.changes else None


def _find_changes(said: _Statement) -> Iterator[str]:
    started = said.action == "c2pa.created" and said.term is not None
    if said.action is not None and not started and said.action not in HARMLESS_ACTIONS | {"c2pa.opened"}:
        yield said.action
    if said.term is not None and said.term not in CAPTURE_TYPES:
        yield said.term


def _read_statements(manifest: Mapping[str, Any]) -> Iterator[_Statement]:
    for assertion in manifest.get("assertions") or []:
        # Since version 2 of the claim, the signer stands behind what it created, not what it gathered.
        stands = manifest.get("claim_version", 1) < 2 or assertion.get("created") is True
        data, kind = assertion.get("data"), _kind(assertion)
        if not isinstance(data, dict):
            continue
        if kind == "c2pa.actions":
            for action in _list_of_dicts(data, "actions"):
                name = plain(action.get("action"), 100) or "an action without a name"
                yield _Statement(name, _term(action.get("digitalSourceType")), stands)
            # A template holds what several actions have in common.
            for template in _list_of_dicts(data, "templates"):
                yield _Statement(None, _term(template.get("digitalSourceType")), stands)
        elif kind in ("c2pa.metadata", "cawg.metadata", "stds.iptc"):
            for name in _IPTC_TYPES:
                yield _Statement(None, _term(data.get(name)), stands)


def _lists_all_actions(manifest: Mapping[str, Any]) -> bool | None:
    """Say whether the manifest claims to list every action; `None` where it says neither."""
    claims = [
        assertion["data"].get("allActionsIncluded")
        for assertion in manifest.get("assertions") or []
        if _kind(assertion) == "c2pa.actions" and isinstance(assertion.get("data"), dict)
    ]
    if False in claims:
        return False
    return True if claims and all(claim is True for claim in claims) else None


def _kind(assertion: Mapping[str, Any]) -> str:
    """Return an assertion's label without its version and its number."""
    return str(assertion.get("label") or "").partition(".v")[0].partition("__")[0]


def _list_of_dicts(data: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    items = data.get(key)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _term(address: object) -> str | None:
    return plain(read_term(address), 100) or None if isinstance(address, str) else None


def _check_ingredient(store: Mapping[str, Any], ingredient: Mapping[str, Any], label: str) -> tuple[bool, set[str]]:
    """Return whether an ingredient's signer is trusted, and the codes of what else is wrong.

    Its own record of that is from when it was taken in, by whatever trust list there was then; what differs
    now is listed apart.
    """
    recorded = (ingredient.get("validation_results") or {}).get("activeManifest") or {}
    deltas = [item.get("validationDeltas") or {} for item in store["validation_results"].get("ingredientDeltas") or []]
    failed_now = _codes(deltas, "failure", label)
    vouched = _TRUSTED in _codes(deltas, "success", label) or (
        _TRUSTED in _codes([recorded], "success") and UNTRUSTED not in failed_now
    )
    failed_then = _codes([recorded], "failure") | _codes([{"failure": ingredient.get("validation_status")}], "failure")
    return vouched, (failed_then | failed_now) - {UNTRUSTED}


def _codes(results: list[Mapping[str, Any]], outcome: str, label: str = "") -> set[str]:
    return {
        item["code"] for result in results for item in result.get(outcome) or [] if label in (item.get("url") or "")
    }
