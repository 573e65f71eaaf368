import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import numpy as np
import pytest

from pyrite.datasets.degrade import DEGRADATIONS
from pyrite.evaluation import Part, Report
from pyrite.evaluation.figures import measure_figures
from pyrite.evaluation.floor import Fact, Floor, Shortcut
from pyrite.evaluation.judge import UnreadableFile
from pyrite.evaluation.metrics import Metric
from pyrite.evaluation.plots import Epoch
from pyrite.evaluation.report import Mistake, Provenance, Published
from pyrite.evaluation.robustness import Condition, Flips, LeftOut, Overall, Robustness
from pyrite.evaluation.scores import Scores

HOSTILE = "test/REAL/<script>alert('x')</script> & \"1\".png"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
)


def make_report(labels: tuple[int, ...] = (0, 0, 0, 1, 1, 1)) -> Report:
    probabilities = np.array([0.1, 0.2, 0.7, 0.4, 0.8, 0.9])[: len(labels)]
    scores = Scores(np.array(labels, np.int8), probabilities, np.array(["real", "uncertain", "ai"] * 2)[: len(labels)])
    columns = {"object": ["cat", "<dog>", "cat", "<dog>", "cat", "<dog>"][: len(labels)]}
    return Report(
        provenance=Provenance(
            bundle="brightness",
            version="1",
            model_sha256="0" * 64,
            data="cifake.zip",
            data_sha256="1" * 64,
            data_fingerprint="2" * 64,
            data_images=9,
            data_unreadable=1,
            command="pyrite evaluate 'a <b>' c",
            commit=None,
            packages={"python": "3.11.0"},
            seed=0,
            seconds=0.5,
            training=None,
        ),
        part=Part("all", "Every image of cifake.zip.", None, "Two of them served to train."),
        as_is=measure_figures(scores, columns),
        deduplicated=measure_figures(scores, columns) if len(labels) == 6 else None,
        copies=len(labels),
        floor=FLOOR if len(labels) == 6 else Floor(images=3, note="Not measured: too few."),
        published=Published(),
        max_fpr=0.05,
        reasons={"pixels": 4, "borderline": 2},
        history=(
            Epoch(epoch=1, loss=0.7, accuracy=0.6, val_loss=0.6, val_accuracy=0.7),
            Epoch(epoch=2, loss=None, accuracy=0.8, val_loss=None, val_accuracy=None),
        ),
        false_positives=(Mistake(HOSTILE, 0.7, "ai", 1, 1, PNG),),
        false_negatives=(),
        unreadable=tuple(UnreadableFile(f"{i}{HOSTILE}", "empty", "The file is empty.") for i in range(60)),
    )


def with_robustness(report: Report) -> Report:
    """Return the report with a grid in which everything is as without degradation, but one image left out."""
    figures = report.as_is.headline
    rows = [("clean", None, None), *((each.name, each.family, each.strength) for each in DEGRADATIONS)]
    clean, *grid = (
        Condition(name=name, family=family, strength=strength, headline=figures, fpr_at_budget_1=Metric(0, 0, 0.123))
        for name, family, strength in rows
    )
    overall = Overall(
        accuracy=0.8765, auroc=None, ece=0.1, fpr=0.2, tpr=0.3, fnr=0.6, uncertain=0.4, fpr_at_budget_1=0.5
    )
    flips = Flips(images=3, changed=Metric(0.25, 0.1, 0.5), real_to_ai=Metric(0, 0, 0.1), ai_to_real=Metric(0, 0, 0.1))
    robustness = Robustness(
        clean=clean,
        grid=tuple(grid),
        mean=overall,
        worst=overall,
        lowest="blur 1",
        resave="jpeg 90",
        flips_real=flips,
        flips_ai=None,
        left_out=(LeftOut(HOSTILE, "jpeg 90: too <long>"),),
    )
    return replace(report, robustness=robustness)


FLOOR = Floor(
    images=6,
    note="Cross-validated in 5 folds on 6 images.",
    shortcuts=(
        Shortcut("container", Metric(0.51, 0.4, 0.6), Metric(0.5, 0.4, 0.6)),
        Shortcut("all", Metric(0.8125, 0.7, 0.9), Metric(0.7375, 0.7, 0.8)),
    ),
    facts=(Fact("gradient", "statistics", 0.2),),
)


