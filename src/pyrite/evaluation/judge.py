"""What a detector says of a dataset's images, through the same `Detector` that its users run."""

import hashlib
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from pyrite.bundle.preprocess import Pixels
from pyrite.datasets import Dataset, Progress
from pyrite.datasets.degrade import Change
from pyrite.detector import ConfinedReader, Detector, Reader, Unreadable
from pyrite.errors import EvaluationError
from pyrite.evaluation.choose import Chosen, Indices
from pyrite.evaluation.scores import Floats
from pyrite.image.thumbnail import draw_thumbnail
from pyrite.results import Detection, Failure
from pyrite.runtime import available_cpus
from pyrite.sources import encodable

_WHOLE = Reader(())
"""What opens images that no bundle looks at."""
_AHEAD = 2  # changed images per CPU that wait for the model; few, since they may be large


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


def judge_changed(
    detector: Detector, dataset: Dataset, indices: Sequence[int], changes: Sequence[Change], *, seed: int
) -> Iterator[tuple[int, int, Detection | Failure]]:
    """Yield what the detector says of each image after each change, or why nothing could be said.

    Every image is read once and changed at its own size, a few of them ahead in threads, so that memory does not grow
    with their number.

    Args:
        detector: What judges; without evidence, since changed pixels come without a file.
        dataset: The images.
        indices: Which of them.
        changes: What is done to each.
        seed: Of what a change draws, which depends on this, the file's content and the change alone.

    Yields:
        The places of the change and of the image in what was given, and what was found; of an image that cannot be read
        again, one failure in the place of all changes.
    """
    sent: deque[tuple[int, int]] = deque()
    lost: list[tuple[int, int, Failure]] = []
    for detection in detector.detect_many(_changed(detector, dataset, indices, changes, seed, sent, lost)):
        change, image = sent.popleft()
        yield change, image, _of_change(changes[change], detection.error) if detection.error else detection
    yield from lost


def _changed(
    detector: Detector,
    dataset: Dataset,
    indices: Sequence[int],
    changes: Sequence[Change],
    seed: int,
    sent: deque[tuple[int, int]],
    lost: list[tuple[int, int, Failure]],
) -> Iterator[Pixels]:
    """Yield each image after each change, and note the places of what is yielded and of what is lost."""
    waiting: deque[tuple[int, int, Future[Pixels]]] = deque()

    def finish() -> Iterator[Pixels]:
        change, image, future = waiting.popleft()
        try:
            pixels = future.result()
        except (OSError, ValueError, MemoryError) as error:  # A JPEG has no more than 65,500 pixels a side, say.
            failure = Failure("unreadable", str(error) or type(error).__name__)
            lost.append((change, image, _of_change(changes[change], failure)))
        else:
            sent.append((change, image))
            yield pixels

    cpus = available_cpus()
    pool = ThreadPoolExecutor(cpus, thread_name_prefix="pyrite-degrade")
    try:
        for image, index in enumerate(indices):
            found = _open_again(detector, dataset, index)
            if isinstance(found, Failure):
                lost.append((0, image, found))
                continue
            pixels, sha256 = found
            for place, change in enumerate(changes):
                rng = np.random.default_rng((seed, *sha256, *change.name.encode()))
                waiting.append((place, image, pool.submit(change.apply, pixels, rng)))
                if len(waiting) > _AHEAD * cpus:
                    yield from finish()
        while waiting:
            yield from finish()
    finally:
        pool.shutdown(cancel_futures=True)


def _of_change(change: Change, failure: Failure) -> Failure:
    return replace(failure, message=f"{change.name}: {failure.message}")


def _open_again(detector: Detector, dataset: Dataset, index: int) -> tuple[Pixels, bytes] | Failure:
    """Return an image with the SHA-256 of its file."""
    try:
        data = dataset.read(index)
        found = detector.open(data, _pixels)
    except OSError as error:
        return Failure("unreadable", f"The file cannot be read again: {error}")
    if isinstance(found, Unreadable):
        return replace(found.error, message=f"The file cannot be read again: {found.error.message}")
    return found, hashlib.sha256(data).digest()


def _pixels(reader: Reader, data: bytes) -> Pixels | Unreadable:
    image = reader.open(data)
    return image if isinstance(image, Unreadable) else image.pixels


@dataclass(frozen=True, slots=True)
class UnreadableFile:
    """A file that could not be judged."""

    path: str
    code: str
    message: str

    @classmethod
    def of(cls, path: str, failure: Failure) -> "UnreadableFile":
        """Return what is told of a file and why it could not be judged."""
        return cls(encodable(path), failure.code, encodable(failure.message))


