"""An explanation as values and in sentences."""

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrite.bundle.preprocess import Pixels, Region
from pyrite.explanation.faithfulness import Faithfulness
from pyrite.explanation.spectra import Spectra, distance
from pyrite.results import Detection, Model, Verdict
from pyrite.sources import encodable
from pyrite.writing import indented_json


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Explanation:
    """What moved the score of one image, whether to trust that, and how much detail the image has."""

    detection: Detection
    model: Model
    """The bundle whose score is explained."""
    leans: Verdict
    """The class that the pixels' score leans to, whatever the verdict: `ai` where the probability is above 0.5."""
    moved: NDArray[np.float64]
    """(rows, columns): how much each cell moves the log-odds of AI; below 0 is towards real. It means something only
    if `faithfulness.better_than_random`."""
    faithfulness: Faithfulness
    spectrum: NDArray[np.float64]
    """(16,), of the model input, as `pyrite.spectrum.radial_spectrum` gives it. Of several crops, that of the one that
    speaks most for the class that the score leans to."""
    spectra: Spectra | None
    """Of training images of both classes; `None` if the bundle keeps none."""
    input_size: tuple[int, int]
    """Height and width of a model input."""
    region: Region
    """The part of the image, in its own pixels, that the map shows: all of its cells."""
    rows: tuple[tuple[int, int], ...]
    """Where each row of the map starts and ends, in the image's pixels. For several crops, rows may overlap, or leave
    gaps that the model does not see."""
    columns: tuple[tuple[int, int], ...]
    """Likewise."""
    scored: int
    """How many model inputs were scored for it."""
    pixels: Pixels = field(repr=False)
    """The image (height, width, 3) at its own size, or reduced to 2,048 pixels on its longer side."""

    def figures(self) -> dict[str, Any]:
        """Return the figures by name; `moved` is `None` if the map is no better than random."""
        better = self.faithfulness.better_than_random
        return {
            "detection": for_json(self.detection),
            "model": self.model,
            "leans": self.leans,
            "better_than_random": better,
            "faithfulness": self.faithfulness,
            "moved": self.moved.tolist() if better else None,
            "spectrum": self.spectrum.tolist(),
            "spectra": self.spectra,
            "input_size": self.input_size,
            "region": self.region,
            "rows": self.rows,
            "columns": self.columns,
            "scored": self.scored,
        }

    def to_json(self) -> bytes:
        """Return the figures as JSON."""
        return indented_json(self.figures())

    def describe(self) -> tuple[str, ...]:
        """Return the figures, one sentence a line."""
        return (*describe_faithfulness(self), describe_spectrum(self))

    @property
    def is_whole(self) -> bool:
        """Whether the cells lie side by side without gaps or overlaps, so that the map can be smoothed."""
        return all(end == begin for spans in (self.rows, self.columns) for (_, end), (begin, _) in pairwise(spans))


FIGURES = (
    "detection", "model", "leans", "better_than_random", "faithfulness", "moved", "spectrum", "spectra", "input_size",
    "region", "rows", "columns", "scored",
)  # fmt: skip
"""The names of an explanation's figures."""


def for_json(detection: Detection) -> Detection:
    """Return a detection that JSON can hold: a file name may have bytes that are not UTF-8."""
    return detection if detection.path is None else replace(detection, path=encodable(detection.path))


def describe_faithfulness(explanation: Explanation) -> tuple[str, ...]:
    """Return sentences on how far to trust the map."""
    found = explanation.faithfulness
    count = len(found.random_deletion)
    as_good = count - found.beaten
    conclusion = (
        f"The map does better than each of {count} random orders, so it is shown."
        if found.better_than_random
        else f"The map is no better than random ({as_good} of {count} random orders do as well), so it is not shown."
    )
    lower, higher = (
        f"{np.mean(values):.2f} ± {np.std(values):.2f} in random order"
        for values in (found.random_deletion, found.random_insertion)
    )
    return (
        f"Deletion: {found.deletion:.2f} log-odds of {explanation.leans}, {lower} (lower is better).",
        f"Insertion: {found.insertion:.2f} log-odds of {explanation.leans}, {higher} (higher is better).",
        conclusion,
    )


def describe_spectrum(explanation: Explanation) -> str:
    """Return a sentence on how the spectrum compares with both classes."""
    height, width = explanation.input_size
    if explanation.spectra is None:
        return f"Spectrum, at the model's {width} × {height}: the bundle has no class averages to compare it with."
    real, ai = (distance(explanation.spectrum, of) for of in (explanation.spectra.real, explanation.spectra.ai))
    return (
        f"Spectrum, at the model's {width} × {height}: {real:.1f} standard deviations from the average real image "
        f"and {ai:.1f} from the average AI one (1 is usual)."
    )
