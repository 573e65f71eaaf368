"""`pyrite toy`."""

from pathlib import Path
from typing import Annotated

import typer

from pyrite.cli.shared import stderr, stdout


def toy(
    out: Annotated[Path, typer.Argument(metavar="DIR", help="Output folder: a new one.")],
    count: Annotated[int, typer.Option(metavar="N", min=40, help="Number of images, half of each class.")] = 1500,
    size: Annotated[
        int,
        typer.Option(
            metavar="PIXELS",
            min=16,
            max=4096,
            help="Height and width. Above 64, AI images carry another trace, which downscaling removes.",
        ),
    ] = 32,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="The same seed gives the same images.")] = 0,
) -> None:
    """Make a toy dataset to try things on.

    Real images are textures; AI images are the same kind of texture drawn by an upsampling generator, so there is
    something to learn. Above 64 pixels a side, the generator leaves a faint pattern that downscaling removes: try the
    recipe `crops` on it.

    Examples: `pyrite toy toy-data --count 2000` · `pyrite toy photos --size 512 --count 400`
    """
    from pyrite.datasets import make_toy
    from pyrite.rendering.progress import progress_bar

    with progress_bar(stderr, "Drawing") as progress:
        make_toy(out, count=count, size=size, seed=seed, progress=progress)
    stdout.print(f"{count:,} images in {out}")
