"""`pyrite toy`."""

from pathlib import Path
from typing import Annotated

import typer

from pyrite.cli.shared import stdout


def toy(
    out: Annotated[Path, typer.Argument(metavar="DIR", help="Where: a new folder.")],
    count: Annotated[int, typer.Option(metavar="N", min=40, help="How many images, half of each class.")] = 1500,
    size: Annotated[int, typer.Option(metavar="PIXELS", min=16, help="Their height and width.")] = 32,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="The same seed gives the same images.")] = 0,
) -> None:
    """Make a toy dataset to try things on.

    Textures, and the same kind drawn by an upsampling generator, so that there is something to learn.

    Example: `pyrite toy toy-data --count 2000`
    """
    from pyrite.datasets import make_toy

    make_toy(out, count=count, size=size, seed=seed)
    stdout.print(f"{count:,} images in {out}")
