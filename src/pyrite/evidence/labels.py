"""China's label of generated content, which its law asks of services since September 2025.

The label is an object with the keys `Label`, `ContentProducer`, `ProduceID`, `ReservedCode1`, `ContentPropagator`,
`PropagateID` and `ReservedCode2`. Source: GB 45438-2025, appendix E, and TC260-PG-20253A on files of images.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from pyrite.evidence.values import plain, read_json
from pyrite.results import Verdict

MEANINGS: Mapping[str, tuple[Verdict | None, str]] = {
    "1": (Verdict.AI, "made with AI"),
    "2": (None, "possibly made with AI"),
    "3": (None, "suspected to be made with AI"),
}
"""By what stands under `Label`: what it says, and in words. Its writer knows (1), its distributor was told by its user
(2), or the distributor found signs of it (3)."""

WORDS = {"aigc": "1", "ai": "1", "true": "1", "ai-generated": "1", "ai generated": "1"}
"""What some write there instead of 1."""
OTHERS = {"contentproducer", "produceid", "contentpropagator", "propagateid"}
# A kind of code, the company's Unified Social Credit Identifier (GB 32100-2015), and a number of its own.
CODE = re.compile(r"\d{4}([0-9A-HJ-NPQRTUWXY]{18})\w{0,16}")


def read_label(name: str, value: Any) -> dict[str, Any] | None:
    """Return the label that a text holds: alone, or under `AIGC` in another object."""
    if not isinstance(value, dict):
        return None
    for key in ("AIGC", "aigc", "TC260:AIGC"):
        inner = value.get(key)
        inner = read_json(inner) if isinstance(inner, str) else inner
        if isinstance(inner, dict):
            value = inner
            break
    low = {key.lower(): item for key, item in list(value.items())[:50] if isinstance(key, str)}
    if "label" not in low or (not low.keys() & OTHERS and name.lower() != "aigc"):
        return None
    return {**value, "Label": low["label"]} if meaning_of(low["label"]) else None


def meaning_of(label: object) -> str:
    """Return which of `MEANINGS` a label has, or an empty text."""
    word = str(label).strip().lower() if isinstance(label, str | int) else ""
    return word if word in MEANINGS else WORDS.get(word, "")


@dataclass(frozen=True, slots=True)
class Producer:
    """A company that labels what it makes."""

    name: str
    """Of its service."""
    company: str
    registered: str
    """As the register of companies has it."""


def producer_of(label: Mapping[str, Any]) -> tuple[Producer | None, str]:
    """Return who made the content by a label, where that is known, and the registered code as written."""
    low = {key.lower(): item for key, item in label.items() if isinstance(key, str)}
    code = plain(low.get("contentproducer") or low.get("producer") or "", 100)
    matched = CODE.fullmatch(code.upper())
    return (_producers().get(matched[1]) if matched else None), code


@cache
def _producers() -> dict[str, Producer]:
    table = tomllib.loads(files("pyrite.evidence").joinpath("producers.toml").read_text("utf-8"))
    return {
        entry["code"]: Producer(entry["name"], entry["company"], entry["registered"]) for entry in table["producer"]
    }


def all_producers() -> dict[str, Producer]:
    """Return every company that is known, by its identifier, for the documentation."""
    return dict(_producers())
