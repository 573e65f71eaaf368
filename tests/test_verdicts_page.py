"""docs/verdicts.md says what the included bundle says, and has the figures that were measured."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pyrite.bundle import DEFAULT, load_bundle
from pyrite.detector import Detector
from pyrite.golden import write_golden
from pyrite.results import Detection, Verdict

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
PAGE = " ".join((ROOT / "docs" / "verdicts.md").read_text("utf-8").split()).replace("> ", "")
BUNDLE = load_bundle(DEFAULT)


@pytest.fixture
def examples(tmp_path: Path) -> tuple[Path, ...]:
    return write_golden(BUNDLE, tmp_path / "examples")


def judge(image: Path | np.ndarray, max_fpr: float) -> Detection:
    return Detector(BUNDLE, max_fpr=max_fpr).detect(image)


@pytest.mark.parametrize(
    ("example", "max_fpr", "verdict"),
    [(5, 0.01, Verdict.AI), (1, 0.01, Verdict.REAL), (5, 0.001, Verdict.UNCERTAIN)],
)
def test_its_examples_are_what_is_said(
    examples: tuple[Path, ...], example: int, max_fpr: float, verdict: Verdict
) -> None:
    said = judge(examples[example], max_fpr)
    assert said.verdict is verdict
    row = PAGE.partition(f"| `{verdict}` | ")[2].partition(" |")[2]
    assert row.startswith(f' "{said.explanation}" |')


def test_its_p_value_is_counted_as_it_says(examples: tuple[Path, ...]) -> None:
    said, scores = judge(examples[5], 0.01), np.array(BUNDLE.info.calibration.real["all"])
    assert said.logit is not None
    assert (round(said.logit, 1), int((scores >= said.logit).sum()), len(scores)) == (2.9, 2, 2000)
    assert said.p_real == (2 + 1) / (2000 + 1)
    assert "Two of the 2,000 real images" in PAGE
    assert "3 of 2,001, or 0.0015" in PAGE


def test_an_example_in_a_border_is_told_to_be_foreign(examples: tuple[Path, ...]) -> None:
    framed = np.zeros((32, 32, 3), np.uint8)
    framed[6:-6, 6:-6] = Image.open(examples[5]).convert("RGB").resize((20, 20), Image.Resampling.BILINEAR)
    as_it_is, in_a_border = judge(examples[5], 0.01), judge(framed, 0.01)
    assert (as_it_is.verdict, in_a_border.verdict) == (Verdict.AI, Verdict.UNCERTAIN)
    assert in_a_border.explanation in PAGE


def test_its_figures_are_of_the_included_bundle() -> None:
    assert read("verdicts/figures.json")["bundle_sha256"] == BUNDLE.sha256


def read(path: str) -> Any:
    return json.loads((RESULTS / path).read_text("utf-8"))


def of_the_bundle() -> Iterator[str]:
    report = read("default/official/report.json")["deduplicated"]
    yield f"Of the {report['headline']['images']:,} test images, {report['headline']['uncertain']['value']:.1%} are"
    for row, words in zip(report["prevalence"], ("half", "1 in 10", "1 in 50", "1 in 1,000"), strict=True):
        yield f"| {words} | {100 * row['real_share']['value']:.1f} |"
    yield f"calls {read('default/seed-1/report.json')['deduplicated']['headline']['fpr']['value']:.1%} of the same"


def of_budgets() -> Iterator[str]:
    ours, others = read("verdicts/figures.json")["false_alarms"].values()
    one, five = (ours["budgets"].index(budget) for budget in (0.01, 0.05))
    yield f"{ours['alarms'][one]} of {ours['images']:,} photographs are called `ai`: {share(ours, one)}"
    yield f"(95% interval {interval(ours, one)})"
    yield f"At 5% it is {share(ours, five)} ({interval(ours, five)})"
    yield f"{others['images']} photographs by other cameras. Of these, {share(others, one)} are called `ai` at 1%"


def share(rates: Any, place: int) -> str:
    return f"{rates['alarms'][place] / rates['images']:.1%}"


def interval(rates: Any, place: int) -> str:
    return f"{rates['low'][place]:.1%} to {rates['high'][place]:.1%}"


def of_panels() -> Iterator[str]:
    found = read("verdicts/figures.json")["panels"]
    apart, alike = (found[name]["any alarm counts"]["false_alarms"] for name in ("independent", "alike"))
    yield f"With three, {apart[2]:.1%} of real images are called AI, or {alike[2]:.1%}"
    yield f"With six it is {apart[5]:.1%} or {alike[5]:.1%}"
    yield f"it rises to {apart[5]:.1%} with six independent detectors and to {alike[5]:.1%} with six"


def of_a_published_matrix() -> Iterator[str]:
    ways = read("budgets/published.json")["ways"]
    coco, pooled, groups = (
        {name: figure["mean"] for name, figure in ways[f"Fisher of seven, {how}one set"].items()}
        for how in ("calibrated on coco alone, ", "", "largest over groups, ")
    )
    yield f"{coco['5%: false alarms, imagenet_sample']:.1%} of ImageNet's photographs are called AI"
    yield f"With a budget of 1% it is still {coco['1%: false alarms, imagenet_sample']:.1%}"
    yield f"the mean is right ({pooled['5%: false alarms']:.1%})"
    yield f"ImageNet pays for the others: {pooled['5%: false alarms, imagenet_sample']:.1%}"
    yield f"{groups['5%: AI found']:.1%} of AI images instead of {pooled['5%: AI found']:.1%}"
    yield f"finds {pooled['1%: AI found']:.1%} of AI images"
    yield f"the best of them by itself {ways['fsd alone']['1%: AI found']['mean']:.1%}"


def of_foreign_and_unknown_images() -> Iterator[str]:
    before, now = read("default/verdicts.json")["rates"].values()
    usual, framed, unknown = now["as they are"], "in a black border of 3", now["unseen32"]["ai"]
    yield f"made {before[framed]['ai']['real']:.0%} look real to the detector alone"
    foreign = now[framed]["ai"]["out_of_scope"]
    yield f"Now {'all of them' if foreign == 1 else f'{foreign:.1%}'} are recognised as foreign"
    yield f"{usual['real']['out_of_scope']:.1%} of ordinary test photographs and {usual['ai']['out_of_scope']:.1%} of"
    yield f"the included detector calls {usual['ai']['ai']:.0%} `ai`"
    yield f"Of {unknown['images']} images by other generators it calls {unknown['real']:.0%} `real`"
    yield f"Made grey, {now['grey']['real']['ai']:.1%} of real test photographs are called `ai`"
    yield f"Turned by 90°, {now['turned by 90°']['ai']['real']:.0%} of AI images are called `real`"
    yield f"instead of {usual['ai']['real']:.1%}"


@pytest.mark.parametrize(
    "measured", [of_the_bundle, of_budgets, of_panels, of_a_published_matrix, of_foreign_and_unknown_images]
)
def test_its_figures_are_those_that_were_measured(measured: Callable[[], Iterator[str]]) -> None:
    assert [said for said in measured() if said not in PAGE] == []
