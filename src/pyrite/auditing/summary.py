"""An audit on a terminal."""

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pyrite.auditing.audit import KINDS, Audit
from pyrite.evaluation.floor import FAMILIES
from pyrite.evaluation.summary import interval


def summarize_audit(audit: Audit) -> Group:
    """Return what an audit found, and what to do about it."""
    copies = Table(
        title=escape(f"{audit.data}: {audit.images:,} images, {audit.real:,} real and {audit.ai:,} AI"),
        title_justify="left",
    )
    copies.add_column("")
    for name in ("pairs", "real", "AI", "both labels", "between splits"):
        copies.add_column(name, justify="right")
    rows = [("Identical files", audit.identical), *((name, getattr(audit, kind)) for kind, name in KINDS.items())]
    for name, found in rows:
        counts = (found.pairs, found.real, found.ai, found.both, found.between)
        copies.add_row(name if found.complete else f"{name}, at least", *(f"{count:,}" for count in counts))
    shortcuts = Table(title="What predicts the label without looking at the picture", title_justify="left")
    shortcuts.add_column("")
    for name in ("AUROC", "95% interval", "accuracy"):
        shortcuts.add_column(name, justify="right")
    for row in audit.floor.shortcuts:
        shortcuts.add_row(
            FAMILIES[row.family], f"{row.auroc.value:.4f}", interval(row.auroc), f"{row.accuracy.value:.4f}"
        )
    advice = [Text(f"{i}. {sentence}") for i, sentence in enumerate(audit.advice, start=1)]
    told = (shortcuts,) if audit.floor.shortcuts else ()
    return Group(copies, *told, Text(audit.floor.note, style="dim"), Text("What to do", style="bold"), *advice)
