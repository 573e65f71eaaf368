"""EXIF and XMP that cannot be read in full: what is left of them is read, and this is said."""

from collections.abc import Iterable

from pyrite.evidence.metadata import Metadata
from pyrite.results import Evidence, Strength


def read_damage(metadata: Metadata) -> list[Evidence]:
    """Report EXIF and XMP that the file has and that cannot be read, or only in part."""
    return [
        Evidence(
            "reader", Strength.ASSERTED, None, f"The file's {name} was not read in full: {reason}.", {"unread": name}
        )
        for name, reason in _first(metadata.damage).items()
    ]


def _first(damage: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return one reason for each name, the first."""
    found: dict[str, str] = {}
    for name, reason in damage:
        found.setdefault(name, reason)
    return found
