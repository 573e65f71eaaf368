"""`pyrite audit`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyrite.cli.shared import DataArgument, labels_data, open_dataset, stderr, stdout, tell_unreadable

if TYPE_CHECKING:
    from pyrite.datasets import Labelling


@labels_data
def audit(
    data: DataArgument,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Output folder for audit.html and audit.json. Default: only print the summary."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print audit.json instead of the summary.")] = False,
    *,
    labelling: "Labelling",
) -> None:
    """Check labelled images, before training, for anything that inflates a score.

    The audit finds copies (identical, near, mirrored, bordered, cropped) within a split, between splits and under both
    labels. It finds what separates the classes, such as the file format. It also measures how well shortcuts alone
    predict the label: facts about the files, global statistics and the spectrum.

    Example: `pyrite audit cifake.zip --out audit`
    """
    from pyrite.auditing import audit as run
    from pyrite.auditing.summary import summarize_audit
    from pyrite.evaluation.summary import unreadable_line
    from pyrite.rendering.progress import stage_bar

    dataset = open_dataset(data, labelling)
    with stage_bar(stderr) as show:
        found = run(dataset, out=out, watch=show)
    if as_json:
        print(found.to_json().decode(), end="")
    else:
        stdout.print(summarize_audit(found))
        if out:
            stdout.print(f"Page: {out / 'audit.html'}")
    tell_unreadable(unreadable_line(found.unreadable, where="; see audit.json" if out else ""))
