"""Content credentials (C2PA): three questions kept apart.

Does the content match what was signed, does the signer's certificate hold, and what do the credentials claim? Only a
mismatch voids a claim about these pixels; a certificate that nobody vouches for, or that has expired, lowers a
verified claim to an asserted one.
"""

import re
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from pyrite.evidence.capture import Capture, find_capture
from pyrite.evidence.manifest import (
    CLAIM_CHANGED,
    CONTENT_CHANGED,
    UNTRUSTED,
    Origin,
    find_context,
    find_failing,
    find_origins,
    program_of,
)
from pyrite.evidence.metadata import Metadata
from pyrite.evidence.source_types import AI_EXTENTS, DID, TERMS, read_term
from pyrite.evidence.trust import Trust
from pyrite.evidence.validation import Certificate, time_of, validate
from pyrite.evidence.values import plain, tidy
from pyrite.image import Image
from pyrite.results import Evidence, Extent, Strength, Verdict

INSTALL = "Install it with: pip install 'pyrite[credentials]'"
ADDRESS = re.compile(rb"digitalSourceType.{0,4}(https?://[\w./-]{1,60}/digitalsourcetype/\w{1,60})", re.DOTALL)
"""A digital source type as it stands in the bytes of a manifest (CBOR): its key, the length of a text, and the text."""
_MAX_SHOWN = 5
"""Changes that a sentence names."""


def missing_readers() -> list[str]:
    """Return one sentence for each kind of evidence that cannot be read for want of an optional package."""
    if find_spec("c2pa") is None:
        return [f"Content credentials are not read: c2pa-python is not installed. {INSTALL}"]
    return []


def read_credentials(image: Image, metadata: Metadata, trust: Trust | None = None) -> list[Evidence]:
    """Report the file's content credentials, where it has any; never touches the network.

    Args:
        image: As it was opened from a file.
        metadata: Of the same file.
        trust: Whose signatures count as verified; by default, the lists that come with Pyrite.
    """
    if not metadata.credentials:
        return _read_remote(metadata)
    try:
        import c2pa
    except ImportError:
        # Where there may be none, nothing has been missed for certain.
        if image.format in ("TIFF", "GIF"):
            return []
        detail = f"The file has content credentials, which were not read. {INSTALL}"
        return [_say("reader", None, detail, unread="credentials")]
    trust = Trust.default() if trust is None else trust
    mime = "image/jpeg" if image.format == "MPO" else f"image/{(image.format or '').lower()}"
    try:
        found = validate(image.data or b"", mime, trust)
    except c2pa.C2paError.ManifestNotFound:
        return _read_remote(metadata)
    except (c2pa.C2paError, ValueError, RecursionError) as error:
        return _read_remote(metadata) or [_read_damaged(image.data or b"", plain(str(error), 200))]
    return [_judge(*found, trust)]


def _read_damaged(data: bytes, reason: str) -> Evidence:
    """Report credentials that the library cannot read, and what a look at their bytes shows all the same."""
    detail = f"The file's content credentials could not be read: {reason}"
    at = data.find(b"jumb")
    terms = dict.fromkeys(read_term(found.decode()) for found in ADDRESS.findall(data, at)) if at >= 0 else {}
    extent = next((AI_EXTENTS[term] for term in terms if term in AI_EXTENTS), None)
    if extent is None:
        return _say("credentials", None, detail)
    detail = f"{detail}. They hold the words that the image was {DID[extent]}, which anyone could have written"
    return _say("credentials", Verdict.AI, f"{detail}.", extent=extent, digital_source_types=list(terms))


def _read_remote(metadata: Metadata) -> list[Evidence]:
    url = metadata.property("http://purl.org/dc/terms/ provenance")
    if not re.match(r"https?://", url):
        return []
    detail = (
        "The file's content credentials are kept elsewhere and were not fetched; anyone could have named the place."
    )
    return [_say("credentials", None, detail, remote_url=url)]


def _say(
    kind: str, says: Verdict | None, detail: str, strength: Strength = Strength.ASSERTED, **details: object
) -> Evidence:
    return Evidence(kind, strength, says, detail, tidy(details))


