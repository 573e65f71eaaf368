"""The figures of docs/verdicts.md: measured, kept as JSON, and drawn as SVG.

    python benchmarks/verdict_figures.py --data cifake.zip --unseen unseen32.zip

With the two datasets, everything that is measured here is measured anew and written to results/verdicts/figures.json;
without them, the figures are drawn from what is there. Beside that they show results/budgets/published.json, by
benchmarks/score_matrix.py, and results/default/verdicts.json, by benchmarks/verdicts.py. The same command gives the
same files.
"""

import argparse
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from budgets import MEMBERS, gaussian
from pyrite.bundle import DEFAULT, NOVELTY, Bundle, Pixels, fit_joint, load_bundle, read_novelty
from pyrite.bundle.calibration import ALL, share_from
from pyrite.bundle.novelty import merge
from pyrite.datasets import Dataset, content_hashes, content_sha256
from pyrite.detector import Detector
from pyrite.evaluation.metrics import share
from pyrite.golden import write_golden
from pyrite.image import open_image
from pyrite.provenance import current_command, package_versions, source_commit
from pyrite.results import Detection
from verdicts import border

ROOT = Path(__file__).parents[1]
BUDGETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
EXAMPLE, FRAMED = 5, 5
"""The golden image whose p-value is explained, and the one that gets a border."""
WIDTH = 6
"""Of the border, in pixels."""
DRAWS, IMAGES = 200, 1000
"""Of simulated detectors: calibrations, and images for each and to judge."""
ASKED = 0.01

Measured = dict[str, Any]


def main() -> None:
    """Measure where there is data, and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, default=DEFAULT, help="the included one, unless another is named")
    parser.add_argument("--data", help="CIFAKE")
    parser.add_argument("--unseen", help="images of other generators and cameras")
    parser.add_argument("--results", type=Path, default=ROOT / "results")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "figures")
    arguments = parser.parse_args()
    if (arguments.data is None) != (arguments.unseen is None):
        parser.error("--data and --unseen go together")
    bundle, kept = load_bundle(arguments.bundle), arguments.results / "verdicts" / "figures.json"
    if arguments.data is not None:
        found = measure(bundle, Dataset.open(arguments.data), Dataset.open(arguments.unseen))
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(found, indent=1) + "\n")
    measured = json.loads(kept.read_text())
    published = json.loads((arguments.results / "budgets" / "published.json").read_text())
    unknown = json.loads((arguments.results / "default" / "verdicts.json").read_text())
    images = golden(bundle)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, draw, size in (
        ("p-value", lambda figure: draw_p_value(figure, bundle, images[EXAMPLE]), (6.4, 3.9)),
        ("budgets", lambda figure: draw_budgets(figure, measured["false_alarms"]), (6.4, 3.9)),
        ("groups", lambda figure: draw_groups(figure, published["ways"]), (6.4, 3.9)),
        ("panels", lambda figure: draw_panels(figure, measured["panels"]), (6.4, 3.0)),
        ("novelty", lambda figure: draw_novelty(figure, bundle, images[FRAMED]), (6.4, 4.1)),
        ("unknown", lambda figure: draw_unknown(figure, unknown["rates"]), (6.4, 2.7)),
    ):
        svg = as_svg(name, draw, size)
        (arguments.out / f"{name}.svg").write_text(svg, "utf-8")
        print(f"{name}.svg: {len(svg.encode()):,} bytes")


# What is measured


def measure(bundle: Bundle, data: Dataset, unseen: Dataset) -> Measured:
    """Return everything that is measured here, with where it came from."""
    test = data.select(np.flatnonzero((np.asarray(data.splits) == "test") & (data.labels == 0)))
    others = unseen.select(np.flatnonzero(unseen.labels == 0))
    detector = Detector(bundle, evidence=False)
    return {
        "command": current_command(),
        "commit": source_commit(),
        "packages": package_versions(),
        "bundle_sha256": bundle.sha256,
        "data": {one.name: content_sha256(one, content_hashes(one)) for one in (data, unseen)},
        "false_alarms": {
            "like the calibration set": false_alarms(detector, test),
            "by other cameras": false_alarms(detector, others),
        },
        "panels": panels(),
        "examples": examples(bundle),
    }


def false_alarms(detector: Detector, real: Dataset) -> Measured:
    """Return the share of real images that are called AI at each budget, with Wilson's interval."""
    said = list(detector.detect_many(open_image(real.read(i)).pixels for i in range(len(real))))
    p_values = [one.p_real for one in said]  # None of an image that is out of scope
    counts = [sum(p is not None and p <= budget for p in p_values) for budget in BUDGETS]
    found = [share(count, len(said)) for count in counts]
    return {
        "images": len(said),
        "budgets": BUDGETS,
        "alarms": counts,
        "low": [round(one.low, 6) for one in found if one],
        "high": [round(one.high, 6) for one in found if one],
    }


