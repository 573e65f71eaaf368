"""`pyrite decoder`: autoencoders of one's own for `pyrite match`."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyrite.cli.shared import labels_data, stderr, stdout, tell_lines
from pyrite.errors import Interrupted

if TYPE_CHECKING:
    from pyrite.datasets import Labelling

decoders = typer.Typer(help="Make decoders for `pyrite match`.", no_args_is_help=True)


class UpsamplingName(StrEnum):
    """How a decoder doubles the resolution; see `matching.upsampling`."""

    BILINEAR = "bilinear"
    TRANSPOSED = "transposed"
    SHUFFLE = "shuffle"


@decoders.callback()
def callback() -> None:
    """Make decoders for `pyrite match`."""


@decoders.command()
@labels_data
def tune(
    photos: Annotated[str, typer.Argument(metavar="PHOTOS", help="Photographs to tune on, as for `pyrite match`.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Output file for the decoder: an .onnx file.")],
    upsampling: Annotated[
        UpsamplingName,
        typer.Option(
            help="What replaces nearest-neighbour upsampling: bilinear interpolation, a transposed convolution, or a "
            "sub-pixel convolution (`shuffle`)."
        ),
    ],
    decoder: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE", help="What to start from: taef2, or weights of the TAESD family (.safetensors, .onnx)."
        ),
    ] = "taef2",
    steps: Annotated[int, typer.Option(metavar="N", min=1, help="Steps of 8 views; about a second of CPU each.")] = 100,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="Seed for the views, their order and the new weights.")
    ] = 0,
    *,
    labelling: "Labelling",
) -> None:
    """Replace a decoder's upsampling and fine-tune it on photographs for a minute, so that it leaves another trace.

    Detectors that train on several kinds of decoder recognise more generators. The encoder does not change.

    Example: `pyrite decoder tune holidays --upsampling transposed --out taef2-transposed.onnx`
    """
    from pyrite.matching import tune_decoder
    from pyrite.rendering.progress import progress_bar

    try:
        with progress_bar(stderr, "Tuning") as progress:
            tuned = tune_decoder(
                photos,
                out,
                upsampling=upsampling.value,
                base=decoder,
                steps=steps,
                seed=seed,
                labelling=labelling,
                progress=progress,
            )
    except KeyboardInterrupt:
        raise Interrupted("Interrupted. Nothing was written.") from None
    if tuned.passed_over:
        tell_lines([f"Photographs skipped, too small or unreadable: {tuned.passed_over:,}."])
    stdout.print(f"{tuned.views:,} views of {tuned.photographs:,} photographs")
    stdout.print(
        f"PSNR on held-out views: {tuned.after:.1f} dB; {tuned.before:.1f} before tuning, "
        f"{tuned.original:.1f} with the original {decoder}"
    )
    stdout.print(f"Use it: pyrite match {photos} --out pairs --decoder taef2 --decoder {out}")