def _judge(store: Mapping[str, Any], certificate: Certificate, stamp: str | None, trust: Trust) -> Evidence:
    manifest = store["manifests"][store["active_manifest"]]
    failures = [item for item in _failures(store) if item["code"] != UNTRUSTED]
    codes = [item["code"] for item in failures]
    changed = any(CONTENT_CHANGED.match(code) for code in codes)
    forged = any(CLAIM_CHANGED.match(code) for code in codes)
    holds = certificate.trusted and not codes and store.get("validation_state") == "Trusted"
    origins = find_origins(store, holds)
    capture = None if changed or forged else find_capture(store, holds)
    signer = manifest.get("signature_info") or {}
    name = plain(signer.get("issuer") or signer.get("common_name"), 100) or "an unnamed signer"
    ai = _choose(origins)
    says, strength, told = _conclude(ai, capture, holds)
    failing = find_failing(store)
    found = trust.find(certificate.list)
    time = time_of(store)
    return _say(
        "credentials",
        says,
        _tell(name, certificate, told, changed=changed, forged=forged, codes=codes, ai=ai, time=time, failing=failing),
        strength,
        content="changed" if changed or forged else "matches",
        certificate=certificate.state,
        valid=not codes,
        trusted=holds,
        trust_list={"name": found.name, "issued": found.issued, "overdue": found.overdue()} if found else None,
        extent=ai.extent if ai else None,
        generator=ai.agent if ai else None,
        company=(ai.company or None) if ai else None,
        signer={key: signer.get(key) for key in ("issuer", "common_name", "alg", "time", "cert_serial_number")},
        time_stamp=stamp,
        claim_generator=program_of(manifest),
        digital_source_types=list(dict.fromkeys(origin.term for origin in origins if origin.term in TERMS)),
        statements=list(dict.fromkeys(origin.term for origin in origins if origin.extent and origin.term not in TERMS)),
        failures=[{key: item.get(key) for key in ("code", "explanation")} for item in failures],
        ingredients=[
            {key: item.get(key) for key in ("title", "relationship", "format")}
            for item in manifest.get("ingredients") or []
        ],
        failing_ingredients=[{"title": title, "codes": reasons} for title, reasons in failing],
        **find_context(store),
    )


def _failures(store: Mapping[str, Any]) -> list[dict[str, Any]]:
    active = (store.get("validation_results") or {}).get("activeManifest") or {}
    return active.get("failure") or []


def _choose(origins: list[Origin]) -> Origin | None:
    """Return the statement on AI that says the most, of those that most stands behind."""
    order = (Extent.WHOLE, Extent.PART, Extent.UNKNOWN)
    ai = [origin for origin in origins if origin.extent is not None]
    return min(
        ai,
        key=lambda it: (not it.trusted, it.changed, not it.own, order.index(it.extent or Extent.UNKNOWN), not it.agent),
        default=None,
    )


def _conclude(ai: Origin | None, capture: Capture | None, trusted: bool) -> tuple[Verdict | None, Strength, str]:
    if ai is not None and ai.extent is not None:
        what = "this image" if ai.own else "an image that it was made of"
        by = f", by {ai.agent}" if ai.agent else ""
        company = f" ({ai.company})" if ai.company and ai.company.lower() not in ai.agent.lower() else ""
        return Verdict.AI, _strength(ai.trusted), f"{what} was {DID[ai.extent]} ({ai.term}){by}{company}"
    if capture is None:
        return None, _strength(trusted), ""
    told = f"a camera took this image ({capture.term})"
    if capture.changes:
        more = ", and more" if len(capture.changes) > _MAX_SHOWN else ""
        told += f", but not that it still shows the same ({', '.join(capture.changes[:_MAX_SHOWN])}{more})"
    sure = capture.trusted and not capture.changes
    return Verdict.REAL if sure else None, _strength(capture.trusted), told


def _strength(trusted: bool) -> Strength:
    return Strength.VERIFIED if trusted else Strength.ASSERTED


def _tell(
    name: str,
    certificate: Certificate,
    told: str,
    *,
    changed: bool,
    forged: bool,
    codes: list[str],
    ai: Origin | None,
    time: str,
    failing: list[tuple[str, list[str]]],
) -> str:
    """Return one sentence: who signed and who vouches, what is said, and what speaks against it."""
    said = f"say that {told}" if told else "do not say whether it is AI-generated or a photograph"
    listed = plain(", ".join(dict.fromkeys(codes)), 200)
    when = f" on {time[:10]}" if time and not changed and not forged else ""
    if changed:
        of = f"The file carries a manifest of an image that was {DID[ai.extent]}" if ai and ai.extent else ""
        of = of and f"{of} ({ai.term}), signed in the name of {name}, which no longer matches: " if ai else of
        detail = (of or "Content credentials were found, but ") + f"the file was changed after signing ({listed})"
        detail += ", so anyone could have put it there" if of else ", so they prove nothing"
    elif forged:
        detail = f"Content credentials in the name of {name} {said}, but they were changed after signing ({listed}), "
        detail += "so anyone could have written that" if told else "so they prove nothing"
    elif certificate.trusted:
        detail = f"Content credentials signed{when} by {name}, {certificate.told}, {said}"
        if codes:
            detail += f"; they break the rules of C2PA ({listed}), so anyone could have made them"
        elif ai is not None and not ai.trusted:
            detail += ", but that part comes from somebody else, so anyone could have written it"
    else:
        detail = f"Content credentials signed{when} in the name of {name}, {certificate.told}, {said}"
        detail += "; the content matches, but "
        detail += "anyone could have made them" if certificate.state == "unknown" else "this counts only as asserted"
    if failing:
        parts = ", ".join(f"“{title}” ({', '.join(reasons[:2])})" for title, reasons in failing[:_MAX_SHOWN])
        more = f", and {len(failing) - _MAX_SHOWN:,} more" if len(failing) > _MAX_SHOWN else ""
        detail += f". The credentials of what it was made of do not hold: {parts}{more}"
    return f"{detail}."
