"""What is read back from the report that a bundle carries."""

import msgspec

from pyrite.bundle import Bundle
from pyrite.errors import BundleError
from pyrite.evaluation.metrics import Metric

FILE = "report.json"


class StoredVerdicts(msgspec.Struct, frozen=True):
    """How many images of one class got each verdict."""

    ai: int
    real: int
    uncertain: int

    @property
    def images(self) -> int:
        """How many images there were."""
        return self.ai + self.real + self.uncertain


class StoredHeadline(msgspec.Struct, frozen=True):
    """The figures that a reader looks for first; `None` where there is none."""

    accuracy: Metric | None = None
    auroc: Metric | None = None


class StoredSlice(msgspec.Struct, frozen=True):
    """One value of a slice column."""

    value: str
    verdicts: tuple[StoredVerdicts, StoredVerdicts] | None = None
    """On real and on AI images; `None` in a report of before they were counted."""


class StoredSlices(msgspec.Struct, frozen=True):
    """A column of the data, and what became of each of its values."""

    column: str
    rows: tuple[StoredSlice, ...]


class StoredFigures(msgspec.Struct, frozen=True):
    """The verdicts on real and on AI images, and what else others ask for."""

    verdicts: tuple[StoredVerdicts, StoredVerdicts]
    headline: StoredHeadline = StoredHeadline()
    slices: tuple[StoredSlices, ...] = ()


class StoredProvenance(msgspec.Struct, frozen=True):
    """What was measured on."""

    data: str


class StoredReport(msgspec.Struct, frozen=True):
    """The part of a report that others build on."""

    max_fpr: float
    as_is: StoredFigures
    deduplicated: StoredFigures | None = None
    provenance: StoredProvenance | None = None
    history: list[dict[str, int | float | None]] | None = None
    """Of the training, a mapping for each epoch."""


def read_report(bundle: Bundle) -> StoredReport | None:
    """Return the report of a bundle's own test split; `None` where it carries none.

    Raises:
        BundleError: Its report.json is not understood.
    """
    if FILE not in bundle.files:
        return None
    try:
        return msgspec.json.decode(bundle.files[FILE], type=StoredReport)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{FILE} of the bundle {bundle.info.name} is not a report: {error}.") from error
