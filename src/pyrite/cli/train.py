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
    out: Annotated[Path, typer.Option(metavar="DIR", help="Output folder: a new one, unless resuming.")],
    recipe: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE",
            help="An included recipe, or a .toml file. For small images: resnet50, default, scratch, teacher, tiny. "
            "For photographs: photos, photos-probe, photos-finetune, photos-scratch, crops.",
        ),
    ] = "resnet50",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a setting of the recipe, such as epochs=5. May be repeated."
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out.")] = False,
    log: Annotated[
        list[str] | None,
        typer.Option(
            "--log",
            metavar="NAME",
            help="Where to log the curves: mlflow, tensorboard (the default) or wandb. May be repeated.",
        ),
    ] = None,
    *,
    labelling: "Labelling",
) -> None:
    """Train a detector on labelled images.

    This writes a bundle, and a report of how well it does on held-out images. To continue a run that was stopped, by
    Ctrl-C or a crash, from its last checkpoint, run the same command with `--resume`. To train on several machines, run
    the same command on each, with its role in the environment variable `TF_CONFIG`.

    Example: `pyrite train cifake.zip --recipe resnet50 --set epochs=5 --out run`
    """
    from pyrite.recipe import load_recipe
    from pyrite.training import train as run
    from pyrite.training.backend import precision_note
    from pyrite.training.display import TrainingDisplay
    from pyrite.training.lessons import settle_targets

    chosen = load_recipe(recipe, settings or ())  # Before the data, which may take a while to open.
    try:
        dataset = open_dataset(data, labelling)
        chosen, lacking = settle_targets(chosen, dataset)
        if lacking:
            column = " or ".join(lacking)
            stderr.print(
                f"The data has no column {column} of two classes or more, so training learns the labels alone."
            )
        if note := precision_note(chosen.precision):
            stderr.print(note)
        with TrainingDisplay(stderr) as display:
            report = run(dataset, chosen, out, resume=resume, watch=display, log=log or ("tensorboard",))
    except KeyboardInterrupt:
        how = " Continue with --resume." if (out / "checkpoint.npz").exists() else ""
        raise Interrupted(f"Interrupted.{how}") from None
    if report is None:
        stderr.print("Trained. The first machine of TF_CONFIG writes the bundle and the report.")
    else:
        tell_run(report, out)