def panels() -> Measured:
    """Return how many false alarms simulated detectors give, each at a budget of 1%, if any alarm counts or as a panel.

    They are those of benchmarks/budgets.py: independent, and with scores that correlate by 0.5.
    """
    found: Measured = {"draws": DRAWS, "images": IMAGES, "max_fpr": ASKED, "detectors": list(range(1, MEMBERS + 1))}
    for name, correlation in (("independent", 0.0), ("alike", 0.5)):
        draw, rates = gaussian(correlation), np.zeros((DRAWS, MEMBERS, 2))
        for i in range(DRAWS):
            random = np.random.default_rng([0, i])
            ours, new = draw(random, IMAGES, 0.0), draw(random, IMAGES, 0.0)
            for k in range(1, MEMBERS + 1):
                columns = [{f"m{j}": rows[:, j] for j in range(k)} for rows in (ours, new)]
                fitted = fit_joint(columns[0], np.zeros(IMAGES), keep=IMAGES)
                single, together = fitted.single_p_real(columns[1]), fitted.p_real(columns[1])
                assert single is not None
                assert together is not None
                any_alarm = np.min(list(single.values()), axis=0) <= ASKED
                rates[i, k - 1] = any_alarm.mean(), (together <= ASKED).mean()
        found[name] = {
            way: {
                "false_alarms": rates[..., j].mean(0).round(6).tolist(),
                "standard_error": (rates[..., j].std(0) / DRAWS**0.5).round(6).tolist(),
            }
            for j, way in enumerate(("any alarm counts", "one panel"))
        }
    return found


def examples(bundle: Bundle) -> Measured:
    """Return what is said of the golden images shown, and what the score alone would say of the one in a border."""
    images = golden(bundle)
    framed = border(images[FRAMED], WIDTH, 0)
    alone = Bundle(bundle.info, {name: content for name, content in bundle.files.items() if name != NOVELTY})
    return {
        "as it is": tell(bundle, images[FRAMED]),
        "in a border": tell(bundle, framed),
        "in a border, by the score alone": tell(alone, framed),
    }


def tell(bundle: Bundle, pixels: Pixels) -> Measured:
    """Return what a bundle says of an image."""
    said: Detection = Detector(bundle, evidence=False).detect(pixels)
    return {
        "verdict": said.verdict,
        "reason": said.reason,
        "explanation": said.explanation,
        "logit": round(said.logit or 0.0, 2),
        "p_real": said.p_real,
        "p_ai": said.p_ai,
        "p_typical": said.evidence[0].data["p_typical"],
    }


def golden(bundle: Bundle) -> list[Pixels]:
    """Return a bundle's golden images."""
    with TemporaryDirectory() as folder:
        return [open_image(path).pixels for path in write_golden(bundle, Path(folder) / "images")]


# How it is drawn

PAPER, INK, MUTED, RULE, PALE, AI, REAL = "#fffdf9", "#1c1b19", "#6a6760", "#dfdcd5", "#c9c5ba", "#a66900", "#2a6d9c"
DARK = dict(
    zip(
        (PAPER, INK, MUTED, RULE, PALE, AI, REAL),
        ("#17181a", "#eceae5", "#aaa79f", "#3b3c3f", "#5b5c60", "#e3a93f", "#74b5e0"),
        strict=True,
    )
)
NAMES = dict(zip(DARK, ("paper", "ink", "muted", "rule", "pale", "ai", "real"), strict=True))
STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.facecolor": PAPER,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.5,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
    "svg.fonttype": "none",
}


