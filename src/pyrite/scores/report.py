"""An evaluation of a panel: for a terminal, and as a file with where its figures came from."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from pyrite.errors import EvaluationError
from pyrite.evaluation.metrics import Metric
from pyrite.provenance import current_command, package_versions, source_commit
from pyrite.scores.measure import DetectorRates, PanelRates
from pyrite.sources import encodable
from pyrite.writing import indented_json, whole_file


def tabulate(found: PanelRates, budgets: Sequence[float]) -> tuple[Table, ...]:
    """Return the tables of the panel beside its detectors, and of the groups where a class has several."""
    detectors = _table(
        f"Called ai, of {found.real:,} real and {found.ai:,} AI images", "budget", "AUROC", "false alarms", "AI found"
    )
    for i, budget in enumerate(budgets):
        for row in (found.panel, *found.detectors):
            rates = row.budgets[i]
            detectors.add_row(
                escape(row.name),
                f"{100 * budget:.3g}%",
                _auroc(row),
                _percent(rates.false_alarms),
                _percent(rates.found),
            )
        detectors.add_section()
    detectors.caption = "In brackets the 95% interval (Wilson). A detector alone is calibrated as it is in the panel."
    if len(found.groups) == len({group.kind for group in found.groups}):
        return (detectors,)
    groups = _table(
        "Called ai by the panel, by group", "images", *(f"budget {100 * budget:.3g}%" for budget in budgets)
    )
    for group in found.groups:
        groups.add_row(escape(f"{group.kind}, {group.group}"), f"{group.images:,}", *map(_percent, group.called_ai))
    return detectors, groups


def write_rates(
    found: PanelRates, path: Path, *, table: str, table_sha256: str, panel_sha256: str, told: Sequence[str]
) -> None:
    """Write every figure as JSON, with where it came from.

    Args:
        found: The figures.
        path: Where.
        table: The name of the table that was judged.
        table_sha256: Its hash.
        panel_sha256: The hash of the panel's file.
        told: What was said of the table and the panel.

    Raises:
        EvaluationError: It cannot be written.
    """
    content = {
        "format": 1,
        "command": current_command(),
        "commit": source_commit(),
        "packages": package_versions(),
        "table": encodable(table),
        "table_sha256": table_sha256,
        "panel_sha256": panel_sha256,
        "told": told,
        **asdict(found),
    }
    try:
        with whole_file(path) as draft:
            draft.write_bytes(indented_json(content, indent=1))
    except OSError as error:
        raise EvaluationError(f"{path} cannot be written: {error.strerror}.") from error


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", caption_justify="left")
    table.add_column("", overflow="fold")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _auroc(row: DetectorRates) -> str:
    return f"{row.auroc.value:.3f}" if row.auroc else "–"


def _percent(metric: Metric | None) -> str:
    return f"{metric.value:.1%} ({100 * metric.low:.1f}–{100 * metric.high:.1f})" if metric else "–"
