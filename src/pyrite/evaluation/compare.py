"""Compare detectors on the same labelled images, each through the same `Detector` that its users run."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyrite.bundle import Bundle, Panel
from pyrite.datasets import Dataset, Watch, content_hashes, content_sha256
from pyrite.detector import ConfinedReader, Detector
from pyrite.errors import EvaluationError, require
from pyrite.evaluation import curves, metrics
from pyrite.evaluation.choose import Chosen, Indices, Protocol, choose
from pyrite.evaluation.comparison import Comparison, Competitor, Found, Pair, SliceColumn, SliceFigures, SliceRow
from pyrite.evaluation.figures import GENERATOR
from pyrite.evaluation.judge import judge_all, show
from pyrite.evaluation.outcomes import Outcomes, outcomes_of, read_outcomes
from pyrite.evaluation.paired import agreement, delong, differences, kappa, mcnemar, resample_together
from pyrite.evaluation.report import claimed
from pyrite.evaluation.scores import Scores
from pyrite.provenance import current_command, package_versions, source_commit
from pyrite.results import Verdict
from pyrite.sources import encodable

_SHOWN = 12


def compare(
    competitors: Sequence[Bundle | Panel | str | Path],
    data: Dataset | str | Path,
    *,
    out: Path | None = None,
    protocol: Protocol = "auto",
    limit: int | None = None,
    max_fpr: float | None = None,
    seed: int = 0,
    confined: ConfinedReader | None = None,
    watch: Watch = lambda stage, done, total: None,
) -> Comparison:
    """Measure what sets detectors apart on the same images, and write it where `out` is given.

    Args:
        competitors: Two or more. Each is a bundle or where it lies, a panel's file, several bundles with `+` between,
            which judge as one, or a `scores.parquet` that `evaluate` wrote of the same data.
        data: The images or where they lie.
        out: The folder for `compare.html`, `compare.json` and `roc.png`.
        protocol: See `evaluate`. Of several bundles, the first that was trained on the data counts. Where a
            `scores.parquet` is given, no other images than those in it are judged.
        limit: Judge no more than so many, drawn at random.
        max_fpr: The error budget of all verdicts. By default, that of the `scores.parquet`, or else the largest that
            a bundle has of its own.
        seed: Of the bootstrap, the limit's draw, and a pooled split that no bundle prescribes.
        confined: What opens the images; by default, this process. Those of strangers should be opened by one.
        watch: Called with every stage, how many images of it are done, and how many there are.

    Raises:
        BundleError: A bundle cannot be used.
        DatasetError: The data cannot be used.
        EvaluationError: There are fewer than two competitors, scores are of other data or of another error budget, no
            image is left that all could judge, or `out` cannot hold the comparison.
        MissingExtraError: Something of the extra `train` is not installed.
    """
    require("train", "sklearn", "scipy", "matplotlib", "pyarrow")
    if len(competitors) < 2:
        raise EvaluationError("A comparison takes two detectors or more.")
    with claimed(out):
        opened = [_open(one) for one in competitors]
        dataset = data if isinstance(data, Dataset) else Dataset.open(data, one_class=True)
        budget = _budget(opened, max_fpr)
        detectors = [one if isinstance(one, Outcomes) else _detector(one, budget, confined) for one in opened]
        hashes = content_hashes(dataset)
        chosen = _choose(opened, dataset, hashes, protocol, limit, seed)
        said = [one if isinstance(one, Outcomes) else _judge(one, chosen, watch) for one in detectors]
        found = _compare(detectors, said, chosen, budget, seed, confined)
        if out is not None:
            found.write(out)
        return found


def _open(one: Bundle | Panel | str | Path) -> Panel | Outcomes:
    if isinstance(one, Panel):
        return one
    if isinstance(one, Bundle):
        return Panel((one,))
    if Path(one).suffix.lower() == ".parquet":
        return read_outcomes(Path(one))
    return Panel.open([one] if Path(one).exists() else str(one).split("+"))


def _budget(opened: Sequence[Panel | Outcomes], max_fpr: float | None) -> float:
    """Return the error budget that all verdicts are at."""
    kept = {one.info.max_fpr for one in opened if isinstance(one, Outcomes)}
    wanted = kept if max_fpr is None else kept | {max_fpr}
    if len(wanted) > 1:
        told = " and ".join(f"{budget:g}" for budget in sorted(wanted))
        raise EvaluationError(
            f"Verdicts are compared at one error budget, not at {told}, and a file of scores has those of its own. "
            "Evaluate again with the --max-fpr that you want, or name the bundle."
        )
    return wanted.pop() if wanted else max(one.policy.max_fpr for one in opened if isinstance(one, Panel))


def _detector(panel: Panel, budget: float, confined: ConfinedReader | None) -> Detector:
    # Without real calibration images there is no budget to set, and every verdict is uncertain.
    own = panel.budgets == (budget,) or panel.smallest_max_fpr == 1
    # What files say of themselves would decide some verdicts, and this is about the models.
    return Detector(panel, max_fpr=None if own else budget, evidence=False, confined=confined)


def _judge(detector: Detector, chosen: Chosen, watch: Watch) -> Outcomes:
    judged = judge_all(detector, chosen, partial(watch, f"Judging with {detector.model.name}"))
    return outcomes_of(detector, chosen, judged)


def _choose(
    opened: Sequence[Panel | Outcomes],
    dataset: Dataset,
    hashes: Sequence[str],
    protocol: Protocol,
    limit: int | None,
    seed: int,
) -> Chosen:
    """Return the images that all are to be compared on."""
    panels = [one for one in opened if isinstance(one, Panel)]
    sha256 = content_sha256(dataset, hashes)
    among = np.ones(len(dataset), np.bool_)
    for one in opened:
        if not isinstance(one, Outcomes):
            continue
        known, failed = set(zip(one.paths, one.hashes, strict=True)), {file.path for file in one.info.unreadable}
        own = sha256
        if one.info.drawn:
            listed = {*one.paths, *failed}
            drawn = np.flatnonzero([encodable(path) in listed for path in dataset.paths])
            # Where files were renamed, there is nothing to compare, which is told below.
            own = content_sha256(dataset.select(drawn), [hashes[i] for i in drawn.tolist()]) if len(drawn) else ""
        if own and one.info.data_sha256 != own:
            raise EvaluationError(
                f"The scores of {one.info.bundle} {one.info.version} are of other data ({one.info.data}): "
                f"content, labels or splits are not those of {encodable(dataset.name)}. Evaluate it on this data, or "
                "name the bundle."
            )
        paths = map(encodable, dataset.paths)
        among &= [place in known or place[0] in failed for place in zip(paths, hashes, strict=True)]
    if not among.any():
        raise EvaluationError(
            f"No image of {encodable(dataset.name)} is in every file of scores. They name images by path and content: "
            "evaluate again where files were renamed."
        )
    bundles = {bundle.sha256: bundle for panel in panels for bundle in panel.bundles}
    joint = next((panel.data_sha256 for panel in panels if panel.data_sha256 == sha256), None)
    if not panels and protocol == "auto":
        protocol = "all"
    all_of_them = Panel(tuple(bundles.values()), data_sha256=joint)
    return choose(all_of_them, dataset, protocol, limit, seed, hashes=hashes, among=among)


def _compare(
    detectors: Sequence[Detector | Outcomes],
    said: Sequence[Outcomes],
    chosen: Chosen,
    budget: float,
    seed: int,
    confined: ConfinedReader | None,
) -> Comparison:
    """Return all figures of what was said of the images that all could judge."""
    dataset = chosen.dataset
    where = {(encodable(dataset.paths[i]), chosen.hashes[i]): place for place, i in enumerate(chosen.indices.tolist())}
    rows = [
        {where[key]: row for row, key in enumerate(zip(one.paths, one.hashes, strict=True)) if key in where}
        for one in said
    ]
    common = sorted(set.intersection(*(set(own) for own in rows)))
    if not common:
        raise EvaluationError(f"None of the {len(chosen.indices):,} images to judge is one that all could judge.")
    kept = chosen.indices[common]
    columns = {name: [encodable(values[i]) for i in kept] for name, values in dataset.slices.items()}
    labels = dataset.labels[kept]
    scores = [
        replace(one.scores.select(np.array([own[i] for i in common], np.intp)), labels=labels)
        for one, own in zip(said, rows, strict=True)
    ]
    judged = {encodable(dataset.paths[i]) for i in chosen.indices}
    unreadable = {file.path: file for one in said for file in one.info.unreadable if file.path in judged}
    names = list(_names(said))
    competitors = [
        Competitor(
            name=name,
            sha256=one.info.sha256,
            from_scores=isinstance(source, Outcomes),
            headline=metrics.headline(own, seed=seed),
            verdicts=metrics.verdict_rows(own),
            generators=metrics.generator_rows(columns[GENERATOR], own, seed=seed) if GENERATOR in columns else (),
            roc=curves.roc(own),
            no_probability=one.info.no_probability,
            caution=one.info.caution if isinstance(source, Outcomes) else " ".join(source.warnings) or None,
            images_per_second=round((len(one.paths) + len(one.info.unreadable)) / one.seconds, 2)
            if one.seconds
            else None,
            bytes=None if isinstance(source, Outcomes) else sum(bundle.size for bundle in source.bundles),
        )
        for name, one, own, source in zip(names, said, scores, detectors, strict=True)
    ]
    drawn = resample_together(scores, seed=seed)
    pairs = [
        Pair(
            first=names[i],
            second=names[j],
            differences=differences(drawn[i], drawn[j]),
            delong=delong(labels, scores[i].values, scores[j].values),
            mcnemar_verdict=mcnemar(*(_right(scores[k]) for k in (i, j))),
            mcnemar_accuracy=mcnemar(*((scores[k].called_ai == (labels == 1)) for k in (i, j)))
            if scores[i].calibrated and scores[j].calibrated
            else None,
            agreement=agreement(scores[i], scores[j]),
            kappa=kappa(scores[i], scores[j]),
            only_first=_found(dataset, kept, scores[i], scores[j], confined),
            only_second=_found(dataset, kept, scores[j], scores[i], confined, swap=True),
        )
        for i, j in combinations(range(len(scores)), 2)
    ]
    real, ai = (int(np.sum(labels == label)) for label in (0, 1))
    return Comparison(
        data=encodable(dataset.name),
        data_sha256=content_sha256(dataset, chosen.hashes),
        part=chosen.part,
        images=len(kept),
        real=real,
        ai=ai,
        note=None
        if real and ai
        else f"There are no {'AI' if real else 'real'} images, so there is no AUROC and no TPR at an FPR.",
        max_fpr=budget,
        competitors=tuple(competitors),
        pairs=tuple(pairs),
        slices=tuple(_slices(columns, scores, seed)),
        unreadable=tuple(unreadable.values()),
        seed=seed,
        command=current_command(),
        commit=source_commit(),
        packages=package_versions(),
    )


def _names(said: Sequence[Outcomes]) -> Iterator[str]:
    """Yield what each is called, with a number where another is called the same."""
    seen: list[str] = []
    for one in said:
        name = f"{one.info.bundle} {one.info.version}"
        seen.append(name)
        yield name if seen.count(name) == 1 else f"{name} ({seen.count(name)})"


def _right(scores: Scores) -> NDArray[np.bool_]:
    """Return where the verdict is the image's class."""
    return np.asarray(scores.verdicts == np.where(scores.labels == 1, Verdict.AI, Verdict.REAL))


