"""A report on a terminal: the figures that one looks for first."""

from rich.table import Table

from pyrite.evaluation.metrics import Metric
from pyrite.evaluation.report import HEADLINE, Report


def summarize(report: Report) -> Table:
    """Return the headline figures with their intervals."""
    table = Table(
        title=f"{report.provenance.bundle} on {report.as_is.headline.images:,} images of {report.provenance.data}",
        caption=report.part.caution or report.part.why,
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("")
    table.add_column("value", justify="right")
    table.add_column("95% interval", justify="right")
    for key, name, _ in HEADLINE:
        metric: Metric | None = getattr(report.as_is.headline, key)
        if metric:
            table.add_row(name, f"{metric.value:.4f}", f"{metric.low:.4f} to {metric.high:.4f}")
    return table


def unreadable_line(report: Report) -> str | None:
    """Return how many files could not be judged and where they are listed, or `None` where all were."""
    count = len(report.unreadable)
    if not count:
        return None
    files = "One file" if count == 1 else f"{count:,} files"
    return f"{files} could not be judged: {report.unreadable[0].path}{', …' if count > 1 else ''}; see the report."
