"""Reports of verdicts, each with its image beside it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pyrite.rendering.verdict_report import VerdictReport

FOLDER = Path(__file__).with_name("reports")


@dataclass(frozen=True)
class ReportedVerdict:
    """A report, and the image that it is of."""

    report: VerdictReport
    image: Path


def read_reports(folder: Path = FOLDER) -> list[ReportedVerdict]:
    """Return the reports in a folder, in the order of their names.

    Raises:
        ValueError: One is damaged, or the image that it is of does not lie beside it.
    """
    found = []
    for path in sorted(folder.glob("*.json")):
        report = msgspec.json.decode(path.read_bytes(), type=VerdictReport)
        images = [other for other in folder.glob("*") if other.stem == path.stem and other != path]
        if len(images) != 1:
            raise ValueError(f"{path.name} needs its image beside it, as {path.stem} with another ending.")
        if hashlib.sha256(images[0].read_bytes()).hexdigest() != report.detection.sha256:
            raise ValueError(f"{images[0].name} is not the image that {path.name} is of: its SHA-256 differs.")
        found.append(ReportedVerdict(report, images[0]))
    return found
