"""`pyrite detect`."""

import itertools
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyrite.cli.shared import (
    TRUST,
    AllowRealOption,
    BundlesOrDefaultsOption,
    Device,
    DeviceOption,
    EvidenceOption,
    MaxBytesOption,
    MaxFprOption,
    MaxPixelsOption,
    TrustAnchorsOption,
    TrustOption,
    read_trust,
    stderr,
    stdout,
    tell_lines,
)
from pyrite.results import Detection, Reason

if TYPE_CHECKING:
    from pyrite.detector import ConfinedReader, Detector


class FailOn(StrEnum):
    """Which verdict makes `detect` fail."""

    AI = "ai"


def detect(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH…", help="Images, folders with -r, or - to read a list from stdin.")
    ],
    bundles: BundlesOrDefaultsOption = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Search folders and their subfolders.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the evidence under each image.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
    as_jsonl: Annotated[bool, typer.Option("--jsonl", help="Print one JSON object per line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Also write a page with pictures and evidence; for one image, a report to print."
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also write what you need to report a wrong verdict, as JSON without the image. Needs a single image.",
        ),
    ] = None,
    max_fpr: MaxFprOption = None,
    allow_real: AllowRealOption = False,
    fail_on: Annotated[FailOn | None, typer.Option(help="Exit with code 3 if any image gets this verdict.")] = None,
    evidence: EvidenceOption = True,
    trust: TrustOption = TRUST,
    trust_anchors: TrustAnchorsOption = None,
    device: DeviceOption = Device.AUTO,
    max_bytes: MaxBytesOption = 100_000_000,
    max_pixels: MaxPixelsOption = 150_000_000,
) -> None:
    """Judge images: ai, real or uncertain.

    Each image gets a verdict, a calibrated probability of ai, and the evidence found in its file. Results are printed
    as they come, in the order of the paths. A file that cannot be read gets an error as its result, and the exit code
    is 1.

    Example: `pyrite detect photo.jpg -v`
    """
    from pyrite.bundle import DEFAULT, default_bundles
    from pyrite.detector import ConfinedReader, Detector
    from pyrite.evidence import missing_readers
    from pyrite.golden import check_device
    from pyrite.image import Limits
    from pyrite.rendering.formats import write_csv, write_json, write_jsonl
    from pyrite.rendering.text import outcome, summary_line, write_text
    from pyrite.rendering.unjudged import is_foreign
    from pyrite.rendering.verdict_report import WHAT_IT_HOLDS, write_verdict_report
    from pyrite.sources import find_files

    chosen = [
        write for write, wanted in ((write_json, as_json), (write_jsonl, as_jsonl), (write_csv, as_csv)) if wanted
    ]
    if len(chosen) > 1:
        raise typer.BadParameter("Choose one of --json, --jsonl and --csv.")
    _check_targets(html, report)
    limits = Limits(max_bytes, max_pixels)
    counts: Counter[str] = Counter()
    budgets: set[float] = set()
    outside = 0
    # Its process starts while the models are loaded.
    with ConfinedReader() as confined:
        detector = Detector(
            bundles=bundles or default_bundles(),
            max_fpr=max_fpr,
            allow_real=allow_real,
            evidence=evidence,
            trust=read_trust(trust, trust_anchors),
            limits=limits,
            device=device.value,
            confined=confined,
        )
        check_device(detector)
        tell_lines(detector.warnings)
        for reader in missing_readers() if evidence else ():
            stderr.print(reader, style="dim", markup=False)
        every = find_files(_with_lists(paths), recursive=recursive)
        # Only a page or report has to know whether there are several: without one, none waits for the next.
        first = list(itertools.islice(every, 2 if html or report else 0))
        if report and len(first) != 1:
            raise typer.BadParameter("--report needs a single image. Name only that one.")
        files = itertools.chain(first, every)
        with _page(html, detector, confined, single=len(first) == 1) as add:

            def detections() -> Iterator[Detection]:
                nonlocal outside
                for detection in detector.detect_many(files):
                    counts[outcome(detection)] += 1
                    budgets.update(() if detection.error else (detection.max_fpr,))
                    outside += detection.reason is Reason.OUT_OF_SCOPE and not is_foreign(detection)
                    add(detection)
                    if report:
                        write_verdict_report(report, detection, detector.bundles)
                    yield detection

            if chosen:
                chosen[0](detections(), sys.stdout)
            else:
                write_text(detections(), stdout, verbose=verbose)
                stderr.print(summary_line(counts, budgets))
    if report:
        stderr.print(f"Report: {report}. {WHAT_IT_HOLDS}", markup=False)
    if outside:
        alone = not bundles and default_bundles() == (DEFAULT,)
        more = "For photographs: pyrite bundle import photos" if alone else "Other bundles: pyrite bundle catalogue"
        stderr.print(f"Images of a size that no bundle in use supports: {outside:,}. {more}", style="dim")
    if fail_on and counts[fail_on]:
        raise typer.Exit(3)
    if counts["error"]:
        raise typer.Exit(1)


def _check_targets(*targets: Path | None) -> None:
    """Refuse to write one file twice, or over an image, such as the first of `--html *.png`.

    Raises:
        BadParameter: It would.
    """
    from pyrite.image.formats import sniff

    named = [target for target in targets if target]
    if len(set(named)) < len(named):
        raise typer.BadParameter("--html and --report need different files.")
    for target in named:
        try:
            with target.open("rb") as file:
                is_image = sniff(file.read(4096)) is not None
        except OSError:  # It is not there, or is told of once it is written.
            continue
        if is_image:
            raise typer.BadParameter(f"{target} is an image, which would be overwritten. Name another file.")


def _with_lists(paths: list[str]) -> Iterator[str]:
    """Yield the paths, and where one is `-` those that standard input lists."""
    from pyrite.sources import read_list

    for path in paths:
        if path == "-":
            # Not sys.stdin: a thread that waits for its next line would hold up the end of the process.
            yield from read_list(open(0, "rb", closefd=False))  # noqa: SIM115 - it stays open
        else:
            yield path


@contextmanager
def _page(
    path: Path | None, detector: "Detector", confined: "ConfinedReader", *, single: bool
) -> Iterator[Callable[[Detection], None]]:
    """Give the function that adds a detection to the page at `path`, if there shall be one: of one image, a report."""
    reader = detector.reader
    draw = partial(confined.draw, reader)
    if path is None:
        yield lambda detection: None
    elif single:
        from pyrite.evidence import Trust
        from pyrite.rendering.case import write_case

        trust = reader.trust or Trust.default()
        yield lambda found: write_case(
            path, found, detector.bundles, trust, limits=reader.limits, evidence=reader.evidence, draw=draw
        )
    else:
        from pyrite.rendering.html import html_page

        with html_page(path, reader.limits, evidence=reader.evidence, draw=draw) as add:
            yield add
