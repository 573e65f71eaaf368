"""A comparison: plain values, and how they become files."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from markupsafe import Markup

from pyrite.errors import require
from pyrite.evaluation import plots
from pyrite.evaluation.choose import Part
from pyrite.evaluation.curves import Curve
from pyrite.evaluation.judge import UnreadableFile
from pyrite.evaluation.metrics import GeneratorRow, Headline, Metric, VerdictRow
from pyrite.evaluation.paired import DeLong, Differences, McNemar
from pyrite.evaluation.report import HEADLINE, LISTED, environment, write_files
from pyrite.writing import indented_json


@dataclass(frozen=True, kw_only=True)
class Competitor:
    """One detector, and its figures by itself."""

    name: str
    """Its name and version, with a number where another is called the same."""
    sha256: str
    """Of the bundle, or of all of a panel."""
    from_scores: bool
    """Whether a `scores.parquet` stood for it."""
    headline: Headline
    verdicts: tuple[VerdictRow, VerdictRow]
    """On real and on AI images."""
    generators: tuple[GeneratorRow, ...]
    """Empty without a column `generator`."""
    roc: Curve | None
    no_probability: str | None
    """Why what needs a probability is left out, and what images are ranked by; `None` where there is one."""
    caution: str | None
    """What speaks against taking its figures at face value; for what trained bundles, see the comparison's `part`."""
    images_per_second: float | None
    """To read and judge them, in this run; `None` where nothing was judged."""
    bytes: int | None
    """Of all files; `None` where only scores are there."""


@dataclass(frozen=True, slots=True)
class Found:
    """An AI image that one detector calls AI and the other does not."""

    path: str
    first: str
    """The verdict of the first."""
    second: str
    width: int
    height: int
    png: bytes
    """The image, at most 128 pixels a side."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two detectors on the same images."""

    first: str
    second: str
    differences: Differences
    delong: DeLong | None
    """Of the AUROCs; `None` without two images of each class."""
    mcnemar_verdict: McNemar
    """Of whether the verdict is the image's class; `uncertain` never is."""
    mcnemar_accuracy: McNemar | None
    """At probability 0.5; `None` where one has no probability."""
    agreement: tuple[dict[str, VerdictRow], dict[str, VerdictRow]]
    """On real and on AI images: for each verdict of the first, those of the second."""
    kappa: float | None
    """Cohen's, of the verdicts; `None` where there is one verdict only."""
    only_first: tuple[Found, ...]
    """What the first alone calls AI, where their rankings are furthest apart."""
    only_second: tuple[Found, ...]

    @property
    def counts(self) -> tuple[int, int]:
        """How many AI images the first alone calls AI, and how many the second alone."""
        rows = self.agreement[1]
        return rows["ai"].real + rows["ai"].uncertain, rows["real"].ai + rows["uncertain"].ai


@dataclass(frozen=True, slots=True)
class SliceFigures:
    """One detector on the images of one slice."""

    auroc: Metric | None
    """`None` without images of both classes."""
    accuracy: Metric | None
    """`None` without a probability."""
    verdicts: tuple[VerdictRow, VerdictRow]
    """On real and on AI images."""


@dataclass(frozen=True, slots=True)
class SliceRow:
    """One value of a column of the data."""

    value: str
    real: int
    ai: int
    competitors: tuple[SliceFigures, ...]
    """In the order of `Comparison.competitors`."""


@dataclass(frozen=True, slots=True)
class SliceColumn:
    """A column of the data, value by value."""

    column: str
    rows: tuple[SliceRow, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Everything that one comparison found; its fields are the JSON's."""

    format: Literal[1] = 1
    data: str
    data_sha256: str
    """Of the content and labels of the whole data set."""
    part: Part
    """Which images were judged."""
    images: int
    """That all competitors could judge; all figures are of them."""
    real: int
    ai: int
    note: str | None
    """What cannot be measured on these images."""
    max_fpr: float
    """The error budget of the verdicts."""
    competitors: tuple[Competitor, ...]
    pairs: tuple[Pair, ...]
    """Each with each, the first of all before the others."""
    slices: tuple[SliceColumn, ...]
    """Columns of 2 to 50 values."""
    unreadable: tuple[UnreadableFile, ...]
    """Files that some competitor could not judge; they count in no figure."""
    seed: int
    command: str
    commit: str | None
    packages: dict[str, str]

    def to_json(self) -> bytes:
        """Return the comparison as indented JSON."""
        return indented_json(self, indent=1)

    def write(self, folder: str | Path) -> None:
        """Write `compare.json`, `roc.png` and the self-contained `compare.html`.

        Those of an earlier comparison are replaced together, so that where the page is, all files are of one.

        Raises:
            EvaluationError: A file cannot be written.
            MissingExtraError: Matplotlib is not installed.
        """
        require("train", "matplotlib")
        curves = {one.name: one.roc for one in self.competitors if one.roc}
        roc = plots.rocs(curves, self.real) if curves else None
        shown: dict[str, object] = {field.name: getattr(self, field.name) for field in fields(self)}
        page = environment().get_template("compare.html.j2")
        rows = [row for row in HEADLINE if any(getattr(one.headline, row[0]) for one in self.competitors)]
        html = page.render(shown, roc=Markup(roc.svg) if roc else None, rows=rows, listed=LISTED)
        files = {"roc.png": roc.png if roc else None, "compare.json": self.to_json()}
        write_files(Path(folder), {**files, "compare.html": html.encode("utf-8", "replace")})
