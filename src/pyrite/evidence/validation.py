"""What c2pa-python finds of a file's content credentials, and whether their signer's certificate holds."""

import io
import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyrite.evidence.manifest import UNTRUSTED
from pyrite.evidence.trust import ListKind, Trust
from pyrite.evidence.values import plain

_CORE = {"allowed_network_hosts": [], "decode_identity_assertions": False}
_VERIFY = {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": True}
_VOUCHED = "signingCredential.trusted"
_FOUND_IN = re.compile(r"found in \[(.{1,200}?)\]")
_contexts = threading.local()


@dataclass(frozen=True, slots=True)
class Certificate:
    """Whether the certificate of who signed holds."""

    state: str
    """`trusted`, `unknown`, `expired`, `not_yet_valid`, `wrong_usage`, `revoked` or `invalid`."""
    list: str = ""
    """Which trust list vouches for it, by name."""
    told: str = ""
    """The end of a sentence on it."""

    @property
    def trusted(self) -> bool:
        """Whether a trust list vouches for it, and nothing else is wrong with it."""
        return self.state == "trusted"


def validate(data: bytes, mime: str, trust: Trust) -> tuple[dict[str, Any], Certificate, str | None]:
    """Return what the library says of a file, whether its signer's certificate holds, and its time stamp.

    A list of time-stamp authorities must not vouch for a signer, but the library takes any list for that. Where
    it was such a one, the file is read once more with the lists of signers alone, at the time of the stamp.
    """
    store, dates = _load(data, mime, trust, (ListKind.SIGNERS, ListKind.TIMES))
    failures, noted = _codes(store, "failure"), _codes(store, "success") | _codes(store, "informational")
    stamp = "trusted" if "timeStamp.trusted" in noted else "untrusted" if time_of(store) else None
    times = {item.name for item in trust.lists if item.kind is ListKind.TIMES}
    if times & _vouching(store):
        first, (store, _) = store, _load(data, mime, trust, (ListKind.SIGNERS,), verify_timestamp_trust=False)
        _add_failures(store, first)
    return store, check_certificate(store, failures | _codes(store, "failure"), dates, trust), stamp


def _add_failures(store: dict[str, Any], first: Mapping[str, Any]) -> None:
    """Add what failed at the first reading, when no time stamp was taken on trust."""
    before, now = first["validation_results"], store["validation_results"]
    known = _codes(store, "failure") | {UNTRUSTED}
    failed = [item for item in (before.get("activeManifest") or {}).get("failure") or [] if item["code"] not in known]
    now["activeManifest"]["failure"] = [*(now["activeManifest"].get("failure") or []), *failed]
    deltas = [item.get("validationDeltas") or {} for item in before.get("ingredientDeltas") or []]
    parts = [{"validationDeltas": {"failure": delta.get("failure") or []}} for delta in deltas]
    now["ingredientDeltas"] = [*(now.get("ingredientDeltas") or []), *parts]


def _load(
    data: bytes, mime: str, trust: Trust, kinds: tuple[ListKind, ...], **verify: bool
) -> tuple[dict[str, Any], tuple[str, str]]:
    import c2pa

    with c2pa.Reader(mime, io.BytesIO(data), context=_context(trust, kinds, verify)) as reader:
        store: dict[str, Any] = json.loads(reader.json())
        expired = "signingCredential.expired" in _codes(store, "failure")
        dates = _read_dates(reader) if expired else ("", "")
    return store, dates


def _context(trust: Trust, kinds: tuple[ListKind, ...], verify: Mapping[str, bool]) -> Any:
    """Return the library's settings, which take longer to make than a small file to read; each thread has its own."""
    import c2pa

    made: dict[object, Any] = _contexts.__dict__.setdefault("made", {})
    key = (trust, kinds, tuple(verify.items()))
    if key not in made:
        if len(made) > 8:
            made.clear()
        made[key] = c2pa.Context.from_dict(settings_for(trust, *kinds, **verify))
    return made[key]


def settings_for(trust: Trust, *kinds: ListKind, **verify: bool) -> dict[str, Any]:
    """Return the library's settings, by which it fetches nothing, for the lists of these kinds."""
    return {"core": _CORE, "verify": {**_VERIFY, **verify}, "trust": trust.settings(*kinds)}


def _read_dates(reader: Any) -> tuple[str, str]:
    """Return since when and until when the signer's certificate is valid, where the library tells."""
    try:
        for manifest in json.loads(reader.crjson())["manifests"]:
            validity = manifest["signature"]["certificateInfo"]["validity"]
            return str(validity["notBefore"]), str(validity["notAfter"])
    except Exception:  # An extra that older versions do not have.
        return "", ""
    return "", ""


def _codes(store: Mapping[str, Any], outcome: str) -> set[str]:
    active = (store.get("validation_results") or {}).get("activeManifest") or {}
    return {item["code"] for item in active.get(outcome) or []}


def _vouching(store: Mapping[str, Any]) -> set[str]:
    """Return the lists that were found to vouch for any signer in the store."""
    results = store.get("validation_results") or {}
    found = {str(results.get("trustListUri") or "")}
    deltas = [(item.get("validationDeltas") or {}) for item in results.get("ingredientDeltas") or []]
    for result in (results.get("activeManifest") or {}, *deltas):
        for item in result.get("success") or []:
            if item["code"] == _VOUCHED and (where := _FOUND_IN.search(item.get("explanation") or "")):
                found.add(where[1])
    return found


def check_certificate(
    store: Mapping[str, Any], failures: set[str], dates: tuple[str, str], trust: Trust
) -> Certificate:
    """Return what the codes of failures say of a certificate that is valid between two dates."""
    if any("revoked" in code for code in failures):
        return Certificate("revoked", told="whose certificate was revoked")
    if "signingCredential.expired" in failures:
        since, until = (day[:10] for day in dates)
        signed = time_of(store)[:10]
        stamped = "a time stamp that nobody vouches for" if signed else "no time stamp"
        if since and signed and signed < since:
            return Certificate("not_yet_valid", told=f"whose certificate was not yet valid then (it is since {since})")
        when = f" on {until}" if until else ""
        return Certificate(
            "expired", told=f"whose certificate expired{when}, with {stamped} to show that it signed before"
        )
    if "signingCredential.invalid" in failures:
        told = "whose certificate is not for signing content, by its usages or its form"
        return Certificate("wrong_usage", told=told)
    if any(code.startswith(("signingCredential.", "algorithm.")) and code != UNTRUSTED for code in failures):
        return Certificate("invalid", told="whose certificate does not hold")
    if UNTRUSTED in failures:
        return Certificate("unknown", told="whom no trust list vouches for")
    name = str((store.get("validation_results") or {}).get("trustListUri") or "")
    # A signer who is listed by itself is found without the name of the list.
    found = trust.find(name) if name else next((item for item in trust.lists if item.allowed), None)
    if found is None:
        return Certificate("unknown", told="whom no trust list vouches for")
    late = f", of which a newer one has been due since {found.next_update}" if found.overdue() else ""
    return Certificate("trusted", found.name, f"whom the {found.dated} vouches for{late}")


def time_of(store: Mapping[str, Any]) -> str:
    """Return when the active manifest says that it was signed, as ISO 8601 has it, or an empty text."""
    manifest = store["manifests"][store["active_manifest"]]
    return plain((manifest.get("signature_info") or {}).get("time"), 40)
