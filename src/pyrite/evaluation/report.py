"""The report of one evaluation: plain values, and how they become files."""

import base64
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import jinja2
from markupsafe import Markup

from pyrite.bundle import MANIFEST, TrainingInfo
from pyrite.errors import EvaluationError, require
from pyrite.evaluation import plots
from pyrite.evaluation.choose import Part
from pyrite.evaluation.figures import Figures
from pyrite.evaluation.floor import FAMILIES, Floor
from pyrite.evaluation.judge import UnreadableFile
from pyrite.evaluation.metrics import Metric
from pyrite.evaluation.robustness import Robustness
from pyrite.evaluation.transfer import Transfer
from pyrite.templates import page_environment
from pyrite.writing import indented_json, locked, remove_drafts, write_together

_OF_FIGURES = ("confusion", "reliability", "scores", "roc", "precision-recall")
_PICTURES = (
    *_OF_FIGURES,
    *(f"deduplicated/{name}" for name in _OF_FIGURES),
    "robustness",
    "training-accuracy",
    "training-loss",
)
"""Every picture that a report may have."""
LISTED = 50  # of the unreadable files on the page; report.json has them all


@dataclass(frozen=True, slots=True)
class Mistake:
    """An image that was called what it is not."""

    path: str
    probability: float | None
    """Of AI; `None` where there is none."""
    verdict: str
    width: int
    height: int
    png: bytes
    """The image, at most 128 pixels a side."""


@dataclass(frozen=True, slots=True)
class Published:
    """Figures that others published for CIFAKE, with real as the positive class."""

    accuracy: float = 0.922
    precision: float = 0.949
    recall: float = 0.892


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What was measured, with what. Of several bundles, names, versions and hashes have `+` between them."""

    bundle: str
    version: str
    model_sha256: str
    data: str
    data_sha256: str
    """Of the content and labels of the whole data set, or of the images that were drawn from it, as is what follows."""
    data_fingerprint: str
    data_images: int
    data_unreadable: int
    """Judged files that are no image, and others whose bytes cannot be read."""
    command: str
    commit: str | None
    packages: dict[str, str]
    seed: int
    seconds: float
    """To read and judge all images."""
    training: TrainingInfo | None
    """Of a single bundle that was trained here."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that one evaluation found; its fields are the JSON's."""

    format: Literal[1] = 1
    provenance: Provenance
    part: Part
    no_probability: str | None = None
    """Why figures that need a probability are left out, and what images are ranked by; `None` where there is one."""
    as_is: Figures
    """Of every judged image."""
    deduplicated: Figures | None
    """Without the copies; `None` where nothing is left."""
    robustness: Robustness | None = None
    """Under degradations, of the images without the copies, if any is left; `None` where not asked for."""
    copies: int
    """Judged images whose bytes also stand elsewhere in the data, as far as it was read, or twice among the judged."""
    floor: Floor
    """What shortcuts reach on the judged images."""
    published: Published | None
    max_fpr: float
    """The error budget of the verdicts."""
    reasons: dict[str, int]
    """What decided the verdicts."""
    withheld: tuple[int, int] = (0, 0)
    """Real and AI images that would be called real, if the policy let the pixels alone make an image so."""
    transfer: Transfer | None = None
    """On AI images by generators that the bundle does not know; `None` where not measured."""
    history: tuple[plots.Epoch, ...] | None
    false_positives: tuple[Mistake, ...]
    false_negatives: tuple[Mistake, ...]
    unreadable: tuple[UnreadableFile, ...]

    def to_json(self) -> bytes:
        """Return the report as indented JSON."""
        return indented_json(self, indent=1)

    def write(self, folder: str | Path, more: Mapping[str, bytes] = {}) -> None:
        """Write `report.json`, `figures/*.png` and the self-contained `report.html`.

        Those of an earlier report are replaced together, so that where the page is, all files are of one evaluation.

        Args:
            folder: where to.
            more: further files of the report, by their names.

        Raises:
            EvaluationError: a file cannot be written.
            MissingExtraError: Matplotlib is not installed.
        """
        require("train", "matplotlib")
        pictures = self._draw()
        page = _page(self, {name: Markup(picture.svg) for name, picture in pictures.items()})
        drawn = {f"figures/{name}.png": pictures[name].png if name in pictures else None for name in _PICTURES}
        files = {"report.json": self.to_json(), "report.html": page.encode("utf-8", "replace")}
        write_files(Path(folder), {**drawn, **more, **files})

    def _draw(self) -> dict[str, plots.Picture]:
        pictures = _draw_figures(self.as_is)
        if self.copies and self.deduplicated:
            pictures |= {f"deduplicated/{name}": drawn for name, drawn in _draw_figures(self.deduplicated).items()}
        if self.robustness:
            pictures["robustness"] = plots.robustness(self.robustness)
        if self.history:
            pictures["training-accuracy"] = plots.accuracy_history(self.history)
            pictures["training-loss"] = plots.loss_history(self.history)
        return pictures


