"""How a dataset says what its images are, where its user has to tell: names of classes, and of columns."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pyrite.datasets.vocabulary import AI, REAL
from pyrite.errors import DatasetError


@dataclass(frozen=True, slots=True)
class Labelling:
    """Names of classes and columns; without any, the usual ones are found."""

    real: tuple[str, ...] = ()
    """What folders or labels of real images are called: names or glob patterns, whose case does not count."""
    ai: tuple[str, ...] = ()
    """The same for AI images."""
    image_column: str | None = None
    """Which column of a table has the image: its path, or its bytes."""
    label_column: str | None = None
    """Empty where folders are to say the class."""
    split_column: str | None = None
    """Empty to do without one."""
    group_column: str | None = None
    """Which column says what belongs together, such as one video's frames: see `Dataset.groups`."""
    group_pattern: str | None = None
    """The same by paths: see `Dataset.grouped_by`."""
    generator_column: str | None = None
    """Which column says what made an AI image, where it is not called `generator`."""
    generator: str | None = None
    """What made the AI images of which nothing else says it: see `Dataset.made_by`."""

    @classmethod
    def of(cls, classes: Mapping[str, int] | None) -> "Labelling":
        """Return the labelling by names of classes: 0 for real, 1 for AI."""
        real, ai = (tuple(name for name, of in (classes or {}).items() if of == label) for label in (REAL, AI))
        return cls(real, ai)

    @property
    def names_classes(self) -> bool:
        """Whether it says what either class is called."""
        return bool(self.real or self.ai)

    @property
    def patterns(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The names of the real and of the AI class."""
        return self.real, self.ai

    def refuse_columns(self, name: str) -> None:
        """Refuse names of columns for a dataset that has none, since its folders say everything.

        Raises:
            DatasetError: a column was named.
        """
        for flag, column in (
            ("--image-column", self.image_column),
            ("--label-column", self.label_column),
            ("--split-column", self.split_column),
        ):
            if column:
                raise DatasetError(f"{name} is read by its folders, and has no column {column!r} for {flag}.")

    def match(self, *texts: str) -> tuple[int, bool] | None:
        """Return the class whose name fits one of some texts, and whether it fits without a wildcard; else `None`.

        A name counts more than a pattern, so that `--real real --ai '*'` means all others.

        Raises:
            DatasetError: names of both classes fit equally well.
        """
        for fits in (_is_name, _is_pattern):
            found = [label for label in (REAL, AI) if any(fits(t, p) for p in self.patterns[label] for t in texts)]
            if len(found) > 1:
                raise DatasetError(f"{texts[0]!r} fits both --real and --ai.")
            if found:
                return found[0], fits is _is_name
        return None

    def check_all_used(self, texts: Iterable[str], what: str) -> None:
        """Refuse a name of a class that fits nothing, for it may be misspelt.

        Raises:
            DatasetError: one does.
        """
        there = sorted(set(texts))
        for flag, patterns in zip(("--real", "--ai"), self.patterns, strict=True):
            for pattern in patterns:
                if not any(_is_name(text, pattern) or _is_pattern(text, pattern) for text in there):
                    shown = ", ".join(there[:20]) + (", …" if len(there) > 20 else "")
                    raise DatasetError(f"{flag} {pattern} matches no {what}. Found: {shown or 'none'}.")


def _is_name(text: str, pattern: str) -> bool:
    return text.casefold() == pattern.casefold()


def _is_pattern(text: str, pattern: str) -> bool:
    return fnmatchcase(text.casefold(), pattern.casefold())
