"""Published detectors and how to import them: one TOML file each in `pyrite/catalogue`."""

import difflib
import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from pyrite.errors import ExportError
from pyrite.publishing.declared import Declared

_FOLDER = Path(__file__).parents[1] / "catalogue"

Text = Annotated[str, msgspec.Meta(min_length=1)]


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is known about a published detector."""

    title: Text
    source: Text | None = None
    """Where it can be fetched from, as `obtain` takes it; `None` where it cannot, for the reason in `obstacle`."""
    revision: str | None = None
    sha256: str | None = None
    """Of the file or wheel, in hexadecimal."""
    home: str | None = None
    """A page about it."""
    licence: Text
    allows: Literal["free", "non-commercial", "unclear"]
    authors: Text
    paper: str | None = None
    published: Text
    """Figures that others published, and who."""
    run_here: Text
    """Whether it was imported and measured for this version of Pyrite, and why not."""
    obstacle: str | None = None
    """Why it cannot be fetched, and what one can do."""
    bundle: str | None = None
    """Our own: the folder in `pyrite/bundles` that has all but the encoder, which is fetched from `source`."""
    head: str | None = None
    """A JSON file beside the model with `weights` and `bias` of a linear layer on its output."""
    knows: tuple[Text, ...] = ()
    inputs: Declared = Declared()

    def __post_init__(self) -> None:
        if (self.source is None) == (self.obstacle is None):
            raise ValueError("an entry has a source or an obstacle")


@cache
def read_catalogue() -> dict[str, Entry]:
    """Return all entries by name, in alphabetical order."""
    return {
        path.stem: msgspec.convert(tomllib.loads(path.read_text("utf-8")), Entry)
        for path in sorted(_FOLDER.glob("*.toml"))
    }


def find_entry(name: str) -> Entry:
    """Return an entry that can be fetched.

    Raises:
        ExportError: There is none of this name, or it cannot be fetched.
    """
    entries = read_catalogue()
    if name not in entries:
        near = difflib.get_close_matches(name, entries, n=1)
        hint = f"Did you mean {near[0]}?" if near else "`pyrite bundle catalogue` lists them."
        raise ExportError(f"The catalogue has no {name}. {hint}")
    entry = entries[name]
    if entry.obstacle:
        raise ExportError(f"{name} cannot be fetched. {entry.obstacle}")
    return entry