def as_svg(name: str, draw: Callable[[Figure], None], size: tuple[float, float]) -> str:
    """Return a figure as SVG, whose colours follow the reader's choice of light or dark."""
    with rc_context({**STYLE, "svg.hashsalt": name}):
        layout, svg = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08), io.StringIO()
        figure = Figure(figsize=size, layout=layout, facecolor=PAPER)
        draw(figure)
        figure.savefig(svg, format="svg", metadata={"Creator": None, "Date": None, "Format": None, "Type": None})
    text = svg.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"font: ([^;\"]*?)([\d.]+)px [^;\"]*", r"font: \1\2px system-ui, Helvetica, Arial, sans-serif", text)
    text = re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)
    for colour, variable in NAMES.items():
        text = text.replace(colour, f"var(--{variable})")
    light = ";".join(f"--{variable}:{colour}" for colour, variable in NAMES.items())
    dark = ";".join(f"--{variable}:{DARK[colour]}" for colour, variable in NAMES.items())
    style = f"<style>:root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}</style>"
    return re.sub(r"(<svg[^>]*>)", rf"\1\n {style}", text, count=1)


def draw_p_value(figure: Figure, bundle: Bundle, pixels: Pixels) -> None:
    """Draw the scores of real calibration images, the score of a new image, and those beyond it."""
    said = Detector(bundle, evidence=False).detect(pixels)
    assert said.logit is not None
    scores, score = np.array(bundle.info.calibration.real[ALL]), said.logit
    beyond = int((scores >= score).sum())
    above, below = figure.subplots(2, 1, height_ratios=(1.0, 1.25))
    above.hist(scores, bins=np.arange(np.floor(scores.min()), 16, 0.5), color=PALE, histtype="stepfilled")
    above.set_title(f"The scores of {len(scores):,} real images, which calibrated the detector")
    above.set_yticks([])
    above.set_xlim(np.floor(scores.min()), 16)
    label_ends(above, "← less like the AI images that it knows", "more like them →")
    start = 2.0
    above.axvspan(start, 16, color=RULE, alpha=0.6, linewidth=0, zorder=0)
    above.text(15.7, above.get_ylim()[1] * 0.5, "enlarged below", ha="right", va="center", color=MUTED, fontsize=8)
    above.axvline(score, color=AI, linewidth=1.2)
    tail = scores[scores >= start]
    x, y = stack(tail, 0.25)
    below.scatter(x, y, 20, color=[AI if one >= score else PALE for one in tail], linewidths=0)
    below.set_title("The highest scores, enlarged: each dot is one real image")
    below.axvline(score, color=AI, linewidth=1.2)
    below.set_yticks([])
    below.set_ylim(0, max(y.max() + 1, 12))
    below.set_xlim(start, 16)
    picture(below, pixels, (0.80, 0.28, 0.22, 0.62))
    below.text(0.79, 0.86, "the new image", transform=below.transAxes, ha="right", va="top", color=AI)
    below.text(0.79, 0.72, f"its score is {score:.1f}", transform=below.transAxes, ha="right", va="top", color=MUTED)
    counted = f"{beyond} real images score as high: p = ({beyond} + 1) / ({len(scores):,} + 1) = {said.p_real:.2g}"
    below.set_xlabel(counted, color=INK)


def label_ends(axes: Axes, low: str, high: str) -> None:
    """Say what either end of the horizontal axis means."""
    axes.set_xlabel(low, loc="left", fontsize=8)
    axes.annotate(
        high, (1, 0), (0, -15), xycoords="axes fraction", textcoords="offset points", ha="right", va="top", fontsize=8,
        color=MUTED,
    )  # fmt: skip


def stack(values: Any, width: float) -> tuple[Any, Any]:
    """Return where the dots of a dot plot go: those of one bin above each other."""
    bins = np.floor(values / width)
    return (bins + 0.5) * width, np.array([(bins[:i] == one).sum() + 0.5 for i, one in enumerate(bins)])


