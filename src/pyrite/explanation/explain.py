"""`explain`: from one image to a map of what moved its score, and the figures that tell whether to trust it."""

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from pyrite.bundle import DEFAULT, Bundle
from pyrite.bundle.preprocess import Pixels
from pyrite.detector import Detector
from pyrite.errors import PyriteError
from pyrite.explanation.faithfulness import count_scored, measure_faithfulness
from pyrite.explanation.occlusion import Floats, make_map, make_neutral, occlude
from pyrite.explanation.picture import LARGEST, draw
from pyrite.explanation.spectra import read_spectra
from pyrite.explanation.values import Explanation
from pyrite.image import Box, Source, open_image
from pyrite.results import Verdict
from pyrite.spectrum import luma, radial_spectrum
from pyrite.writing import whole_file

_BATCH = 64
_BATCH_BYTES = 8_000_000  # of model inputs, for models that take large ones


def explain(
    source: Source,
    detector: Detector | Bundle | str | Path = DEFAULT,
    *,
    out: str | Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Explanation:
    """Explain the score of one image.

    The model scores 651 images for it: the image with each patch of its map made neutral, and both curves
    of the map and of 19 random orders. No gradients are needed.

    Args:
        source: The image.
        detector: What judges it, or its bundle; by default, the one that comes with Pyrite.
        out: Where the picture goes, if anywhere; a .png file that is there is replaced.
        progress: Called with the number of images scored so far, and the number in all.

    Raises:
        ImageError: The image cannot be read.
        BundleError: The bundle cannot be used.
        PyriteError: The picture cannot be written to `out`.
    """
    if out is not None:
        check_out(out, source)
    detector = detector if isinstance(detector, Detector) else Detector(detector)
    bundle = detector.bundle
    spectra = read_spectra(bundle)
    # The longer side that is asked for comes at no less than 8 times that.
    image = open_image(source, detector.limits, at_least=(LARGEST // 8, LARGEST // 8))
    again = image.data or source  # A stream can be read once only.
    preprocess = bundle.info.preprocess
    small = open_image(again, detector.limits, at_least=preprocess.size)
    seen = preprocess.apply(small.pixels, small.box)
    detection = detector.detect(again, path=str(source) if isinstance(source, str | Path) else None)
    calibration = bundle.info.calibration
    total, scored = count_scored(*preprocess.size), 0

    def score(inputs: Iterable[Pixels]) -> Floats:
        nonlocal scored
        left, logits = iter(inputs), [np.empty(0, np.float32)]
        while batch := list(itertools.islice(left, max(1, min(_BATCH, _BATCH_BYTES // seen.nbytes)))):
            logits.append(detector.logits(np.stack(batch)))
            scored += len(batch)
            progress(scored, total)
        return calibration.slope * np.concatenate(logits).astype(np.float64) + calibration.intercept

    base = float(score([seen])[0])
    neutral = make_neutral(seen)
    patches = occlude(seen, neutral, score, base)
    explanation = Explanation(
        detection=detection,
        leans=Verdict.AI if base > 0 else Verdict.REAL,
        moved=make_map(patches, *preprocess.size),
        faithfulness=measure_faithfulness(seen, neutral, score, base, patches),
        spectrum=radial_spectrum(luma(seen)),
        spectra=spectra,
        input_size=preprocess.size,
        scored=scored,
        pixels=_at_most(image.pixels, image.box, image.width, image.height),
    )
    if out is not None:
        _write(draw(explanation), Path(out))
    return explanation


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


def _at_most(pixels: Pixels, box: Box, width: int, height: int) -> Pixels:
    scale = min(1.0, LARGEST / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if pixels.shape[:2] == (size[1], size[0]):
        return pixels
    return np.asarray(PillowImage.fromarray(pixels).resize(size, PillowImage.Resampling.LANCZOS, box))


def _write(picture: PillowImage.Image, out: Path) -> None:
    try:
        with whole_file(out) as draft:
            picture.save(draft, "PNG")
    except OSError as error:
        raise PyriteError(f"The picture {out} cannot be written: {error.strerror or error}.") from error
