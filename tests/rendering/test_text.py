from dataclasses import replace

import pytest

from pyrite.rendering.text import detection_line, printable, summary_line
from pyrite.results import Detection, Failure, Reason, Verdict

FOUND = Detection(
    path="a b.jpg",
    sha256="0" * 64,
    format="JPEG",
    width=32,
    height=32,
    verdict=Verdict.AI,
    probability=0.9731,
    logit=3.6,
    reason=Reason.PIXELS,
    p_real=0.002,
    p_ai=0.61,
    max_fpr=0.05,
)


def test_a_clear_verdict_needs_no_reason() -> None:
    assert detection_line(FOUND).plain == "ai        97.3%  a b.jpg"


@pytest.mark.parametrize("reason", set(Reason) - {Reason.PIXELS, Reason.UNREADABLE})
def test_every_other_reason_is_told(reason: Reason) -> None:
    line = detection_line(replace(FOUND, verdict=Verdict.UNCERTAIN, reason=reason)).plain
    assert line.startswith("uncertain 97.3%  a b.jpg  ")


def test_a_failure_is_told_by_its_sentence() -> None:
    failed = replace(FOUND, probability=None, error=Failure("empty", "The file is empty."))
    assert detection_line(failed).plain == "error         –  a b.jpg  The file is empty."


@pytest.mark.parametrize(
    ("counts", "line"),
    [
        ({}, "0 images: 0 ai, 0 real, 0 uncertain; of 1,000 real images about 50 would be called ai."),
        ({"ai": 1}, "1 image: 1 ai, 0 real, 0 uncertain; of 1,000 real images about 50 would be called ai."),
        (
            {"real": 1200, "error": 2},
            "1,202 images: 0 ai, 1,200 real, 0 uncertain, 2 could not be read; "
            "of 1,000 real images about 50 would be called ai.",
        ),
    ],
)
def test_summary(counts: dict[str, int], line: str) -> None:
    assert summary_line(counts, 0.05).plain == line


def test_nothing_in_a_path_reaches_the_terminal_raw() -> None:
    assert printable("é 猫 \x1b[2J\n\u202e\udcff") == "é 猫 \\x1b[2J\\n\\u202e\\udcff"
