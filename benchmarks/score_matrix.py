"""Panels on a published matrix of scores: seven detectors, 5,000 real images of seven sources, 5,000 of 47 generators.

    pip download --no-deps deepsafe-bench==1.0.0
    python benchmarks/score_matrix.py deepsafe_bench-1.0.0-py3-none-any.whl --out results/budgets/published.json

Half of the real images calibrate, by real images alone; the other half and all AI images are judged. Each figure is the
mean over `--draws` such halves, with its standard deviation and those of the first one. The matrix is read from the
wheel, or from a folder that it was unpacked to, and stays there: its licence (PolyForm Noncommercial 1.0.0) is not
Pyrite's.
"""

import argparse
import csv
import gzip
import hashlib
import io
import itertools
import json
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrite.bundle import JointCalibration
from pyrite.decision import Policy
from pyrite.provenance import current_command, package_versions, source_commit
from pyrite.results import Verdict
from pyrite.scores import ScoreTable, calibrate, judge, read_scores

MEMBER = "deepsafe/assets/predictions_medium.csv.gz"
DETECTORS = ("npr", "universal", "yermandy", "effort", "fsd", "cospy", "aide")
BUDGETS = (0.01, 0.05)
Figures = dict[str, float]


def main() -> None:
    """Measure, print, and write everything as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("matrix", type=Path, help="the wheel, or a folder that it was unpacked to")
    parser.add_argument("--out", type=Path, required=True, help="where the JSON goes")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    # Before --out is changed, which would count as a change of the source.
    found: dict[str, Any] = {
        "command": current_command(),
        "commit": source_commit(),
        "packages": package_versions(),
        "seed": arguments.seed,
        "draws": arguments.draws,
        "data": "deepsafe-bench 1.0.0, " + MEMBER,
    }
    data = read_matrix(arguments.matrix)
    found["data_sha256"] = hashlib.sha256(data).hexdigest()
    table = as_table(data, arguments.out.parent)
    found |= {"detectors": list(table.scores), "images": len(table.images), "real": int(np.sum(table.labels == 0))}
    draws = [
        one_draw(table, np.random.default_rng([arguments.seed, draw]), arguments.seed + draw)
        for draw in range(arguments.draws)
    ]
    found["ways"] = {way: summarise([draw[way] for draw in draws]) for way in draws[0]}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    for way, told in found["ways"].items():
        plain = {name: figure for name, figure in told.items() if "," not in name}
        shown = (f"{name} {figure['mean']:.1%} ± {figure['deviation']:.1%}" for name, figure in plain.items())
        print(f"{way}: {'; '.join(shown)}")


def read_matrix(path: Path) -> bytes:
    """Return the matrix as CSV."""
    packed = (path / MEMBER).read_bytes() if path.is_dir() else zipfile.ZipFile(path).read(MEMBER)
    return gzip.decompress(packed)


def as_table(data: bytes, folder: Path) -> ScoreTable:
    """Return the rows of images as a table of scores, read as `pyrite scores` reads one."""
    rows = [row for row in csv.DictReader(io.StringIO(data.decode())) if row["modality"] == "images"]
    draft = io.StringIO()
    writer = csv.writer(draft)
    writer.writerow(["image", "label", "group", *DETECTORS])
    writer.writerows(
        [row["id"], row["label"], row["generator"], *(row[f"prob_{name}"] for name in DETECTORS)] for row in rows
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".matrix.csv"
    try:
        path.write_text(draft.getvalue())
        return read_scores(path)
    finally:
        path.unlink(missing_ok=True)


def one_draw(table: ScoreTable, random: np.random.Generator, seed: int) -> dict[str, Figures]:
    """Return the figures of each way to calibrate, by one half of the real images."""
    assert table.labels is not None
    assert table.groups is not None
    real = random.permutation(np.flatnonzero(table.labels == 0))
    sources = np.asarray(table.groups)
    ours = np.sort(real[: len(real) // 2])
    rest = table.select(np.sort(np.concatenate([real[len(real) // 2 :], np.flatnonzero(table.labels == 1)])))

    def fit(rows: NDArray[np.intp], names: Sequence[str] = DETECTORS, *, groups: bool = False, **how: Any) -> Figures:
        chosen = table.select(rows)
        chosen = replace(chosen, scores={name: chosen.scores[name] for name in names})
        fitted = calibrate(chosen if groups else replace(chosen, groups=None), seed=seed, keep=len(rows), **how)
        return figures(rest, fitted.calibration)

    found = {
        "Fisher of seven, one set": fit(ours),
        "Fisher of seven, two halves": fit(ours, halves=True),
        "Bonferroni over seven": fit(ours, merge="bonferroni"),
    }
    pooled = replace(table.select(ours), groups=None)
    found["twice the mean of p"] = twice_the_mean(rest, calibrate(pooled, keep=len(ours)).calibration)
    for name in DETECTORS:
        found[f"{name} alone"] = fit(ours, [name], merge="bonferroni")
    for names in itertools.combinations(("effort", "fsd", "cospy"), 2):
        found[f"Fisher of {' and '.join(names)}, one set"] = fit(ours, names)
    coco = ours[sources[ours] == "coco"]
    found["Fisher of seven, calibrated on coco alone, one set"] = fit(coco)
    found["Fisher of seven, calibrated on coco alone, two halves"] = fit(coco, halves=True)
    found["Fisher of seven, largest over groups, one set"] = fit(ours, groups=True)
    found["Fisher of seven, largest over groups, two halves"] = fit(ours, groups=True, halves=True)
    # Some 27 photographs by phones cannot resolve 5% by halves.
    found["Fisher of seven, largest over groups but phone_camera, two halves"] = fit(
        ours[sources[ours] != "phone_camera"], groups=True, halves=True
    )
    found["Bonferroni over seven, largest over groups"] = fit(ours, groups=True, merge="bonferroni")
    return found


def figures(table: ScoreTable, calibration: JointCalibration) -> Figures:
    """Return the shares called AI at each budget: of real images, of AI images, and of each source of real ones."""
    assert table.labels is not None
    sources = np.asarray(table.groups)
    told: Figures = {}
    for budget in BUDGETS:
        verdicts = judge(table, calibration, Policy(max_fpr=budget)).verdicts
        called = np.array([verdict is Verdict.AI for verdict in verdicts])
        by_source = {
            str(name): float(np.mean(called[(sources == name) & (table.labels == 0)]))
            for name in np.unique(sources[table.labels == 0])
        }
        told[f"{budget:.0%}: false alarms"] = float(np.mean(called[table.labels == 0]))
        told[f"{budget:.0%}: AI found"] = float(np.mean(called[table.labels == 1]))
        told[f"{budget:.0%}: false alarms, worst source"] = max(by_source.values())
        told |= {f"{budget:.0%}: false alarms, {name}": rate for name, rate in by_source.items()}
    return told


def twice_the_mean(table: ScoreTable, calibration: JointCalibration) -> Figures:
    """Return the figures of twice the mean of the detectors' p-values (Vovk & Wang 2020), which also always holds."""
    single = calibration.single_p_real(table.scores)
    assert single is not None
    assert table.labels is not None
    merged = 2 * np.mean(list(single.values()), axis=0)
    return {
        f"{budget:.0%}: {name}": float(np.mean(merged[table.labels == label] <= budget))
        for budget in BUDGETS
        for label, name in enumerate(("false alarms", "AI found"))
    }


def summarise(draws: Sequence[Figures]) -> dict[str, Figures]:
    """Return each figure's mean and standard deviation over draws, and that of the first draw."""
    return {
        name: {
            "mean": float(np.mean([draw[name] for draw in draws])),
            "deviation": float(np.std([draw[name] for draw in draws])),
            "first": draws[0][name],
        }
        for name in draws[0]
    }


if __name__ == "__main__":
    main()
