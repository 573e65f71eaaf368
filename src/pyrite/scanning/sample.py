"""A page of samples: of each verdict, the images that the model was the most and the least certain of."""

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pyrite.image import Limits
from pyrite.image.thumbnail import thumbnail_url
from pyrite.results import Failure
from pyrite.scanning.listing import ListingReader
from pyrite.scanning.reading import read_item
from pyrite.scanning.remote import join
from pyrite.scanning.table import read_table
from pyrite.scanning.worker import LISTING
from pyrite.templates import page_environment

_EACH = 12
_COLUMNS = (
    "shard", "position", "partition", "path", "verdict", "probability", "explanation", "error_code", "error_message",
    "action", "action_reason",
)  # fmt: skip
_GROUPS = (
    ("ai", "AI", True, "the most certain"),
    ("ai", "AI", False, "the least certain"),
    ("uncertain", "Uncertain", True, "the nearest to a verdict"),
    ("uncertain", "Uncertain", False, "the farthest from one"),
    ("real", "Real", False, "the least certain"),
    ("real", "Real", True, "the most certain"),
)


@dataclass(frozen=True, slots=True)
class _Group:
    outcome: str
    heading: str
    samples: list[dict[str, Any]]


def make_sheet(out: str, shards: int, limits: Limits, *, title: str) -> str:
    """Return the page, with small pictures read from the source once more; it makes no request.

    Args:
        out: Of a finished scan.
        shards: How many it has.
        limits: What opening an image may cost.
        title: What was scanned.
    """
    listing = ListingReader(join(out, LISTING))
    groups = []
    for group in _choose(out, shards):
        for sample in group.samples:
            sample["thumbnail"] = None if sample["error_code"] else _thumbnail(listing, sample, limits)
        groups.append(group)
    pages = page_environment("pyrite.scanning", "pyrite.rendering")
    return pages.get_template("sample.html.j2").render(title=title, groups=groups)


def _choose(out: str, shards: int) -> Iterator[_Group]:
    """Yield the samples of each group in one pass over the table, some at a time; the first of equals stands."""
    import pyarrow.compute as pc

    best: list[list[tuple[float, int, int, dict[str, Any]]]] = [[] for _ in _GROUPS]
    errors: list[dict[str, Any]] = []
    for table in read_table(out, range(shards), _COLUMNS):
        unread = table.filter(pc.is_valid(table["error_code"]))
        errors += unread.slice(0, _EACH - len(errors)).to_pylist()
        for kept, (verdict, _, most, _) in zip(best, _GROUPS, strict=True):
            rows = table.filter(pc.and_(pc.equal(table["verdict"], verdict), pc.is_null(table["error_code"])))
            certainty = pc.abs(pc.subtract(rows["probability"], 0.5))
            certainty = pc.fill_null(certainty if most else pc.negate(certainty), -math.inf)
            rows = rows.append_column("certainty", certainty)
            # A place is unique, so there are no equals to choose from.
            chosen = pc.select_k_unstable(rows, _EACH, [("certainty", "descending"), ("position", "ascending")])
            found = ((row["certainty"], -row["shard"], -row["position"], row) for row in rows.take(chosen).to_pylist())
            kept[:] = heapq.nlargest(_EACH, [*kept, *found], key=lambda item: item[:3])
    for kept, (verdict, name, _, which) in zip(best, _GROUPS, strict=True):
        yield _Group(verdict, f"{name}: {which}", [item[3] for item in kept])
    yield _Group("error", "Not read: the first", errors)


def _thumbnail(listing: ListingReader, sample: dict[str, Any], limits: Limits) -> str | None:
    """Return a small picture as a data URL; `None` where the image is gone."""
    item = read_item(listing.read(sample["shard"]), limits, sample["position"])
    return None if item is None or isinstance(item.source, Failure) else thumbnail_url(item.source, limits)
