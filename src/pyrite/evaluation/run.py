"""Judge a bundle by labelled images, through the same `Detector` that its users run."""

import hashlib
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import compress
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyrite.bundle import Bundle, load_bundle
from pyrite.datasets import Dataset, Watch, content_hashes, content_sha256, recognise
from pyrite.datasets.shortcuts import measure_facts
from pyrite.datasets.split import Split, split
from pyrite.detector import Detector
from pyrite.errors import BundleError, EvaluationError, require
from pyrite.evaluation.figures import Figures, measure_figures
from pyrite.evaluation.floor import measure_floor
from pyrite.evaluation.plots import Epoch
from pyrite.evaluation.provenance import current_command, package_versions, source_commit
from pyrite.evaluation.report import Mistake, Part, Provenance, Published, Report, Unreadable, check_folder
from pyrite.evaluation.robustness import measure_robustness
from pyrite.evaluation.scores import Scores
from pyrite.evaluation.thumbnail import draw_thumbnail
from pyrite.image import open_image
from pyrite.results import Detection, Failure
from pyrite.sources import encodable

Indices = NDArray[np.intp]
Protocol = Literal["auto", "official", "pooled", "all", "validation"]

_MISTAKES = 12
_FRACTIONS = (0.8, 0.1, 0.1)  # of a pooled split that no bundle prescribes


def evaluate(
    bundle: Bundle | str | Path,
    data: Dataset | str | Path,
    *,
    out: Path | None = None,
    protocol: Protocol = "auto",
    limit: int | None = None,
    max_fpr: float | None = None,
    robustness: bool = False,
    seed: int = 0,
    watch: Watch = lambda stage, done, total: None,
) -> Report:
    """Measure a bundle on labelled images, and write the report where `out` is given.

    Args:
        bundle: the bundle or where it lies.
        data: the images or where they lie.
        out: the folder for `report.json`, `report.html` and `figures/`.
        protocol: which images are judged. `official` takes the test split that the data names, `pooled` a
            test split drawn by content, `all` everything. `auto` takes the split that the bundle's training
            kept back if it was trained on this data; else the official one if there is one; else all.
            `validation` takes what chose and calibrated the bundle: for a choice between bundles, which
            must not be made by test images.
        limit: judge no more than so many, drawn at random.
        max_fpr: the error budget of the verdicts, instead of the bundle's.
        robustness: whether to judge every image under every degradation of `datasets.degrade` as well.
        seed: of the bootstrap, the limit's draw, a pooled split that the bundle does not prescribe, and noise.
        watch: called with every stage, how many images of it are done, and how many there are.

    Raises:
        BundleError: the bundle cannot be used.
        DatasetError: the data cannot be used.
        EvaluationError: no image is left to judge, or `out` cannot hold a report.
        MissingExtraError: scikit-learn or Matplotlib is not installed.
    """
    require("train", "sklearn", "matplotlib")
    if out is not None:
        check_folder(out)
    bundle = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
    dataset = data if isinstance(data, Dataset) else Dataset.open(data)
    hashes = content_hashes(dataset)
    indices, part = _choose(bundle, dataset, hashes, protocol, limit, seed)
    report = measure(
        bundle,
        dataset,
        indices,
        hashes,
        part=part,
        history=kept_history(bundle),
        max_fpr=max_fpr,
        robustness=robustness,
        seed=seed,
        watch=watch,
    )
    if out is not None:
        report.write(out)
    return report


