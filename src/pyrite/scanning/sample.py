"""A page of samples: of each verdict, the images that the model was the most and the least certain of.

Images without a probability come after those, since nothing tells how certain the model was of them.
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pyrite.detector.confined import ConfinedReader
from pyrite.detector.reader import Reader
from pyrite.image import Limits, Source
from pyrite.rendering.text import budget_line
from pyrite.results import Failure, Verdict
from pyrite.scanning.columns import Columns
from pyrite.scanning.listing import ListingReader
from pyrite.scanning.reading import Shard, read_item
from pyrite.scanning.remote import join
from pyrite.scanning.table import read_table
from pyrite.scanning.worker import LISTING
from pyrite.templates import page_environment

_EACH = 12
_COLUMNS = (
    "shard", "position", "partition", "path", "verdict", "probability", "explanation", "error_code", "error_message",
    "action", "action_reason",
)  # fmt: skip
# The verdict, its name, and the samples of those that have a probability: whether the most certain come first, and how
# they are called.
_VERDICTS = (
    (Verdict.AI, "AI", ((True, "the most certain"), (False, "the least certain"))),
    (Verdict.UNCERTAIN, "Uncertain", ((True, "the nearest to a verdict"), (False, "the farthest from one"))),
    (Verdict.REAL, "Real", ((False, "the least certain"), (True, "the most certain"))),
)


@dataclass(frozen=True, slots=True)
class _Group:
    outcome: str
    heading: str
    samples: list[dict[str, Any]]
    left: str = ""
    """After their number: how many there are, where these are not all."""


def make_sheet(
    out: str, shards: int, limits: Limits, columns: Columns = Columns(), *, title: str, seconds: float = 60.0
) -> str:
    """Return the page, with small pictures read from the source once more; it makes no request.

    The pictures are drawn in a process of a sandbox, since an image that misleads the model is sure to be among them.

    Args:
        out: Of a finished scan.
        shards: How many it has.
        limits: What opening an image may cost.
        columns: Which of a table's hold the images.
        title: What was scanned.
        seconds: What drawing one image may take.
    """
    listing = ListingReader(join(out, LISTING))
    groups = []
    with ConfinedReader(seconds=seconds) as confined:
        draw = partial(confined.draw, Reader((), limits=limits))
        for group in _choose(out, shards):
            for sample in group.samples:
                sample["line"] = budget_line(sample["verdict"], sample["probability"])
                sample["thumbnail"] = (
                    None if sample["error_code"] else _thumbnail(listing, sample, limits, columns, draw)
                )
            groups.append(group)
    pages = page_environment("pyrite.scanning", "pyrite.rendering")
    return pages.get_template("sample.html.j2").render(title=title, groups=groups)


def _choose(out: str, shards: int) -> Iterator[_Group]:
    """Yield the samples of each group in one pass over the table, some at a time; the first of equals stands."""
    import pyarrow.compute as pc

    best: dict[tuple[Verdict, bool], list[dict[str, Any]]] = {
        (verdict, most): [] for verdict in Verdict for most in (True, False)
    }
    without = {verdict: _Firsts() for verdict in Verdict}
    errors = _Firsts()
    for table in read_table(out, range(shards), _COLUMNS):
        unread = pc.is_valid(table["error_code"])
        errors.add(table.filter(unread))
        table = table.filter(pc.invert(unread))
        for verdict in Verdict:
            rows = table.filter(pc.equal(table["verdict"], verdict))
            without[verdict].add(rows.filter(pc.is_null(rows["probability"])))
            rows = rows.filter(pc.is_valid(rows["probability"]))
            certainty = _certainty(rows["probability"], verdict)
            for most in (True, False):
                ranked = rows.append_column("rank", certainty if most else pc.negate(certainty))
                # A place is unique, so there are no equals to choose from.
                chosen = pc.select_k_unstable(ranked, _EACH, [("rank", "descending"), ("position", "ascending")])
                found = [*best[verdict, most], *ranked.take(chosen).to_pylist()]
                best[verdict, most] = heapq.nlargest(
                    _EACH, found, key=lambda row: (row["rank"], -row["shard"], -row["position"])
                )
    for verdict, name, kinds in _VERDICTS:
        for most, which in kinds:
            yield _Group(verdict, f"{name}: {which}", best[verdict, most])
        yield without[verdict].group(verdict, f"{name}, without a probability")
    yield errors.group("error", "Not read")


def _certainty(probability: Any, verdict: Verdict) -> Any:
    """Return how certain each verdict is, or how near to one: at a large budget, `ai` begins below one half."""
    import pyarrow.compute as pc

    match verdict:
        case Verdict.AI:
            return probability
        case Verdict.REAL:
            return pc.negate(probability)
    return pc.abs(pc.subtract(probability, 0.5))


class _Firsts:
    """The first rows of a kind, and how many there are."""

    def __init__(self) -> None:
        self._count, self._rows = 0, list[dict[str, Any]]()

    def add(self, rows: Any) -> None:
        """Take more of them."""
        self._count += len(rows)
        self._rows += rows.slice(0, _EACH - len(self._rows)).to_pylist()

    def group(self, outcome: str, heading: str) -> _Group:
        """Return them, with the heading to say how many are left out."""
        left = "" if self._count == len(self._rows) else f" of {self._count:,}"
        return _Group(outcome, f"{heading}: the first", self._rows, left)


def _thumbnail(
    listing: ListingReader,
    sample: dict[str, Any],
    limits: Limits,
    columns: Columns,
    draw: Callable[[Source], str | None],
) -> str | None:
    """Return a small picture as a data URL; `None` where the image is gone."""
    item = read_item(Shard(listing.read(sample["shard"]), limits, replace(columns, keep=())), sample["position"])
    return None if item is None or isinstance(item.source, Failure) else draw(item.source)
