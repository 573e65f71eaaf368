"""What a terminal shows."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from pyrite.scanning.display import ScanDisplay, summary_lines
from pyrite.scanning.near_duplicates import NearDuplicates
from pyrite.scanning.prevalence import Rates, estimate_share
from pyrite.scanning.scan import Progress
from pyrite.scanning.summary import Counts, Summary

PROGRESS = Progress(
    shards=30,
    of_shards=120,
    images=2000,
    errors=7,
    flagged=500,
    seconds=10.0,
    images_per_second=200.0,
    seconds_left=30.0,
)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_shows_how_far_it_is_and_anything_else_nothing(terminal: bool) -> None:
    stream = io.StringIO()
    with ScanDisplay(Console(file=stream, force_terminal=terminal, width=140)) as display:
        display(PROGRESS)
    for part in ("30 of 120 shards", "200 images/s", "7 errors", "25.0% ai"):
        assert (part in stream.getvalue()) == terminal
    assert terminal or not stream.getvalue()


def test_the_summary_has_the_share_of_every_partition() -> None:
    rates = Rates(real=1000, real_called_ai=50, ai=1000, ai_called_ai=850)
    part = Counts(
        images=1000,
        ai=210,
        real=700,
        uncertain=80,
        errors={"empty": 10},
        actions={},
        share=estimate_share(210, 990, rates),
    )
    found = Summary(
        shards=3,
        total=part,
        partitions={
            "a": part,
            "b": replace(part, share=None, no_share="No image could be read."),
            "c": replace(part, share=estimate_share(210, 990, replace(rates, slice="camera: c"))),
        },
        rates=rates,
        no_share=None,
        copies=NearDuplicates(groups=400, distance=4, images=1000, changed=3),
    )
    lines = list(summary_lines(found, "out/"))
    assert lines[:2] == ["1,000 images: 210 ai, 700 real, 80 uncertain, 10 could not be read", "Not read: 10 empty"]
    assert lines.pop(2) == "Near copies: 1,000 images in 400 groups; 3 get another verdict from their group"
    assert lines[2].startswith("Share of AI images: 20.27% (")
    assert lines[2].endswith(" at 95%), of 990 images")
    assert lines[3] == lines[2].replace("Share of AI images", "  a")
    assert lines[4] == "  b: not known. No image could be read."
    assert lines[5] == lines[2].replace("Share of AI images", "  c") + ", by the rates of camera: c"
    assert lines[6:] == ["Table: out/detections", "Sample: out/sample.html"]
