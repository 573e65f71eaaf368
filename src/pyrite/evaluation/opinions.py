"""What each bundle of a panel says of a dataset's images: what calibrations are made of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from pyrite.bundle import Panel
from pyrite.datasets import Dataset, content_hashes, content_sha256
from pyrite.detector import Detector
from pyrite.errors import EvaluationError
from pyrite.evaluation.choose import Indices, trained_on
from pyrite.evaluation.judge import UnreadableFile, judge, none_readable
from pyrite.evaluation.scores import Floats
from pyrite.results import Detection, Failure, Reason
from pyrite.sources import encodable
from pyrite.writing import whole_file, whole_lines


@dataclass(frozen=True)
class Scored:
    """Scores of n images, and what is not among them."""

    indices: Indices
    """(n,), in the dataset."""
    scores: dict[str, Floats]
    """(n,) logits of each bundle, by its name; NaN where it has the image out of scope."""
    groups: tuple[str, ...] | None
    """(n,), of each image, where a column says so."""
    hashes: tuple[str, ...]
    """(n,), each file's hexadecimal SHA-256."""
    data_sha256: str
    """Of the whole dataset's content and labels."""
    trained: int
    """Images left out because they trained a bundle, or chose or calibrated it."""
    copies: int
    """Images left out because another one has their bytes."""
    unreadable: tuple[UnreadableFile, ...]
    resumed: int
    """Images whose scores an interrupted run had kept."""


Logits = Mapping[str, float | None]
"""Of each bundle by its name; `None` where it has the image out of scope."""


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first line of a file of scores."""

    bundles: dict[str, str]
    """Name to hash."""


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Each other line: the scores of one image."""

    sha256: str
    logits: dict[str, float | None]


def kept_beside(out: Path) -> Path:
    """Return where the scores are kept that go into what is written to `out`."""
    return out.with_name(f"{out.name}.scores")


def score_images(
    panel: Panel,
    dataset: Dataset,
    *,
    keep: Path,
    progress: Callable[[int, int], None],
) -> Scored:
    """Score a dataset's images by each bundle; one that has an image out of scope gives no score for it.

    Args:
        panel: The bundles, each with a name of its own.
        dataset: The images. Those that trained a bundle are left out, and copies of others.
        keep: A file in which scores are kept as they come, so that an interrupted run goes on from there. The caller
            removes it once they have served.
        progress: Called with how many are judged, and how many there are.

    Raises:
        EvaluationError: No image is left, `keep` has scores by other bundles, or it cannot be written.
    """
    hashes = np.array(content_hashes(dataset))
    trained = trained_on(panel, hashes.tolist())
    first = np.zeros(len(dataset), np.bool_)
    first[np.unique(hashes, return_index=True)[1]] = True
    first |= hashes == ""  # Those that cannot be read are told of as such.
    kept = np.flatnonzero(first & ~trained)
    if not len(kept):
        raise EvaluationError(
            f"None of the {len(dataset):,} images of {encodable(dataset.name)} is left: {int(trained.sum()):,} trained "
            "a bundle. Calibrate with others."
        )
    detector = Detector(panel, evidence=False)
    unreadable: list[UnreadableFile] = []
    found = _KeptScores(keep, {bundle.info.name: bundle.sha256 for bundle in panel.bundles})
    resumed = [i for i in kept if hashes[i] in found]
    missing = [int(i) for i in kept if hashes[i] not in found]
    for done, (index, said) in enumerate(judge(detector, dataset, missing), len(resumed) + 1):
        if isinstance(said, Failure):
            unreadable.append(UnreadableFile.of(dataset.paths[index], said))
        elif not hashes[index]:
            # It can be read by now, but nobody has looked whether it is a copy or trained a bundle.
            late = Failure("unreadable", "It could not be read at first.")
            unreadable.append(UnreadableFile.of(dataset.paths[index], late))
        else:
            found.add(str(hashes[index]), _logits(said))
        progress(done, len(kept))
    indices = np.array([i for i in kept if hashes[i] in found], np.intp)
    if not len(indices):
        raise none_readable(len(kept), unreadable)
    names = [bundle.info.name for bundle in panel.bundles]
    groups = dataset.groups
    return Scored(
        indices=indices,
        scores={name: np.array([found[hashes[i]].get(name) for i in indices], np.float64) for name in names},
        groups=None if groups is None else tuple(encodable(groups[i]) or "none" for i in indices),
        hashes=tuple(hashes[indices].tolist()),
        data_sha256=content_sha256(dataset, hashes.tolist()),
        trained=int(trained.sum()),
        copies=int(np.sum(~first & ~trained)),
        unreadable=tuple(unreadable),
        resumed=len(resumed),
    )


def _logits(detection: Detection) -> dict[str, float | None]:
    said = [item.data for item in detection.evidence if item.kind == "pixels"]
    return {data["bundle"]: None if data["reason"] == Reason.OUT_OF_SCOPE else data["logit"] for data in said}


class _KeptScores:
    """Scores by the image's hash, in memory and in a file, which an interrupted run may have begun."""

    def __init__(self, path: Path, bundles: dict[str, str]) -> None:
        """Take up what the file has.

        Raises:
            EvaluationError: It has scores by other bundles, is damaged, or cannot be written.
        """
        self._path = path
        header = msgspec.json.encode(_Header(bundles)) + b"\n"
        try:
            begun = b""
            if path.exists():
                with path.open("rb") as stream:
                    begun = stream.read(len(header))
            if not header.startswith(begun):
                raise EvaluationError(f"{path} has scores by other bundles. Remove it, or write to another place.")
            if begun != header:  # Nothing is there, or no more than a part of this.
                with whole_file(path) as draft:
                    draft.write_bytes(header)
            rows = (msgspec.json.decode(line, type=_Row) for line in whole_lines(path)[1:])
            self._found = {row.sha256: row.logits for row in rows}
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise EvaluationError(f"{path} is damaged: {error}. Remove it.") from error
        except OSError as error:
            raise self._refused(error) from error

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self._found

    def __getitem__(self, sha256: str) -> Logits:
        return self._found[sha256]

    def add(self, sha256: str, logits: dict[str, float | None]) -> None:
        """Keep the scores of one image.

        Raises:
            EvaluationError: The file cannot be written.
        """
        self._found[sha256] = logits
        try:
            with self._path.open("ab") as stream:
                stream.write(msgspec.json.encode(_Row(sha256, logits)) + b"\n")
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> EvaluationError:
        return EvaluationError(f"{self._path} cannot be written: {error.strerror}.")
