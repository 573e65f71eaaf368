"""`explain`: from one image to a map of what moved its score, and the figures that tell whether to trust it."""

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from pyrite.bundle import DEFAULT, Bundle
from pyrite.bundle.preprocess import Pixels
from pyrite.decision import Policy
from pyrite.detector import Detector
from pyrite.errors import PyriteError
from pyrite.explanation.faithfulness import count_scored, measure_faithfulness
from pyrite.explanation.occlusion import Floats, make_map, make_neutral, occlude
from pyrite.explanation.opening import Seen, look_at
from pyrite.explanation.picture import draw
from pyrite.explanation.spectra import read_spectra
from pyrite.explanation.values import Explanation
from pyrite.image import Source
from pyrite.results import Detection, Model, Reason, Verdict
from pyrite.spectrum import luma, radial_spectrum
from pyrite.writing import whole_file

_BATCH = 64
_BATCH_BYTES = 8_000_000  # of model inputs, for models that take large ones


def explain(
    source: Source,
    detector: Detector | Bundle | str | Path = DEFAULT,
    *,
    out: str | Path | None = None,
    policy: Policy | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Explanation:
    """Explain the score of one image.

    The model scores 651 images for it: the image with each patch of its map made neutral, and both curves
    of the map and of 19 random orders. No gradients are needed. Of several crops, the one that speaks most for what the
    score leans to is explained; of several bundles, the first that was made for such an image.

    Args:
        source: The image.
        detector: What judges it, or its bundle; by default, the one that comes with Pyrite.
        out: Where the picture goes, if anywhere; a .png file that is there is replaced.
        policy: The error budgets of the verdict; by default, the detector's.
        progress: Called with the number of images scored so far, and the number in all.

    Raises:
        ImageError: The image cannot be read.
        BundleError: The bundle cannot be used.
        PyriteError: No bundle was made for such an image, so that its score decides nothing; or the picture cannot be
            written to `out`.
    """
    if out is not None:
        check_out(out, source)
    detector = detector if isinstance(detector, Detector) else Detector(detector)
    seen = look_at(source, detector)
    detection = detector.score([seen.prepared], [policy] if policy else None)[0]
    explanation = explain_seen(seen, detector, detection, progress)
    if explanation is None:
        raise PyriteError(f"There is no score to explain. {detection.explanation} Its own history can still be shown.")
    if out is not None:
        write_picture(draw(explanation), Path(out))
    return explanation


def explain_seen(
    image: Seen,
    detector: Detector,
    detection: Detection,
    progress: Callable[[int, int], None],
) -> Explanation | None:
    """Return what moved the score of an image, or `None` where no bundle was made for such an image.

    Args:
        image: As it was opened.
        detector: What judged it.
        detection: What that said.
        progress: As `explain` has it.
    """
    place = _place(detection)
    inputs = None if place is None else image.prepared.inputs[place]
    if place is None or inputs is None:
        return None
    info = detector.bundles[place].info
    logits = detector.logits(inputs, place)
    crop = int(np.argmax(logits) if info.preprocess.merge(logits) > 0 else np.argmin(logits))
    seen = inputs[crop]
    slope, intercept = info.calibration.slope, info.calibration.intercept
    total, scored = count_scored(*info.preprocess.size), 0

    def score(inputs: Iterable[Pixels]) -> Floats:
        nonlocal scored
        left, logits = iter(inputs), [np.empty(0, np.float32)]
        while batch := list(itertools.islice(left, max(1, min(_BATCH, _BATCH_BYTES // seen.nbytes)))):
            logits.append(detector.logits(np.stack(batch), place))
            scored += len(batch)
            progress(scored, total)
        found = np.concatenate(logits).astype(np.float64)
        return found if slope is None or intercept is None else slope * found + intercept

    base = float(score([seen])[0])
    neutral = make_neutral(seen)
    patches = occlude(seen, neutral, score, base)
    return Explanation(
        detection=detection,
        model=Model(info.name, info.version),
        leans=Verdict.AI if base > 0 else Verdict.REAL,
        moved=make_map(patches, *info.preprocess.size),
        faithfulness=measure_faithfulness(seen, neutral, score, base, patches),
        spectrum=radial_spectrum(luma(seen)),
        spectra=read_spectra(detector.bundles[place]),
        input_size=info.preprocess.size,
        region=info.preprocess.regions(image.prepared.width, image.prepared.height)[crop],
        scored=scored,
        pixels=image.pixels,
    )


def _place(detection: Detection) -> int | None:
    """Return which bundle's score is explained: the first that judged the image."""
    opinions = [item for item in detection.evidence if item.kind == "pixels"]
    return next((i for i, item in enumerate(opinions) if item.data["reason"] != Reason.OUT_OF_SCOPE), None)


def check_out(out: str | Path, source: Source) -> None:
    """Refuse a place that the picture cannot or should not go to.

    Raises:
        PyriteError: `out` is no .png, is a folder, lies in none, or is the image itself.
    """
    out = Path(out)
    try:
        _check_out(out, source)
    except OSError as error:
        raise PyriteError(f"The picture cannot be written to {out}: {error.strerror or error}.") from error


def _check_out(out: Path, source: Source) -> None:
    if out.suffix.lower() != ".png":
        raise PyriteError(f"The picture is a PNG, so its name must end with .png, and {out.name!r} does not.")
    if not out.parent.is_dir():
        raise PyriteError(f"The picture cannot be written to {out}: there is no folder {out.parent}.")
    if out.is_dir():
        raise PyriteError(f"The picture cannot be written to {out}: that is a folder.")
    if isinstance(source, str | Path) and out.exists() and Path(source).exists() and out.samefile(source):
        raise PyriteError(f"{out} is the image itself. Choose another place for the picture.")


def write_picture(picture: PillowImage.Image, out: Path) -> None:
    """Write a picture as PNG, whole or not at all.

    Raises:
        PyriteError: It cannot be written.
    """
    try:
        with whole_file(out) as draft:
            picture.save(draft, "PNG")
    except OSError as error:
        raise PyriteError(f"The picture {out} cannot be written: {error.strerror or error}.") from error
