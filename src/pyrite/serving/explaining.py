"""Explaining, and tracing what was done to an image, in a process that can be killed."""

import io
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import msgspec

from pyrite.bundle import JointCalibration, Panel
from pyrite.decision import Policy
from pyrite.detector import Detector, Unreadable
from pyrite.detector.reading import this_reader
from pyrite.errors import BundleError, ImageError, PyriteError
from pyrite.explanation import explain as run
from pyrite.explanation.history import trace_history
from pyrite.explanation.maps import pack_history
from pyrite.explanation.picture import PNG, draw
from pyrite.image import open_image
from pyrite.image.thumbnail import picture_url
from pyrite.results import Failure
from pyrite.sandbox import tell

_SMALL = 320  # pixels a side of a small picture, at most; as the page makes its own


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be explained, and with which bundles."""

    bundles: tuple[tuple[str, str], ...]
    """Where each lies, and its model's SHA-256."""
    calibration: bytes | None
    """Of all of them together, as JSON; see `Panel`."""
    device: str
    source: bytes | Path
    path: str | None
    policy: Policy


@dataclass(frozen=True, slots=True)
class Explained:
    """The answer: the figures as `Explanation.to_json` has them, and the picture as PNG."""

    figures: bytes
    picture: bytes


def explain(asked: Asked) -> Explained | Unreadable:
    """Explain an image, in a process of a `Pool`.

    Raises:
        BundleError: A bundle is not what it was when the server started.
    """
    detector = _open(asked.bundles, asked.calibration, asked.device)
    try:
        found = run(asked.source, detector, policy=asked.policy, progress=tell)
    except ImageError as error:
        return Unreadable(asked.path, Failure(error.code, str(error)))
    except BundleError:
        raise
    except PyriteError as error:  # Nothing judges such an image, so there is no score to explain.
        return Unreadable(asked.path, Failure("out_of_scope", str(error)))
    picture = io.BytesIO()
    draw(found).save(picture, **PNG)
    # Not the name of the file that an upload was put into.
    found = replace(found, detection=replace(found.detection, path=asked.path))
    return Explained(found.to_json(), picture.getvalue())


def trace(source: bytes | Path, path: str | None) -> bytes | Unreadable:
    """Return the history of an image as JSON, with its maps as pictures; in a process of a `Pool`.

    Args:
        source: The image.
        path: What to call it.
    """
    try:
        image = open_image(source, this_reader().limits)
    except ImageError as error:
        return Unreadable(path, Failure(error.code, str(error)))
    return msgspec.json.encode(pack_history(trace_history(image)))


def draw_small(source: bytes | Path, path: str | None) -> bytes | Unreadable:
    """Return an image as a small picture, a data URL in JSON; in a process of a `Pool`.

    Args:
        source: The image.
        path: What to call it.
    """
    try:
        image = open_image(source, this_reader().limits, at_least=(_SMALL // 4, _SMALL // 4))
    except ImageError as error:
        return Unreadable(path, Failure(error.code, str(error)))
    return msgspec.json.encode({"picture": picture_url(image.pixels, _SMALL)})


@cache
def _open(bundles: tuple[tuple[str, str], ...], calibration: bytes | None, device: str) -> Detector:
    reader, panel = this_reader(), Panel.open([folder for folder, _ in bundles])
    for bundle, (folder, model_sha256) in zip(panel.bundles, bundles, strict=True):
        if bundle.model_sha256 != model_sha256:
            raise BundleError(f"The bundle {folder} has changed since the server was started. Start it again.")
    if calibration is not None:
        panel = replace(panel, calibration=msgspec.json.decode(calibration, type=JointCalibration))
    return Detector(panel, trust=reader.trust, limits=reader.limits, threads=1, device=device)
