"""Content credentials (C2PA): who signed for what this file is, and whether that holds."""

import io
import json
import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from pyrite.errors import PyriteError
from pyrite.evidence.container import has_credentials
from pyrite.evidence.fields import plain, read_xmp, tidy
from pyrite.evidence.generator import AI_TYPES
from pyrite.image import Image
from pyrite.results import Evidence, Strength, Verdict

CAPTURE_TYPES = frozenset({"digitalCapture", "computationalCapture", "negativeFilm", "positiveFilm"})
"""Terms of IPTC's digital source types that mean light on a sensor or on film."""

_INSTALL = "Install it with: pip install 'pyrite[credentials]'"
_OFFLINE = {
    "core": {"allowed_network_hosts": [], "decode_identity_assertions": False},
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": True},
}
_UNTRUSTED = "signingCredential.untrusted"
_TRUSTED = "signingCredential.trusted"
_TAMPERED = re.compile(
    r"assertion\.(dataHash|bmffHash|boxesHash|hashedURI)\.(mismatch|malformed)|claimSignature\.mismatch"
)
_MAX_MANIFESTS = 100


def missing_readers() -> list[str]:
    """Return one sentence for each kind of evidence that cannot be read for want of an optional package."""
    if find_spec("c2pa") is None:
        return [f"Content credentials are not read: c2pa-python is not installed. {_INSTALL}"]
    return []


def check_trust_anchors(pem: bytes) -> None:
    """Refuse what are not certificates in the form that `read_credentials` takes.

    Raises:
        PyriteError: There is no certificate, or one is damaged.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise PyriteError(f"The trust anchors must be certificates in PEM form: {error}.") from error


def read_credentials(image: Image, *, trust_anchors: bytes | None = None) -> list[Evidence]:
    """Report the file's content credentials, where it has any; never touches the network.

    Args:
        image: As it was opened from a file.
        trust_anchors: Certificates (PEM) of authorities whose signatures are trusted. Without them a valid
            signature is no more than asserted.
    """
    if not has_credentials(image):
        return _read_remote(image)
    try:
        import c2pa
    except ImportError:
        # Where there may be none, nothing has been missed for certain.
        if image.format in ("TIFF", "GIF"):
            return []
        return [_say("reader", None, f"The file has content credentials, which were not read. {_INSTALL}")]
    settings: dict[str, Any] = dict(_OFFLINE)
    if trust_anchors is not None:
        settings["trust"] = {"trust_anchors": trust_anchors.decode("ascii")}
    mime = "image/jpeg" if image.format == "MPO" else f"image/{(image.format or '').lower()}"
    try:
        with (
            c2pa.Context.from_dict(settings) as context,
            c2pa.Reader(mime, io.BytesIO(image.data or b""), context=context) as reader,
        ):
            store = json.loads(reader.json())
    except c2pa.C2paError.ManifestNotFound:
        return _read_remote(image)
    except (c2pa.C2paError, ValueError, RecursionError) as error:
        remote = _read_remote(image)
        reason = plain(str(error), 200)
        return remote or [_say("credentials", None, f"The file's content credentials could not be read: {reason}")]
    return [_judge(store)]


def _read_remote(image: Image) -> list[Evidence]:
    url = read_xmp(image).get("http://purl.org/dc/terms/ provenance", "")
    if not re.match(r"https?://", url):
        return []
    detail = (
        "The file's content credentials are kept elsewhere, and were not fetched. Anyone could have named the place."
    )
    return [_say("credentials", None, detail, remote_url=url)]


def _say(
    kind: str, says: Verdict | None, detail: str, strength: Strength = Strength.ASSERTED, **details: object
) -> Evidence:
    return Evidence(kind, strength, says, detail, tidy(details))


@dataclass(frozen=True, slots=True)
class _Origin:
    """One digital source type that a manifest gives."""

    term: str
    action: str | None
    trusted: bool
    """Whether a trusted signer stands behind it."""
    own: bool
    """Whether it is in the active manifest, which speaks of this very file."""


def _judge(store: Mapping[str, Any]) -> Evidence:
    manifests, label = store["manifests"], store["active_manifest"]
    manifest = manifests[label]
    trusted, valid = store["validation_state"] == "Trusted", store["validation_state"] in ("Valid", "Trusted")
    failures = [item for item in store.get("validation_status") or [] if item["code"] != _UNTRUSTED]
    origins = list(_origins(store, label, trusted, own=True, seen=set())) if valid else []
    signer = manifest.get("signature_info") or {}
    name = plain(signer.get("issuer") or signer.get("common_name"), 100) or "an unnamed signer"
    program = _program(manifest)
    says, strength, told = _conclude(manifest, origins, trusted)
    if not valid:
        codes = ", ".join(dict.fromkeys(plain(item["code"], 100) for item in failures)) or "no reason given"
        changed = any(_TAMPERED.match(item["code"]) for item in failures)
        why = "the file or its credentials were changed after signing" if changed else "the signature does not hold"
        detail = f"Content credentials were found, but {why} ({codes}), so they prove nothing."
    elif trusted:
        detail = f"Content credentials signed by {name}, who is on the trust list, {told}."
        if strength is not Strength.VERIFIED:
            detail += " But that part comes from somebody else, so anyone could have written it."
    else:
        detail = (
            f"Content credentials signed in the name of {name} {told}. The signature is valid, but no trust list "
            "vouches for it, so anyone could have made it."
        )
    return _say(
        "credentials",
        says,
        detail,
        strength,
        valid=valid,
        trusted=trusted,
        signer={key: signer.get(key) for key in ("issuer", "common_name", "alg", "time", "cert_serial_number")},
        claim_generator=program,
        digital_source_types=list(dict.fromkeys(origin.term for origin in origins)),
        failures=[{key: item.get(key) for key in ("code", "explanation")} for item in failures],
        ingredients=[
            {key: item.get(key) for key in ("title", "relationship", "format")}
            for item in manifest.get("ingredients") or []
        ],
    )


def _conclude(
    manifest: Mapping[str, Any], origins: list[_Origin], trusted: bool
) -> tuple[Verdict | None, Strength, str]:
    strength = Strength.VERIFIED if trusted else Strength.ASSERTED
    ai = sorted((origin for origin in origins if origin.term in AI_TYPES), key=lambda origin: not origin.trusted)
    if ai:
        told = (
            f"say that {'this image' if ai[0].own else 'what it was made of'} comes from a trained model ({ai[0].term})"
        )
        return Verdict.AI, Strength.VERIFIED if ai[0].trusted else Strength.ASSERTED, told
    # What was put into a photograph afterwards need not be one.
    whole = all(item.get("relationship") == "inputTo" for item in manifest.get("ingredients") or [])
    captures = [
        origin for origin in origins if origin.own and origin.term in CAPTURE_TYPES and origin.action == "c2pa.created"
    ]
    if captures:
        told = f"say that a camera took this image ({captures[0].term})"
        sure = whole and captures[0].trusted
        return Verdict.REAL if sure else None, strength, told
    return None, strength, "do not say whether it is AI-generated or a photograph"


def _origins(store: Mapping[str, Any], label: str, trusted: bool, *, own: bool, seen: set[str]) -> Iterator[_Origin]:
    """Yield what a manifest says of the image's origin, and those of the ingredients that became part of it."""
    manifest = store["manifests"].get(label)
    if manifest is None or label in seen or len(seen) >= _MAX_MANIFESTS:
        return
    seen.add(label)
    for assertion in manifest.get("assertions") or []:
        # Since version 2 of the claim, the signer stands behind what it created, not what it gathered.
        stands = manifest.get("claim_version", 1) < 2 or assertion.get("created") is True
        for term, action in _source_types(assertion):
            yield _Origin(term, action, trusted and stands, own)
    for ingredient in manifest.get("ingredients") or []:
        inner = ingredient.get("active_manifest")
        if ingredient.get("relationship") not in ("parentOf", "componentOf") or not isinstance(inner, str):
            continue
        vouched, failures = _check_ingredient(store, ingredient, inner)
        if not failures:
            yield from _origins(store, inner, trusted and vouched, own=False, seen=seen)


