from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

import pyrite
from pyrite.errors import PyriteError
from pyrite.rendering.html import html_page
from pyrite.results import Detection, Evidence, Failure, Reason, Strength, Verdict


class Page(HTMLParser):
    """Collects the tags, their attributes and the text of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_each_detection_is_an_entry_with_its_picture(found: Detection, tmp_path: Path) -> None:
    Image.new("RGB", (32, 24), "red").save(tmp_path / "a.png")
    with html_page(tmp_path / "page.html") as add:
        add(replace(found, path=str(tmp_path / "a.png")))
        add(replace(found, probability=None, error=Failure("empty", "The file is empty."), explanation="It is empty."))
    page = Page(tmp_path / "page.html")
    entries = [entry for entry in page.all("li") if "data-outcome" in entry]
    assert [entry["data-outcome"] for entry in entries] == ["ai", "error"]
    assert [str(image["src"])[:22] for image in page.all("img")] == ["data:image/png;base64,"]
    assert "It names a camera." in page.text


def test_no_verdict_stands_beside_a_probability_that_contradicts_it(found: Detection, tmp_path: Path) -> None:
    with html_page(tmp_path / "page.html") as add:
        add(replace(found, probability=0.327))
        add(replace(found, verdict=Verdict.REAL, probability=0.612))
    text = Page(tmp_path / "page.html").text
    assert "above the threshold of your budget" in text
    assert "below the threshold of your budget" in text
    assert "% AI" not in text


@pytest.fixture
def outside(found: Detection) -> Detection:
    """An image that no bundle has in scope, with a camera's note."""
    sentence = "The model was made for images of 32 pixels a side and this one has 640 × 480."
    pixels = Evidence("pixels", Strength.INFERRED, None, sentence, {"reason": "out_of_scope", "logit": 2.5})
    return replace(
        found,
        verdict=Verdict.UNCERTAIN,
        reason=Reason.OUT_OF_SCOPE,
        explanation=sentence,
        probability=None,
        evidence=(*found.evidence, pixels),
    )


def test_an_image_that_nothing_judges_says_what_was_looked_at_and_what_one_can_do(
    outside: Detection, tmp_path: Path
) -> None:
    with html_page(tmp_path / "page.html") as add:
        add(outside)
        add(replace(outside, evidence=outside.evidence[1:]))
    page = Page(tmp_path / "page.html")
    assert page.text.count("Not judged: no bundle here is made for images of this size.") == 2
    assert page.text.count("1 piece of evidence found. None of that decides the verdict.") == 1
    assert page.text.count("No evidence found. That proves nothing, since it is easily removed.") == 1
    assert page.text.count("What you can do next") == 2
    assert page.text.count("reverse image search") == 2
    assert page.text.count(outside.explanation) == 2  # Once for each.
    assert "% AI" not in page.text
    assert "2.5" not in page.text


def test_an_image_that_is_foreign_is_told_apart_from_one_of_another_size(outside: Detection, tmp_path: Path) -> None:
    *before, pixels = outside.evidence
    foreign = replace(outside, evidence=(*before, replace(pixels, data={**pixels.data, "p_typical": 0.004})))
    with html_page(tmp_path / "page.html") as add:
        add(foreign)
    text = Page(tmp_path / "page.html").text
    assert "Not judged: the image looks unlike those that calibrated the bundle." in text
    assert "Judge the picture by itself: a border, a collage or a caption" in text
    assert "for images of this size" not in text
    assert "reverse image search" in text


def test_evidence_that_was_not_read_is_not_told_as_missing(outside: Detection, tmp_path: Path) -> None:
    with html_page(tmp_path / "page.html", evidence=False) as add:
        add(replace(outside, evidence=outside.evidence[1:]))
    text = Page(tmp_path / "page.html").text
    assert "Not looked at: reading evidence is switched off." in text
    assert "No evidence found" not in text


