"""A report on a terminal: the figures that one looks for first."""

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from pyrite.evaluation.comparison import Comparison
from pyrite.evaluation.judge import UnreadableFile
from pyrite.evaluation.metrics import Metric
from pyrite.evaluation.report import HEADLINE, Report


def summarize(report: Report) -> Table:
    """Return the headline figures with their intervals, and beside them what shortcuts alone reach."""
    best = report.floor.best
    floor = {"accuracy": f"{best.accuracy.value:.4f}", "auroc": f"{best.auroc.value:.4f}"} if best else {}
    table = Table(
        title=escape(
            f"{report.provenance.bundle} on {report.as_is.headline.images:,} images of {report.provenance.data}"
        ),
        caption=escape(
            " ".join(
                [
                    report.part.caution or report.part.why,
                    *([report.no_probability] if report.no_probability else []),
                    "Floor: what shortcuts reach without looking at the picture."
                    if best
                    else f"Floor: {report.floor.note}",
                ]
            )
        ),
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("")
    table.add_column("value", justify="right")
    table.add_column("95% interval", justify="right")
    table.add_column("floor", justify="right")
    for key, name, _ in HEADLINE:
        metric: Metric | None = getattr(report.as_is.headline, key)
        if metric:
            table.add_row(name, f"{metric.value:.4f}", interval(metric), floor.get(key, ""))
    return table


def withheld_line(report: Report) -> str | None:
    """Return how many more images would be called real if the pixels alone were let; `None` where they are."""
    if not any(report.withheld):
        return None
    real, ai = report.withheld
    return f"With --allow-real, {real:,} real and {ai:,} AI images that are uncertain now would be called real."


def transfer_line(report: Report) -> str:
    """Return what is known of images by generators that the bundle does not know."""
    found = report.transfer
    if found is None:
        return "Images from unknown generators: not measured. Measure them with --unknown."
    left_out = f" {found.unreadable:,} files could not be judged." if found.unreadable else ""
    return (
        f"Of {found.images:,} images from unknown generators ({found.data}), {found.called_real.value:.1%} "
        f"({found.called_real.low:.1%} to {found.called_real.high:.1%}) are called real, and "
        f"{found.called_ai.value:.1%} AI.{left_out}{f' {found.caution}' if found.caution else ''}"
    )


def robustness_lines(report: Report) -> list[str]:
    """Return what degradations do, in a few sentences; none where that was not measured."""
    found = report.robustness
    if not found:
        return []
    mean, worst = found.mean, found.worst
    clean = found.clean.headline
    name, known = ("accuracy", clean.accuracy) if clean.accuracy else ("AUROC", clean.auroc)
    lines = []
    if known:
        typical, lowest = getattr(mean, name.lower()), getattr(worst, name.lower())
        lines.append(
            f"Under {len(found.grid)} degradations, {name} is {typical:.4f} on average and {lowest:.4f} "
            f"at worst ({found.lowest}), and {known.value:.4f} without any"
            + (f"; ECE {mean.ece:.4f} on average and {worst.ece:.4f} at worst." if mean.ece is not None else ".")
        )
    for name, typical, highest in (("FPR", mean.fpr, worst.fpr), ("FNR", mean.fnr, worst.fnr)):
        if typical is not None and highest is not None:
            lines.append(f"The verdict’s {name} is {typical:.4f} on average and {highest:.4f} at worst.")
    flips = [(kind, row) for kind, row in (("real", found.flips_real), ("AI", found.flips_ai)) if row]
    shares = (
        f"{row.changed.value:.1%} ({row.changed.low:.1%} to {row.changed.high:.1%}) of {kind} images"
        for kind, row in flips
    )
    lines.append(f"Saved again ({found.resave}), the verdict changes for {' and '.join(shares)}.")
    if found.left_out:
        lines.append(
            f"Left out, because a degradation of them could not be judged: {len(found.left_out):,} of the images."
        )
    return lines


def interval(metric: Metric) -> str:
    """Return the interval of a figure in words."""
    return f"{metric.low:.4f} to {metric.high:.4f}"


def unreadable_line(unreadable: Sequence[UnreadableFile], *, where: str = "; see the report") -> str | None:
    """Return how many files could not be read and where they are listed, or `None` where all were."""
    count = len(unreadable)
    if not count:
        return None
    files = "One file" if count == 1 else f"{count:,} files"
    return f"{files} could not be judged: {unreadable[0].path}{', …' if count > 1 else ''}{where}."


def summarize_comparison(comparison: Comparison) -> Table:
    """Return each detector's headline figures, side by side."""
    table = Table(
        title=escape(f"{comparison.images:,} images of {comparison.data}"),
        caption=escape(" ".join(filter(None, (comparison.part.caution or comparison.part.why, comparison.note)))),
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("")
    for one in comparison.competitors:
        table.add_column(escape(one.name), justify="right")
    for key, name, _ in HEADLINE:
        metrics: list[Metric | None] = [getattr(one.headline, key) for one in comparison.competitors]
        if any(metrics):
            table.add_row(name, *("–" if metric is None else f"{metric.value:.4f}" for metric in metrics))
    speeds = [one.images_per_second for one in comparison.competitors]
    table.add_row("Images per second", *("–" if speed is None else f"{speed:,.1f}" for speed in speeds))
    sizes = [one.bytes for one in comparison.competitors]
    table.add_row("Megabytes", *("–" if size is None else f"{size / 1e6:,.2f}" for size in sizes))
    return table


def difference_lines(comparison: Comparison) -> list[str]:
    """Return a sentence on the first detector against each other."""
    lines = []
    for pair in comparison.pairs[: len(comparison.competitors) - 1]:
        told = [
            f"{name} {metric.value:+.4f} ({metric.low:+.4f} to {metric.high:+.4f})"
            for name, metric in (("AUROC", pair.differences.auroc), ("accuracy", pair.differences.accuracy))
            if metric
        ]
        if pair.delong and pair.delong.p_value is not None:
            told.append(f"p = {pair.delong.p_value:.2g} for AUROC (DeLong)")
        told.append(f"p = {pair.mcnemar_verdict.p_value:.2g} for verdicts (McNemar)")
        lines.append(f"{pair.first} minus {pair.second}: {', '.join(told)}.")
    return lines
