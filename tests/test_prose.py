"""The documentation keeps to its style, and the check of that finds what breaks it."""

import runpy
from pathlib import Path

import pytest

SCRIPT = runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "prose.py"))


def test_the_documentation_keeps_to_its_style(capsys: pytest.CaptureFixture[str]) -> None:
    faults = SCRIPT["main"]([*SCRIPT["PAGES"]])
    assert faults == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "line", "fault"),
    [
        ("One. Two.\n", 1, "more than one sentence"),
        ("- It ends. `pyrite` begins.\n", 1, "more than one sentence"),
        ("> A sentence that\n> continues.\n", 1, "the sentence continues in the next line"),
        ("- An item that\n  continues.\n", 1, "the sentence continues in the next line"),
        ("word " * 36 + "\n", 1, "36 words in a sentence; at most 35"),
        ("\nThe figures\n\nare made anew.\n", 4, "“anew”: write “again”"),
        ("| key | Who hangs up |\n", 1, "“hangs up”: write “disconnects”"),
    ],
)
def test_a_fault_is_found_in_its_line(text: str, line: int, fault: str) -> None:
    assert list(SCRIPT["check"](text)) == [(line, fault)]


@pytest.mark.parametrize(
    "text",
    [
        "One.\nTwo: three;\nfour!\n",
        "**Uploads.** They are streamed.\n\n- **Uploads.**\n  They are streamed.\n",
        "By Hu et al. Or not, e.g. `this`.\n",
        "| a cell. Another sentence |\n| --- |\n",
        "```\nMade anew. Two\nlines\n```\n\n# A heading. Here\n",
        "`Made anew. Here.` and [a link](page.md#anew. Or) end.\n",
        "- An item\n- and another\n",
    ],
)
def test_what_is_no_fault_passes(text: str) -> None:
    assert list(SCRIPT["check"](text)) == []
