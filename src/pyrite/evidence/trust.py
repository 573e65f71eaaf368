"""Whose signatures count as verified: trust lists, those that come with Pyrite, newer ones, and a user's own."""

import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pyrite.errors import PyriteError
from pyrite.folders import data_folder

SHIPPED = ("c2pa", "interim")
"""What `load_trust` knows by name; together they are the default."""
NONE = "none"
NOTES = Path(__file__).parent / "trust_lists" / "README.md"
"""Where the lists that come with Pyrite are from, and their licences."""

_TSA = "c2pa-tsa"
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[\sA-Za-z0-9+/=]{100,20000}?-----END CERTIFICATE-----")
_OID = re.compile(r"\d+(?:\.\d+){3,30}")


class ListKind(StrEnum):
    """What a list vouches for."""

    SIGNERS = "manifest"
    TIMES = "tsa"


KEY_USAGES = (
    "1.3.6.1.5.5.7.3.4",  # e-mail protection
    "1.3.6.1.5.5.7.3.36",  # document signing
    "1.3.6.1.5.5.7.3.8",  # time stamping
    "1.3.6.1.5.5.7.3.9",  # signing of revocation responses
    "1.3.6.1.4.1.62558.2.1",  # C2PA claim signing
)
"""What the C2PA specification takes: the usages that a signer's certificate may have."""


@dataclass(frozen=True, slots=True)
class TrustList:
    """Authorities that vouch for signers, or for times."""

    name: str
    """`c2pa`, `interim`, or that of a file."""
    title: str
    """What it is called in a sentence."""
    kind: ListKind
    anchors: str
    """Certificates (PEM) of authorities."""
    allowed: str = ""
    """Certificates (PEM) of single signers that count as well, whoever vouches for them."""
    issued: str = ""
    """Day of issue, as ISO 8601 has it; empty where it is not known."""
    next_update: str = ""
    """Day when a newer list is due."""
    source: str = ""
    """Where it is from."""
    frozen: bool = False
    """Whether there will be no newer one."""

    @property
    def dated(self) -> str:
        """What it is called in a sentence, with its date where that is known."""
        return f"{self.title} of {self.issued}" if self.issued else self.title

    def overdue(self, today: date | None = None) -> bool:
        """Say whether a newer list has been due."""
        return bool(self.next_update) and (today or datetime.now(UTC).date()).isoformat() > self.next_update


@dataclass(frozen=True, slots=True)
class Trust:
    """Everything that decides whether a signature is verified."""

    lists: tuple[TrustList, ...] = ()
    key_usages: tuple[str, ...] = KEY_USAGES
    """Object identifiers of the usages that a signer's certificate may have."""

    @classmethod
    def default(cls) -> "Trust":
        """Return the lists that come with Pyrite, or newer ones that `update_list` brought."""
        return load_default(str(folder()))

    def find(self, name: str) -> TrustList | None:
        """Return the list of this name."""
        return next((item for item in self.lists if item.name == name), None)

    @property
    def overdue(self) -> tuple[TrustList, ...]:
        """The lists of which a newer one has been due."""
        return tuple(item for item in self.lists if item.overdue())

    def settings(self, *kinds: ListKind) -> dict[str, Any]:
        """Return c2pa's settings for the lists of these kinds."""
        usages = "\n".join(self.key_usages) + "\n"
        anchors = [
            {
                "trust_anchors": item.anchors,
                "trust_uri": item.name,
                "trust_kind": item.kind.value,
                "trust_config": usages,
                **({"allowed_list": item.allowed} if item.allowed else {}),
            }
            for item in self.lists
            if item.kind in kinds
        ]
        return {"trust_config": usages} | ({"anchors": anchors} if anchors else {})


@cache
def load_default(kept: str) -> Trust:
    """Return the default, once for each folder that newer lists are kept in."""
    return load_trust(SHIPPED)


def folder() -> Path:
    """Return where newer lists are kept: `PYRITE_TRUST`, or `trust` in Pyrite's data folder."""
    if chosen := os.environ.get("PYRITE_TRUST"):
        return Path(chosen)
    try:
        return data_folder() / "trust"
    except PyriteError:  # There is no home, and so nothing newer either.
        return Path(os.devnull) / "trust"


def load_trust(names: Sequence[str | Path], anchors: Iterable[str | Path] = ()) -> Trust:
    """Return the trust lists of these names, and more authorities.

    Args:
        names: `c2pa`, `interim`, or files of certificates in PEM form; `none` for no list at all.
        anchors: More such files.

    Raises:
        PyriteError: A name is no list and no file; or a file has no certificate, or a damaged one.
    """
    if NONE in map(str, names) and len(names) > 1:
        raise PyriteError(f"`{NONE}` means no trust list, so it cannot be combined with others.")
    lists: dict[str, TrustList] = {}
    usages = dict.fromkeys(KEY_USAGES)
    for name in [*names, *map(Path, anchors)]:
        if name == NONE:
            continue
        for item in _load_shipped(name) if name in SHIPPED else [_load_file(Path(name))]:
            lists.setdefault(item.name, item)
        if name == "interim":
            usages |= dict.fromkeys(read_usages(_shipped_text("interim.cfg")))
    return Trust(tuple(lists.values()), tuple(usages))


