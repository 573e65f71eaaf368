"""The page of everything that is read is what the code would write now."""

from pathlib import Path

from pyrite.evidence.reference import evidence_page

PAGE = Path(__file__).parents[2] / "docs" / "evidence.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text("utf-8") == evidence_page(), "Write it anew with: make docs"
