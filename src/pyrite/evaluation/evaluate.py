"""Judge a bundle, or several as one, by labelled images, through the same `Detector` that its users run."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import compress
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyrite.bundle import Bundle, Panel
from pyrite.datasets import Dataset, Watch, content_sha256
from pyrite.datasets.shortcuts import Facts, measure_facts
from pyrite.detector import ConfinedReader, Detector
from pyrite.errors import EvaluationError, require
from pyrite.evaluation.choose import Chosen, Protocol, choose
from pyrite.evaluation.figures import Figures, measure_figures
from pyrite.evaluation.floor import measure_floor
from pyrite.evaluation.judge import Judged, judge_all, show, values_of, why_no_probability
from pyrite.evaluation.outcomes import SCORES, Outcomes, outcomes_of, pack_outcomes
from pyrite.evaluation.plots import Epoch
from pyrite.evaluation.report import Mistake, Provenance, Published, Report, claimed
from pyrite.evaluation.robustness import Robustness, measure_robustness
from pyrite.evaluation.scores import Scores
from pyrite.evaluation.stored import read_report
from pyrite.evaluation.transfer import Transfer, check_unknown, measure_transfer
from pyrite.provenance import current_command, package_versions, source_commit
from pyrite.results import Reason, Verdict
from pyrite.sources import encodable

_MISTAKES = 12


def evaluate(
    bundle: Bundle | Panel | str | Path,
    data: Dataset | str | Path,
    *,
    others: Sequence[Bundle | str | Path] = (),
    out: Path | None = None,
    protocol: Protocol = "auto",
    limit: int | None = None,
    max_fpr: float | None = None,
    robustness: bool = False,
    unknown: Dataset | str | Path | None = None,
    seed: int = 0,
    confined: ConfinedReader | None = None,
    watch: Watch = lambda stage, done, total: None,
) -> Report:
    """Measure a bundle on labelled images, and write the report where `out` is given.

    Args:
        bundle: the bundle or where it lies, or a panel's file.
        data: the images or where they lie.
        others: more bundles, which judge with the first as one; not with a panel.
        out: the folder for `report.json`, `report.html`, `figures/`, and `scores.parquet`, which `compare` takes.
        protocol: which images are judged. `official` takes the test split that the data names, `pooled` a
            test split drawn by content, `all` everything. `auto` takes the split that the bundle's training
            kept back if it was trained on this data; else the official one if there is one; else all. Of several
            bundles, the first that was trained on it counts.
            `validation` takes what chose and calibrated the bundle: for a choice between bundles, which
            must not be made by test images.
        limit: judge no more than so many, drawn at random.
        max_fpr: the error budget of the verdicts, instead of the bundle's.
        robustness: whether to judge every image under every degradation of `datasets.degrade` as well.
        unknown: a dataset with AI images by generators that the bundle does not know, to be judged as well.
        seed: of the bootstrap, the limit's draw, a pooled split that the bundle does not prescribe, and noise.
        confined: what opens the images; by default, this process. Those of strangers should be opened by one.
        watch: called with every stage, how many images of it are done, and how many there are.

    Raises:
        BundleError: the bundle cannot be used.
        DatasetError: the data cannot be used.
        EvaluationError: no image is left to judge, or `out` cannot hold a report.
        MissingExtraError: scikit-learn or Matplotlib is not installed.
    """
    require("train", "sklearn", "matplotlib", *(["pyarrow"] if out is not None else []))
    with claimed(out):
        panel = bundle if isinstance(bundle, Panel) else Panel.open((bundle, *others))
        dataset = data if isinstance(data, Dataset) else Dataset.open(data, one_class=True)
        chosen = choose(panel, dataset, protocol, limit, seed)
        if lack := _lack(chosen.dataset.labels[chosen.indices]):
            chosen = replace(chosen, part=replace(chosen.part, why=f"{chosen.part.why} {lack}"))
        stored = read_report(panel.bundles[0]) if len(panel.bundles) == 1 else None
        history = stored.history if stored else None
        unknown = Dataset.open(unknown, one_class=True) if isinstance(unknown, str | Path) else unknown
        report, outcomes = _measure(
            panel,
            chosen,
            history,
            max_fpr=max_fpr,
            robustness=robustness,
            unknown=unknown,
            seed=seed,
            confined=confined,
            watch=watch,
        )
        if out is not None:
            report.write(out, {SCORES: pack_outcomes(outcomes)})
        return report


def _lack(labels: NDArray[np.int8]) -> str | None:
    """Return what cannot be measured with images of one class alone; `None` where there are both."""
    if 0 < labels.sum() < len(labels):
        return None
    if labels.any():
        return "There are no real images, so there is no AUROC, and false alarms are not known."
    return "There are no AI images, so there is no AUROC, and what it finds of them is not known."


def measure(
    panel: Panel,
    chosen: Chosen,
    history: Sequence[Mapping[str, float | None]] | None = None,
    *,
    max_fpr: float | None = None,
    robustness: bool = False,
    unknown: Dataset | None = None,
    seed: int = 0,
    watch: Watch = lambda stage, done, total: None,
) -> Report:
    """Judge the chosen images and nothing else: what `evaluate` does once it knows them.

    Args:
        panel: what is judged.
        chosen: the images.
        history: of the training, one mapping per epoch with the keys of `plots.Epoch`; others are ignored.
        max_fpr: see `evaluate`.
        robustness: see `evaluate`; of the images that are no copies, where there are any.
        unknown: see `evaluate`.
        seed: of the bootstrap and of noise.
        watch: see `evaluate`.

    Raises:
        EvaluationError: none of the images could be read.
        MissingExtraError: scikit-learn is not installed, or SciPy for `robustness`.
    """
    return _measure(
        panel,
        chosen,
        history,
        max_fpr=max_fpr,
        robustness=robustness,
        unknown=unknown,
        seed=seed,
        confined=None,
        watch=watch,
    )[0]


def _measure(
    panel: Panel,
    chosen: Chosen,
    history: Sequence[Mapping[str, float | None]] | None,
    *,
    max_fpr: float | None,
    robustness: bool,
    unknown: Dataset | None,
    seed: int,
    confined: ConfinedReader | None,
    watch: Watch,
) -> tuple[Report, Outcomes]:
    """Do what `measure` does, and keep what was said of each image."""
    require("train", "sklearn", *(["scipy"] if robustness else []))
    if max_fpr is None and (why := panel.why_no_budget()):
        raise EvaluationError(why)
    if unknown is not None:
        check_unknown(unknown)
    # What files say of themselves would decide some verdicts, and this is about the model.
    detector = Detector(panel, max_fpr=max_fpr, evidence=False, confined=confined)
    judged = judge_all(detector, chosen, partial(watch, "Judging"))
    distinct = _distinct(chosen, judged)
    degraded = None
    if robustness:
        degraded = measure_robustness(
            detector,
            chosen.dataset,
            judged.select(distinct) if distinct.any() else judged,
            seed=seed,
            progress=partial(watch, "Judging degraded"),
        )
    facts = measure_facts(
        chosen.dataset.select(judged.indices),
        partial(watch, "Measuring shortcuts"),
        apart=None if confined is None else detector.open,
    )
    transfer = None
    if unknown is not None:
        transfer = measure_transfer(
            panel, unknown, partial(watch, "Judging unknown generators"), max_fpr=max_fpr, confined=confined
        )
    report = _report(detector, chosen, judged, distinct, facts, degraded, transfer, history, seed, confined)
    return report, outcomes_of(detector, chosen, judged)


def _report(
    detector: Detector,
    chosen: Chosen,
    judged: Judged,
    distinct: NDArray[np.bool_],
    facts: Facts,
    degraded: Robustness | None,
    transfer: Transfer | None,
    history: Sequence[Mapping[str, float | None]] | None,
    seed: int,
    confined: ConfinedReader | None,
) -> Report:
    """Return all figures of what was judged."""
    dataset, kept = chosen.dataset, judged.indices
    scores = Scores(
        dataset.labels[kept],
        values_of(detector, judged.detections),
        np.array([str(detection.verdict) for detection in judged.detections]),
        detector.gives_probability,
    )
    columns = {name: [encodable(values[i]) for i in kept] for name, values in dataset.slices.items()}
    as_is = measure_figures(scores, columns, seed=seed)
    deduplicated: Figures | None = as_is
    if not distinct.all():
        fewer = {name: list(compress(values, distinct)) for name, values in columns.items()}
        deduplicated = measure_figures(scores.select(distinct), fewer, seed=seed) if distinct.any() else None
    false_positives, false_negatives = _mistakes(dataset, judged, scores, confined)
    return Report(
        provenance=_provenance(detector, chosen, judged, seed),
        part=chosen.part,
        no_probability=why_no_probability(detector),
        as_is=as_is,
        deduplicated=deduplicated,
        robustness=degraded,
        copies=int(np.sum(~distinct)),
        floor=measure_floor(facts, scores.labels, [chosen.hashes[i] for i in kept], seed=seed),
        published=Published() if _is_cifake(dataset) else None,
        max_fpr=judged.detections[0].max_fpr,
        reasons=dict(Counter(str(detection.reason) for detection in judged.detections).most_common()),
        withheld=_count_withheld(judged, scores),
        transfer=transfer,
        history=None if history is None else msgspec.convert(history, tuple[Epoch, ...]),
        false_positives=false_positives,
        false_negatives=false_negatives,
        unreadable=judged.unreadable,
    )


def _count_withheld(judged: Judged, scores: Scores) -> tuple[int, int]:
    unproven = np.array([detection.reason is Reason.UNPROVEN for detection in judged.detections])
    real, ai = (int(np.sum(unproven & (scores.labels == label))) for label in (0, 1))
    return real, ai


def _is_cifake(dataset: Dataset) -> bool:
    """Tell CIFAKE by how its files are named, whatever the archive is called: JPEGs of ten numbered objects."""
    return "object" in dataset.slices and all(path.endswith(".jpg") for path in dataset.paths)


def _distinct(chosen: Chosen, judged: Judged) -> NDArray[np.bool_]:
    """Say of each judged image whether it is the first of its bytes, and no other part of the data has them."""
    own = set(chosen.indices.tolist())
    seen = {value for i, value in enumerate(chosen.hashes) if i not in own}
    distinct = []
    for i in judged.indices:
        distinct.append(chosen.hashes[i] not in seen)
        seen.add(chosen.hashes[i])
    return np.array(distinct, np.bool_)


def _mistakes(
    dataset: Dataset, judged: Judged, scores: Scores, confined: ConfinedReader | None
) -> tuple[tuple[Mistake, ...], tuple[Mistake, ...]]:
    """Return the most confident false positives and negatives; without a probability, those of the verdict."""

    def worst(wrong: NDArray[np.bool_], confidence: NDArray[np.float64]) -> tuple[Mistake, ...]:
        order = np.argsort(-confidence, kind="stable")
        shown = order[wrong[order]][:_MISTAKES]
        values = [scores.values[i] if scores.calibrated else None for i in shown]
        made = (_mistake(dataset, judged, i, value, confined) for i, value in zip(shown, values, strict=True))
        return tuple(one for one in made if one)

    real = scores.labels == 0
    called = scores.called_ai if scores.calibrated else scores.verdicts == Verdict.AI
    missed = ~scores.called_ai if scores.calibrated else scores.verdicts == Verdict.REAL
    return worst(real & called, scores.values), worst(~real & missed, -scores.values)


def _mistake(
    dataset: Dataset, judged: Judged, i: int, probability: float | None, confined: ConfinedReader | None
) -> Mistake | None:
    index = int(judged.indices[i])
    image = show(dataset, index, confined)
    if image is None:
        return None
    return Mistake(
        encodable(dataset.paths[index]),
        None if probability is None else float(probability),
        str(judged.detections[i].verdict),
        image.width,
        image.height,
        image.png,
    )


def _provenance(detector: Detector, chosen: Chosen, judged: Judged, seed: int) -> Provenance:
    dataset, hashes = chosen.dataset, chosen.hashes
    unread = {encodable(dataset.paths[i]) for i, value in enumerate(hashes) if not value}
    unread |= {file.path for file in judged.unreadable}
    return Provenance(
        bundle=detector.model.name,
        version=detector.model.version,
        model_sha256="+".join(bundle.model_sha256 for bundle in detector.bundles),
        data=encodable(dataset.name),
        data_sha256=content_sha256(dataset, hashes),
        data_fingerprint=dataset.fingerprint,
        data_images=len(dataset),
        data_unreadable=len(unread),
        command=current_command(),
        commit=source_commit(),
        packages=package_versions(),
        seed=seed,
        seconds=round(judged.seconds, 3),
        training=detector.bundle.info.training if len(detector.bundles) == 1 else None,
    )
