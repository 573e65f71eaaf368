"""Content credentials (C2PA): who signed for what this file is, and whether that holds."""

import io
import json
import re
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from pyrite.errors import PyriteError
from pyrite.evidence.container import has_credentials
from pyrite.evidence.fields import plain, read_xmp, tidy
from pyrite.evidence.manifest import UNTRUSTED, Capture, Origin, find_capture, find_origins
from pyrite.evidence.source_types import AI_TYPES
from pyrite.image import Image
from pyrite.results import Evidence, Strength, Verdict

_INSTALL = "Install it with: pip install 'pyrite[credentials]'"
_OFFLINE = {
    "core": {"allowed_network_hosts": [], "decode_identity_assertions": False},
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": True},
}
_TAMPERED = re.compile(
    r"assertion\.(dataHash|bmffHash|boxesHash|hashedURI)\.(mismatch|malformed)|claimSignature\.mismatch"
)
_BY_OTHERS = ", but that part comes from somebody else, so anyone could have written it"
_MAX_SHOWN = 5
"""Changes that a sentence names."""


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
    import ssl  # Late, since it loads OpenSSL, which few need.

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
        detail = f"The file has content credentials, which were not read. {_INSTALL}"
        return [_say("reader", None, detail, unread="credentials")]
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
        "The file's content credentials are kept elsewhere and were not fetched; anyone could have named the place."
    )
    return [_say("credentials", None, detail, remote_url=url)]


def _say(
    kind: str, says: Verdict | None, detail: str, strength: Strength = Strength.ASSERTED, **details: object
) -> Evidence:
    return Evidence(kind, strength, says, detail, tidy(details))


def _judge(store: Mapping[str, Any]) -> Evidence:
    manifest = store["manifests"][store["active_manifest"]]
    trusted, valid = store["validation_state"] == "Trusted", store["validation_state"] in ("Valid", "Trusted")
    failures = [item for item in store.get("validation_status") or [] if item["code"] != UNTRUSTED]
    origins = find_origins(store, trusted) if valid else []
    capture = find_capture(store, trusted) if valid else None
    signer = manifest.get("signature_info") or {}
    name = plain(signer.get("issuer") or signer.get("common_name"), 100) or "an unnamed signer"
    program = _program(manifest)
    says, strength, told = _conclude(origins, capture, trusted)
    if not valid:
        codes = ", ".join(dict.fromkeys(plain(item["code"], 100) for item in failures)) or "no reason given"
        changed = any(_TAMPERED.match(item["code"]) for item in failures)
        why = "the file or its credentials were changed after signing" if changed else "the signature does not hold"
        detail = f"Content credentials were found, but {why} ({codes}), so they prove nothing."
    elif trusted:
        but = "" if strength is Strength.VERIFIED else _BY_OTHERS
        detail = f"Content credentials signed by {name}, who is on the trust list, {told}{but}."
    else:
        detail = (
            f"Content credentials signed in the name of {name} {told}; the signature is valid, but no trust list "
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


def _conclude(origins: list[Origin], capture: Capture | None, trusted: bool) -> tuple[Verdict | None, Strength, str]:
    ai = sorted((origin for origin in origins if origin.term in AI_TYPES), key=lambda origin: not origin.trusted)
    if ai:
        told = (
            f"say that {'this image' if ai[0].own else 'what it was made of'} comes from a trained model ({ai[0].term})"
        )
        return Verdict.AI, _strength(ai[0].trusted), told
    if capture is None:
        return None, _strength(trusted), "do not say whether it is AI-generated or a photograph"
    told = f"say that a camera took this image ({capture.term})"
    if capture.changes:
        more = ", and more" if len(capture.changes) > _MAX_SHOWN else ""
        told += f", but not that it still shows the same ({', '.join(capture.changes[:_MAX_SHOWN])}{more})"
    sure = capture.trusted and not capture.changes
    return Verdict.REAL if sure else None, _strength(capture.trusted), told


def _strength(trusted: bool) -> Strength:
    return Strength.VERIFIED if trusted else Strength.ASSERTED


def _program(manifest: Mapping[str, Any]) -> str | None:
    info = manifest.get("claim_generator_info") or [{}]
    named = info[0] if isinstance(info, list) and isinstance(info[0], dict) else {}
    text = f"{named.get('name') or ''} {named.get('version') or ''}".strip() or manifest.get("claim_generator")
    return plain(text, 200) or None
