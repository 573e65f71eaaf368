"""One file, opened once: what it says of itself, and what each bundle's model takes of it."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pyrite.bundle import BundleInfo, Pixels, Preprocess
from pyrite.decision import Scope
from pyrite.errors import ImageError
from pyrite.evidence import Trust, read_evidence, read_file_evidence
from pyrite.image import Image, Limits, Source, open_image, read_jxl
from pyrite.results import Evidence, Failure


@dataclass(frozen=True, slots=True)
class View:
    """How one bundle looks at an image."""

    scope: Scope
    preprocess: Preprocess


@dataclass(frozen=True, slots=True)
class Prepared:
    """A decoded image that waits for its score, without its full pixels."""

    path: str | None
    sha256: str | None
    format: str | None
    width: int
    height: int
    frames: int
    frame: int
    evidence: tuple[Evidence, ...]
    inputs: tuple[Pixels | None, ...]
    """For each bundle the model inputs (k, height, width, 3), 0 to 255; `None` where it will not judge the image."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What could not be decoded, and why."""

    path: str | None
    error: Failure
    evidence: tuple[Evidence, ...] = ()
    """What its file says all the same, where that can be read without decoding the pixels: of JPEG XL."""
    sha256: str | None = None
    """Of such a file."""


@dataclass(frozen=True, slots=True)
class Reader:
    """What it takes to read images for a `Detector`; needs no model, so that other processes can do it."""

    views: tuple[View, ...]
    """Of each bundle, in the detector's order."""
    evidence: bool = True
    """Whether to read what files say of themselves."""
    trust: Trust | None = None
    """Whose signatures count as verified; `None` for the lists that come with Pyrite."""
    limits: Limits = field(default_factory=Limits)
    """What one image may cost."""

    @staticmethod
    def views_of(infos: Sequence[BundleInfo]) -> tuple[View, ...]:
        """Return how these bundles look at an image."""
        return tuple(View(info.scope, info.preprocess) for info in infos)

    def read(
        self, source: Source, *, path: str | None = None, look: Callable[[Image], None] = lambda image: None
    ) -> Prepared | Unreadable:
        """Decode one image for `Detector.score`.

        It is decoded smaller than it is only where each bundle that judges it allows that.

        Args:
            source: The image.
            path: What to call it in the result; by default, the source where that is a path.
            look: Called with the image, unless it cannot be read.
        """
        if path is None and isinstance(source, str | Path):
            path = str(source)
        image = self.open(source, path=path, reduced=True)
        if isinstance(image, Unreadable):
            return self._read_undecoded(source, path, image.error) if self.evidence else image
        look(image)
        judging = self._judging(image.width, image.height)
        return Prepared(
            path=path,
            sha256=image.sha256,
            format=image.format,
            width=image.width,
            height=image.height,
            frames=image.frames,
            frame=image.frame,
            evidence=tuple(read_evidence(image, self.trust)) if self.evidence else (),
            inputs=tuple(
                view.preprocess.apply(image.pixels, image.box) if view in judging else None for view in self.views
            ),
        )

    def open(self, source: Source, *, path: str | None = None, reduced: bool = False) -> Image | Unreadable:
        """Decode one image, and no more.

        Args:
            source: The image.
            path: What to call it where it cannot be read.
            reduced: Whether it may be smaller than it is, where each bundle that judges it allows that.
        """
        try:
            return open_image(source, self.limits, at_least=self._enough if reduced else None)
        except ImageError as error:
            return Unreadable(path, Failure(error.code, str(error)))

    def _read_undecoded(self, source: Source, path: str | None, failure: Failure) -> Unreadable:
        """Return what the file says where its format is none that is decoded here."""
        if failure.code != "unsupported_format" or self.limits.formats is not None:
            return Unreadable(path, failure)
        try:
            data = read_jxl(source, self.limits)
        except ImageError:
            data = b""  # It is gone by now.
        evidence = tuple(read_file_evidence(data, self.trust))
        return Unreadable(path, failure, evidence, hashlib.sha256(data).hexdigest() if evidence else None)

    def _judging(self, width: int, height: int) -> Sequence[View]:
        """Return the bundles that judge an image of this size: those that have it in scope, or the only one there is.

        A single bundle's score of an image out of its scope decides nothing, but is there for those who measure.
        """
        if len(self.views) == 1:
            return self.views
        return [view for view in self.views if view.scope.contains(width, height)]

    def _enough(self, width: int, height: int) -> tuple[int, int] | None:
        """Return the (height, width) that an image of this size may be reduced to; `None` to leave it as it is."""
        sizes = [view.preprocess.enough for view in self._judging(width, height)]
        wanted = [size for size in sizes if size is not None]
        if len(wanted) < len(sizes):
            return None
        # Where nobody judges it, it is decoded only to see that it can be.
        return max(wanted, key=max, default=(1, 1))