def measure(
    bundle: Bundle,
    dataset: Dataset,
    indices: Indices,
    hashes: Sequence[str],
    *,
    part: Part,
    history: Sequence[Mapping[str, float | None]] | None = None,
    max_fpr: float | None = None,
    robustness: bool = False,
    seed: int = 0,
    watch: Watch = lambda stage, done, total: None,
) -> Report:
    """Judge the images at `indices` and nothing else: what `evaluate` does once it knows them.

    Args:
        bundle: what is judged.
        dataset: the whole data, judged or not.
        indices: of the images to judge.
        hashes: (len(dataset),), each file's hexadecimal SHA-256, empty where it could not be read.
        part: what `indices` are, for the reader.
        history: of the training, one mapping per epoch with the keys of `plots.Epoch`; others are ignored.
        max_fpr: see `evaluate`.
        robustness: see `evaluate`; of the images that are no copies, where there are any.
        seed: of the bootstrap and of noise.
        watch: see `evaluate`.

    Raises:
        EvaluationError: none of the images could be read.
        MissingExtraError: scikit-learn is not installed, or SciPy for `robustness`.
    """
    require("train", "sklearn", *(["scipy"] if robustness else []))
    started = time.perf_counter()
    # What files say of themselves would decide some verdicts, and this is about the model.
    detector = Detector(bundle, max_fpr=max_fpr, evidence=False)
    judged: list[tuple[int, Detection]] = []
    unreadable: list[Unreadable] = []
    for done, (index, outcome) in enumerate(_judge(detector, dataset, indices), start=1):
        if isinstance(outcome, Failure):
            unreadable.append(Unreadable(encodable(dataset.paths[index]), outcome.code, encodable(outcome.message)))
        else:
            judged.append((index, outcome))
        watch("Judging", done, len(indices))
    if not judged:
        why = f" The first: {unreadable[0].path}: {unreadable[0].message}" if unreadable else ""
        raise EvaluationError(f"None of the {len(indices):,} images to judge could be read.{why}")
    seconds = time.perf_counter() - started
    unread = {dataset.paths[i] for i, value in enumerate(hashes) if not value} | {file.path for file in unreadable}
    kept = np.array([index for index, _ in judged], np.intp)
    detections = [detection for _, detection in judged]
    scores = Scores(
        dataset.labels[kept],
        np.array([detection.probability for detection in detections], np.float64),
        np.array([str(detection.verdict) for detection in detections]),
    )
    distinct = _distinct(kept, indices, hashes)
    columns = {name: [encodable(values[i]) for i in kept] for name, values in dataset.slices.items()}
    as_is = measure_figures(scores, columns, seed=seed)
    deduplicated: Figures | None = as_is
    if not distinct.all():
        fewer = {name: list(compress(values, distinct)) for name, values in columns.items()}
        deduplicated = measure_figures(scores.select(distinct), fewer, seed=seed) if distinct.any() else None
    degraded = None
    if robustness:
        chosen = list(compress(judged, distinct)) if deduplicated else judged
        degraded = measure_robustness(detector, dataset, chosen, seed=seed, progress=partial(watch, "Judging degraded"))
    facts = measure_facts(dataset.select(kept), partial(watch, "Measuring shortcuts"))
    floor = measure_floor(facts, scores.labels, [hashes[i] for i in kept], seed=seed)
    false_positives, false_negatives = _mistakes(dataset, kept, detections, scores)
    return Report(
        provenance=_provenance(bundle, dataset, hashes, len(unread), seed, seconds),
        part=part,
        as_is=as_is,
        deduplicated=deduplicated,
        robustness=degraded,
        copies=int(np.sum(~distinct)),
        floor=floor,
        published=Published() if _is_cifake(dataset) else None,
        max_fpr=detections[0].max_fpr,
        reasons=dict(Counter(str(detection.reason) for detection in detections).most_common()),
        history=None if history is None else msgspec.convert(history, tuple[Epoch, ...]),
        false_positives=false_positives,
        false_negatives=false_negatives,
        unreadable=tuple(unreadable),
    )


def _choose(
    bundle: Bundle, dataset: Dataset, hashes: Sequence[str], protocol: Protocol, limit: int | None, seed: int
) -> tuple[Indices, Part]:
    """Return which images to judge, with the reason in words."""
    own = _own_split(bundle, dataset, hashes)
    seen = _seen(bundle, own, hashes)
    name = encodable(dataset.name)
    named = np.array([split == "test" for split in dataset.splits], np.bool_)
    dropped = None
    if protocol == "auto":
        protocol = own.protocol if own else "official" if named.any() else "all"
    if protocol == "validation":
        if not own:
            raise EvaluationError(
                f"{bundle.info.name} was not trained on {name}, none of which chose or calibrated it. "
                "Use another protocol."
            )
        indices = own.validation
        why = f"The validation split of {name}, which chose and calibrated this bundle."
        dropped = own.dropped
    elif own and own.protocol == protocol:
        indices = _with_unreadable(own.test, hashes)
        why = f"The {protocol} test split of {name}, which this bundle’s training kept back."
        dropped = own.dropped
    elif protocol == "official":
        if not named.any():
            raise EvaluationError(f"{name} names no test split of its own. Use the protocol 'all' or 'pooled' instead.")
        indices = np.flatnonzero(named)
        why = f"The test split that {name} names. {_origin(bundle, own, seen)}"
    elif protocol == "pooled":
        indices = _with_unreadable(split(dataset, hashes, "pooled", _FRACTIONS, seed).test, hashes)
        why = f"A tenth of {name}, drawn by content with seed {seed}. {_origin(bundle, own, seen)}"
    else:
        indices = np.arange(len(dataset))
        why = f"Every image of {name}. {_origin(bundle, own, seen)}"
    if limit is not None and limit < len(indices):
        if limit < 1:
            raise EvaluationError(f"The limit must be at least one image, not {limit}.")
        drawn = np.random.default_rng(seed).choice(indices, limit, replace=False)
        why += f" Of its {len(indices):,} images, {limit:,} were drawn at random (seed {seed})."
        indices = np.sort(drawn)
    caution = None
    if seen is not None and (known := int(seen[indices].sum())):
        caution = (
            f"{known:,} of the {len(indices):,} judged images trained this bundle or chose it, "
            "so these figures flatter it."
        )
    return indices, Part(protocol, why, dropped, caution)


