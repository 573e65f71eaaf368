"""What could make a score on a dataset a lie, before anyone trains: copies, leaks, shortcuts."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from pyrite.auditing.advice import advise
from pyrite.auditing.bias import Bias, find_biases
from pyrite.auditing.copies import Copies, apart, count_identical, count_near
from pyrite.bundle.preprocess import Pixels, Resize
from pyrite.datasets import Dataset, Watch, altered, content_sha256, decode
from pyrite.datasets.duplicates import Pairs, cluster, find_copies, find_near_copies, join_pairs
from pyrite.datasets.shortcuts import measure_facts
from pyrite.datasets.views import read_views
from pyrite.errors import DatasetError, ImageError, require
from pyrite.evaluation import plots
from pyrite.evaluation.floor import FAMILIES, Floor, measure_floor
from pyrite.evaluation.judge import UnreadableFile
from pyrite.evaluation.plots import Spectrum
from pyrite.evaluation.report import claimed, environment, write_files
from pyrite.image import open_image
from pyrite.image.thumbnail import draw_thumbnail
from pyrite.provenance import current_command, package_versions, source_commit
from pyrite.sources import encodable
from pyrite.writing import indented_json

Indices = NDArray[np.intp]

_SIDE = 32  # pixels that images are compared at
_SHOWN = 12  # pairs of each kind on the page
_LISTED = 50  # of the unreadable files on the page; audit.json has them all


KINDS = {
    "near": "Near copies",
    "mirrored": "Mirrored copies",
    "bordered": "Bordered copies",
    "cropped": "Cropped copies",
}
"""The kinds of copies that are not identical, in the order in which a pair is given to the first that it fits."""


@dataclass(frozen=True, slots=True)
class NearPair:
    """Two images that show the same but for next to nothing, or for a change of one kind."""

    kind: str
    """A key of `KINDS`."""
    first: str
    second: str
    likeness: float
    """The correlation of their details, to 1."""


@dataclass(frozen=True, slots=True)
class ImageSpectra:
    """The radial spectrum of each class, band by band up to the Nyquist frequency."""

    real: Spectrum
    ai: Spectrum


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Everything that an audit found; its fields are the JSON's."""

    format: Literal[1] = 1
    data: str
    data_sha256: str
    """Of the content and labels."""
    command: str
    commit: str | None
    packages: dict[str, str]
    seed: int
    images: int
    """That can be read; all that follows is of them."""
    real: int
    ai: int
    splits: dict[str, int]
    """Images of each of the data's own splits."""
    advice: tuple[str, ...]
    """What to do, the most urgent first."""
    identical: Copies
    near: Copies
    """Of images that are not identical; of those that are, one stands for all."""
    mirrored: Copies
    """Left to right. Of images that are no near copies, like all that follow: each pair is of one kind."""
    bordered: Copies
    """One has a border of one colour, or bars, around what the other shows."""
    cropped: Copies
    """One is the middle of the other."""
    biases: tuple[Bias, ...]
    """Facts of the files that split the classes, the strongest first."""
    floor: Floor
    spectra: ImageSpectra | None
    """`None` without images of both classes."""
    identical_files: tuple[tuple[str, ...], ...]
    """Paths, group by group."""
    near_pairs: tuple[NearPair, ...]
    """Of every kind, one after the other, the more alike first."""
    unreadable: tuple[UnreadableFile, ...]

    def to_json(self) -> bytes:
        """Return the audit as indented JSON."""
        return indented_json(self, indent=1)


def audit(
    data: Dataset | str | Path,
    *,
    out: str | Path | None = None,
    seed: int = 0,
    watch: Watch = lambda stage, done, total: None,
) -> Audit:
    """Look for what could inflate a score on this data, and write a report to `out` if it is given.

    Args:
        data: the images or where they lie.
        out: the folder for `audit.json` and `audit.html`.
        seed: of the folds, the bootstrap, and the draws where there are more than 100,000 images, or 10,000 for crops.
        watch: called with every stage and how far it is.

    Raises:
        DatasetError: the data cannot be used, or none of its images can be read.
        EvaluationError: `out` cannot be written.
        MissingExtraError: scikit-learn, SciPy or Matplotlib is not installed.
    """
    require("train", "sklearn", "scipy", "matplotlib")
    with claimed(out):
        return _audit(data if isinstance(data, Dataset) else Dataset.open(data), out, seed, watch)


