"""`examine`: the explanation of an image's score, if a bundle judges it, and its own history, in one picture."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as PillowImage

from pyrite.bundle import DEFAULT, Bundle
from pyrite.decision import Policy
from pyrite.detector import Detector
from pyrite.explanation.drawing import framed, stack
from pyrite.explanation.explain import check_out, explain_seen, write_picture
from pyrite.explanation.history import History
from pyrite.explanation.maps import draw_history
from pyrite.explanation.opening import look_at
from pyrite.explanation.picture import draw, draw_verdict
from pyrite.explanation.values import FIGURES, Explanation, for_json
from pyrite.image import Source
from pyrite.results import Detection
from pyrite.writing import indented_json

_LINE = 60  # A line of text is about so many times as wide as its letters are high.


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Examination:
    """Everything that can be shown about one image."""

    detection: Detection
    explanation: Explanation | None
    """What moved its score; `None` if no bundle was made for this image."""
    history: History

    def to_json(self) -> bytes:
        """Return the figures as JSON: those of the explanation, null if there is none, and `history`."""
        explained = self.explanation.figures() if self.explanation else {}
        content = dict.fromkeys(FIGURES) | {"detection": for_json(self.detection)} | explained
        content["history"] = self.history.to_builtins()
        return indented_json(content)

    def describe(self) -> tuple[str, ...]:
        """Return what was found, one sentence a line."""
        score = self.explanation.describe() if self.explanation else (_unexplained(self.detection),)
        return (*score, *self.history.describe())


def examine(
    source: Source,
    detector: Detector | Bundle | str | Path = DEFAULT,
    *,
    out: str | Path | None = None,
    policy: Policy | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Examination:
    """Explain the score of one image, if it has one, and show its own history.

    Args:
        source: The image.
        detector: What judges it, or its bundle; by default, the one that comes with Pyrite.
        out: Where the picture goes, if anywhere; a .png file that is there is replaced.
        policy: The error budgets of the verdict; by default, the detector's.
        progress: Called with the number of images scored so far, and the number in all.

    Raises:
        ImageError: The image cannot be read.
        BundleError: The bundle cannot be used.
        PyriteError: The picture cannot be written to `out`.
    """
    if out is not None:
        check_out(out, source)
    detector = detector if isinstance(detector, Detector) else Detector(detector)
    seen = look_at(source, detector, history=True)
    assert seen.history is not None
    detection = detector.score([seen.prepared], [policy] if policy else None)[0]
    explanation = explain_seen(seen, detector, detection, progress)
    examination = Examination(detection=detection, explanation=explanation, history=seen.history)
    if out is not None:
        write_picture(draw_examination(examination), Path(out))
    return examination


def draw_examination(examination: Examination) -> PillowImage.Image:
    """Return the picture of the explanation above that of the history; without an explanation, it says so."""
    picture = draw_history(examination.history)
    if examination.explanation is not None:
        return stack([draw(examination.explanation), picture], 0)
    size = picture.width / _LINE
    width = round(picture.width - 2 * size)
    head = draw_verdict(examination.detection, _unexplained(examination.detection), width, size)
    return stack([framed(head, round(size)), picture], 0)


def _unexplained(detection: Detection) -> str:
    return f"No loaded bundle was made for this image, so there is no score to explain. {detection.explanation}"
