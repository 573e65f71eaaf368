"""`pyrite evaluate`."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyrite.cli.shared import (
    DataArgument,
    MaxFprOption,
    UnknownOption,
    labels_data,
    open_dataset,
    open_panel,
    stderr,
    tell,
)

if TYPE_CHECKING:
    from pyrite.datasets import Labelling


class Protocol(StrEnum):
    """Which images `evaluate` judges."""

    AUTO = "auto"
    OFFICIAL = "official"
    POOLED = "pooled"
    ALL = "all"
    VALIDATION = "validation"


@labels_data
def evaluate(
    bundle: Annotated[
        Path,
        typer.Argument(
            metavar="BUNDLE",
            help="A bundle: a folder, a zip of one, the name of an imported one, or a panel's .json file.",
        ),
    ],
    data: DataArgument,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Output folder for report.html, report.json and figures.")],
    others: Annotated[
        list[Path] | None,
        typer.Option(
            "--bundle",
            metavar="BUNDLE",
            help="Another bundle to combine with the first. May be repeated.",
        ),
    ] = None,
    protocol: Annotated[
        Protocol,
        typer.Option(
            help="Which images to use: the data's own test split, a pooled one, or all. `auto` uses those that the "
            "bundle's training held out if it was trained on this data, else the official test split, else all. "
            "`validation` uses those that selected and calibrated the bundle: use it to choose between bundles, and "
            "keep the test images for the final figures."
        ),
    ] = Protocol.AUTO,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Judge at most N images, drawn at random.")
    ] = None,
    robustness: Annotated[
        bool,
        typer.Option(
            "--robustness", help="Also judge the images under 18 degradations: resaved, blurred, resized and so on."
        ),
    ] = False,
    unknown: UnknownOption = None,
    max_fpr: MaxFprOption = None,
    *,
    labelling: "Labelling",
) -> None:
    """Measure a bundle, or several combined, on labelled images.

    The report has figures with intervals, plots, a table per slice, and the worst mistakes. `--robustness` also judges
    every image under 18 degradations, which takes about 18 times as long.

    Example: `pyrite evaluate run/bundle cifake.zip --out report`
    """
    from pyrite.detector import ConfinedReader
    from pyrite.evaluation import evaluate as run
    from pyrite.rendering.progress import stage_bar

    panel = open_panel([bundle, *(others or ())])
    dataset = open_dataset(data, labelling, one_class=True)
    others_made = None if unknown is None else open_dataset(unknown, one_class=True)
    with ConfinedReader() as confined, stage_bar(stderr) as show:
        report = run(
            panel, dataset, out=out, protocol=protocol.value, limit=limit, max_fpr=max_fpr, robustness=robustness,
            unknown=others_made, confined=confined, watch=show,
        )  # fmt: skip
    tell(report, f"Report: {out / 'report.html'}")