def none_readable(count: int, unreadable: Sequence[UnreadableFile]) -> EvaluationError:
    """Return the error where none of so many images could be read, which names the first."""
    why = f" The first: {unreadable[0].path}: {unreadable[0].message}" if unreadable else ""
    return EvaluationError(f"None of the {count:,} images to judge could be read.{why}")


@dataclass(frozen=True)
class Judged:
    """What was said of the images of a dataset that could be read."""

    indices: Indices
    """(n,), in the dataset."""
    detections: tuple[Detection, ...]
    """(n,), none with an error."""
    unreadable: tuple[UnreadableFile, ...]
    seconds: float
    """To read and judge all images."""

    def select(self, chosen: NDArray[np.bool_]) -> "Judged":
        """Return what was said of some of them."""
        return replace(self, indices=self.indices[chosen], detections=tuple(compress(self.detections, chosen)))


def judge_all(detector: Detector, chosen: Chosen, progress: Progress) -> Judged:
    """Judge the chosen images.

    Args:
        detector: what judges.
        chosen: which images.
        progress: called with how many are judged, and how many there are.

    Raises:
        EvaluationError: none of the images could be read.
    """
    started = time.perf_counter()
    judged: list[tuple[int, Detection]] = []
    unreadable: list[UnreadableFile] = []
    for done, (index, found) in enumerate(judge(detector, chosen.dataset, chosen.indices), start=1):
        if isinstance(found, Failure):
            unreadable.append(UnreadableFile.of(chosen.dataset.paths[index], found))
        else:
            judged.append((index, found))
        progress(done, len(chosen.indices))
    if not judged:
        raise none_readable(len(chosen.indices), unreadable)
    return Judged(
        indices=np.array([index for index, _ in judged], np.intp),
        detections=tuple(detection for _, detection in judged),
        unreadable=tuple(unreadable),
        seconds=time.perf_counter() - started,
    )


@dataclass(frozen=True, slots=True)
class Shown:
    """An image of a report."""

    width: int
    height: int
    png: bytes
    """At most 128 pixels a side."""


def show(dataset: Dataset, index: int, confined: ConfinedReader | None) -> Shown | None:
    """Return an image as it is shown in a report; `None` where it cannot be read or opened with all its pixels."""
    try:
        data = dataset.read(index)
    except OSError:  # It has gone since it was judged.
        return None
    found = _show(_WHOLE, data) if confined is None else confined.call(_WHOLE, _show, data)
    return None if isinstance(found, Unreadable) else Shown(*found)


def _show(reader: Reader, data: bytes) -> tuple[int, int, bytes] | Unreadable:
    image = reader.open(data)
    return image if isinstance(image, Unreadable) else (image.width, image.height, draw_thumbnail(image.pixels))


def values_of(detector: Detector, detections: Sequence[Detection]) -> Floats:
    """Return what ranks these images (n,) by their pixels, the higher, the more like AI; none may have an error.

    That is the probability, also where it decides nothing. Where there is none (`why_no_probability`), it is a single
    bundle's logit, and of several ln p_ai - ln p_real of the merged p-values, in which one that is missing counts as 1.
    """
    if detector.is_merged:
        p_values = ([d.p_real for d in detections], [d.p_ai for d in detections])
        return rank_by_p_values(*(np.array(found, np.float64) for found in p_values))
    logits = np.array([detection.logit for detection in detections], np.float64)
    found = detector.bundle.info.calibration.probability(logits)
    return logits if found is None else found


def rank_by_p_values(p_real: Floats, p_ai: Floats) -> Floats:
    """Return ln p_ai - ln p_real of images (n,), where a p-value that is missing, NaN, counts as 1."""
    real, ai = (np.log(np.where(np.isnan(p), 1.0, p)) for p in (p_real, p_ai))
    return np.asarray(ai - real, np.float64)


def why_no_probability(detector: Detector) -> str | None:
    """Return a sentence for the reader of a report whose images have no probability; `None` where they have."""
    why = ranked_without(detector)
    return why and (
        f"{why}, and figures that need one are left out: accuracy, precision, recall and F1 at probability 0.5, "
        "slices, ECE, Brier score, reliability and the histogram."
    )


def ranked_without(detector: Detector) -> str | None:
    """Return why images have no probability and what ranks them, to go on with; `None` where they have one."""
    if detector.gives_probability:
        return None
    return (
        "Several bundles have no probability in common, so images are ranked by ln p_ai − ln p_real of the merged "
        "p-values (a missing one counts as 1)"
        if detector.is_merged
        else "The calibration of this bundle gives no probability, so images are ranked by its logit"
    )