def _audit(dataset: Dataset, out: str | Path | None, seed: int, watch: Watch) -> Audit:
    def stage(name: str) -> Callable[[int, int], None]:
        watch(name, 0, 0)
        return lambda done, total: watch(name, done, total)

    decoded = decode(dataset, Resize(height=_SIDE, width=_SIDE), stage("Decoding"))
    failures = dict(sorted(decoded.failures.items()))
    readable = np.setdiff1d(np.arange(len(dataset)), np.array(list(failures), np.intp))
    if not len(readable):
        first = f" The first: {dataset.paths[0]}: {failures[0].message}" if failures else ""
        raise DatasetError(f"None of the {len(dataset):,} files of {dataset.name} can be read.{first}")
    hashes = tuple("" if i in failures else value for i, value in enumerate(decoded.hashes))
    groups = find_copies(hashes)
    repeats = np.concatenate([readable[:0], *(group[1:] for group in groups)])
    chosen = np.setdiff1d(readable, repeats)
    pairs = _find_pairs(dataset, decoded.pixels, chosen, seed, stage)
    clusters = cluster(len(dataset), groups, join_pairs(*pairs.values()))
    facts = measure_facts(dataset, stage("Measuring shortcuts"))
    stage("Validating shortcuts")
    floor = measure_floor(facts, dataset.labels, clusters, seed=seed)
    biases = find_biases(facts.traits[facts.readable], dataset.labels[facts.readable])
    labels = dataset.labels[readable]
    identical = count_identical(dataset, groups, len(readable))
    copies = {
        kind: count_near(
            dataset, groups, found, min(len(chosen), altered.MAX_CROPPED) if kind == "cropped" else len(chosen),
            drawn=kind == "cropped" and len(chosen) > altered.MAX_CROPPED,
        )
        for kind, found in pairs.items()
    }  # fmt: skip
    paths = [encodable(path) for path in dataset.paths]
    splits = dict(Counter(name for i in readable if (name := dataset.splits[i])))
    result = Audit(
        data=encodable(dataset.name),
        data_sha256=content_sha256(dataset, decoded.hashes),
        command=current_command(),
        commit=source_commit(),
        packages=package_versions(),
        seed=seed,
        images=len(readable),
        real=int(np.sum(labels == 0)),
        ai=int(np.sum(labels == 1)),
        splits=splits,
        advice=advise(identical, copies, floor, splits, len(failures), biases),
        identical=identical,
        near=copies["near"],
        mirrored=copies["mirrored"],
        bordered=copies["bordered"],
        cropped=copies["cropped"],
        biases=biases,
        floor=floor,
        spectra=_spectra(facts.spectrum[facts.readable], dataset.labels[facts.readable]),
        identical_files=tuple(tuple(paths[i] for i in group) for group in groups),
        near_pairs=tuple(
            NearPair(kind, paths[i], paths[j], round(float(likeness), 4))
            for kind, found in pairs.items()
            for i, j, likeness in zip(found.first, found.second, found.likeness, strict=True)
        ),
        unreadable=tuple(UnreadableFile(paths[i], f.code, encodable(f.message)) for i, f in failures.items()),
    )
    if out is not None:
        stage("Writing the page")
        page = _page(result, dataset, groups, pairs).encode("utf-8", "replace")
        write_files(Path(out), {"audit.json": result.to_json(), "audit.html": page})
    return result


