"""`pyrite train`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyrite.cli.shared import DataArgument, labels_data, open_dataset, stderr, tell_run
from pyrite.errors import Interrupted

if TYPE_CHECKING:
    from pyrite.datasets import Labelling


@labels_data
def train(
    data: DataArgument,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the run goes: a new folder, unless resuming.")],
    recipe: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE", help="A shipped recipe, such as resnet50 or photos-scratch, or a .toml file."
        ),
    ] = "resnet50",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the recipe; may be given again."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    log: Annotated[
        list[str] | None,
        typer.Option(
            "--log",
            metavar="NAME",
            help="Where the curves go: mlflow, tensorboard (the default) or wandb; may be given again.",
        ),
    ] = None,
    *,
    labelling: "Labelling",
) -> None:
    """Train a detector on labelled images.

    What comes out is a bundle, and the report of how good it is on images kept back. A run that was stopped, by
    Ctrl-C or worse, goes on from its last checkpoint with the same command and `--resume`. On several machines, run the
    same command on each, with its place in the environment variable `TF_CONFIG`.

    Example: `pyrite train cifake.zip --recipe resnet50 --set epochs=5 --out run`
    """
    from pyrite.recipe import load_recipe
    from pyrite.training import train as run
    from pyrite.training.display import TrainingDisplay

    chosen = load_recipe(recipe, settings or ())  # Before the data, which may take a while to open.
    try:
        dataset = open_dataset(data, labelling)
        with TrainingDisplay(stderr) as display:
            report = run(dataset, chosen, out, resume=resume, watch=display, log=log or ("tensorboard",))
    except KeyboardInterrupt:
        how = " Go on with --resume." if (out / "checkpoint.npz").exists() else ""
        raise Interrupted(f"Interrupted.{how}") from None
    if report is None:
        stderr.print("Trained. The first machine of TF_CONFIG writes the bundle and the report.")
    else:
        tell_run(report, out)
