"""Detections as one self-contained page, written as they come."""

import base64
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import jinja2
import msgspec

from pyrite.errors import PyriteError
from pyrite.image import Limits
from pyrite.image.thumbnail import SIDE, thumbnail_url
from pyrite.rendering.text import budget_line, outcome
from pyrite.rendering.unjudged import is_unjudged, looked_at, next_steps
from pyrite.results import Detection, Evidence, Reason
from pyrite.sources import encodable
from pyrite.templates import page_environment, template_source
from pyrite.writing import whole_file

Draw = Callable[[str, int], str | None]
"""Returns an image as a picture in a data URL, given its path and the pixels that a side may have."""


@contextmanager
def html_page(
    path: Path, limits: Limits = Limits(), *, evidence: bool = True, draw: Draw | None = None
) -> Iterator[Callable[[Detection], None]]:
    """Give the function that adds a detection to a new page at `path`.

    The page appears when the block ends, however it ends: what was judged before an interruption is
    there. It holds its pictures and makes no request.

    Args:
        path: of the page; one that is there is replaced.
        limits: what opening an image for its picture may cost.
        evidence: whether what the files say of themselves was read.
        draw: what opens an image for its picture; by default, this process.

    Raises:
        PyriteError: the page cannot be written.
    """
    pages = page_environment("pyrite.rendering")
    script = template_source(pages, "detections.js")
    page = pages.get_template("detections.html.j2").render(
        script=script,
        # With its hash in the policy, this script runs and none that a file name smuggles in.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        rows="\0",
    )
    before, after = page.split("\0")
    failed: BaseException | None = None
    with (
        _writing(path),
        whole_file(path) as draft,
        draft.open("w", encoding="utf-8", errors="backslashreplace") as stream,
    ):

        def add(detection: Detection) -> None:
            with _writing(path):
                stream.write(_render_row(pages, detection, limits, evidence=evidence, draw=draw))

        stream.write(before)
        try:
            yield add
        except BaseException as error:  # Raised once the page is in its place.
            failed = error
        stream.write(after)
    if failed:
        raise failed


def notebook_html(detection: Detection) -> str:
    """Return a detection as a notebook shows it: as the page has it, with its picture, and a style for it alone."""
    pages = page_environment("pyrite.rendering")
    style = template_source(pages, "detections.css").replace(":root {", "& {").replace("body {", "& {")
    row = _render_row(pages, detection, Limits())
    return encodable(pages.get_template("notebook.html.j2").render(style=style, row=row))


def _render_row(
    pages: jinja2.Environment,
    detection: Detection,
    limits: Limits,
    *,
    evidence: bool = True,
    draw: Draw | None = None,
) -> str:
    """Return an entry of the page; the arguments are as in `html_page`."""
    return pages.get_template("detection.html.j2").render(
        found=detection,
        outcome=outcome(detection),
        line=budget_line(detection.verdict, detection.probability),
        thumbnail=picture(detection, SIDE, limits, draw),
        shown=[(item, details(item.data)) for item in shown(detection)],
        looked=looked_at(detection, evidence=evidence) if is_unjudged(detection) else {},
        steps=next_steps(detection) if detection.reason is Reason.OUT_OF_SCOPE else (),
    )


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PyriteError(f"The page {path} cannot be written: {error.strerror or error}.") from error


def picture(detection: Detection, side: int, limits: Limits, draw: Draw | None) -> str | None:
    """Return an image as a picture in a data URL; nothing where it was not read, or is gone.

    Args:
        detection: Of the image.
        side: Pixels of the picture, a side at most.
        limits: What opening the image may cost.
        draw: As in `html_page`.
    """
    if detection.path is None or detection.error:
        return None
    return draw(detection.path, side) if draw else thumbnail_url(detection.path, limits, side)


def shown(detection: Detection) -> list[Evidence]:
    """Return the evidence, without what only tells once more that the image is out of scope."""
    outside = detection.explanation if detection.reason is Reason.OUT_OF_SCOPE else None
    return [item for item in detection.evidence if item.kind != "pixels" or item.detail != outside]


def details(data: object) -> str:
    """Return the data of a piece of evidence as indented JSON, and nothing of none."""
    return msgspec.json.format(msgspec.json.encode(data), indent=2).decode() if data else ""