def _load_shipped(name: str | Path) -> list[TrustList]:
    known = described()
    if name == "interim":
        return [
            TrustList(
                kind=ListKind.SIGNERS,
                anchors=_tidy_pem(_shipped_text("interim.pem")),
                allowed=_tidy_pem(_shipped_text("interim-allowed.pem")),
                **known["interim"],
            )
        ]
    return [
        TrustList(kind=kind, anchors=_tidy_pem(_newest_text(key)), **(known[key] | _newer(key)))
        for key, kind in (("c2pa", ListKind.SIGNERS), (_TSA, ListKind.TIMES))
    ]


@cache
def described() -> dict[str, dict[str, Any]]:
    """Return what is known of each list that comes with Pyrite, by name."""
    table = tomllib.loads(_shipped_text("lists.toml"))
    return {name: {"name": name, **entry} for name, entry in table.items()}


def _shipped_text(name: str) -> str:
    return files("pyrite.evidence").joinpath("trust_lists", name).read_text("utf-8")


def _newest_text(name: str) -> str:
    newer = folder() / f"{name}.pem"
    try:
        return newer.read_text("ascii") if newer.is_file() and _is_newer(name) else _shipped_text(f"{name}.pem")
    except (OSError, ValueError) as error:
        raise PyriteError(
            f"The trust list {newer} cannot be read: {error}. Download it again with: pyrite trust update"
        ) from error


def _is_newer(name: str) -> bool:
    """Say whether the user's list is not older than the one that comes with Pyrite, as after an upgrade of Pyrite."""
    issued = _kept(name).get("issued")
    return not isinstance(issued, str) or issued >= described()[name]["issued"]


def _newer(name: str) -> dict[str, Any]:
    """Return what is known of a newer list, where there is one."""
    found = _kept(name) if _is_newer(name) else {}
    return {key: found[key] for key in ("issued", "next_update", "source") if isinstance(found.get(key), str)}


def _kept(name: str) -> dict[str, Any]:
    """Return what the user's list says of itself; empty where there is none."""
    place = folder() / f"{name}.toml"
    try:
        return tomllib.loads(place.read_text("utf-8")) if place.is_file() else {}
    except (OSError, ValueError) as error:
        raise PyriteError(f"{place} cannot be read: {error}. Download the list with: pyrite trust update") from error


def _load_file(path: Path) -> TrustList:
    try:
        text = path.read_bytes().decode("ascii", "replace")
    except FileNotFoundError:
        known = ", ".join((*SHIPPED, NONE))
        raise PyriteError(f"{path} is no trust list ({known}), and there is no such file.") from None
    except OSError as error:
        raise PyriteError(f"{path} cannot be read: {error.strerror}.") from error
    return TrustList(
        str(path), f"list {path.name}", ListKind.SIGNERS, check_certificates(text, str(path)), source=str(path)
    )


def trust_of(pem: bytes, name: str = "trust anchors") -> Trust:
    """Return trust in these authorities (PEM) alone.

    Raises:
        PyriteError: There is no certificate, or one is damaged.
    """
    checked = check_certificates(pem.decode("ascii", "replace"), name)
    return Trust((TrustList(name, f"list of {name}", ListKind.SIGNERS, checked),))


def check_certificates(text: str, name: str) -> str:
    """Return the certificates of a text in PEM form, each on lines of its own, without what stands around them.

    Raises:
        PyriteError: There is none, or one is damaged.
    """
    import ssl  # Late, since it loads OpenSSL, which few need.

    found = _CERTIFICATE.findall(text)
    if not found or len(found) != text.count("BEGIN CERTIFICATE"):
        raise PyriteError(
            f"{name} must be certificates in PEM form, and has {'none' if not found else 'a damaged one'}."
        )
    for at, certificate in enumerate(found, 1):
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=certificate)
        except (ssl.SSLError, ValueError) as error:
            raise PyriteError(f"{name} must be certificates in PEM form, and number {at} is not: {error}.") from error
    return "\n".join(found) + "\n"


def _tidy_pem(text: str) -> str:
    return "\n".join(_CERTIFICATE.findall(text)) + "\n"


def count_certificates(pem: str) -> int:
    """Return how many certificates a text in PEM form has."""
    return len(_CERTIFICATE.findall(pem))


def read_usages(text: str) -> list[str]:
    """Return the object identifiers of a list of key usages (`trust_config`), one a line, with comments after `//`."""
    return [line for raw in text.splitlines() if _OID.fullmatch(line := raw.partition("//")[0].strip())]


def describe_trust(trust: Trust) -> list[Mapping[str, object]]:
    """Return what there is to know of each list, for people and programs."""
    return [
        {
            "name": item.name,
            "title": item.title,
            "vouches_for": "signers" if item.kind is ListKind.SIGNERS else "times",
            "certificates": count_certificates(item.anchors) + count_certificates(item.allowed),
            "issued": item.issued or None,
            "next_update": item.next_update or None,
            "overdue": item.overdue(),
            "frozen": item.frozen,
            "source": item.source,
        }
        for item in trust.lists
    ]
