"""Figures, in one restrained style: ink, grey and one accent, as PNG for files and SVG for the page."""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from pyrite.datasets.degrade import FAMILIES
from pyrite.evaluation.curves import Bin, Curve, Histogram
from pyrite.evaluation.robustness import Condition, Robustness

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK, _MUTED, _RULE, _ACCENT = "#1c1b19", "#76736c", "#d9d6cf", "#8f6400"
_VARIABLES = {_INK: "var(--ink)", _MUTED: "var(--muted)", _RULE: "var(--rule)", _ACCENT: "var(--accent)"}
_STYLE: Any = {  # Matplotlib 3.11 types every key by itself, earlier ones none
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _MUTED,
    "axes.labelcolor": _MUTED,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _RULE,
    "grid.linewidth": 0.5,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "lines.linewidth": 1.5,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "svg.fonttype": "none",
}
_TICKS = (0, 0.25, 0.5, 0.75, 1)
_TICK_LABELS = [f"{tick:g}" for tick in _TICKS]
_SQUARE, _SMALL, _WIDE, _LANDSCAPE = (3.5, 3.4), (2.7, 2.6), (3.5, 2.5), (5.5, 2.9)  # inches
_COLUMNS, _PANEL = 4, (1.85, 1.75)  # of the panels, and inches
_NO_METADATA = {"Creator": None, "Date": None, "Format": None, "Type": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """One epoch of training, as the run's history has it; `None` where the value is not finite."""

    epoch: int
    loss: float | None
    accuracy: float | None
    val_loss: float | None
    val_accuracy: float | None
    learning_rate: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """One figure twice."""

    png: bytes
    """On white, 200 dots per inch."""
    svg: str
    """An `svg` element whose colours are the page's variables `--ink`, `--muted`, `--rule`, `--accent`."""


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Radial spectra of one class: natural logarithms of the mean power in bands of equal width up to Nyquist."""

    median: tuple[float, ...]
    low: tuple[float, ...]
    """The 10% quantile of each band."""
    high: tuple[float, ...]
    """The 90% quantile."""


def roc(curve: Curve) -> Picture:
    """Draw TPR over FPR."""

    def draw(axes: "Axes") -> None:
        axes.plot((0, 1), (0, 1), color=_MUTED, linewidth=0.7, linestyle=(0, (4, 3)))
        axes.plot(curve.x, curve.y, color=_ACCENT)
        _unit(axes, "False positive rate", "True positive rate")

    return _picture("roc", draw, _SQUARE)


def rocs(curves: Mapping[str, Curve], real: int) -> Picture:
    """Draw several detectors' TPR over FPR, and once more with a logarithmic scale of FPR.

    Args:
        curves: By name; the first stands out.
        real: How many real images they are of, which says where the logarithmic scale begins.
    """
    styles = [(colour, dash) for dash in ("solid", (0, (5, 2)), (0, (1, 1.5))) for colour in (_ACCENT, _INK, _MUTED)]
    lowest = min(0.1, 1 / real)

    def draw(figure: "Figure") -> None:
        whole, small = figure.subplots(1, 2)
        whole.plot((0, 1), (0, 1), color=_MUTED, linewidth=0.7, linestyle=(0, (4, 3)))
        for curve, (colour, dash) in zip(curves.values(), cycle(styles), strict=False):
            whole.plot(curve.x, curve.y, color=colour, linestyle=dash)
            small.plot(np.maximum(curve.x, lowest), curve.y, color=colour, linestyle=dash, drawstyle="steps-post")
        _unit(whole, "False positive rate", "True positive rate")
        small.set(xscale="log", xlim=(lowest, 1), ylim=(-0.01, 1.01), xlabel="False positive rate (logarithmic)")
        small.set_yticks(_TICKS, _TICK_LABELS)
        small.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        small.set_box_aspect(1)
        small.minorticks_off()
        # A name may hold what Matplotlib takes for mathematics.
        labels = [name.replace("$", r"\$") for name in curves]
        figure.legend(whole.get_lines()[1:], labels, loc="outside lower left", ncols=1)

    return _figure("roc", draw, (_LANDSCAPE[0] + 1.2, 3.1 + 0.17 * len(curves)))


def precision_recall(curve: Curve, prevalence: float) -> Picture:
    """Draw precision over recall, and the precision of calling every image AI."""

    def draw(axes: "Axes") -> None:
        axes.axhline(prevalence, color=_MUTED, linewidth=0.7, linestyle=(0, (4, 3)))
        axes.plot(curve.x, curve.y, color=_ACCENT)
        _unit(axes, "Recall", "Precision")

    return _picture("precision-recall", draw, _SQUARE)


def reliability(bins: Sequence[Bin]) -> Picture:
    """Draw the share of AI images over the mean probability of each bin, dots by the bin's size."""

    def draw(axes: "Axes") -> None:
        axes.plot((0, 1), (0, 1), color=_MUTED, linewidth=0.7, linestyle=(0, (4, 3)))
        x, y = [b.probability for b in bins], [b.share for b in bins]
        largest = max(b.images for b in bins)
        axes.plot(x, y, color=_ACCENT, linewidth=0.8)
        axes.scatter(x, y, [8 + 80 * b.images / largest for b in bins], color=_ACCENT, linewidths=0, clip_on=False)
        _unit(axes, "Mean probability of AI", "Share of AI images")

    return _picture("reliability", draw, _SQUARE)


def scores(counts: Histogram) -> Picture:
    """Draw the histogram of each class's probabilities, on a logarithmic scale of images."""

    def draw(axes: "Axes") -> None:
        axes.stairs(counts.real, counts.edges, fill=True, color=_MUTED, alpha=0.22)
        axes.stairs(counts.real, counts.edges, color=_MUTED, linewidth=1.1, label="real")
        axes.stairs(counts.ai, counts.edges, fill=True, color=_ACCENT, alpha=0.22)
        axes.stairs(counts.ai, counts.edges, color=_ACCENT, linewidth=1.1, label="AI")
        axes.set_yscale("log")
        axes.set_ylim(bottom=0.7)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else "")
        axes.minorticks_off()
        axes.set(xlim=(0, 1), xlabel="Probability of AI", ylabel="Images")
        axes.set_xticks(_TICKS, _TICK_LABELS)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)

    return _picture("scores", draw, _SQUARE)