def test_where_the_file_decides_there_is_nothing_more_to_do(outside: Detection, tmp_path: Path) -> None:
    with html_page(tmp_path / "page.html") as add:
        add(replace(outside, verdict=Verdict.AI, reason=Reason.ASSERTED, explanation="It names a camera."))
    text = Page(tmp_path / "page.html").text
    assert "1 piece of evidence found. The verdict rests on that." in text
    assert "What you can do next" not in text
    assert outside.explanation in text  # As the pixels' own evidence.


def test_nothing_on_the_page_comes_from_elsewhere(found: Detection, tmp_path: Path) -> None:
    with html_page(tmp_path / "page.html") as add:
        add(found)
    page = Page(tmp_path / "page.html")
    for _, attributes in page.tags:
        for name in ("src", "href", "action"):
            assert (attributes.get(name) or "data:").startswith("data:")
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv"))
    assert str(policy).startswith("default-src 'none'")


def test_hostile_names_and_metadata_are_inert(found: Detection, tmp_path: Path) -> None:
    hostile = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
    evidence = (Evidence("generator", Strength.ASSERTED, Verdict.AI, hostile),)
    with html_page(tmp_path / "page.html") as add:
        add(replace(found, path=hostile, explanation=f"{hostile}!", evidence=evidence))
    page = Page(tmp_path / "page.html")
    assert len(page.all("script")) == 1
    assert page.all("img") == []
    assert page.text.count("onerror=alert(2)") >= 3


def test_an_interrupted_page_keeps_what_it_has(found: Detection, tmp_path: Path) -> None:
    def interrupted() -> None:
        with html_page(tmp_path / "page.html") as add:
            add(found)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    page = Page(tmp_path / "page.html")
    assert "a b.jpg" in page.text
    assert len(page.all("script")) == 1


def test_a_page_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(PyriteError, match="cannot be written"), html_page(tmp_path / "missing" / "page.html"):
        pass


def test_a_notebook_shows_a_detection_as_the_page_does(found: Detection, tmp_path: Path) -> None:
    Image.new("RGB", (32, 24), "red").save(tmp_path / "a.png")
    (tmp_path / "cell.html").write_text(pyrite_shows(replace(found, path=str(tmp_path / "a.png"))), "utf-8")
    cell = Page(tmp_path / "cell.html")
    assert [entry["data-outcome"] for entry in cell.all("li") if "data-outcome" in entry] == ["ai"]
    assert [str(image["src"])[:22] for image in cell.all("img")] == ["data:image/png;base64,"]
    assert "It names a camera." in cell.text


def test_a_cell_of_a_notebook_runs_and_fetches_nothing_and_styles_nothing_else(
    found: Detection, tmp_path: Path
) -> None:
    hostile = "</style><script>alert(1)</script><img src=http://x.example/a.png onerror=alert(2)>"
    evidence = Evidence("generator", Strength.ASSERTED, Verdict.AI, hostile, {"prompt": hostile})
    (tmp_path / "cell.html").write_text(
        pyrite_shows(replace(found, path=f"{hostile}\udcff", explanation=hostile, evidence=(evidence,))), "utf-8"
    )
    cell = Page(tmp_path / "cell.html")
    assert {name for name, _ in cell.tags} == {
        "b", "details", "div", "li", "ol", "p", "pre", "small", "span", "style", "summary", "ul",
    }  # fmt: skip
    assert not [name for _, attributes in cell.tags for name in attributes if name.startswith("on")]
    style = cell.text.partition("</style>")[0].partition(".verdict")[0]
    assert style.split()[:2] == [".pyrite-detection", "{"]
    assert not [word for word in (":root", "body {", "url(", "@import") if word in style]


def pyrite_shows(detection: Detection) -> str:
    """Return what a notebook shows once something of the package was imported, as it must be to detect."""
    assert pyrite.Detection is Detection
    shown = detection._repr_html_()
    assert shown is not None
    return shown
