"""The report of a wrong verdict: what it takes to see it again, without the image."""

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path, PurePath

import msgspec

from pyrite.bundle import Bundle
from pyrite.errors import PyriteError
from pyrite.results import Detection, Verdict
from pyrite.sources import encodable
from pyrite.writing import indented_json, whole_file

WHAT_IT_HOLDS = (
    "It holds the verdict, and what the file says of itself, such as a place or a prompt; read it before you share it. "
    "The image is not in it: attach that yourself if you may."
)


class JudgingBundle(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A bundle that had a say in a verdict."""

    name: str
    version: str
    sha256: str
    """`Bundle.sha256`."""


class VerdictReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A verdict, and what gave it. The page writes the same."""

    pyrite: str
    """Its version."""
    bundles: tuple[JudgingBundle, ...]
    expected: Verdict | None
    """What the image is, if whoever reports it has written that in."""
    detection: Detection
    """As in JSON, with the image's hash; of its path, the name alone."""


def write_verdict_report(path: Path, found: Detection, bundles: Sequence[Bundle]) -> None:
    """Write the report of a verdict as JSON, with `expected` to be filled in.

    Args:
        path: Of the report; one that is there is replaced.
        found: What is reported.
        bundles: What judged it.

    Raises:
        PyriteError: The report cannot be written.
    """
    name = None if found.path is None else encodable(PurePath(found.path).name)
    report = VerdictReport(
        pyrite=version("pyrite"),
        bundles=tuple(
            JudgingBundle(name=bundle.info.name, version=bundle.info.version, sha256=bundle.sha256)
            for bundle in bundles
        ),
        expected=None,
        detection=replace(found, path=name),
    )
    try:
        with whole_file(path) as draft:
            draft.write_bytes(indented_json(report))
    except OSError as error:
        raise PyriteError(f"The report {path} cannot be written: {error.strerror or error}.") from error
