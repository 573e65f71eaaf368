"""The site has what the pages have, as GitHub shows them, and loads nothing from elsewhere."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from markdown import Markdown

ROOT = Path(__file__).parents[1]


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import site_hooks  # type: ignore[import-not-found]

    return site_hooks


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("How sure is a verdict?", "how-sure-is-a-verdict"),
        ('What "at most 1 in 100" promises', "what-at-most-1-in-100-promises"),
        ("Speed: `python a.py --out b.json`", "speed-python-apy---out-bjson"),
    ],
)
def test_anchors_are_githubs(hooks: Any, heading: str, anchor: str) -> None:
    assert hooks.slug(heading, "-") == anchor


@pytest.mark.parametrize(
    ("html", "found"),
    [
        ('<a href="https://a.example/">', []),
        ('<img src="figures/a.svg"><link href="assets/a.css"><link rel="canonical" href="https://a.example/">', []),
        ('<script src="https://a.example/a.js"></script>', ["https://a.example/a.js"]),
        ('<link href="//a.example/a.css">', ["//a.example/a.css"]),
        ('<img srcset="https://a.example/a.png">', ["https://a.example/a.png"]),
        ("<style>@import 'https://a.example/a.css';b{background:url(//c.example/d)}</style>",
         ["https://a.example/a.css", "//c.example/d"]),
        ('<p style="background: url(https://a.example/a.png)">', ["https://a.example/a.png"]),
    ],
)  # fmt: skip
def test_what_a_page_would_load_from_elsewhere(hooks: Any, tmp_path: Path, html: str, found: list[str]) -> None:
    (tmp_path / "page.html").write_text(html)
    assert hooks.foreign(tmp_path / "page.html") == found


def test_lists_are_those_of_github(hooks: Any) -> None:
    text = "A list:\n- one\n- two\n  goes on\n\n  - inner\n\nEnd.\n\n```\na\n- b\n```\n"
    html = Markdown(extensions=[hooks.Indents(), "fenced_code"]).convert(hooks.separate_lists(text))
    assert html.count("<li>") == 3
    assert html.count("<ul>") == 2
    assert "a\n- b" in html


def test_links_lead_to_where_the_site_has_what_they_lead_to(hooks: Any) -> None:
    def shown(place: str, text: str) -> str:
        file = SimpleNamespace(abs_src_path=str(ROOT / place), src_uri=hooks.uri_of(place))
        return str(hooks.on_page_markdown(text, page=SimpleNamespace(file=file), config=None, files=None)).strip()

    assert shown("docs/serving.md", "[a](../SECURITY.md#threats)") == "[a](SECURITY.md#threats)"
    assert shown("docs/guides/newsroom.md", "[a](../photos.md)") == "[a](../photos.md)"
    assert shown("ARCHITECTURE.md", "[a](docs/bundle.md) [b](README.md)") == "[a](bundle.md) [b](index.md)"
    assert shown("results/default/README.md", "[a](../../docs/bundle.md#novelty)") == "[a](../../bundle.md#novelty)"
    assert shown("results/cifake/README.md", "[a](official/figures)") == "a"
    assert shown("docs/cli.md", "[a](https://a.example/b.md) [b](#c)") == "[a](https://a.example/b.md) [b](#c)"
