"""What was guessed of a dataset and what was left out of it, with counts, so that nothing goes missing unseen."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

_SHOWN = 8


@dataclass(frozen=True)
class Tally:
    """Counts of images, or of files and rows that are none of the dataset's."""

    taken: Counter[tuple[int, str]] = field(default_factory=Counter)
    """Of each class and each name that was taken for it without being a usual word for one."""
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Of each reason, and what it was: a folder, a label, the end of files' names."""
    notes: Counter[str] = field(default_factory=Counter)
    """Sentences; the number of times that each was said does not matter."""

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.taken + other.taken, self.left_out + other.left_out, self.notes + other.notes)

    def taken_lines(self) -> Iterator[str]:
        """Yield what was taken for each class, and what else was found out."""
        for label, kind in enumerate(("real", "AI")):
            if counts := Counter({name: count for (of, name), count in self.taken.items() if of == label}):
                yield f"Taken for {kind}: {listed(counts)}."
        yield from self.notes

    def left_out_lines(self) -> Iterator[str]:
        """Yield what was left out, a line for each reason."""
        for reason in dict.fromkeys(reason for reason, _ in self.left_out):
            counts = Counter({name: count for (why, name), count in self.left_out.items() if why == reason})
            yield f"Left out, {reason}: {counts.total():,} ({listed(counts)})."


def listed(counts: Counter[str]) -> str:
    """Return the most frequent names with their counts, and how many more there are."""
    shown = ", ".join(f"{name or '(empty)'} {count:,}" for name, count in counts.most_common(_SHOWN))
    rest = len(counts) - _SHOWN
    return f"{shown} and {rest:,} more" if rest > 0 else shown