def _own_split(bundle: Bundle, dataset: Dataset, hashes: Sequence[str]) -> Split | None:
    """Return the split that the bundle was trained on, if it was trained on this data."""
    training = bundle.info.training
    if training is None:
        return None
    # A copy of the data has another listing, but the same content.
    same_listing = training.data.fingerprint == dataset.fingerprint
    if not same_listing and training.data.sha256 != content_sha256(dataset, hashes):
        return None
    return split(dataset, hashes, training.data.protocol, training.data.fractions, training.seed)


def _seen(bundle: Bundle, own: Split | None, hashes: Sequence[str]) -> NDArray[np.bool_] | None:
    """Say of each image (n,) whether it trained or chose the bundle; `None` where that cannot be told."""
    if "trained_on.bin" in bundle.files:
        return recognise(bundle.files["trained_on.bin"], hashes)
    if own is None:
        return None
    seen = np.zeros(len(hashes), np.bool_)
    seen[own.train] = seen[own.validation] = True
    return seen


def _with_unreadable(indices: Indices, hashes: Sequence[str]) -> Indices:
    """Add the files that cannot be read: they are in no split, and must not go missing for it."""
    return np.union1d(indices, [i for i, value in enumerate(hashes) if not value]).astype(np.intp)


def _origin(bundle: Bundle, own: Split | None, seen: NDArray[np.bool_] | None) -> str:
    if bundle.info.training is None:
        return "The bundle does not say what it was trained on."
    if own:
        return f"The bundle was trained on this data, by its {own.protocol} split."
    name = bundle.info.training.data.name
    if seen is None:
        return f"The bundle was trained on {name}; whether this data shares images with that cannot be told."
    shared = f"{seen.sum():,} of the images here were in that" if seen.any() else "none of the images here was in that"
    return f"The bundle was trained on {name}, and {shared}."


def _is_cifake(dataset: Dataset) -> bool:
    """Tell CIFAKE by how its files are named, whatever the archive is called: JPEGs of ten numbered objects."""
    return "object" in dataset.slices and all(path.endswith(".jpg") for path in dataset.paths)


def _judge(detector: Detector, dataset: Dataset, indices: Iterable[int]) -> Iterator[tuple[int, Detection | Failure]]:
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


def _distinct(kept: Indices, indices: Indices, hashes: Sequence[str]) -> NDArray[np.bool_]:
    """Say of each kept image whether it is the first of its bytes, and no other part of the data has them."""
    judged = set(indices.tolist())
    seen = {value for i, value in enumerate(hashes) if i not in judged}
    distinct = []
    for i in kept:
        distinct.append(hashes[i] not in seen)
        seen.add(hashes[i])
    return np.array(distinct, np.bool_)


def _mistakes(
    dataset: Dataset, kept: Indices, detections: Sequence[Detection], scores: Scores
) -> tuple[tuple[Mistake, ...], tuple[Mistake, ...]]:
    """Return the false positives and false negatives of the greatest confidence."""

    def show(wrong: NDArray[np.bool_], confidence: NDArray[np.float64]) -> tuple[Mistake, ...]:
        order = np.argsort(-confidence, kind="stable")
        return tuple(_mistake(dataset, int(kept[i]), detections[i]) for i in order[wrong[order]][:_MISTAKES])

    real = scores.labels == 0
    return (
        show(real & scores.called_ai, scores.probabilities),
        show(~real & ~scores.called_ai, -scores.probabilities),
    )


def _mistake(dataset: Dataset, index: int, detection: Detection) -> Mistake:
    image = open_image(dataset.read(index))
    return Mistake(
        encodable(dataset.paths[index]),
        float(detection.probability or 0),
        str(detection.verdict),
        image.width,
        image.height,
        draw_thumbnail(image.pixels),
    )


def kept_history(bundle: Bundle) -> list[dict[str, int | float | None]] | None:
    """Return the training history in the bundle's own report, if it has one."""
    if "report.json" not in bundle.files:
        return None
    try:
        return msgspec.json.decode(bundle.files["report.json"], type=_History).history
    except msgspec.DecodeError as error:
        raise BundleError(f"report.json of the bundle {bundle.info.name} is not a report: {error}.") from error


class _History(msgspec.Struct):
    history: list[dict[str, int | float | None]] | None = None


def _provenance(
    bundle: Bundle, dataset: Dataset, hashes: Sequence[str], unreadable: int, seed: int, seconds: float
) -> Provenance:
    return Provenance(
        bundle=bundle.info.name,
        version=bundle.info.version,
        model_sha256=hashlib.sha256(bundle.read("model.onnx")).hexdigest(),
        data=encodable(dataset.name),
        data_sha256=content_sha256(dataset, hashes),
        data_fingerprint=dataset.fingerprint,
        data_images=len(dataset),
        data_unreadable=unreadable,
        command=encodable(current_command()),
        commit=source_commit(),
        packages=package_versions(),
        seed=seed,
        seconds=round(seconds, 3),
        training=bundle.info.training,
    )
