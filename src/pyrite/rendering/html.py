"""Detections as one self-contained page, written as they come."""

import base64
import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from PIL import Image as PillowImage

from pyrite.errors import ImageError, PyriteError
from pyrite.image import Limits, open_image
from pyrite.pages import page_environment, template_source
from pyrite.rendering.text import outcome
from pyrite.results import Detection

_THUMBNAIL = 160  # pixels a side, at most
_ENOUGH = (_THUMBNAIL // 4, _THUMBNAIL // 4)  # Images are opened at no less than 8 times what is asked for.


@contextmanager
def html_page(path: Path, limits: Limits = Limits()) -> Iterator[Callable[[Detection], None]]:
    """Give the function that adds a detection to a new page at `path`.

    The page appears when the block ends, however it ends: what was judged before an interruption is
    there. It holds its pictures and makes no request.

    Args:
        path: of the page; one that is there is replaced.
        limits: what opening an image for its picture may cost.

    Raises:
        PyriteError: the page cannot be written.
    """
    pages = page_environment("pyrite.rendering")
    script = template_source(pages, "detections.js")
    row = pages.get_template("detection.html.j2")
    page = pages.get_template("detections.html.j2").render(
        script=script,
        # With its hash in the policy, this script runs and none that a file name smuggles in.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        rows="\0",
    )
    before, after = page.split("\0")
    partial = path.with_name(f".{path.name}.partial")
    with _writing(path):
        stream = partial.open("w", encoding="utf-8", errors="backslashreplace")

    def write(text: str) -> None:
        with _writing(path):
            stream.write(text)

    def add(detection: Detection) -> None:
        write(
            row.render(
                found=detection,
                outcome=outcome(detection),
                thumbnail=_thumbnail(detection, limits),
                details=[_details(item.data) for item in detection.evidence],
            )
        )

    try:
        write(before)
        try:
            yield add
        finally:
            write(after)
            with _writing(path):
                stream.close()
                partial.replace(path)
    finally:
        with suppress(OSError):
            stream.close()
        partial.unlink(missing_ok=True)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PyriteError(f"The page {path} cannot be written: {error.strerror or error}.") from error


def _thumbnail(detection: Detection, limits: Limits) -> str | None:
    """Return a small picture as a data URL; `None` where the file is gone or was never read."""
    if detection.path is None or detection.error:
        return None
    try:
        image = PillowImage.fromarray(open_image(detection.path, limits, at_least=_ENOUGH).pixels)
    except ImageError:
        return None
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    stream = io.BytesIO()
    image.save(stream, "PNG" if max(image.size) <= 64 else "JPEG", quality=80)
    kind = "png" if max(image.size) <= 64 else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"


def _details(data: object) -> str:
    return msgspec.json.format(msgspec.json.encode(data), indent=2).decode() if data else ""
