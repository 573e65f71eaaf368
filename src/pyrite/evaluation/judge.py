"""What a detector says of a dataset's images, through the same `Detector` that its users run."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from pyrite.datasets import Dataset
from pyrite.detector import Detector
from pyrite.evaluation.scores import Floats
from pyrite.results import Detection, Failure


def judge(detector: Detector, dataset: Dataset, indices: Iterable[int]) -> Iterator[tuple[int, Detection | Failure]]:
    """Yield each index with what the detector says of its image, or why nothing could be said."""
    sent: deque[int] = deque()
    lost: list[tuple[int, Failure]] = []

    def sources() -> Iterator[bytes]:
        for index in indices:
            try:
                data = dataset.read(int(index))
            except OSError as error:
                lost.append((int(index), Failure("unreadable", f"The file cannot be read: {error}")))
            else:
                sent.append(int(index))
                yield data

    for detection in detector.detect_many(sources()):
        yield sent.popleft(), detection.error or detection
    yield from lost


def values_of(detector: Detector, detections: Sequence[Detection]) -> Floats:
    """Return what ranks these images (n,) by their pixels, the higher, the more like AI; none may have an error.

    That is the probability, also where it decides nothing. Where there is none (`why_no_probability`), it is a single
    bundle's logit, and of several ln p_ai - ln p_real of the merged p-values, in which one that is missing counts as 1.
    """
    if len(detector.bundles) > 1:
        p_real, p_ai = (
            np.array([1.0 if p is None else p for p in found], np.float64)
            for found in ([d.p_real for d in detections], [d.p_ai for d in detections])
        )
        return np.log(p_ai) - np.log(p_real)
    logits = np.array([detection.logit for detection in detections], np.float64)
    found = detector.bundle.info.calibration.probability(logits)
    return logits if found is None else found


def why_no_probability(detector: Detector) -> str | None:
    """Return a sentence for the reader of a report whose images have no probability; `None` where they have."""
    if detector.gives_probability:
        return None
    why = (
        "Several bundles have no probability in common, so images are ranked by ln p_ai − ln p_real of the merged "
        "p-values (a missing one counts as 1)"
        if len(detector.bundles) > 1
        else "The calibration of this bundle gives no probability, so images are ranked by its logit"
    )
    return (
        f"{why}, and figures that need one are left out: accuracy, precision, recall and F1 at probability 0.5, "
        "slices, ECE, Brier score, reliability and the histogram."
    )
