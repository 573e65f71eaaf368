"""Judge a bundle, or several as one, by labelled images, through the same `Detector` that its users run."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import compress
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyrite.bundle import Bundle, load_bundle
from pyrite.datasets import Dataset, Watch, content_hashes, content_sha256
from pyrite.datasets.shortcuts import measure_facts
from pyrite.detector import Detector
from pyrite.errors import EvaluationError, require
from pyrite.evaluation.choose import Indices, Protocol, choose
from pyrite.evaluation.figures import Figures, measure_figures
from pyrite.evaluation.floor import measure_floor
from pyrite.evaluation.judge import judge, values_of, why_no_probability
from pyrite.evaluation.plots import Epoch
from pyrite.evaluation.report import Mistake, Part, Provenance, Published, Report, UnreadableFile, check_folder
from pyrite.evaluation.robustness import measure_robustness
from pyrite.evaluation.scores import Scores
from pyrite.evaluation.stored import read_report
from pyrite.image import open_image
from pyrite.image.thumbnail import draw_thumbnail
from pyrite.provenance import current_command, package_versions, source_commit
from pyrite.results import Detection, Failure, Verdict
from pyrite.sources import encodable

_MISTAKES = 12


def evaluate(
    bundle: Bundle | str | Path,
    data: Dataset | str | Path,
    *,
    others: Sequence[Bundle | str | Path] = (),
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
        others: more bundles, which judge with the first as one.
        out: the folder for `report.json`, `report.html` and `figures/`.
        protocol: which images are judged. `official` takes the test split that the data names, `pooled` a
            test split drawn by content, `all` everything. `auto` takes the split that the bundle's training
            kept back if it was trained on this data; else the official one if there is one; else all. Of several
            bundles, the first that was trained on it counts.
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
    bundles = [one if isinstance(one, Bundle) else load_bundle(one) for one in (bundle, *others)]
    dataset = data if isinstance(data, Dataset) else Dataset.open(data)
    hashes = content_hashes(dataset)
    indices, part = choose(bundles, dataset, hashes, protocol, limit, seed)
    stored = read_report(bundles[0]) if len(bundles) == 1 else None
    report = measure(
        bundles[0],
        dataset,
        indices,
        hashes,
        others=bundles[1:],
        part=part,
        history=stored.history if stored else None,
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
    others: Sequence[Bundle] = (),
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
        others: more bundles, which judge with the first as one.
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
    detector = Detector(bundles=[bundle, *others], max_fpr=max_fpr, evidence=False)
    judged: list[tuple[int, Detection]] = []
    unreadable: list[UnreadableFile] = []
    for done, (index, outcome) in enumerate(judge(detector, dataset, indices), start=1):
        if isinstance(outcome, Failure):
            unreadable.append(UnreadableFile(encodable(dataset.paths[index]), outcome.code, encodable(outcome.message)))
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
        values_of(detector, detections),
        np.array([str(detection.verdict) for detection in detections]),
        detector.gives_probability,
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
        provenance=_provenance(detector, dataset, hashes, len(unread), seed, seconds),
        part=part,
        no_probability=why_no_probability(detector),
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


def _is_cifake(dataset: Dataset) -> bool:
    """Tell CIFAKE by how its files are named, whatever the archive is called: JPEGs of ten numbered objects."""
    return "object" in dataset.slices and all(path.endswith(".jpg") for path in dataset.paths)


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
    """Return the most confident false positives and negatives; without a probability, those of the verdict."""

    def show(wrong: NDArray[np.bool_], confidence: NDArray[np.float64]) -> tuple[Mistake, ...]:
        order = np.argsort(-confidence, kind="stable")
        return tuple(
            _mistake(dataset, int(kept[i]), detections[i], float(scores.values[i]) if scores.calibrated else None)
            for i in order[wrong[order]][:_MISTAKES]
        )

    real = scores.labels == 0
    called = scores.called_ai if scores.calibrated else scores.verdicts == Verdict.AI
    missed = ~scores.called_ai if scores.calibrated else scores.verdicts == Verdict.REAL
    return show(real & called, scores.values), show(~real & missed, -scores.values)


def _mistake(dataset: Dataset, index: int, detection: Detection, probability: float | None) -> Mistake:
    image = open_image(dataset.read(index))
    return Mistake(
        encodable(dataset.paths[index]),
        probability,
        str(detection.verdict),
        image.width,
        image.height,
        draw_thumbnail(image.pixels),
    )


def _provenance(
    detector: Detector, dataset: Dataset, hashes: Sequence[str], unreadable: int, seed: int, seconds: float
) -> Provenance:
    return Provenance(
        bundle=detector.model.name,
        version=detector.model.version,
        model_sha256="+".join(bundle.model_sha256 for bundle in detector.bundles),
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
        training=detector.bundle.info.training if len(detector.bundles) == 1 else None,
    )
