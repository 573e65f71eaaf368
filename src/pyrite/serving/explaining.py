"""Explaining in a process that can be killed."""

import io
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from pyrite.detector import Detector, Unreadable
from pyrite.errors import BundleError, ImageError, PyriteError
from pyrite.explanation import explain as run
from pyrite.explanation.picture import draw
from pyrite.results import Failure
from pyrite.serving.decoders import this_reader


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
    detector = _open(asked.bundle, asked.model_sha256)
    try:
        found = run(asked.source, detector, policy=detector.policy_for(asked.max_fpr))
    except ImageError as error:
        return Unreadable(asked.path, Failure(error.code, str(error)))
    except BundleError:
        raise
    except PyriteError as error:  # Nothing judges such an image, so there is no score to explain.
        return Unreadable(asked.path, Failure("out_of_scope", str(error)))
    picture = io.BytesIO()
    draw(found).save(picture, "PNG")
    # Not the name of the file that an upload was put into.
    found = replace(found, detection=replace(found.detection, path=asked.path))
    return Explained(found.to_json(), picture.getvalue())


@cache
def _open(bundle: str, model_sha256: str) -> Detector:
    reader = this_reader()
    detector = Detector(bundle, trust_anchors=reader.trust_anchors, limits=reader.limits, threads=1)
    if detector.bundle.model_sha256 != model_sha256:
        raise BundleError(f"The bundle {bundle} has changed since the server was started. Start it again.")
    return detector
