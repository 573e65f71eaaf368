"""`pyrite match`."""

from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyrite.cli.shared import labels_data, stderr, stdout, tell_lines
from pyrite.errors import Interrupted

if TYPE_CHECKING:
    from pyrite.datasets import Labelling

_SHOWN = 10
_NO_AUTOENCODER = 15  # dB


class HistoryName(StrEnum):
    """What happens to all images of a pair alike; see `matching.HISTORIES`."""

    NONE = "none"
    LIGHT = "light"
    HEAVY = "heavy"


@labels_data
def match(
    photos: Annotated[
        str,
        typer.Argument(
            metavar="PHOTOS",
            help="A folder of photographs, or a .zip or .tar of one. Of a dataset with labels, only its real images.",
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="DATA", help="Where the dataset goes: a new folder, or one to go on with.")
    ],
    decoder: Annotated[
        list[str] | None,
        typer.Option(
            "--decoder",
            metavar="NAME|FILE|hf:…",
            help="An autoencoder: taef2 (the default), an .onnx file, a .safetensors file of the TAESD family or of "
            "Stable Diffusion's kind, or hf:OWNER/NAME for that of a repository of the Hugging Face Hub. Append "
            ":levels=K, :noise=S or :twice for a variant. May be repeated; three kinds are better than one.",
        ),
    ] = None,
    side: Annotated[
        int, typer.Option(metavar="PIXELS", min=32, max=2048, help="Height and width of the images that are made.")
    ] = 256,
    views: Annotated[int, typer.Option(metavar="N", min=1, help="Take at most N views of a photograph.")] = 4,
    history: Annotated[
        HistoryName,
        typer.Option(
            help="What happens to all images of a view alike, once they are reconstructed. `light`: some resizing and "
            "blur, JPEG of quality 75 to 95. `heavy`: more of it, from 40. `none`: nothing, and PNG."
        ),
    ] = HistoryName.LIGHT,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Another seed draws other views and histories.")] = 0,
    decoders_per_view: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Reconstruct each view with N of the decoders, drawn for it, not with all: more views in the time.",
        ),
    ] = None,
    with_ai: Annotated[
        bool,
        typer.Option(
            "--with-ai",
            help="Of data with labels, cut its AI images into views as well, with histories of the same kind.",
        ),
    ] = False,
    align: Annotated[
        bool,
        typer.Option(
            help="Give each reconstruction as much detail of each fineness as its view has, so that a detector cannot "
            "learn that autoencoders smooth."
        ),
    ] = True,
    *,
    labelling: "Labelling",
) -> None:
    """Make training data from photographs alone: each beside its own reconstruction by an autoencoder.

    Image generators end in the decoder of an autoencoder, which leaves its trace in the pixels. A photograph that goes
    through one gets that trace, and keeps its content, its resolution and its kind of file: to tell the two apart, a
    detector has to learn the trace. Views are squares at the photograph's own resolution.

    The same command goes on where it was stopped. `match.json` in DATA says what made what, and what was left out.

    Examples: `pyrite match holidays --out pairs` ·
    `pyrite match photos.zip --out pairs --decoder taef2 --decoder taef2:twice --decoder sd-vae.safetensors --views 8` ·
    `pyrite train pairs --recipe crops --group-column photo --out run`
    """
    from pyrite.matching import match as run
    from pyrite.rendering.progress import progress_bar
    from pyrite.rendering.text import printable

    try:
        with progress_bar(stderr, "Matching") as progress:
            info = run(
                photos,
                out,
                decoders=decoder or ("taef2",),
                side=side,
                views=views,
                history=history.value,
                seed=seed,
                decoders_per_view=decoders_per_view,
                with_ai=with_ai,
                align=align,
                labelling=labelling,
                progress=progress,
            )
    except KeyboardInterrupt:
        raise Interrupted("Interrupted. The same command goes on where it stopped.") from None
    made = ", ".join(one.name for one in info.settings.decoders)
    by = made if decoders_per_view is None else f"{decoders_per_view} of {made}"
    stdout.print(
        f"{info.groups:,} views of {info.photographs:,} photographs, each as it is and by {by}: "
        f"{info.images:,} images in {out}"
    )
    if with_ai:
        stdout.print(f"Beside them, {info.ai_groups:,} views of {info.ai_photographs:,} AI images.")
    stdout.print(f"PSNR: {', '.join(f'{name} {ratio:.1f} dB' for name, ratio in info.psnr.items())}")
    told = [
        f"{name} comes no closer to photographs than {ratio:.1f} dB. Does it take and give values in [0, 1]?"
        for name, ratio in info.psnr.items()
        if ratio < _NO_AUTOENCODER
    ]
    if info.ai_images:
        told.append(f"Left out, AI images of {info.photos}: {info.ai_images:,}.")
    told += info.other_files
    if info.flat_views:
        told.append(f"Left out, views that are the same file as a reconstruction: {info.flat_views:,}.")
    if info.left_out:
        counts = ", ".join(f"{code} {n:,}" for code, n in Counter(one.code for one in info.left_out).most_common())
        told.append(f"Left out: {len(info.left_out):,} ({counts}); {out / 'match.json'} names all of them.")
        told += [f"  {one.path}: {one.reason}" for one in info.left_out[:_SHOWN]]
    tell_lines(map(printable, told))
    stdout.print(f"Train on it: pyrite train {out} --recipe crops --group-column photo --out run")
    if any(one.is_unreadable for one in info.left_out):
        raise typer.Exit(1)
