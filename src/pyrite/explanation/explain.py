"""`explain`: a map of what moved the score of one image, and figures that say whether to trust it."""

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from pyrite.bundle import DEFAULT, Bundle
from pyrite.bundle.preprocess import Crops, Pixels
from pyrite.decision import Policy
from pyrite.detector import Detector
from pyrite.errors import PyriteError
from pyrite.explanation.crops import (
    HALVES,
    QUARTERS,
    arrange,
    count_ways,
    explain_crops,
    find_spans,
    read_logits,
    score_ways,
)
from pyrite.explanation.faithfulness import FEWEST_STEPS, STEPS, count_scored, measure_faithfulness
from pyrite.explanation.occlusion import Floats, make_map, make_neutral, map_size, occlude
from pyrite.explanation.opening import Seen, look_at
from pyrite.explanation.picture import PNG, draw
from pyrite.explanation.spectra import read_spectra
from pyrite.explanation.values import Explanation
from pyrite.image import Source
from pyrite.results import Detection, Model, Reason, Verdict
from pyrite.spectrum import luma, radial_spectrum
from pyrite.writing import whole_file

_BATCH = 64
_BATCH_BYTES = 1_000_000  # of model inputs, where they are large: progress is told after each batch
_BUDGET = 3_000_000
"""Pixels of model inputs up to which a map is scored in full; with more pixels, fewer inputs are scored.

The cost of a network grows with its pixels. A limit on time would make results depend on the machine."""


def explain(
    source: Source,
    detector: Detector | Bundle | str | Path = DEFAULT,
    *,
    out: str | Path | None = None,
    policy: Policy | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Explanation:
    """Explain the score of one image.

    The model scores 651 inputs for it: the image with each patch of its map made neutral, and both curves of the map
    and of 19 random orders. If inputs are large, it scores 171. Of several crops, each is scored with every choice of
    its quarters, or halves, made neutral: 16 or 4 times, which is enough for all curves. No gradients are needed. Of
    several bundles, the first that was made for this image is explained.

    Args:
        source: The image.
        detector: What judges it, or its bundle; by default, the one that comes with Pyrite.
        out: Where the picture goes, if anywhere; a .png file that is there is replaced.
        policy: The error budgets of the verdict; by default, the detector's.
        progress: Called with the number of model inputs scored so far, and the number in all.

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
        raise PyriteError(
            f"There is no score to explain. {detection.explanation} The image's own history can still be shown."
        )
    if out is not None:
        write_picture(draw(explanation), Path(out))
    return explanation


def explain_seen(
    image: Seen,
    detector: Detector,
    detection: Detection,
    progress: Callable[[int, int], None],
) -> Explanation | None:
    """Return what moved the score of an image, or `None` if no bundle was made for it.

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
    geometry, slope, intercept = info.preprocess, info.calibration.slope, info.calibration.intercept
    crop = inputs[0]
    several, pixels = len(inputs) > 1, len(inputs) * crop.size // 3
    parts = QUARTERS if count_ways(QUARTERS) * pixels <= _BUDGET else HALVES
    steps = STEPS if count_scored(*geometry.size) * pixels <= _BUDGET else FEWEST_STEPS
    total, scored = len(inputs) * count_ways(parts) if several else count_scored(*geometry.size, steps), 0

    def logits(inputs: Iterable[Pixels]) -> Floats:
        nonlocal scored
        left, found = iter(inputs), [np.empty(0, np.float32)]
        while batch := list(itertools.islice(left, max(1, min(_BATCH, _BATCH_BYTES // crop.nbytes)))):
            found.append(detector.logits(np.stack(batch), place))
            scored += len(batch)
            progress(scored, total)
        return np.concatenate(found).astype(np.float64)

    def calibrate(found: Floats) -> Floats:
        return found if slope is None or intercept is None else slope * found + intercept

    regions = geometry.regions(image.prepared.width, image.prepared.height)
    lefts, tops, rights, bottoms = zip(*regions, strict=True)
    if several:
        table = score_ways(inputs, parts, logits)
        moved, faithfulness, base = explain_crops(
            lambda hidden: calibrate(read_logits(table, hidden, geometry.merge)), len(inputs), parts
        )
        moved = arrange(moved, len(set(tops)), parts)
        whole = table[:, 0]  # With nothing hidden.
        crop = inputs[int(np.argmax(whole) if geometry.merge(whole) > 0 else np.argmin(whole))]
    else:

        def score(inputs: Iterable[Pixels]) -> Floats:
            return calibrate(logits(inputs))

        base, neutral = float(score([crop])[0]), make_neutral(crop)
        patches = occlude(crop, neutral, score, base)
        moved, parts = make_map(patches, *geometry.size), map_size(*geometry.size)
        faithfulness = measure_faithfulness(crop, neutral, score, base, patches, steps=steps)
    region = min(lefts), min(tops), max(rights), max(bottoms)
    height, width = geometry.size if isinstance(geometry, Crops) else (region[3] - region[1], region[2] - region[0])
    return Explanation(
        detection=detection,
        model=Model(info.name, info.version),
        leans=Verdict.AI if base > 0 else Verdict.REAL,
        moved=moved,
        faithfulness=faithfulness,
        spectrum=radial_spectrum(luma(crop)),
        spectra=read_spectra(detector.bundles[place]),
        input_size=geometry.size,
        region=region,
        rows=find_spans(list(zip(tops, bottoms, strict=True)), parts[0], height),
        columns=find_spans(list(zip(lefts, rights, strict=True)), parts[1], width),
        scored=scored,
        pixels=image.pixels,
    )


def _place(detection: Detection) -> int | None:
    """Return the index of the bundle to explain: the first that judged the image."""
    opinions = [item for item in detection.evidence if item.kind == "pixels"]
    return next((i for i, item in enumerate(opinions) if item.data["reason"] != Reason.OUT_OF_SCOPE), None)


def check_out(out: str | Path, source: Source) -> None:
    """Refuse a path that the picture cannot or should not be written to.

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
            picture.save(draft, **PNG)
    except OSError as error:
        raise PyriteError(f"The picture {out} cannot be written: {error.strerror or error}.") from error
