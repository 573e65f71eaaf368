"""What the page on detections says of evidence."""

import re
from collections.abc import Iterator
from pathlib import Path

from pyrite.results import Evidence

PAGE = Path(__file__).parents[2] / "docs" / "detection.md"


def read_documented() -> dict[str, set[str]]:
    """Return the keys of `data` by kind, as the table on the page has them."""
    rows = PAGE.read_text("utf-8").partition("\n| kind | `data` |\n")[2].partition("\n\n")[0].splitlines()[1:]
    cells = [row.strip("| ").split(" | ") for row in rows]
    return {kind: set(re.findall(r"`(\w+)`", keys)) for kinds, keys in cells for kind in re.findall(r"`(\w+)`", kinds)}


def check_documented(found: Evidence) -> None:
    """Fail where the page does not name a key of a finding's `data`."""
    assert set(keys_of(found.data)) <= read_documented()[found.kind]


def keys_of(data: object) -> Iterator[str]:
    """Yield the keys of nested dictionaries, but of a label, which is somebody else's, none."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield key
            yield from keys_of(value) if key != "label" else ()
    elif isinstance(data, list):
        for value in data:
            yield from keys_of(value)
