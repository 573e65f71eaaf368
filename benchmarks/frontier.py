"""The frontier of detectors on CIFAKE: clean accuracy against that under degradation, and against arithmetic.

    python benchmarks/frontier.py results/default/frontier.toml --out results/default/frontier.svg

Each table of the file is a detector: `name`, and `clean` or the `report` (of `pyrite evaluate --robustness`, beside the
file) that has its figures; where known `grid` and `mmacs`; and `ours`, of those that are trained here.
"""

import argparse
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_INK, _ACCENT = "#1c1b19", "#8f6400"
_STYLE = {
    "font.size": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "frontier",
}


@dataclass(frozen=True)
class Point:
    """One detector."""

    name: str
    clean: float
    """Accuracy, 0 to 1."""
    grid: float | None
    """The mean accuracy under the degradations."""
    mmacs: float | None
    """Million multiplications of an image."""
    ours: bool


def read_points(path: Path) -> list[Point]:
    """Return the detectors that a file lists."""
    points = []
    for table in tomllib.loads(path.read_text("utf-8"))["detector"]:
        clean, grid = table.get("clean"), table.get("grid")
        if "report" in table:
            report = json.loads((path.parent / table["report"]).read_text("utf-8"))
            clean = (report["deduplicated"] or report["as_is"])["headline"]["accuracy"]["value"]
            grid = report["robustness"]["mean"]["accuracy"] if report.get("robustness") else None
        points.append(Point(table["name"], clean, grid, table.get("mmacs"), table.get("ours", False)))
    return points


def draw(points: list[Point]) -> Figure:
    """Return the chart: on the left the grid's accuracy, on the right the arithmetic."""
    figure = Figure((7.4, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    _scatter(left, [(point, point.clean, point.grid) for point in points])
    left.locator_params(nbins=5)
    left.set(xlabel="accuracy, clean", ylabel="accuracy, mean under degradation")
    _scatter(right, [(point, point.mmacs, point.clean) for point in points])
    right.set(xscale="log", xlabel="million multiplications an image", ylabel="accuracy, clean")
    return figure


def _scatter(axes: Axes, places: list[tuple[Point, float | None, float | None]]) -> None:
    for point, x, y in places:
        if x is None or y is None:
            continue
        colour = _ACCENT if point.ours else _INK
        axes.plot([x], [y], "o", color=colour)
        axes.annotate(point.name, (x, y), (6, 0), textcoords="offset points", va="center", color=colour, fontsize=8)
    axes.margins(0.3)


def main() -> None:
    """Draw the chart, and say what has no place in it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("points", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="where the SVG goes")
    arguments = parser.parse_args()
    points = read_points(arguments.points)
    with mpl.rc_context(_STYLE):
        draw(points).savefig(arguments.out, metadata={"Date": None, "Creator": None})
    print(f"{len(points)} detectors in {arguments.out}")
    for point in points:
        missing = [what for what in ("grid", "mmacs") if getattr(point, what) is None]
        if missing:
            print(f"{point.name} has no {' and no '.join(missing)}.")


if __name__ == "__main__":
    main()
