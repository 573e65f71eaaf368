"""`pyrite compare`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyrite.cli.evaluate import Protocol
from pyrite.cli.shared import check_budget, labels_data, open_dataset, stderr, stdout, tell_lines, tell_unreadable

if TYPE_CHECKING:
    from pyrite.datasets import Labelling


@labels_data
def compare(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="A B… DATA",
            help="Two or more detectors, then the images. A detector is a bundle, a panel’s file, several bundles "
            "joined by `+` and combined, or a scores.parquet from `pyrite evaluate`.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Output folder for compare.html, compare.json and roc.png.")],
    protocol: Annotated[Protocol, typer.Option(help="Which images to use, as in `pyrite evaluate`.")] = Protocol.AUTO,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Judge at most N images, drawn at random.")
    ] = None,
    max_fpr: Annotated[
        float | None,
        typer.Option(
            "--max-fpr",
            metavar="RATE",
            callback=check_budget,
            help="Error budget of all verdicts: the share of real images that may be called ai. With a "
            "scores.parquet, the budget stored in it applies and cannot be changed. Default: the largest of the "
            "bundles' budgets.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Seed for resampling and for --limit.")] = 0,
    *,
    labelling: "Labelling",
) -> None:
    """Compare detectors on the same labelled images.

    Every detector judges the images that all of them can read. For each pair, the report shows the differences with
    paired intervals, DeLong's and McNemar's tests, where the two agree, and what only one of them finds.

    Example: `pyrite compare run/bundle other/bundle photos.zip --out comparison`
    """
    from pyrite.detector import ConfinedReader
    from pyrite.evaluation import compare as run
    from pyrite.evaluation.summary import difference_lines, summarize_comparison, unreadable_line
    from pyrite.rendering.progress import stage_bar

    *chosen, data = paths
    if len(chosen) < 2:
        raise typer.BadParameter("Name at least two detectors, and then the images.")
    dataset = open_dataset(data, labelling, one_class=True)
    with ConfinedReader() as confined, stage_bar(stderr) as show:
        found = run(
            chosen, dataset, out=out, protocol=protocol.value, limit=limit, max_fpr=max_fpr, seed=seed,
            confined=confined, watch=show,
        )  # fmt: skip
    stdout.print(summarize_comparison(found))
    for line in difference_lines(found):
        stdout.print(line)
    tell_lines(f"{one.name}: {one.caution}" for one in found.competitors if one.caution)
    stdout.print(f"Comparison: {out / 'compare.html'}")
    stdout.print(f"Figures: {out / 'compare.json'}")
    tell_unreadable(unreadable_line(found.unreadable, where="; see the comparison"))
