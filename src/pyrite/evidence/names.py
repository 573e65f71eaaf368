"""Generators by name, in the fields that name a program or a source; see names.toml to add one."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from pyrite.evidence.values import LETTER

SOFTWARE_FIELDS = frozenset(
    {
        "agent", "aigenerator", "aimodel", "aisystemused", "application", "createdby", "createdwith", "creator",
        "creatortool", "generatedby", "generatedwith", "generator", "originatingprogram",
        "processingsoftware", "program", "software", "softwareagent", "tool",
    }
)  # fmt: skip
"""Names of the fields that are for programs alone, in EXIF, XMP, IPTC data and texts of PNG; see `key_of`."""

CREDIT_FIELDS = frozenset({"credit", "creditline", "hostcomputer", "make", "source"})
"""Names of the fields for where an image comes from, where a common word may be a person, a camera or a computer."""

EDITED = frozenset({"edited", "enhanced", "modified"})
"""What a field says of a generator that changed the image, rather than made it."""
_MAX = 200
_DID = (
    r"(?:(?:images?|pictures?|photos?|artworks?) )?"
    r"(?P<did>made|created|generated|edited|enhanced|modified|produced|drawn)"
    r"(?P<how>(?: (?:with|by|using|in|on|via|from))+)(?: the)? "
)
_AFTER = (
    r"image|images|pro|ultra|fast|flash|turbo|max|mini|preview|dev|schnell|lite|ai|api|generator|generation|exp|"
    r"experimental|beta|alpha|model|plus|standard|hd|xl|kontext|medium|large|web|app|quality|imagine|edit|base|refiner|lightning|realism|g[0-9]|ii|iii"
)
# A version is taken whole: if it could end anywhere, there would be as many ways as there are places to try.
_REST = (
    rf"(?:[\s,:/_-]+(?:v?[0-9][a-z0-9_.-]*(?![a-z0-9_.-])|{_AFTER})|\s*\([^()]{{0,60}}\)|\s*\[[^\[\]]{{0,60}}\]|"
    r"(?<=[a-z])v?[0-9][a-z0-9_.]*(?![a-z0-9_.]))*"
)


@dataclass(frozen=True, slots=True)
class Name:
    """A generator that a field names."""

    name: str
    company: str
    common: bool
    """Whether the word is also the name of something else."""
    writes_a1111: bool
    edited: bool
    """Whether the field says that it changed the image, rather than made it."""


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    company: str
    common: frozenset[str]
    after: frozenset[str]
    writes_a1111: bool
    edits: bool


def find_name(text: str) -> Name | None:
    """Return the generator that is all that a field says, but for a company, a version, or what it did."""
    if not text or len(text) > _MAX:
        return None
    entries, pattern = _table()
    matched = pattern.fullmatch(_normal(text))
    if matched is None:
        return None
    word = matched["name"]
    entry = entries[word]
    if word in entry.after and matched["did"] is None:
        return None
    # With what it did, its company or a version, a common word is no longer anything else. But AFP/Sora 2 is an agency
    # and its photographer, and somebody may have created an image who is called Sora.
    company, rest = entry.company.lower(), matched["rest"]
    clear = (
        matched["did"] == "generated"
        or (matched["did"] is not None and "by" not in matched["how"].split())
        or (company and (matched["owner"] == company or company in rest))
        or (matched["agency"] is None and re.search("[0-9]", rest))
    )
    edited = matched["did"] in EDITED or entry.edits
    return Name(entry.name, entry.company, word in entry.common and not clear, entry.writes_a1111, edited)


def key_of(field: str) -> str:
    """Return a field's name without what writers vary: capitals, spaces, dashes and underlines."""
    return re.sub(r"[\s_-]", "", field[:100]).lower()


def find_in_credit(text: str) -> Name | None:
    """Return the generator that a field for a source names, unless it may as well be a person or a camera."""
    found = find_name(text)
    return None if found is None or found.common else found


def company_of(name: str) -> str:
    """Return the company behind a generator, or an empty text where that is not known."""
    found = find_name(name)
    return found.company if found else _companies().get(name, "")


def all_names() -> list[tuple[str, str, tuple[str, ...]]]:
    """Return name, company and words of every generator, for the documentation."""
    return [(str(entry["name"]), str(entry.get("company", "")), tuple(entry["words"])) for entry in _read()]


def name_rules() -> dict[str, Any]:
    """Return what `find_name` goes by, for a reader in another language."""
    entries, pattern = _table()
    words = {
        word: {
            "name": entry.name,
            "company": entry.company,
            "common": word in entry.common,
            "after": word in entry.after,
            "edits": entry.edits,
            "writes_a1111": entry.writes_a1111,
        }
        for word, entry in entries.items()
    }
    return {"pattern": pattern, "words": words, "companies": dict(_companies())}


def _normal(text: str) -> str:
    return " ".join(text.lower().replace("_", " ").replace("\N{BLACK STAR}", " ").split()).strip(" .!*\"'")


@cache
def _read() -> list[dict[str, Any]]:
    table: list[dict[str, Any]] = tomllib.loads(files("pyrite.evidence").joinpath("names.toml").read_text("utf-8"))[
        "generator"
    ]
    return table


@cache
def _companies() -> dict[str, str]:
    return {name: company for name, company, _ in all_names()}


@cache
def _table() -> tuple[dict[str, _Entry], re.Pattern[str]]:
    entries: dict[str, _Entry] = {}
    companies: set[str] = set()
    for entry in _read():
        made = _Entry(
            str(entry["name"]),
            str(entry.get("company", "")),
            frozenset(entry.get("common", ())),
            frozenset(entry.get("after", ())),
            entry.get("form") == "a1111",
            bool(entry.get("edits")),
        )
        companies |= {made.company.lower()} - {""}
        entries |= dict.fromkeys(entry["words"], made)
    names = "|".join(re.escape(word) for word in sorted(entries, key=len, reverse=True))
    owners = "|".join(re.escape(name) for name in sorted(companies, key=len, reverse=True))
    return entries, re.compile(
        rf"(?:{_DID})?(?P<agency>(?:{LETTER}|[._-]){{1,40}}/)?(?:(?P<owner>{owners})(?:'s|,|:| -)? )??"
        rf"(?P<name>{names})(?P<rest>{_REST})"
    )
