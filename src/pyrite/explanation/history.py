"""An image's own history: what its file and pixels show of earlier saves and edits. Context, never a verdict."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np
from PIL import Image as PillowImage

from pyrite.bundle.preprocess import Pixels, Region
from pyrite.evidence.compression import estimate_quality, read_compression
from pyrite.evidence.history import read_history
from pyrite.evidence.metadata import Metadata, read_metadata
from pyrite.evidence.read import collect
from pyrite.evidence.thumbnail import Match, Thumbnail, read_thumbnail
from pyrite.explanation.traces import CELL, FALSE_ALARMS, Levels, error_levels, find_ghost, noise_levels, thin
from pyrite.image import Image
from pyrite.image.canvas import as_stored, make_upright
from pyrite.results import Evidence

SMALLEST = 64
"""Pixels that the shorter side needs for a map."""
LARGEST = 1024
"""The most pixels on the longer side of the image that is shown beside the maps."""
_FLAT = 0.05  # of 255: levels below this are none


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What can be said about a kind of map, for any image."""

    kind: str
    title: str
    shows: str
    limits: str
    """What it cannot show."""
    unit: str
    """Of its levels."""


ABOUT = {
    about.kind: about
    for about in (
        About(
            kind="error_levels",
            title="Error levels",
            shows="How much each part changes when the image is saved as JPEG once more. A pasted part that was saved "
            "less often than the rest can change more than similar parts.",
            limits="Edges, texture and strong colours change more in any image. Each save of the whole image evens the "
            "levels out. So a bright part does not prove an edit, and an even map does not rule one out.",
            unit="mean change of a pixel, out of 255",
        ),
        About(
            kind="noise",
            title="Noise",
            shows="How strong the finest noise is in each part. A part from another camera, another ISO setting or a "
            "program can have more or less noise than similar parts.",
            limits="Fine texture counts as noise. Smooth, dark, bright and blurred parts have less noise in any "
            "photograph. So compare only parts that should be alike.",
            unit="standard deviation, out of 255",
        ),
        About(
            kind="ghosts",
            title="JPEG ghosts",
            shows="Where the image looks as if it was saved as JPEG before, at a lower quality than the last time. A "
            "part that was pasted in or painted over does not share that past, or has its own.",
            limits="It misses saves at the same or a higher quality than the last one. It misses saves from before the "
            "image was resized, or cropped off the grid of JPEG blocks. It sees nothing in smooth parts (grey). A past "
            "that all parts share is normal, because services save images again.",
            unit="depth of the dip, in powers of 2",
        ),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trace:
    """One map of an image, or why it has none."""

    about: About
    found: str
    """The figures, or why there is no map."""
    levels: Levels | None = field(default=None, repr=False)
    """(rows, columns), upright; NaN where nothing can be told. `None` if there is no map."""
    region: Region | None = None
    """The part of the upright image that the map covers, in its own pixels: left, top, right, bottom."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """`low`, `median` and `high`: levels that 5%, 50% and 95% of the cells are below. Of ghosts, `quality` and the
    `share` of cells that have it."""

    def to_builtins(self) -> dict[str, Any]:
        """Return it as JSON has it, without the levels."""
        about = self.about
        return {
            "kind": about.kind,
            "title": about.title,
            "found": self.found,
            "shows": about.shows,
            "limits": about.limits,
            "unit": about.unit,
            "figures": self.figures or None,
            "region": self.region,
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class History:
    """What is known about an image's earlier saves and edits."""

    evidence: tuple[Evidence, ...]
    """What the file says about its history and compression."""
    traces: tuple[Trace, ...]
    thumbnail: Pixels | None = field(repr=False)
    """The thumbnail in the file's EXIF data, oriented like the image; `None` if there is none to show."""
    thumbnail_says: str
    """What can be said about it, or that there is none."""
    match: Match | None
    """How alike it and the image are; `None` if they cannot be compared."""
    pixels: Pixels = field(repr=False)
    """The image (rows, columns, 3), upright, with 1,024 pixels on its longer side at most."""
    size: tuple[int, int]
    """Width and height of the image itself."""

    def to_builtins(self) -> dict[str, Any]:
        """Return the figures and sentences as JSON has them, without pixels."""
        return {
            "evidence": msgspec.to_builtins(self.evidence),
            "maps": [trace.to_builtins() for trace in self.traces],
            "thumbnail": {
                "found": self.thumbnail_says,
                "correlation": self.match and round(self.match.correlation, 3),
                "alike": self.match and self.match.alike,
                "size": None if self.thumbnail is None else self.thumbnail.shape[1::-1],
            },
        }

    def describe(self) -> tuple[str, ...]:
        """Return what was found as sentences, a line each."""
        maps = (f"{trace.about.title}: {trace.found}" for trace in self.traces)
        return (*(item.detail for item in self.evidence), self.thumbnail_says, *maps)


def trace_history(image: Image) -> History:
    """Return what an image's file and pixels show of its history.

    Args:
        image: Opened with all its pixels.
    """
    metadata = Metadata()

    def read_texts() -> list[Evidence]:
        nonlocal metadata
        metadata = read_metadata(image)
        return []

    evidence = collect(
        {
            "text": read_texts,
            "history": lambda: read_history(image, metadata),
            "compression": lambda: read_compression(image),
        }
    )
    thumbnail = read_thumbnail(image, metadata.thumbnail)
    shown = PillowImage.fromarray(image.pixels)
    shown.thumbnail((LARGEST, LARGEST))
    return History(
        evidence=tuple(evidence),
        traces=tuple(_trace(image)),
        thumbnail=None if thumbnail is None else thumbnail.laid(image.orientation),
        thumbnail_says=_tell_thumbnail(thumbnail),
        match=None if thumbnail is None else thumbnail.match,
        pixels=np.asarray(shown),
        size=(image.width, image.height),
    )


def _tell_thumbnail(thumbnail: Thumbnail | None) -> str:
    if thumbnail is None:
        return "The file has no thumbnail in its EXIF data. Most edited or sent files have none."
    if thumbnail.match is None:
        return "The thumbnail in the file's EXIF data cannot be compared, because it or the image is flat or tiny."
    if not thumbnail.match.alike:
        return (
            "The thumbnail shows something other than the image (correlation "
            f"{thumbnail.match.correlation:.2f}). Look at both."
        )
    changes = ["mirrored"] * thumbnail.match.mirrored + ["rotated"] * bool(thumbnail.match.turn)
    changes += ["without its bars"] * (thumbnail.laid(1).size < thumbnail.pixels.size)
    how = f", shown {' and '.join(changes)}," if changes else ""
    return (
        f"The thumbnail{how} matches the image (correlation {thumbnail.match.correlation:.2f}). Editing a small part "
        "would not change that figure, so look at both. Bars and rotation are normal, and not a mismatch."
    )


def _trace(image: Image) -> list[Trace]:
    """Return all maps, computed on the pixels as stored in the file, aligned with JPEG's blocks."""
    stored = as_stored(image.pixels, image.orientation)
    if min(stored.shape[:2]) < SMALLEST:
        size = f"{image.width:,} × {image.height:,}"
        why = f"No map: the image has only {size} pixels, and a map needs {SMALLEST} on the shorter side."
        return [Trace(about=about, found=why) for about in ABOUT.values()]
    cells, apart = thin(stored)
    jpeg = image.format in ("JPEG", "MPO")
    return [
        _place(trace, image, apart)
        for trace in (
            _trace_errors(cells, jpeg, image.format),
            _trace_noise(cells),
            _trace_ghost(cells, estimate_quality(image)),
        )
    ]


def _trace_errors(cells: Pixels, jpeg: bool, format: str | None) -> Trace:
    about = ABOUT["error_levels"]
    if not jpeg:
        what = f"the file is {format}, not JPEG" if format else "there is no JPEG file"
        why = f"No map: {what}, so there are no error levels to compare."
        return Trace(about=about, found=why)
    levels = error_levels(cells)
    if levels.max() < _FLAT:
        return Trace(about=about, found="No map: the image is flat, so saving it again changes nothing.")
    return _measured(about, levels, "Saving again changes pixels by")


def _trace_noise(cells: Pixels) -> Trace:
    about, levels = ABOUT["noise"], noise_levels(cells)
    if np.percentile(levels, 95) < _FLAT:
        why = "No map: there is almost no noise. The image is flat or drawn, or compression has removed its noise."
        return Trace(about=about, found=why)
    return _measured(about, levels, "The noise is")


def _trace_ghost(cells: Pixels, quality: int | None) -> Trace:
    about, ghost = ABOUT["ghosts"], find_ghost(cells, quality)
    if ghost is None:
        why = "the file is not JPEG, and no part looks as if it was saved as JPEG before"
        if quality:
            why = f"no part looks as if it was saved as JPEG at a lower quality than the last time (about {quality})"
        return Trace(about=about, found=f"No map: {why}.")
    found = (
        f"{ghost.share:.0%} of the image looks as if it was saved as JPEG before, at a quality of about "
        f"{ghost.quality}; {np.isnan(ghost.dips).mean():.0%} is too smooth to tell. Of {FALSE_ALARMS[1]:,} files of "
        f"photographs that were saved once or never, {FALSE_ALARMS[0]:,} show such parts too."
    )
    return Trace(about=about, found=found, levels=ghost.dips, figures={"quality": ghost.quality, "share": ghost.share})


def _measured(about: About, levels: Levels, what: str) -> Trace:
    low, median, high = (round(float(value), 3) for value in np.percentile(levels, (5, 50, 95)))
    found = f"{what} {median:.2f} out of 255 in the median part, and {low:.2f} to {high:.2f} in 90% of parts."
    return Trace(about=about, found=found, levels=levels, figures={"low": low, "median": median, "high": high})


def _place(trace: Trace, image: Image, apart: tuple[int, int]) -> Trace:
    """Turn a map upright, and add the part of the image that it covers."""
    if trace.levels is None:
        return trace
    down, across = (cells * CELL * by for cells, by in zip(trace.levels.shape, apart, strict=True))
    shape = image.pixels.shape[:2]
    spans = []
    for index in np.ogrid[: shape[0], : shape[1]]:
        corners = as_stored(np.broadcast_to(index, shape), image.orientation)[:down, :across][[0, -1], [0, -1]]
        spans.append((int(corners.min()), int(corners.max()) + 1))
    (top, bottom), (left, right) = spans
    return replace(trace, levels=make_upright(trace.levels, image.orientation), region=(left, top, right, bottom))
