"""Figures of the explanations are drawn by the code beside them, and the pages say what they show."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "docs" / "figures"


def text_of(page: str) -> str:
    return " ".join((ROOT / "docs" / page).read_text("utf-8").split())


@pytest.fixture
def drawing(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import explanation_figures  # type: ignore[import-not-found]

    return explanation_figures


def test_they_are_drawn_the_same_again(drawing: Any) -> None:
    for name, svg in drawing.figures().items():
        assert (FIGURES / name).read_text("utf-8") == svg, f"{name} is stale: run benchmarks/explanation_figures.py."


def test_every_figure_is_shown_somewhere() -> None:
    pages = "".join(page.read_text("utf-8") for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")))
    drawn = {path.name for path in FIGURES.iterdir()}
    assert {name for name in drawn if f"figures/{name}" in pages} == drawn


@pytest.mark.parametrize("images", [99, 499, 1999])
def test_the_spread_is_that_of_the_simulation_and_of_theory(drawing: Any, images: int) -> None:
    from scipy.stats import beta

    rates, k = drawing.false_alarm_rates(images), round(drawing.BUDGET * (images + 1))
    low, high = np.quantile(rates, (0.05, 0.95))
    assert f"{low:.1%} and {high:.1%}" in text_of("conformal.md")
    assert np.array([rates.mean(), low, high]) == pytest.approx(
        [drawing.BUDGET, *beta(k, images + 1 - k).ppf((0.05, 0.95))], rel=0.04
    )


def test_the_floors_are_those_that_were_measured(drawing: Any) -> None:
    page = text_of("floors.md")
    for name, metric in drawing.floors().items():
        assert f"{name} {metric['value']:.3f}".lower() in page.lower()
    report = json.loads(drawing.REPORT.read_text("utf-8"))
    accuracy = {one["family"]: one["accuracy"]["value"] for one in report["floor"]["shortcuts"]}["all"]
    assert f"an accuracy of {accuracy:.1%}" in page
    assert f"an accuracy of {report['published']['accuracy']:.1%}" in page