def picture(axes: Axes, pixels: Pixels, box: tuple[float, float, float, float]) -> None:
    """Show an image, its pixels as squares, in a box of the axes."""
    inset = axes.inset_axes(box)
    inset.imshow(pixels, interpolation="none")
    inset.axis("off")


def draw_budgets(figure: Figure, found: Measured) -> None:
    """Draw the false alarms measured over the budget asked, for images that it holds for and for others."""
    axes = figure.subplots()
    lowest, highest = 0.0001, 0.3
    ends = np.array([0.0004, 0.063])
    axes.plot(ends, ends, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.fill_between(ends, ends, highest, color=RULE, alpha=0.45, linewidth=0)
    axes.text(0.00046, 0.2, "above the dashed line: more false alarms than asked for", color=MUTED, va="center")
    for (name, rates), colour, shift in zip(found.items(), (REAL, AI), (1.03, 0.97), strict=True):
        shares = np.array(rates["alarms"]) / rates["images"]
        errors = np.clip([shares - rates["low"], rates["high"] - shares], 0, None)
        budgets = np.array(rates["budgets"])
        axes.errorbar(budgets * shift, shares, errors, color=colour, fmt="o", markersize=4.5, elinewidth=1.2)
        axes.text(
            0.07,
            shares[-1],
            f"{rates['images']:,} photographs\n{name}",
            color=colour,
            va="center",
        )
    axes.set(xscale="log", yscale="log", xlim=(ends[0], 0.4), ylim=(lowest, highest))
    axes.set_xticks(BUDGETS, [f"{budget:.4g}%" for budget in 100 * np.array(BUDGETS)], minor=False)
    ticks = (0.0001, 0.001, 0.01, 0.1)
    axes.set_yticks(ticks, [f"{100 * tick:g}%" for tick in ticks])
    axes.set_xlabel("error budget asked for", loc="left")
    axes.set_title("Share of real photographs called AI", color=MUTED)


SOURCES = {
    "coco": "COCO: photographs",
    "imagenet_sample": "ImageNet: photographs",
    "phone_camera": "phone photographs",
    "openfake": "OpenFake: real images",
    "digital_art": "digital art",
    "documents": "documents",
    "screenshots": "screenshots",
}
WAYS = {
    "Fisher of seven, calibrated on coco alone, one set": "calibrated on\nCOCO alone",
    "Fisher of seven, one set": "calibrated on\nall, as one group",
    "Fisher of seven, largest over groups, one set": "calibrated on\nall, by groups",
}


def draw_groups(figure: Figure, ways: Measured) -> None:
    """Draw the false alarms by source, and the AI images found, of three calibrations at a budget of 5%."""
    rows = [*range(len(SOURCES)), len(SOURCES) + 0.6]
    for axes, (way, title) in zip(figure.subplots(1, 3, sharey=True), WAYS.items(), strict=True):
        rates = [ways[way][f"5%: false alarms, {source}"]["mean"] for source in SOURCES]
        rates.append(ways[way]["5%: AI found"]["mean"])
        axes.barh(rows, rates, 0.62, color=[*[AI] * len(SOURCES), REAL])
        for row, rate in zip(rows, rates, strict=True):
            axes.text(max(rate, 0.05) + 0.03, row, f"{rate:.1%}", va="center", fontsize=8)
        axes.plot((0.05, 0.05), (-0.6, len(SOURCES) - 0.4), color=INK, linewidth=0.8, linestyle=(0, (3, 2)))
        axes.set_title(title)
        axes.set(xlim=(0, 1.3), ylim=(rows[-1] + 0.6, -0.7))
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        axes.set_yticks(rows, [*SOURCES.values(), "AI images found"])
    figure.supxlabel("share called AI; dashed: the budget of 5%, which is for real images", fontsize=8, color=MUTED)


def draw_panels(figure: Figure, found: Measured) -> None:
    """Draw the false alarms over the number of detectors, if any alarm counts and as one panel."""
    axes, places = figure.subplots(), found["detectors"]
    for name, label, marker in (("independent", "independent", "o"), ("alike", "alike (correlation 0.5)", "s")):
        for way, colour in (("any alarm counts", AI), ("one panel", REAL)):
            rates = found[name][way]["false_alarms"]
            axes.plot(places, rates, color=colour, marker=marker, markersize=4, linewidth=1.2)
            if way == "any alarm counts":
                axes.text(places[-1] + 0.12, rates[-1], f"any alarm counts,\n{label}", color=colour, va="center")
    axes.text(places[-1] + 0.12, found["max_fpr"], "one panel of them,\neither kind", color=REAL, va="center")
    axes.plot((0.8, 6), [found["max_fpr"]] * 2, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    axes.set(xlim=(0.8, 8.6), ylim=(0, 0.066))
    axes.set_xticks(places)
    axes.set_yticks([i / 100 for i in range(7)], [f"{i}%" for i in range(7)])
    axes.set_xlabel("detectors", loc="left")
    axes.set_title("Share of real images called AI, at a budget of 1%", color=MUTED)


def draw_novelty(figure: Figure, bundle: Bundle, pixels: Pixels) -> None:
    """Draw an image as it is and in a border, each beside how unusual calibration images are."""
    novelty, detector = read_novelty(bundle.files[NOVELTY], bundle.info.name), Detector(bundle, evidence=False)
    grid = figure.subplots(2, 2, width_ratios=(1.0, 2.6))
    titles = ("as it is", "in a border")
    for (left, right), title, shown in zip(grid, titles, (pixels, border(pixels, WIDTH, 0)), strict=True):
        left.imshow(shown, interpolation="none")
        left.axis("off")
        left.set_title(f"{title}: {tell(bundle, shown)['verdict']}")
        statistics, features = detector.look([shown[None]])
        distances = novelty.distances(statistics, features)
        merged = [(one.merged, merge(one.distances, distances)) for one in novelty.groups.values()]
        p_typical, kept, here = max(
            (float(share_from(kept, here)[0]), kept.tolist(), float(here[0])) for kept, here in merged
        )
        right.hist(kept, bins=np.arange(0, 8, 0.1), color=PALE, histtype="stepfilled")
        right.axvline(here, color=AI, linewidth=1.4)
        right.set(xlim=(0, 8))
        right.set_yticks([])
        beyond = round(p_typical * (len(kept) + 1)) - 1
        right.set_title(f"{beyond:,} of {len(kept):,} calibration images are as unusual: p = {p_typical:.2g}")
        label_ends(right, "← like the calibration images", "unlike them →")


def draw_unknown(figure: Figure, rates: Measured) -> None:
    """Draw the verdicts on images like the calibration set's and on others."""
    last = list(rates.values())[-1]
    rows = (
        ("photographs like the calibration set", last["as they are"]["real"]),
        ("photographs by other cameras", last["unseen32"]["real"]),
        ("AI images by the known generator", last["as they are"]["ai"]),
        ("AI images by other generators", last["unseen32"]["ai"]),
    )
    axes = figure.subplots()
    for place, (_, found) in enumerate(rows):
        left = 0.0
        for verdict, colour in (("ai", AI), ("uncertain", PALE), ("real", REAL)):
            axes.barh(place, found[verdict], 0.6, left=left, color=colour)
            if found[verdict] > 0.05:
                ink = INK if verdict == "uncertain" else PAPER
                x = left + found[verdict] / 2
                axes.text(x, place, f"{found[verdict]:.0%}", ha="center", va="center", color=ink, fontsize=8)
            left += found[verdict]
    labels = [f"{name}\n({found['images']:,})" for name, found in rows]
    axes.set_yticks(range(len(rows)), labels)
    axes.set(xlim=(0, 1), ylim=(len(rows) - 0.55, -0.5))
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    for verdict, colour, x in (("ai", AI, 0.0), ("uncertain", MUTED, 0.08), ("real", REAL, 0.3)):
        axes.text(x, -0.62, verdict, color=colour, va="bottom", weight="bold")


if __name__ == "__main__":
    main()
