"""Newer trust lists, from a file or the network: checked before they take the old one's place, which is kept."""

import json
import shutil
from datetime import UTC, datetime
from typing import Any

from pyrite.errors import PyriteError
from pyrite.evidence.trust import check_certificates, count_certificates, described, folder, load_default
from pyrite.fetching import fetch
from pyrite.writing import whole_file

UPDATED = ("c2pa", "c2pa-tsa")
"""The lists that are still kept up."""
_MAX_BYTES = 5_000_000
_SECONDS = 60


def update_list(name: str, source: str | None = None) -> str:
    """Bring a newer list, and return one sentence on it.

    Args:
        name: One of `UPDATED`.
        source: A file or URL of certificates in PEM form; by default, where C2PA publishes it. Its date is read from
            the JSON of the same name beside it, where there is one; else it is today's.

    Raises:
        PyriteError: It cannot be had, holds no certificates or damaged ones, is older than the list that comes with
            Pyrite, or cannot be kept.
    """
    if name not in UPDATED:
        raise PyriteError(f"There is no list {name!r} to update, but {' and '.join(UPDATED)}.")
    source = source or str(described()[name]["source"])
    checked = check_certificates(_fetch(source).decode("ascii", "replace"), source)
    dates = _read_dates(source) or {"issued": datetime.now(UTC).date().isoformat(), "next_update": ""}
    if dates["issued"] < (included := described()[name]["issued"]):
        raise PyriteError(
            f"{source} was issued on {dates['issued']}, before the list that comes with Pyrite ({included}). To use it "
            "all the same, name a file with --trust."
        )
    place = folder() / f"{name}.pem"
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        for old in (place, place.with_suffix(".toml")):
            if old.is_file():
                shutil.copy2(old, old.with_name(old.name + ".old"))
        with whole_file(place) as draft:
            draft.write_text(checked, "ascii")
        with whole_file(place.with_suffix(".toml")) as draft:
            lines = ("issued", dates["issued"]), ("next_update", dates["next_update"]), ("source", source)
            # JSON's strings are TOML's too.
            draft.write_text(
                "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in lines), "utf-8"
            )
    except OSError as error:
        raise PyriteError(f"The trust list cannot be kept in {place.parent}: {error.strerror or error}.") from error
    load_default.cache_clear()
    return f"{name}: {count_certificates(checked)} certificates, issued {dates['issued']}, kept in {place}."


def _fetch(source: str) -> bytes:
    if source.startswith("http://"):
        raise PyriteError("Trust lists are only read over https: anyone who can change one could vouch for anyone.")
    return fetch(source, max_bytes=_MAX_BYTES, seconds=_SECONDS)


def _read_dates(source: str) -> dict[str, str] | None:
    """Return the days of issue and of the next update, as the list's JSON has them (ETSI TS 119 602)."""
    if not source.endswith(".pem"):
        return None
    try:
        found: Any = json.loads(_fetch(source.removesuffix(".pem") + ".json"))
        scheme = found["LoTE"]["ListAndSchemeInformation"]
        return {
            "issued": _day(scheme["ListIssueDateTime"]),
            "next_update": _day(scheme["NextUpdate"]) if scheme.get("NextUpdate") else "",
        }
    except (PyriteError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _day(text: str) -> str:
    return datetime.fromisoformat(text).date().isoformat()
