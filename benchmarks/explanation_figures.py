"""The figures of docs/conformal.md and docs/floors.md: computed or read from results, and drawn as SVG.

    python benchmarks/explanation_figures.py

Nothing is measured here: the spread of false alarms is simulated, and the floors are those of
results/default/official/report.json. The same command gives the same files.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from verdict_figures import AI, INK, MUTED, PALE, REAL, ROOT, RULE, as_svg

BUDGET = 0.05
SIZES = (99, 499, 1999)
"""Of calibration sets: real images."""
DRAWS = 4000
REPORT = ROOT / "results" / "default" / "official" / "report.json"
FAMILIES = {
    "container": "facts of the file",
    "spectrum": "radial spectrum",
    "statistics": "global statistics",
    "all": "all of these together",
}
Rates = NDArray[np.float64]


def main() -> None:
    """Draw all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "figures")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, svg in figures().items():
        (out / name).write_text(svg, "utf-8")
        print(f"{name}: {len(svg.encode()):,} bytes")


def figures() -> dict[str, str]:
    """Return each figure by the name of its file."""
    drawn: dict[str, tuple[Callable[[Figure], None], tuple[float, float]]] = {
        "spread": (draw_spread, (6.4, 3.3)),
        "floors": (draw_floors, (6.4, 2.6)),
    }
    return {f"{name}.svg": as_svg(name, draw, size) for name, (draw, size) in drawn.items()}


def false_alarm_rates(images: int) -> Rates:
    """Return the true rate of false alarms at `BUDGET` after each of `DRAWS` calibrations.

    Scores are uniform, which is no restriction: the p-value looks at ranks alone. An image is called AI where
    (1 + as many calibration images as score as high) / (images + 1) is within the budget, so where it scores above the
    k-th highest of them; the share of images that do is 1 less that score.
    """
    k = int(BUDGET * (images + 1) + 1e-9)
    scores = np.random.default_rng([0, images]).random((DRAWS, images))
    return 1 - np.partition(scores, images - k, axis=1)[:, images - k]


def floors() -> dict[str, Any]:
    """Return the AUROC of each family of shortcuts and of the included detector, with its interval."""
    report = json.loads(REPORT.read_text("utf-8"))
    found = {one["family"]: one["auroc"] for one in report["floor"]["shortcuts"]}
    named = {FAMILIES[family]: found[family] for family in FAMILIES}
    return {**named, "the included detector": report["deduplicated"]["headline"]["auroc"]}


def draw_spread(figure: Figure) -> None:
    """Draw how the true rate of false alarms spreads over calibrations, for sets of several sizes."""
    rows = figure.subplots(len(SIZES), 1, sharex=True)
    for axes, images in zip(rows, SIZES, strict=True):
        rates = false_alarm_rates(images)
        low, high = np.quantile(rates, (0.05, 0.95))
        counts, _, _ = axes.hist(rates, bins=np.arange(0, 0.14, 0.002), color=PALE, histtype="stepfilled")
        axes.axvline(BUDGET, color=AI, linewidth=1.2)
        axes.plot((low, high), (-0.08 * counts.max(),) * 2, color=REAL, linewidth=2.4, solid_capstyle="butt")
        axes.text(0.135, counts.max() * 0.75, f"{images:,} real images", ha="right", va="center", color=INK)
        told = f"nine in ten between {low:.1%} and {high:.1%}"
        axes.text(0.135, counts.max() * 0.4, told, ha="right", va="center", color=REAL, fontsize=8)
        axes.set(xlim=(0, 0.137), ylim=(-0.16 * counts.max(), None))
        axes.set_yticks([])
    ticks = (0, 0.025, 0.05, 0.075, 0.1, 0.125)
    rows[-1].set_xticks(ticks, [f"{tick:.3g}%" for tick in 100 * np.array(ticks)])
    rows[-1].set_xlabel("true share of real images called AI; the line is the budget", loc="left")
    rows[0].set_title(
        f"A budget of {BUDGET:.0%}, kept by one detector after each of {DRAWS:,} calibrations", color=MUTED
    )


def draw_floors(figure: Figure) -> None:
    """Draw how well shortcuts tell the classes apart, and the detector beside them."""
    axes, found = figure.subplots(), floors()
    places = list(range(len(found)))[::-1]
    for place, (name, metric) in zip(places, found.items(), strict=True):
        colour = AI if name == list(found)[-1] else REAL
        axes.plot((0.5, metric["value"]), (place, place), color=RULE, linewidth=4, solid_capstyle="butt", zorder=1)
        errors = [[metric["value"] - metric["low"]], [metric["high"] - metric["value"]]]
        axes.errorbar(metric["value"], place, xerr=errors, color=colour, fmt="o", markersize=5, elinewidth=1.2)
        axes.text(1.02, place, f"{metric['value']:.3f}", va="center", color=colour)
    floor = found[FAMILIES["all"]]["value"]
    axes.axvline(floor, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    axes.set(xlim=(0.5, 1.08), ylim=(-0.6, len(found) - 0.4))
    axes.set_yticks(places, list(found))
    axes.set_xticks((0.5, 0.6, 0.7, 0.8, 0.9, 1.0), ("0.5: chance", "0.6", "0.7", "0.8", "0.9", "1"))
    axes.set_title("AUROC on CIFAKE’s test images; dashed: the floor", color=MUTED)


if __name__ == "__main__":
    main()
