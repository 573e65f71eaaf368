from dataclasses import replace

import pytest

from pyrite.decision import is_scored
from pyrite.rendering.text import detection_line, printable, summary_line
from pyrite.results import Detection, Failure, Reason, Verdict


def test_a_clear_verdict_needs_no_reason(found: Detection) -> None:
    assert detection_line(found).plain == "ai         97.3%  a b.jpg"


@pytest.mark.parametrize(
    ("reason", "score"),
    [
        (Reason.BORDERLINE, " 97.3%"),
        (Reason.OUT_OF_SCOPE, "     –"),
        (Reason.VERIFIED, "     –"),
        (Reason.ASSERTED, "     –"),
    ],
)
def test_every_other_reason_is_told_and_the_score_only_where_it_counted(
    found: Detection, reason: Reason, score: str
) -> None:
    shown = replace(found, verdict=Verdict.UNCERTAIN, reason=reason, explanation="So it is.")
    line = detection_line(shown if is_scored(reason) else replace(shown, probability=None)).plain
    assert line == f"uncertain {score}  a b.jpg  So it is."


@pytest.mark.parametrize(
    ("verdict", "probability", "line"),
    [
        (Verdict.AI, 0.327, "ai             –  a b.jpg  above the threshold of your budget"),
        (Verdict.REAL, 0.61, "real           –  a b.jpg  below the threshold of your budget"),
        (Verdict.AI, 0.5, "ai         50.0%  a b.jpg"),
        (Verdict.REAL, 0.5, "real       50.0%  a b.jpg"),
    ],
)
def test_no_verdict_stands_beside_a_probability_that_contradicts_it(
    found: Detection, verdict: Verdict, probability: float, line: str
) -> None:
    assert detection_line(replace(found, verdict=verdict, probability=probability)).plain == line


def test_an_animation_is_told(found: Detection) -> None:
    assert detection_line(replace(found, frames=12)).plain == "ai         97.3%  a b.jpg  (one frame of 12)"


def test_a_failure_is_told_by_its_sentence(found: Detection) -> None:
    failed = replace(found, probability=None, error=Failure("empty", "The file is empty."))
    assert detection_line(failed).plain == "error          –  a b.jpg  The file is empty."


@pytest.mark.parametrize(
    ("counts", "line"),
    [
        ({}, "0 images: 0 ai, 0 real, 0 uncertain"),
        ({"ai": 1}, "1 image: 1 ai, 0 real, 0 uncertain"),
        ({"real": 1200, "error": 2}, "1,202 images: 0 ai, 1,200 real, 0 uncertain, 2 could not be read"),
    ],
)
def test_summary(counts: dict[str, int], line: str) -> None:
    budget = "at most about 50 of 1,000 real images similar to the calibration set would be called ai."
    assert summary_line(counts, {0.05}).plain == f"{line}; {budget}"


def test_a_small_budget_is_told_in_millions() -> None:
    assert "about 500 of a million real images" in summary_line({"real": 1}, {0.0005}).plain


def test_budgets_that_differ_are_told_by_their_range() -> None:
    assert "about 10 to 50 of 1,000, by the bundle, real images" in summary_line({"real": 2}, {0.05, 0.01}).plain


def test_nothing_in_a_path_reaches_the_terminal_raw() -> None:
    assert printable("é 猫 \x1b[2J\n\u202e\udcff") == "é 猫 \\x1b[2J\\n\\u202e\\udcff"
