"""What a detector says of a dataset's images, through the same `Detector` that its users run."""

from collections import deque
from collections.abc import Iterable, Iterator

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
