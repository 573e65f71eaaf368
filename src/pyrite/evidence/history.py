"""What a file tells of its own history: context, never a verdict, since anyone can write it and most of it is lost."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import groupby

from pyrite.evidence.metadata import Metadata
from pyrite.evidence.thumbnail import read_thumbnail
from pyrite.evidence.values import plain, tidy
from pyrite.evidence.xmp import first
from pyrite.image import Image
from pyrite.results import Evidence, Strength

_MM = "http://ns.adobe.com/xap/1.0/mm/ "
_EVENT = "http://ns.adobe.com/xap/1.0/sType/ResourceEvent# "
_REFERENCE = "http://ns.adobe.com/xap/1.0/sType/ResourceRef# "
_XMP = "http://ns.adobe.com/xap/1.0/ "
_MAX_STEPS = 50
_SHOWN_STEPS = 3
_DAY = timedelta(hours=26)
"""Zones of time lie 26 hours apart at most."""


def read_history(image: Image, metadata: Metadata) -> list[Evidence]:
    """Report steps of editing, what it passed through, contradictory times, and a thumbnail of something else."""
    return [
        *_read_steps(metadata),
        *_read_passage(metadata),
        *_read_contradictions(metadata),
        *_compare_thumbnail(image, metadata.thumbnail),
    ]


def _say(detail: str, **details: object) -> Evidence:
    return Evidence("history", Strength.ASSERTED, None, detail, tidy(details))


def _read_steps(metadata: Metadata) -> Iterator[Evidence]:
    """Report the steps that XMP lists, and what the image was derived from (XMP specification, part 2, on xmpMM)."""
    listed = metadata.xmp.get(_MM + "History")
    events = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    steps = [
        {key: plain(first(event.get(_EVENT + key, "")), 200) for key in ("action", "when", "softwareAgent", "changed")}
        for event in events[:_MAX_STEPS]
    ]
    steps = [{key: value for key, value in step.items() if value} for step in steps]
    source = metadata.xmp.get(_MM + "DerivedFrom")
    parent = first(source.get(_REFERENCE + "documentID", "")) if isinstance(source, dict) else first(source or "")
    if not steps and not parent:
        return
    # A program notes a step each time it saves, and those in a row differ in nothing that is told.
    alike = [(told, len([*same])) for told, same in groupby(map(_tell_step, steps))][:_SHOWN_STEPS]
    told = [f"{step} ({count:,} times)" if count > 1 else step for step, count in alike]
    left = len(events) - sum(count for _, count in alike)
    more = f", and {left:,} more" if left else ""
    parts = [f"lists its history: {'; '.join(told)}{more}"] if told else []
    parts += ["says that it was made from another document"] if parent else []
    yield _say(
        f"The file's XMP {', and '.join(parts)}, which anyone could have written.",
        steps=steps,
        derived_from=plain(parent, 200),
        programs=list(dict.fromkeys(step["softwareAgent"] for step in steps if "softwareAgent" in step)),
    )


def _tell_step(step: Mapping[str, str]) -> str:
    by = f" with {step['softwareAgent']}" if "softwareAgent" in step else ""
    when = f" on {step['when'][:10]}" if "when" in step else ""
    return f"{step.get('action', 'an unnamed step')}{by}{when}"


def _read_passage(metadata: Metadata) -> Iterator[Evidence]:
    """Report what services and devices leave in files that pass through them."""
    for item in metadata.fields:
        if item.name == "SpecialInstructions" and item.text.startswith("FBMD"):
            told = "Facebook or Instagram, which leaves such instructions in what it hands out"
        elif item.name == "UserComment" and item.text == "Screenshot":
            told = "a screenshot of an Apple device, which writes that word"
        else:
            continue
        yield _say(f"The file's {item.place} is that of {told}; anyone could have written it.", passed_through=told)


def _read_contradictions(metadata: Metadata) -> Iterator[Evidence]:
    taken = _time(metadata.exif.get("DateTimeOriginal"))
    digitised = _time(metadata.exif.get("DateTimeDigitized"))
    changed = _time(metadata.exif.get("DateTime"))
    located = _gps_time(metadata.gps)
    found = []
    if taken and changed and changed < taken - _DAY:
        found.append(f"it was last changed ({changed:%Y-%m-%d}) before it was taken ({taken:%Y-%m-%d})")
    if taken and digitised and digitised < taken - _DAY:
        found.append(f"it was digitised ({digitised:%Y-%m-%d}) before it was taken ({taken:%Y-%m-%d})")
    if taken and located and abs(located - taken) > _DAY:
        found.append(f"the satellites' time ({located:%Y-%m-%d}) is not the camera's ({taken:%Y-%m-%d})")
    if found:
        yield _say(
            f"Times in the file contradict each other: {'; '.join(found)}. A wrong clock does that as well.",
            contradictions=found,
        )


def _time(value: object) -> datetime | None:
    matched = re.match(r"(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d):(\d\d)", value) if isinstance(value, str) else None
    try:
        return datetime(*(int(part) for part in matched.groups())) if matched else None  # type: ignore[arg-type]
    except ValueError:
        return None


def _gps_time(gps: Mapping[str, object]) -> datetime | None:
    day, clock = gps.get("GPSDateStamp"), gps.get("GPSTimeStamp")
    hours = [0, 0]
    if isinstance(clock, tuple) and len(clock) == 3:
        try:
            hours = [int(float(part)) for part in clock[:2]]
        except (TypeError, ValueError, OverflowError, ZeroDivisionError):
            hours = [0, 0]
    return _time(f"{day} {hours[0]:02}:{hours[1]:02}") if isinstance(day, str) else None


def _compare_thumbnail(image: Image, packed: bytes) -> Iterator[Evidence]:
    thumbnail = read_thumbnail(image, packed)
    match = thumbnail and thumbnail.match
    if match and not match.alike:
        yield _say(
            "The thumbnail in the file's EXIF data shows something other than the image (correlation "
            f"{match.correlation:.2f}): the image was changed by a program that left the thumbnail as it was, or was "
            "given a stranger's.",
            thumbnail_correlation=round(match.correlation, 3),
        )
