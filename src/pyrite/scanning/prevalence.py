"""The share of AI images in a corpus, corrected for what the verdicts get wrong."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from pyrite.bundle import Bundle
from pyrite.errors import BundleError
from pyrite.evaluation.stored import StoredVerdicts, read_report

_Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True)
class Rates:
    """How a bundle's pixel verdicts did on the images of its test split, without copies."""

    real: int
    real_called_ai: int
    ai: int
    ai_called_ai: int
    slice: str | None = None
    """Of which slice of the test images, as `column: value`; `None` for all of them."""

    @property
    def fpr(self) -> float:
        """The share of real images that got the verdict `ai`."""
        return self.real_called_ai / self.real

    @property
    def tpr(self) -> float:
        """The share of AI images that got the verdict `ai`."""
        return self.ai_called_ai / self.ai

    @property
    def smoothed(self) -> tuple[float, float]:
        """FPR and TPR with one image more of either verdict, as the interval of `estimate_share` takes them."""
        return (self.real_called_ai + 1) / (self.real + 2), (self.ai_called_ai + 1) / (self.ai + 2)

    @property
    def tell(self) -> bool:
        """Whether they tell a share: more of the AI images get `ai`, and enough images were tested to be sure of it."""
        return bool(self.real and self.ai) and self.fpr < self.tpr and self.smoothed[0] < self.smoothed[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """An estimated share of AI images, 0 to 1, with its 95% interval."""

    value: float
    low: float
    high: float
    flagged: int
    """Images that the pixels say are AI."""
    images: int
    """Images that count: read, and in the bundle's scope."""
    rates: Rates
    """What it is corrected for."""


def read_rates(bundles: Sequence[Bundle], max_fpr: float) -> Rates | str:
    """Return a bundle's error rates from its report, or a sentence why there are none at this error budget."""
    if len(bundles) > 1:
        return "The error rates of several bundles together are not known."
    try:
        report = read_report(bundles[0])
    except BundleError as error:
        return str(error)
    if report is None:
        return "The bundle has no report.json, so the rates of its errors are not known."
    if abs(report.max_fpr - max_fpr) > 1e-9:
        return f"The bundle's errors were measured at --max-fpr {report.max_fpr:g}, and this scan is at {max_fpr:g}."
    rates = _rates((report.deduplicated or report.as_is).verdicts)
    if not rates.real or not rates.ai:
        return "The bundle was tested with images of one class only."
    if rates.tpr <= rates.fpr:
        return (
            "The bundle calls no more of the AI images ai than of the real ones, so its verdicts do not show the share."
        )
    if not rates.tell:
        return f"The bundle was tested with too few images to show the share: {rates.real:,} real and {rates.ai:,} AI."
    return rates


def read_slice_rates(bundle: Bundle) -> dict[str, Rates]:
    """Return the error rates of each slice of the test images that tells a share, by the value of its column.

    Values that several columns have are left out, since nothing says which is meant.

    Raises:
        BundleError: Its report.json is not understood.
    """
    report = read_report(bundle)
    tables = (report.deduplicated or report.as_is).slices if report else ()
    rows = [(table.column, row) for table in tables for row in table.rows if row.value]
    columns = Counter(row.value for _, row in rows)
    found = {
        row.value: _rates(row.verdicts, f"{column}: {row.value}")
        for column, row in rows
        if row.verdicts and columns[row.value] == 1
    }
    return {value: rates for value, rates in found.items() if rates.tell}


def _rates(verdicts: tuple[StoredVerdicts, StoredVerdicts], of_slice: str | None = None) -> Rates:
    real, ai = verdicts
    return Rates(real.images, real.ai, ai.images, ai.ai, of_slice)


def estimate_share(flagged: int, images: int, rates: Rates) -> Share | None:
    """Return the share of AI images among those judged; `None` of none.

    The share called `ai`, q, is TPR · p + FPR · (1 − p) where p is the share that is AI, so
    p = (q − FPR) / (TPR − FPR), put within 0 and 1 (Rogan and Gladen, *Estimating prevalence from the results of a
    screening test*, Am. J. Epidemiol. 107, 1978). The interval takes in that q, TPR and FPR are estimates themselves
    (Lang and Reiczigel, *Confidence limits for prevalence of disease adjusted for estimated sensitivity and
    specificity*, Prev. Vet. Med. 113, 2014, equations 4, 7, 16 and 17).

    Both rates must hold for the corpus: its AI images are told apart as well as those that the bundle was tested with.

    Args:
        flagged: Images that got the verdict `ai` from their pixels.
        images: Images judged.
        rates: Of the verdict, which tell a share.
    """
    if not images:
        return None
    n, q = images + _Z**2, (flagged + _Z**2 / 2) / (images + _Z**2)
    fpr, tpr = rates.smoothed
    n_real, n_ai, gap = rates.real + 2, rates.ai + 2, tpr - fpr
    p = (q - fpr) / gap
    of_ai, of_real = tpr * (1 - tpr) / n_ai, fpr * (1 - fpr) / n_real
    centre = p + 2 * _Z**2 * (p * of_ai - (1 - p) * of_real)
    half = _Z * (q * (1 - q) / n + p**2 * of_ai + (1 - p) ** 2 * of_real) ** 0.5 / gap
    value = _clip((flagged / images - rates.fpr) / (rates.tpr - rates.fpr))
    low, high = _clip(centre - half), _clip(centre + half)
    return Share(value=value, low=min(low, value), high=max(high, value), flagged=flagged, images=images, rates=rates)


def _clip(value: float) -> float:
    return min(1.0, max(0.0, value))