def _find_pairs(
    dataset: Dataset, pixels: Pixels, chosen: Indices, seed: int, stage: Callable[[str], Callable[[int, int], None]]
) -> dict[str, Pairs]:
    """Return the pairs of each of `KINDS`, each pair in the first that it fits."""
    near = find_near_copies(pixels, chosen, stage("Looking for near copies"))
    mirrored = altered.without(altered.find_mirrored(pixels, chosen, stage("Looking for mirrored copies")), near)
    drawn = chosen
    if len(chosen) > altered.MAX_CROPPED:
        drawn = np.sort(np.random.default_rng(seed).choice(chosen, altered.MAX_CROPPED, replace=False))
    views = read_views(dataset, _SIDE, drawn, stage("Looking for borders"))
    bordered = altered.find_bordered(pixels, chosen, views, stage("Looking for bordered copies"))
    bordered = altered.without(bordered, near, mirrored)
    cropped = altered.find_cropped(pixels, drawn, views, stage("Looking for cropped copies"))
    cropped = altered.without(cropped, near, mirrored, bordered)
    return {"near": near, "mirrored": mirrored, "bordered": bordered, "cropped": cropped}


def _spectra(bands: NDArray[np.float64], labels: NDArray[np.int8]) -> ImageSpectra | None:
    if len(np.unique(labels)) < 2:
        return None

    def one(values: NDArray[np.float64]) -> Spectrum:
        low, middle, high = np.quantile(values, (0.1, 0.5, 0.9), axis=0).round(4).tolist()
        return Spectrum(tuple(middle), tuple(low), tuple(high))

    return ImageSpectra(one(bands[labels == 0]), one(bands[labels == 1]))


def _page(result: Audit, dataset: Dataset, groups: Sequence[Indices], pairs: Mapping[str, Pairs]) -> str:
    of_groups = Pairs(
        np.array([group[0] for group in groups], np.intp),
        np.array([max(group[1:], key=lambda i: _urgency(dataset, group[0], i)) for group in groups], np.intp),
        np.ones(len(groups), np.float32),
    )
    shown: Mapping[str, object] = {field.name: getattr(result, field.name) for field in fields(result)}
    pictures = {"spectra": Markup(plots.spectra(result.spectra.real, result.spectra.ai).svg)} if result.spectra else {}
    return environment("pyrite.auditing").get_template("audit.html.j2").render(
        shown, pictures=pictures, families=FAMILIES, listed=_LISTED,
        examples=(
            ("Identical files", _examples(dataset, of_groups), result.identical),
            *((KINDS[kind], _examples(dataset, found), getattr(result, kind)) for kind, found in pairs.items()),
        ),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Example:
    """A pair to look at: of each image its path and what it says of it, and its picture as PNG."""

    first: tuple[str, bytes | None]
    second: tuple[str, bytes | None]
    likeness: float


def _examples(dataset: Dataset, pairs: Pairs) -> list[_Example]:
    """Return pairs that show what there is: under both labels, then between splits, then of any likeness."""
    kinds: tuple[list[int], ...] = ([], [], [])
    for k, (i, j) in enumerate(zip(pairs.first, pairs.second, strict=True)):
        kinds[2 - _urgency(dataset, i, j)].append(k)
    chosen: list[int] = []
    for place, kind in enumerate(kinds, start=1):
        # A third is kept for each of the later kinds, if there are so many.
        later = sum(min(len(other), _SHOWN // len(kinds)) for other in kinds[place:])
        # Evenly spread, so that the least alike are there to be judged as well.
        chosen += _spread(kind, _SHOWN - len(chosen) - later)
    return [
        _Example(_show(dataset, int(pairs.first[k])), _show(dataset, int(pairs.second[k])), float(pairs.likeness[k]))
        for k in chosen
    ]


def _urgency(dataset: Dataset, i: int, j: int) -> int:
    """Return 2 for a pair under both labels, 1 for another between splits, and 0 for any other."""
    return 2 if dataset.labels[i] != dataset.labels[j] else int(apart(dataset, i, j))


def _spread(items: Sequence[int], count: int) -> list[int]:
    places = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[place] for place in places]


def _show(dataset: Dataset, index: int) -> tuple[str, bytes | None]:
    path = encodable(dataset.paths[index])
    try:
        return path, draw_thumbnail(open_image(dataset.read(index)).pixels)
    except (OSError, ImageError):
        return path, None
