"""The tutorial and the guides: their commands are run, and print what the pages say."""

from pathlib import Path

import pytest

from console import Shown, fits, run_page, shown_in

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [DOCS / "tutorial.md", *sorted((DOCS / "guides").glob("*.md"))]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_print_what_it_says(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYRITE_DATA", str(tmp_path / "data"))
    folder = tmp_path / "empty"
    folder.mkdir()
    run_page(page, folder)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_commands(page: Path) -> None:
    assert list(shown_in(page))


@pytest.mark.parametrize(
    ("page", "printed", "vary", "fit"),
    [
        ("a\nb", "a\nb", False, True),
        ("a\nb", "a\nb\nc", False, False),
        ("a\n…", "a", False, True),
        ("a\n…\nc", "a\nb\nc", False, True),
        ("a\n…\nc", "a\nb\nc\nd", False, False),
        ("…\nb\n…\nd", "a\nb\nc\nd", False, True),
        ("…\nc\n…\nb\n…", "a\nb\nc\nd", False, False),
        ("a\n…\na", "a", False, False),
        ("0.97 of 1,000", "0.9 of 10", False, False),
        ("0.97 of 1,000", "0.9 of 10", True, True),
        ("0.97 of 1,000", "0.9 from 10", True, False),
        ("│ a │  4.4e-16 │", "│ a │ 0 │", True, True),
    ],
)
def test_what_fits(page: str, printed: str, vary: bool, fit: bool) -> None:
    assert fits(printed.splitlines(), Shown("a", tuple(page.splitlines()), vary)) is fit
