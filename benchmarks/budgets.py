"""Does a panel keep its error budget, however its detectors depend on each other? Simulated scores, many draws.

    python benchmarks/budgets.py --out results/budgets/simulations.json

In each draw, real images calibrate a panel, and new ones of the same kind are judged: their share that is called AI is
the rate of false alarms, and its mean over draws has to be within the budget. Beside it stands the share of AI images
found, whose scores are higher by 1.5 (scores of 0 or 1: mostly 1). Four ways to merge are compared: the panel's own
three, and Fisher's statistic with one set and without the correction that makes that safe.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyrite.bundle import JointCalibration, fit_joint
from pyrite.bundle.calibration import ALL
from pyrite.provenance import current_command, package_versions, source_commit

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int, float], Floats]
BUDGETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
MEMBERS = 6
HIGHER = 1.5  # By how much AI images score higher.
SIZES = {100: 200, 1000: 500}  # Calibration images, and how many are judged.
ERRORS = 4  # How many standard errors above its budget a rate may lie: one in 30,000 of them does by chance.


def gaussian(correlation: float) -> Draw:
    """Return members that share a normal part."""

    def draw(random: np.random.Generator, count: int, higher: float) -> Floats:
        common, own = random.normal(size=(count, 1)), random.normal(size=(count, MEMBERS))
        return np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own + higher

    return draw


def heavy(random: np.random.Generator, count: int, higher: float) -> Floats:
    """Members with tails of Student's t with 2 degrees of freedom, which they reach together."""
    return gaussian(0.5)(random, count, 0) / np.sqrt(random.chisquare(2, (count, 1)) / 2) + higher


def copied(random: np.random.Generator, count: int, higher: float) -> Floats:
    """One member four times, and two others."""
    return gaussian(0)(random, count, higher)[:, [0, 0, 0, 0, 1, 2]]


def opposed(random: np.random.Generator, count: int, higher: float) -> Floats:
    """Three members, and their opposites; AI images are higher in the first three."""
    scores = gaussian(0.3)(random, count, higher)[:, :3]
    return np.hstack([scores, -scores])


def whole_numbers(random: np.random.Generator, count: int, higher: float) -> Floats:
    """Scores with many ties."""
    return np.round(gaussian(0.5)(random, count, higher))


def yes_or_no(random: np.random.Generator, count: int, higher: float) -> Floats:
    """Scores of 0 or 1; 1 for some 2% of real images."""
    return (gaussian(0.5)(random, count, higher) > 2).astype(np.float64)


def missing(random: np.random.Generator, count: int, higher: float) -> Floats:
    """Half of the members do not judge the images that alarm the first one; a fifth of images lack the second."""
    scores = gaussian(0.5)(random, count, higher)
    scores[scores[:, 0] > 1, 3:] = np.nan
    scores[random.random(count) < 0.2, 1] = np.nan
    return scores


KINDS: dict[str, Draw] = {
    "normal, independent": gaussian(0),
    "normal, correlation 0.5": gaussian(0.5),
    "normal, correlation 0.9": gaussian(0.9),
    "heavy tails together": heavy,
    "one member copied": copied,
    "opposed members": opposed,
    "ties: whole numbers": whole_numbers,
    "ties: 0 or 1": yes_or_no,
    "missing scores": missing,
}


def calibrate(scores: dict[str, Floats], seed: int) -> dict[str, JointCalibration]:
    """Return the calibration of each way to merge."""
    count = len(next(iter(scores.values())))
    labels = np.zeros(count)
    whole = fit_joint(scores, labels, keep=count)
    return {
        "fisher, two halves": fit_joint(scores, labels, halves=True, seed=seed, keep=count),
        "fisher, one set": whole,
        "bonferroni": fit_joint(scores, labels, merge="bonferroni", keep=count),
        "fisher, one set, uncorrected": uncorrected(whole, scores),
    }


def uncorrected(fitted: JointCalibration, scores: dict[str, Floats]) -> JointCalibration:
    """Return a calibration with one set in which calibration images count themselves as new images do."""
    single = fitted.single_p_real(scores)
    assert single is not None
    shares = np.stack([np.where(np.isnan(p), 1, p) for p in single.values()], axis=1)
    statistics = tuple(np.sort(np.round(-np.log(shares).mean(axis=1), 6)).tolist())
    group = msgspec.structs.replace(fitted.real[ALL], statistics=statistics)
    return msgspec.structs.replace(fitted, real={ALL: group})


WAYS = ("fisher, two halves", "fisher, one set", "bonferroni", "fisher, one set, uncorrected")


def simulate(kind: Draw, calibration: int, judged: int, draws: int, seed: int) -> dict[str, Any]:
    """Return, for each way, the rates at each budget with the standard error over draws."""
    alarms = {way: np.zeros((draws, len(BUDGETS))) for way in WAYS}
    found = {way: np.zeros((draws, len(BUDGETS))) for way in WAYS}
    for draw in range(draws):
        random = np.random.default_rng([seed, calibration, draw])
        ours, real, ai = (
            {f"m{i}": column for i, column in enumerate(kind(random, count, higher).T)}
            for count, higher in ((calibration, 0.0), (judged, 0.0), (judged // 2, HIGHER))
        )
        images = {name: np.concatenate([real[name], ai[name]]) for name in real}
        for way, fitted in calibrate(ours, draw).items():
            p = fitted.p_real(images)
            assert p is not None
            alarms[way][draw], found[way][draw] = within(p[:judged]), within(p[judged:])
    rows: dict[str, Any] = {}
    for way in WAYS:
        rate, error = alarms[way].mean(axis=0), alarms[way].std(axis=0) / np.sqrt(draws)
        # Where hardly any draw has an alarm, the spread over draws says too little.
        floor = np.sqrt(np.array(BUDGETS) * (1 - np.array(BUDGETS)) / (draws * judged))
        rows[way] = {
            "false_alarms": rate.tolist(),
            "standard_error": error.tolist(),
            "ai_found": found[way].mean(axis=0).tolist(),
            "holds": bool((rate <= np.array(BUDGETS) + ERRORS * np.maximum(error, floor)).all()),
        }
    return rows


def within(p_values: Floats) -> Floats:
    """Return the share of p-values within each budget."""
    return np.mean(p_values[:, None] <= np.array(BUDGETS), axis=0)


def main() -> None:
    """Simulate, print, and write everything as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="where the JSON goes")
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    started = time.perf_counter()
    # Before --out is changed, which would count as a change of the source.
    result: dict[str, Any] = {
        "command": current_command(),
        "commit": source_commit(),
        "packages": package_versions(),
        "seed": arguments.seed,
        "draws": arguments.draws,
        "members": MEMBERS,
        "budgets": BUDGETS,
        "standard_errors": ERRORS,
        "calibration_images": {},
    }
    for calibration, judged in SIZES.items():
        kinds = {}
        for name, kind in KINDS.items():
            kinds[name] = simulate(kind, calibration, judged, arguments.draws, arguments.seed)
            for way, row in kinds[name].items():
                rates = " ".join(f"{rate:8.3%}" for rate in row["false_alarms"])
                end = "holds" if row["holds"] else "EXCEEDED"
                print(f"{calibration:5} {name:24} {way:29} {rates} {end}", flush=True)
        result["calibration_images"][calibration] = {"judged": judged, "kinds": kinds}
    result["seconds"] = time.perf_counter() - started
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
