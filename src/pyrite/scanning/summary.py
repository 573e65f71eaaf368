"""What a finished scan found, read from its table."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from pyrite.bundle import Bundle
from pyrite.scanning.near_duplicates import NearDuplicates
from pyrite.scanning.prevalence import Rates, Share, estimate_share, read_rates, read_slice_rates
from pyrite.scanning.table import read_set_aside, read_table
from pyrite.writing import indented_json

_COLUMNS = ("partition", "verdict", "pixels_say", "in_scope", "error_code", "action")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Counts of some images; those that could not be read have the verdict `uncertain` nowhere but in `errors`."""

    images: int
    ai: int
    real: int
    uncertain: int
    errors: dict[str, int]
    """By their code."""
    actions: dict[str, int]
    """By what becomes of the images; empty without a policy."""
    share: Share | None
    """The estimated share of AI images; `None` where it cannot be told."""
    no_share: str | None = None
    """Why it cannot be told; `None` where it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a scan found; its fields are the JSON's."""

    shards: int
    total: Counts
    partitions: dict[str, Counts]
    rates: Rates | None
    """What the shares are corrected for."""
    no_share: str | None
    """Why no share of this corpus can be told; `None` where it can."""
    copies: NearDuplicates | None
    """`None` where they were not looked for."""
    set_aside: dict[str, int] = field(default_factory=dict)
    """How much of what the source holds is no image and was not judged, by what it is."""
    without: dict[str, int] = field(default_factory=dict)
    """Of each column that is passed through, the rows that have no value."""

    def to_json(self) -> bytes:
        """Return it as indented JSON."""
        return indented_json(self, indent=1)


def summarize(
    out: str,
    shards: int,
    bundles: Sequence[Bundle],
    max_fpr: float,
    copies: NearDuplicates | None,
    set_aside: Mapping[str, int] = MappingProxyType({}),
    keep: Sequence[str] = (),
) -> Summary:
    """Count what the table of a finished scan says, and estimate the shares of AI images.

    Args:
        out: Of the scan.
        shards: How many it has.
        bundles: What judged.
        max_fpr: The error budget.
        copies: What was found of them.
        set_aside: What the listing left out, by what it is.
        keep: The columns that were passed through.
    """
    counts: Counter[tuple[Any, ...]] = Counter()
    without = dict.fromkeys(keep, 0)
    for table in read_table(out, range(shards), (*_COLUMNS, *keep)):
        for name in keep:
            without[name] += table[name].null_count
        groups = table.group_by(list(_COLUMNS)).aggregate([([], "count_all")])
        for row in groups.to_pylist():
            counts[tuple(row[name] for name in _COLUMNS)] += row["count_all"]
    rates = read_rates(bundles, max_fpr)
    known = rates if isinstance(rates, Rates) else None
    slices = read_slice_rates(bundles[0]) if known else {}
    by_partition: dict[str, Counter[tuple[Any, ...]]] = {}
    for key, count in counts.items():
        by_partition.setdefault(key[0], Counter())[key] += count
    return Summary(
        shards=shards,
        total=_counts_of(counts, rates),
        partitions={name: _counts_of(by_partition[name], slices.get(name, rates)) for name in sorted(by_partition)},
        rates=known,
        no_share=rates if isinstance(rates, str) else None,
        copies=copies,
        set_aside=dict(sorted((read_set_aside(out, range(shards)) + Counter(set_aside)).items())),
        without=without,
    )


def _counts_of(counts: Counter[tuple[Any, ...]], rates: Rates | str) -> Counts:
    verdicts: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    actions: Counter[str] = Counter()
    judged = flagged = 0
    for (_, verdict, pixels, in_scope, error, action), count in counts.items():
        if error is None:
            verdicts[verdict] += count
        else:
            errors[error] += count
        if action is not None:
            actions[action] += count
        if in_scope:
            judged += count
            flagged += count if pixels == "ai" else 0
    images = sum(counts.values())
    share = estimate_share(flagged, judged, rates) if isinstance(rates, Rates) else None
    if isinstance(rates, str):
        no_share: str | None = rates
    elif share is None:
        left = images - sum(errors.values())
        no_share = "No image was in the bundle's scope." if left else "No image could be read."
    else:
        no_share = None
    return Counts(
        images=images,
        ai=verdicts["ai"],
        real=verdicts["real"],
        uncertain=verdicts["uncertain"],
        errors=dict(sorted(errors.items())),
        actions=dict(sorted(actions.items())),
        share=share,
        no_share=no_share,
    )
