"""Explaining in a process that can be killed."""

import io
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from pyrite.detector import Detector, Unreadable
from pyrite.errors import BundleError, ImageError
from pyrite.explanation import explain as run
from pyrite.explanation.picture import draw
from pyrite.results import Failure
from pyrite.serving.decoding import this_plan


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be explained, and with which bundle."""

    bundle: str
    model_sha256: str
    source: bytes | Path
    path: str | None
    max_fpr: float


@dataclass(frozen=True, slots=True)
class Explained:
    """The answer: the figures as `Explanation.to_json` has them, and the picture as PNG."""

    figures: bytes
    picture: bytes


def explain(asked: Asked) -> Explained | Unreadable:
    """Explain an image, in a process of a `Pool`.

    Raises:
        BundleError: The bundle is not what it was when the server started.
    """
    detector = _load(asked.bundle, asked.model_sha256, asked.max_fpr)
    try:
        found = run(asked.source, detector)
    except ImageError as error:
        return Unreadable(asked.path, Failure(error.code, str(error)))
    picture = io.BytesIO()
    draw(found).save(picture, "PNG")
    # Not the name of the file that an upload was put into.
    found = replace(found, detection=replace(found.detection, path=asked.path))
    return Explained(found.to_json(), picture.getvalue())


@cache
def _open(bundle: str, model_sha256: str) -> Detector:
    plan = this_plan()
    detector = Detector(bundle, trust=plan.trust, limits=plan.limits, threads=1)
    if detector.bundle.info.files["model.onnx"] != model_sha256:
        raise BundleError(f"The bundle {bundle} has changed since the server was started. Start it again.")
    return detector


def _load(bundle: str, model_sha256: str, max_fpr: float) -> Detector:
    detector = _open(bundle, model_sha256)
    # One request at a time is at work in a process.
    detector.policy = detector.policy_for(max_fpr)
    return detector