def _draw_figures(figures: Figures) -> dict[str, plots.Picture]:
    pictures = {}
    if figures.confusion and figures.histogram:
        pictures["confusion"] = plots.confusion(figures.confusion)
        pictures["reliability"] = plots.reliability(figures.reliability)
        pictures["scores"] = plots.scores(figures.histogram)
    if figures.roc and figures.precision_recall:
        prevalence = figures.headline.ai / figures.headline.images
        pictures["roc"] = plots.roc(figures.roc)
        pictures["precision-recall"] = plots.precision_recall(figures.precision_recall, prevalence)
    return pictures


@contextmanager
def claimed(folder: str | Path | None) -> Iterator[None]:
    """Lock a report's folder during the work, and refuse it first if it cannot hold a report.

    Half-written files of killed processes are removed.

    Args:
        folder: `None` for no report, and nothing to hold.

    Raises:
        EvaluationError: it is a file or a bundle, cannot be written, or another process is at work in it.
    """
    if folder is None:
        yield
        return
    folder = Path(folder)
    if (folder / MANIFEST).exists():
        raise EvaluationError(f"{folder} is a bundle, which a report would damage. Choose another --out.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise EvaluationError(f"{folder} cannot hold a report: {error.strerror or error}. Choose another.") from error
    with locked(folder, EvaluationError(f"Another process is at work in {folder}. Wait for it, or choose another.")):
        remove_drafts(folder)
        yield


HEADLINE = (
    ("accuracy", "Accuracy", "called correctly at probability 0.5"),
    ("auroc", "AUROC", "an AI image outranks a real one"),
    ("average_precision", "Average precision", "area under precision over recall"),
    ("f1", "F1", "of AI, at probability 0.5"),
    ("ece", "ECE", "probability against frequency, 15 bins"),
    ("brier", "Brier score", "mean squared error of the probability"),
    ("tpr_at_fpr_1", "TPR at 1% FPR", "best threshold in hindsight"),
    ("tpr_at_fpr_5", "TPR at 5% FPR", "best threshold in hindsight"),
    ("fpr", "Verdict’s FPR", "real images that got the verdict AI"),
    ("tpr", "Verdict’s TPR", "AI images that got the verdict AI"),
    ("fnr", "Verdict’s FNR", "AI images that got the verdict real"),
    ("uncertain", "Uncertain", "images that got no clear verdict"),
)


_OF_PROBABILITY = ("accuracy", "f1", "ece", "brier")
_KEYS = ("accuracy", "auroc", "tpr_at_fpr_1", "ece")
_KEYS_WITHOUT = ("auroc", "tpr_at_fpr_1", "fpr", "tpr")
"""The figures at the top of the page, with a probability and without."""


def environment(*packages: str) -> jinja2.Environment:
    """Return what renders the templates of these packages, and those of reports."""
    pages = page_environment(*packages, "pyrite.evaluation")
    pages.filters.update(
        figure=lambda value: "–" if value is None else f"{value:.4f}",
        interval=_interval,
        packages=_packages,
        share=lambda value: "–" if value is None else f"{value:.1%}",
        count=lambda value: f"{value:,}",
        base64=lambda data: base64.b64encode(data).decode(),
    )
    return pages


def _page(report: Report, pictures: dict[str, Markup]) -> str:
    shown: dict[str, object] = {field.name: getattr(report, field.name) for field in fields(report)}
    without = report.no_probability is not None
    rows = [row for row in HEADLINE if not (without and row[0] in _OF_PROBABILITY)]
    keys = _KEYS_WITHOUT if without else _KEYS
    page = environment().get_template("report.html.j2")
    return page.render(shown, pictures=pictures, rows=rows, keys=keys, listed=LISTED, families=FAMILIES)


def _interval(metric: Metric | None) -> str:
    return "" if metric is None else f"{metric.low:.4f}–{metric.high:.4f}"


def _packages(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def write_files(folder: Path, files: Mapping[str, bytes | None]) -> None:
    """Write the files of a report as `write_together` does.

    Raises:
        EvaluationError: one cannot be written.
    """
    try:
        write_together(folder, files)
    except OSError as error:
        what = error.filename2 or error.filename or folder
        raise EvaluationError(f"{what} cannot be written: {error.strerror or error}.") from error
