"""What a detector says of a dataset's images, through the same `Detector` that its users run."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from pyrite.datasets import Dataset
from pyrite.detector import Detector
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


def probabilities(detector: Detector, detections: Sequence[Detection]) -> NDArray[np.float64]:
    """Return the probability of AI (n,) by the pixels, also where it decides nothing, of detections without an error.

    A bundle that images of one class have calibrated, or none, gives the logistic function of its logit.
    """
    logits = np.array([detection.logit for detection in detections], np.float64)
    found = detector.bundle.info.calibration.probability(logits)
    return np.exp(-np.logaddexp(0, -logits)) if found is None else found
