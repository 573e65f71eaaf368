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
