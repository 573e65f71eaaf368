"""What the manifests of content credentials say of an image's origin, and who stands behind it.

Source: C2PA technical specification 2.2, on actions, metadata and ingredients.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pyrite.evidence.names import company_of
from pyrite.evidence.statements import WATERMARK, dicts_in, kind_of, parts_of, read_statements, texts_in
from pyrite.evidence.values import plain
from pyrite.results import Extent

UNTRUSTED = "signingCredential.untrusted"
"""The code of a signature that holds, by somebody who is not on the trust list."""

CONTENT_CHANGED = re.compile(r"assertion\.(data|bmff|boxes|collection|multiAsset)Hash\.(mismatch|malformed)")
"""Codes of files whose pixels are not those that were signed for."""
CLAIM_CHANGED = re.compile(
    r"assertion\.(hashedURI\.mismatch|missing|undeclared|inaccessible|(?:cbor|json)\.invalid)|claimSignature\.m\w+|"
    r"claim\.\w+|manifest\.\w+|hashedURI\.\w+"
)
"""Codes of credentials that are not what was signed."""

_TRUSTED = "signingCredential.trusted"
_MAX_MANIFESTS = 100


@dataclass(frozen=True, slots=True)
class Origin:
    """One statement of a manifest on where the image comes from."""

    term: str
    """A digital source type, or else what was said instead."""
    extent: Extent | None
    """How much of the image a trained model made; `None` where the statement is of something else."""
    trusted: bool
    """Whether a trusted signer stands behind it."""
    own: bool
    """Whether it is in the active manifest, which speaks of this very file."""
    agent: str = ""
    """The program or model that did it."""
    company: str = ""
    """Behind the program, where that is known."""
    changed: bool = False
    """Whether it speaks of an image that no longer matches it."""


def find_origins(store: Mapping[str, Any], trusted: bool) -> list[Origin]:
    """Return what the active manifest says of the image's origin, and then the ingredients that became part of it.

    Args:
        store: As c2pa-python gives it.
        trusted: Whether the active manifest's signer is on the trust list.
    """
    label = store["active_manifest"]
    return list(_find_origins(store, label, trusted, own=True, part=False, changed=False, seen=set()))


def _find_origins(
    store: Mapping[str, Any], label: str, trusted: bool, *, own: bool, part: bool, changed: bool, seen: set[str]
) -> Iterator[Origin]:
    manifest = store["manifests"].get(label)
    if manifest is None or label in seen or len(seen) >= _MAX_MANIFESTS:
        return
    seen.add(label)
    for said in read_statements(manifest):
        extent = said.extent
        if said.term is not None or extent is not None:
            if part and extent is Extent.WHOLE:
                extent = Extent.PART
            agent = said.agent or _generator_of(manifest)
            company = company_of(agent) or company_of(_generator_of(manifest))
            term = said.term if said.term is not None else said.told
            yield Origin(term, extent, trusted and said.stands and not changed, own, agent, company, changed)
    for ingredient in parts_of(manifest):
        inner = ingredient.get("active_manifest")
        if not isinstance(inner, str):
            continue
        vouched, failures = check_ingredient(store, ingredient, inner)
        broken = any(CONTENT_CHANGED.match(code) or CLAIM_CHANGED.match(code) for code in failures)
        yield from _find_origins(
            store,
            inner,
            trusted and vouched and not failures,
            own=False,
            part=part or ingredient.get("relationship") == "componentOf",
            changed=changed or broken,
            seen=seen,
        )


def find_failing(store: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Return the ingredients of the active manifest whose own credentials do not hold: title and codes of failures."""
    found = []
    for ingredient in store["manifests"][store["active_manifest"]].get("ingredients") or []:
        inner = ingredient.get("active_manifest")
        if isinstance(inner, str):
            _, failures = check_ingredient(store, ingredient, inner)
            if failures:
                found.append((plain(ingredient.get("title"), 100) or "a part without a name", sorted(failures)))
    return found


def find_context(store: Mapping[str, Any]) -> dict[str, object]:
    """Return what the active manifest says besides: marks in the pixels, terms for training, an identity."""
    manifest = store["manifests"][store["active_manifest"]]
    watermarks, training, identity = list[str](), list[str](), False
    for assertion in manifest.get("assertions") or []:
        data, kind = assertion.get("data"), kind_of(assertion)
        if kind in ("c2pa.actions",) and isinstance(data, dict):
            for action in dicts_in(data, "actions"):
                for text in texts_in(action):
                    watermarks += ["SynthID"] if WATERMARK.search(text[:500]) else []
                if str(action.get("action")).startswith("c2pa.watermarked") and not watermarks:
                    watermarks.append("a watermark that is not named")
        elif kind.endswith("training-mining") and isinstance(data, dict):
            entries = data.get("entries")
            for name, entry in list(entries.items())[:20] if isinstance(entries, dict) else ():
                training.append(
                    f"{plain(name, 100)}: {plain(entry.get('use'), 100) if isinstance(entry, dict) else entry}"
                )
        identity |= kind.startswith("cawg.identity")
    return {
        "watermarks": list(dict.fromkeys(watermarks)),
        "training_and_mining": training,
        "identity": "a CAWG identity, which is not checked here" if identity else None,
    }


def program_of(manifest: Mapping[str, Any]) -> str | None:
    """Return the program that wrote a manifest, with its version."""
    info = manifest.get("claim_generator_info") or [{}]
    named = info[0] if isinstance(info, list) and info and isinstance(info[0], dict) else {}
    text = f"{named.get('name') or ''} {named.get('version') or ''}".strip() or manifest.get("claim_generator")
    return plain(text, 200) or None


def _generator_of(manifest: Mapping[str, Any]) -> str:
    info = manifest.get("claim_generator_info") or [{}]
    named = info[0] if isinstance(info, list) and info and isinstance(info[0], dict) else {}
    return plain(named.get("name") or manifest.get("claim_generator"), 100).replace("_", " ")


def check_ingredient(store: Mapping[str, Any], ingredient: Mapping[str, Any], label: str) -> tuple[bool, set[str]]:
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
    """Return the codes of an outcome, of one manifest: that which a part of the JUMBF address is called, and no other.

    One label may be a part of another, `urn:c2pa:G` of `urn:c2pa:G:camera`, and whoever makes a file chooses them.
    """
    return {
        item["code"]
        for result in results
        for item in result.get(outcome) or []
        if not label or label in re.split("[=/]", item.get("url") or "")
    }
