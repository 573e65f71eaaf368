"""Whether a manifest of content credentials says that a camera took the image, and nothing that changed it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pyrite.evidence.manifest import check_ingredient
from pyrite.evidence.source_types import CAPTURE_TYPES
from pyrite.evidence.statements import Statement, kind_of, read_statements

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

_MAX_MANIFESTS = 100


@dataclass(frozen=True, slots=True)
class Capture:
    """A manifest's word that a camera took the image."""

    term: str
    trusted: bool
    """Whether a trusted signer stands behind it."""
    changes: tuple[str, ...]
    """What else the manifest tells of that may have changed what the image shows: actions, digital source types."""


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
    said = list(read_statements(manifest))
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
    vouched, failures = check_ingredient(store, ingredient, label)
    capture = None if failures else _find_capture(store, label, trusted and vouched, depth)
    return capture if capture is not None and capture.trusted and not capture.changes else None


def _find_changes(said: Statement) -> Iterator[str]:
    started = said.action == "c2pa.created" and said.term is not None
    if said.action is not None and not started and said.action not in HARMLESS_ACTIONS | {"c2pa.opened"}:
        yield said.action
    if said.term is not None and said.term not in CAPTURE_TYPES:
        yield said.term


def _lists_all_actions(manifest: Mapping[str, Any]) -> bool | None:
    """Say whether the manifest claims to list every action; `None` where it says neither."""
    claims = [
        assertion["data"].get("allActionsIncluded")
        for assertion in manifest.get("assertions") or []
        if kind_of(assertion) == "c2pa.actions" and isinstance(assertion.get("data"), dict)
    ]
    if False in claims:
        return False
    return True if claims and all(claim is True for claim in claims) else None