def confusion(counts: tuple[tuple[int, int], tuple[int, int]]) -> Picture:
    """Draw the confusion matrix, each cell tinted by its share of the row."""

    def draw(axes: "Axes") -> None:
        from matplotlib.patches import Rectangle

        for row, cells in enumerate(counts):
            for column, count in enumerate(cells):
                share = count / max(1, sum(cells))
                axes.add_patch(Rectangle((column, row), 1, 1, facecolor=_ACCENT, alpha=0.04 + 0.4 * share, linewidth=0))
                axes.text(column + 0.5, row + 0.45, f"{count:,}", ha="center", va="center", fontsize=13)
                axes.text(
                    column + 0.5,
                    row + 0.68,
                    f"{share:.1%}",
                    ha="center",
                    va="center",
                    fontsize=8,
                    color=_MUTED,
                )
        axes.set(xlim=(0, 2), ylim=(2, 0), xlabel="Called", ylabel="Truth", aspect="equal")
        axes.set_xticks((0.5, 1.5), ("real", "AI"))
        axes.set_yticks((0.5, 1.5), ("real", "AI"))
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)

    return _picture("confusion", draw, _SMALL)


def robustness(found: Robustness) -> Picture:
    """Draw accuracy and the verdict's FPR over the strength: a panel a family, and one for all of one strength.

    Without a probability, AUROC stands for accuracy.
    """
    families: dict[str, list[Condition]] = {}
    for row in found.grid:
        families.setdefault(str(row.family), []).append(row)
    panels = {name: _between(found.clean, rows) for name, rows in families.items() if len(rows) > 1}
    alone = [row for rows in families.values() if len(rows) == 1 for row in rows]
    # Names take more room than numbers, so their panel comes last, and fills a line where only one place is left.
    wide = len(panels) + (len(panels) % _COLUMNS == _COLUMNS - 1)
    lines = -(-(wide + 1 if alone else len(panels)) // _COLUMNS)

    def draw(figure: "Figure") -> None:
        grid = figure.add_gridspec(lines, _COLUMNS)
        for place, (name, rows) in enumerate(panels.items()):
            axes = figure.add_subplot(grid[divmod(place, _COLUMNS)])
            _strengths(axes, rows, found.clean, line=True)
            axes.set_title(name, fontsize=9)
            axes.set_xlabel(FAMILIES[name].unit, fontsize=8)
            if place % _COLUMNS:
                axes.set_yticklabels([])
        if alone:
            line, column = divmod(wide, _COLUMNS)
            axes = figure.add_subplot(grid[line, column:])
            _strengths(axes, [found.clean, *alone], found.clean, line=False)
            axes.set_title("at one strength", fontsize=9)
            if column:
                axes.set_yticklabels([])
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=len(labels))

    return _figure("robustness", draw, (_COLUMNS * _PANEL[0], lines * _PANEL[1]))


def _between(clean: Condition, rows: Sequence[Condition]) -> list[Condition]:
    """Return a family's rows with the clean one first, or where it belongs if there are strengths on both sides."""
    neutral = FAMILIES[str(rows[0].family)].neutral
    below = sum(neutral is not None and row.strength is not None and row.strength < neutral for row in rows)
    place = below if below < len(rows) else 0
    return [*rows[:place], clean, *rows[place:]]


