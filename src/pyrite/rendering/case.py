"""One image's detection as a report to print: everything that a reader needs to check it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pyrite.bundle import Bundle
from pyrite.errors import PyriteError
from pyrite.evidence import NO_PROVENANCE, Trust, missing_readers
from pyrite.image import Limits
from pyrite.rendering.html import Draw, details, picture, shown
from pyrite.rendering.powers import powers
from pyrite.rendering.text import budget_line, outcome
from pyrite.rendering.unjudged import next_steps
from pyrite.results import Detection, Evidence, Extent, Strength
from pyrite.templates import page_environment
from pyrite.writing import whole_file

SIDE = 1200
"""Pixels of the picture, a side at most."""
_PACKAGES = ("pyrite", "c2pa-python", "onnxruntime", "pillow")
_EXTENTS = {
    Extent.WHOLE: "Made with AI",
    Extent.PART: "Changed with AI",
    Extent.UNKNOWN: "AI was used; to what extent is not said",
}
_DATE = re.compile(r"(\d{4})[:-](\d\d)[:-](\d\d)(?:[ T](\d\d:\d\d))?")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a file gives a time of."""

    when: str
    """`2026-08-05 14:03`, in whatever zone the file has it, or `2026-08-05`."""
    what: str
    strength: Strength


def timeline(evidence: Sequence[Evidence]) -> list[Event]:
    """Return what the evidence gives a time of, the earliest first."""
    return sorted(_events(evidence), key=lambda event: event.when)


def _events(evidence: Sequence[Evidence]) -> Iterator[Event]:
    for item in evidence:
        data = item.data
        told: list[tuple[object, str]] = []
        if item.kind == "camera":
            told = [(data.get("taken"), "Taken, as the camera's note says")]
        elif item.kind == "history":
            told = [(step.get("when"), _tell(step)) for step in data.get("steps", [])]
        elif item.kind == "credentials" and "signer" in data:
            signer = data["signer"].get("issuer") or data["signer"].get("common_name") or "an unnamed signer"
            told = [(data["signer"].get("time"), f"Content credentials signed in the name of {signer}")]
        for when, what in told:
            if isinstance(when, str) and (found := _DATE.match(when)):
                year, month, day, clock = found.groups()
                yield Event(f"{year}-{month}-{day}" + (f" {clock}" if clock else ""), what, item.strength)


def _tell(step: Mapping[str, str]) -> str:
    told = " with ".join(filter(None, (step.get("action") or "changed", step.get("softwareAgent"))))
    return told[0].upper() + told[1:]


def _extent(item: Evidence) -> str | None:
    return _EXTENTS.get(item.data["extent"]) if "extent" in item.data else None


def write_case(
    path: Path,
    found: Detection,
    bundles: Sequence[Bundle],
    trust: Trust,
    *,
    limits: Limits = Limits(),
    evidence: bool = True,
    draw: Draw | None = None,
) -> None:
    """Write the report of one image; it holds its picture and makes no request.

    Args:
        path: Of the report; one that is there is replaced.
        found: What is reported.
        bundles: What judged it.
        trust: Whose signatures counted as verified.
        limits: What opening the image for its picture may cost.
        evidence: Whether what the file says of itself was read.
        draw: As in `html_page`.

    Raises:
        PyriteError: The report cannot be written.
    """
    source = Path(found.path) if found.path else None
    page = page_environment("pyrite.rendering").get_template("case.html.j2")
    provenance = [item for item in found.evidence if item.kind not in ("pixels", "frames")]
    text = page.render(
        found=found,
        name=source.name if source else "Pixels without a file",
        bytes=_count_bytes(source),
        outcome=outcome(found),
        line=budget_line(found.verdict, found.probability),
        picture=picture(found, SIDE, limits, draw),
        timeline=timeline(found.evidence),
        items=[(item, _extent(item), powers(item), details(item.data)) for item in shown(found)],
        nothing=_nothing(evidence) if not provenance and not found.error else "",
        steps=next_steps(found),
        bundles=bundles,
        lists=trust.lists if evidence else (),
        unread=missing_readers() if evidence else [],
        packages=dict(_versions()),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    try:
        with whole_file(path) as draft:
            draft.write_text(text, "utf-8", errors="backslashreplace")
    except OSError as error:
        raise PyriteError(f"The report {path} cannot be written: {error.strerror or error}.") from error


def _count_bytes(source: Path | None) -> int | None:
    try:
        return source.stat().st_size if source else None
    except (OSError, ValueError):
        return None


def _nothing(evidence: bool) -> str:
    return NO_PROVENANCE if evidence else "What the file says of itself was not read: evidence is switched off."


def _versions() -> Iterator[tuple[str, str]]:
    for package in _PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            continue