def _source_types(assertion: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    data, kind = assertion.get("data"), assertion.get("label", "").partition(".v")[0].partition("__")[0]
    if not isinstance(data, dict):
        return
    places: list[tuple[object, object]] = []
    if kind == "c2pa.actions":
        actions = data.get("actions") or []
        places = [(item.get("digitalSourceType"), item.get("action")) for item in actions if isinstance(item, dict)]
    elif kind in ("c2pa.metadata", "cawg.metadata", "stds.iptc"):
        places = [(data.get("Iptc4xmpExt:DigitalSourceType"), None)]
    for address, action in places:
        if isinstance(address, str):
            yield plain(address.rpartition("/")[2], 100), action if isinstance(action, str) else None


def _check_ingredient(store: Mapping[str, Any], ingredient: Mapping[str, Any], label: str) -> tuple[bool, set[str]]:
    """Return whether an ingredient's signer is trusted, and the codes of what else is wrong.

    Its own record of that is from when it was taken in, by whatever trust list there was then; what differs
    now is listed apart.
    """
    recorded = (ingredient.get("validation_results") or {}).get("activeManifest") or {}
    deltas = [item.get("validationDeltas") or {} for item in store["validation_results"].get("ingredientDeltas") or []]
    failed_now = _codes(deltas, "failure", label)
    vouched = _TRUSTED in _codes(deltas, "success", label) or (
        _TRUSTED in _codes([recorded], "success") and _UNTRUSTED not in failed_now
    )
    failed_then = _codes([recorded], "failure") | _codes([{"failure": ingredient.get("validation_status")}], "failure")
    return vouched, (failed_then | failed_now) - {_UNTRUSTED}


def _codes(results: list[Mapping[str, Any]], outcome: str, label: str = "") -> set[str]:
    return {
        item["code"] for result in results for item in result.get(outcome) or [] if label in (item.get("url") or "")
    }


def _program(manifest: Mapping[str, Any]) -> str | None:
    info = manifest.get("claim_generator_info") or [{}]
    named = info[0] if isinstance(info, list) and isinstance(info[0], dict) else {}
    text = f"{named.get('name') or ''} {named.get('version') or ''}".strip() or manifest.get("claim_generator")
    return plain(text, 200) or None