def _strengths(axes: "Axes", rows: Sequence[Condition], clean: Condition, *, line: bool) -> None:
    x = range(len(rows))
    name, key = ("Accuracy", "accuracy") if clean.headline.accuracy else ("AUROC", "auroc")
    if known := getattr(clean.headline, key):
        axes.axhline(known.value, color=_ACCENT, linewidth=0.7, linestyle=(0, (4, 3)), alpha=0.7)
    for label, colour, mark, metrics in (
        (name, _ACCENT, "o", [getattr(row.headline, key) for row in rows]),
        ("The verdict’s FPR", _MUTED, "s", [row.headline.fpr for row in rows]),
    ):
        for i, metric in enumerate(metrics):
            if metric:
                axes.plot((i, i), (metric.low, metric.high), color=colour, linewidth=3, alpha=0.3)
        values = [metric.value if metric else np.nan for metric in metrics]
        axes.plot(
            x,
            values,
            color=colour,
            linewidth=1.2,
            linestyle="solid" if line else "none",
            marker=mark,
            markersize=3.5,
            clip_on=False,
            label=label,
        )
    axes.set(xlim=(-0.35, len(rows) - 0.65), ylim=(-0.03, 1.03))
    axes.set_xticks(x, [row.name if row is clean or not line else f"{row.strength:g}" for row in rows])
    axes.set_yticks(_TICKS, _TICK_LABELS)
    axes.grid(visible=False, axis="x")


def spectra(real: Spectrum, ai: Spectrum) -> Picture:
    """Draw both classes' radial spectra: the median, and what eight of ten images lie between."""

    def draw(axes: "Axes") -> None:
        frequency = (np.arange(len(real.median)) + 0.5) / (2 * len(real.median))
        for spectrum, colour, label in ((real, _MUTED, "real"), (ai, _ACCENT, "AI")):
            axes.fill_between(frequency, spectrum.low, spectrum.high, color=colour, alpha=0.18, linewidth=0)
            axes.plot(frequency, spectrum.median, color=colour, label=label)
        axes.set(xlim=(0, 0.5), xlabel="Cycles per pixel", ylabel="Power (natural logarithm)")
        axes.legend(loc="best")

    return _picture("spectra", draw, _LANDSCAPE)


def accuracy_history(history: Sequence[Epoch]) -> Picture:
    """Draw accuracy over epochs."""
    return _history("accuracy", history, [e.accuracy for e in history], [e.val_accuracy for e in history])


def loss_history(history: Sequence[Epoch]) -> Picture:
    """Draw the loss over epochs."""
    return _history("loss", history, [e.loss for e in history], [e.val_loss for e in history])


def _history(
    name: str, history: Sequence[Epoch], train: Sequence[float | None], validation: Sequence[float | None]
) -> Picture:
    def draw(axes: "Axes") -> None:
        from matplotlib.ticker import MaxNLocator

        epochs = [epoch.epoch for epoch in history]
        mark = "o" if len(history) == 1 else None
        for values, colour, label in ((train, _MUTED, "training"), (validation, _ACCENT, "validation")):
            known = np.array([np.nan if value is None else value for value in values])
            axes.plot(epochs, known, color=colour, label=label, marker=mark, markersize=4)
        axes.set(xlabel="Epoch", ylabel=name.capitalize())
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        axes.legend(loc="best")

    return _picture(f"training-{name}", draw, _WIDE)


def _unit(axes: "Axes", x: str, y: str) -> None:
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel=x, ylabel=y, aspect="equal")
    axes.set_xticks(_TICKS, _TICK_LABELS)
    axes.set_yticks(_TICKS, _TICK_LABELS)


def _picture(name: str, draw: Callable[["Axes"], None], size: tuple[float, float]) -> Picture:
    return _figure(name, lambda figure: draw(figure.add_subplot()), size)


def _figure(name: str, draw: Callable[["Figure"], None], size: tuple[float, float]) -> Picture:
    from matplotlib import rc_context
    from matplotlib.backends import backend_agg, backend_svg
    from matplotlib.figure import Figure

    agg: Any = backend_agg.FigureCanvasAgg
    vector: Any = backend_svg.FigureCanvasSVG
    with rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=size, dpi=200, layout="constrained", facecolor="white")
        draw(figure)
        png, svg = io.BytesIO(), io.BytesIO()
        # Not by savefig, which draws all twice, the first time to lay it out.
        agg(figure).print_png(png)
        figure.set_layout_engine("none")  # What the first one placed is where the second has it.
        for patch in (figure.patch, *(axes.patch for axes in figure.axes)):
            patch.set_visible(False)
        vector(figure).print_svg(svg, metadata=_NO_METADATA)
    return Picture(png.getvalue(), _inline(svg.getvalue().decode(), name))


def _inline(document: str, name: str) -> str:
    """Turn Matplotlib's SVG document into an element for a page that has others beside it."""
    element = document[document.index("<svg") :].strip()
    # Group names repeat from figure to figure, and nothing refers to them.
    element = re.sub(r'<g id="[^"]*"', "<g", element)
    element = re.sub(r'(width|height)="[\d.]+pt" ', "", element, count=2)
    element = re.sub(r"font: ([^;\"]*?)(\d+)px [^;\"]*", r"font-size: \2px", element)
    for colour, variable in _VARIABLES.items():
        element = element.replace(colour, variable)
    return element.replace("<svg", f'<svg role="img" aria-label="{name}"', 1)
