"""The command line: parse, make one public call, show what it gave. No logic."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pyrite.errors import PyriteError

app = typer.Typer(
    name="pyrite",
    help="Tell AI-generated images from real ones, and see the evidence.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
_stderr = Console(stderr=True)


@app.callback()
def callback() -> None:
    """Tell AI-generated images from real ones, and see the evidence."""


@app.command()
def train(
    data: Annotated[str, typer.Argument(help="A folder, .zip, .tar, CSV or Parquet manifest, or `cifake`.")],
    out: Annotated[Path, typer.Option(help="Folder for the run; must not exist yet, unless resuming.")],
    recipe: Annotated[str, typer.Option(help="A shipped recipe's name, or a .toml file.")] = "resnet50",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the recipe.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
) -> None:
    """Train a detector: from a dataset to a bundle and its report."""
    from pyrite.datasets import Dataset
    from pyrite.training.display import Display
    from pyrite.training.recipe import load_recipe
    from pyrite.training.run import train as run

    with Display(_stderr) as display:
        run(Dataset.open(data), load_recipe(recipe, settings or ()), out, resume=resume, watch=display)


def main() -> None:
    """Run the command line, and turn every expected error into one sentence."""
    try:
        app()
    except PyriteError as error:
        _stderr.print(f"[bold red]Error:[/] {error}", highlight=False, soft_wrap=True)
        sys.exit(1)