class Page(HTMLParser):
    """Collects what a browser would see."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.text += " " if tag in ("td", "th", "dd") else ""
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "srcset")]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    make_report().write(folder / "deep" / "report")
    return folder / "deep" / "report"


def test_the_files(written: Path) -> None:
    assert sorted(path.relative_to(written).as_posix() for path in written.rglob("*") if path.is_file()) == [
        "figures/confusion.png",
        "figures/deduplicated/confusion.png",
        "figures/deduplicated/precision-recall.png",
        "figures/deduplicated/reliability.png",
        "figures/deduplicated/roc.png",
        "figures/deduplicated/scores.png",
        "figures/precision-recall.png",
        "figures/reliability.png",
        "figures/roc.png",
        "figures/scores.png",
        "figures/training-accuracy.png",
        "figures/training-loss.png",
        "report.html",
        "report.json",
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in (written / "figures").rglob("*.png"))


def test_the_json_holds_the_whole_report(written: Path) -> None:
    data = (written / "report.json").read_bytes()
    assert msgspec.json.decode(data, type=Report) == make_report()
    assert b"NaN" not in data


def test_the_page_needs_nothing_from_outside(written: Path) -> None:
    html = (written / "report.html").read_text()
    page = Page(html)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert all(link.startswith(("data:", "#")) for link in page.links)
    assert not re.search(r"url\((?!#)|@import", html)


def test_no_two_elements_share_an_id_of_different_content(written: Path) -> None:
    found = re.findall(r'<(\w+) id="([^"]+)"[^>]*>(.*?)</', (written / "report.html").read_text(), re.DOTALL)
    content: dict[str, str] = {}
    assert found
    for tag, name, inside in found:
        assert content.setdefault(name, tag + inside) == tag + inside


def test_names_are_shown_as_text(written: Path) -> None:
    html = (written / "report.html").read_text()
    assert "alert" in html
    assert "<script" not in html
    assert "<dog>" not in html
    assert HOSTILE in Page(html).text


def test_the_page_says_what_a_reader_must_know(written: Path) -> None:
    text = " ".join(Page((written / "report.html").read_text()).text.split())
    for sentence in (
        "Two of them served to train.",
        "leaves out the 6 found",
        "At an error budget of 5% for real images called AI. 2 images (33.3%) got no clear verdict.",
        "What decided: pixels 4, borderline 2.",
        "The same without the 6 copies",
        "of the real images, 1 called AI, 1 uncertain, 1 called real; of the AI images,",
        "Published, real as positive 0.949 0.892 0.922",
        "60 of 66 files could not be judged",
        "10 more are in report.json.",
        "Every AI image has a probability above 0.5.",
        "pyrite evaluate 'a <b>' c",
        "shortcuts alone 0.8125",
        "All together 0.81250.7000–0.9000",
        "This bundle 0.8889",
        "gradient 0.200",
    ):
        assert sentence in text


def test_a_report_replaces_an_earlier_one_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    for name in ("training-loss.png", "mine.png"):
        (tmp_path / "figures" / name).write_bytes(b"old")
    (tmp_path / "report.html").write_text("old")
    make_report().write(tmp_path)
    (tmp_path / "figures" / "mine.png").write_bytes(b"old")
    replace(make_report(), history=None, published=None, copies=0).write(tmp_path)
    assert not (tmp_path / "figures" / "deduplicated" / "roc.png").exists()
    assert not (tmp_path / "figures" / "training-loss.png").exists()
    assert (tmp_path / "figures" / "mine.png").read_bytes() == b"old"
    html = (tmp_path / "report.html").read_text()
    assert html != "old"
    assert "Published" not in html
    assert "Training" not in html


def test_one_class_alone_makes_a_report(tmp_path: Path) -> None:
    make_report((0, 0, 0)).write(tmp_path)
    assert not (tmp_path / "figures" / "roc.png").exists()
    html = (tmp_path / "report.html").read_text()
    assert "needs both classes" in html
    assert "Not measured: too few." in html
    assert "shortcuts alone" not in html


def text_of(folder: Path) -> str:
    return " ".join(Page((folder / "report.html").read_text()).text.split())


def test_the_page_says_what_a_verdict_is_worth(tmp_path: Path, written: Path) -> None:
    # Of three real images one was called AI, and of three AI ones one.
    assert "2% of all images are AI 200 66.7 3,266.7 98.0" in text_of(written)
    scores = Scores(np.array([0, 1], np.int8), np.array([0.1, 0.9]), np.array(["real", "ai"]))
    replace(make_report(), as_is=measure_figures(scores, {}), copies=0).write(tmp_path)
    assert "50% of all images are AI 5,000 5,000.0 0.0 at most 79.3" in text_of(tmp_path)
    make_report((0, 0, 0)).write(tmp_path)
    assert "needs judged images of both classes" in text_of(tmp_path)


def test_robustness_has_its_figure_and_its_tables(tmp_path: Path) -> None:
    report = with_robustness(make_report())
    report.write(tmp_path)
    assert msgspec.json.decode((tmp_path / "report.json").read_bytes(), type=Report) == report
    assert (tmp_path / "figures" / "robustness.png").read_bytes().startswith(b"\x89PNG")
    html, text = (tmp_path / "report.html").read_text(), text_of(tmp_path)
    for sentence in (
        "The 6 images without the copies once more, each under 18 degradations",
        "The lowest accuracy is that under blur 1.",
        "Mean of the grid 0.8765 – 0.1000 0.2000 0.5000 0.3000 0.6000 0.4000",
        "Real 25.0%10.0%–50.0%",
        f"could not be judged: 1 of the images. The first: {HOSTILE} (jpeg 90: too <long>)",
    ):
        assert sentence in text
    assert "<long>" not in html
    make_report().write(tmp_path)
    assert not (tmp_path / "figures" / "robustness.png").exists()
    assert "Robustness" not in text_of(tmp_path)


def test_the_figure_starts_each_family_at_the_clean_images(tmp_path: Path) -> None:
    with_robustness(make_report()).write(tmp_path)
    html = (tmp_path / "report.html").read_text()
    figure = html[html.index('aria-label="robustness"') :].partition("</svg>")[0]
    labels = re.findall(r"<text[^>]*>([^<]*)</text>", figure)
    for ticks in (
        ["clean", "90", "70", "50", "30", "quality"],
        ["clean", "0.6", "1", "σ in pixels"],
        ["clean", "0.75", "0.625", "share of each side"],
        ["0.7", "clean", "1.4", "exponent"],  # The one that goes both ways.
        ["clean", "saved twice", "crop", "mirror"],
    ):
        starts = [i for i in range(len(labels)) if labels[i : i + len(ticks)] == ticks]
        assert starts, ticks