def _found(
    dataset: Dataset,
    kept: Indices,
    finds: Scores,
    misses: Scores,
    confined: ConfinedReader | None,
    *,
    swap: bool = False,
) -> tuple[Found, ...]:
    """Return AI images that one calls AI and the other does not, those first where their rankings are furthest apart.

    Args:
        dataset: Where the images are.
        kept: (n,), which of them were judged.
        finds: Of the one that calls them AI.
        misses: Of the other.
        confined: What opens them.
        swap: Whether that other is the first of the pair.
    """
    from scipy.stats import rankdata

    apart = rankdata(misses.values) - rankdata(finds.values)
    own = (finds.labels == 1) & (finds.verdicts == Verdict.AI) & (misses.verdicts != Verdict.AI)
    found: list[Found] = []
    for place in np.argsort(apart, kind="stable"):
        if own[place] and len(found) < _SHOWN:
            index = int(kept[place])
            image = show(dataset, index, confined)
            if image is None:
                continue
            verdicts = [str(finds.verdicts[place]), str(misses.verdicts[place])]
            first, second = verdicts[::-1] if swap else verdicts
            found.append(Found(encodable(dataset.paths[index]), first, second, image.width, image.height, image.png))
    return tuple(found)


def _slices(columns: dict[str, list[str]], scores: Sequence[Scores], seed: int) -> Iterator[SliceColumn]:
    for column, values in columns.items():
        rows = []
        for name, found in metrics.slices(values):
            own = [one.select(found) for one in scores]
            real, ai = (int(np.sum(own[0].labels == label)) for label in (0, 1))
            rows.append(SliceRow(name, real, ai, tuple(_slice(one, seed) for one in own)))
        if rows:
            yield SliceColumn(column, tuple(rows))


def _slice(scores: Scores, seed: int) -> SliceFigures:
    both = len(np.unique(scores.labels)) == 2
    return SliceFigures(
        metrics.ranking(scores.labels, scores.values, seed=seed) if both else None,
        metrics.share(int(np.sum(scores.called_ai == scores.labels)), len(scores.labels))
        if scores.calibrated
        else None,
        metrics.verdict_rows(scores),
    )
