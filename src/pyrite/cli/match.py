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
            help="A folder of photographs, or a .zip or .tar of one. Of a labelled dataset, only real images are used.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Output folder: a new one, or that of the run to continue.")],
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
        int, typer.Option(metavar="PIXELS", min=32, max=2048, help="Height and width of the output images.")
    ] = 256,
    views: Annotated[int, typer.Option(metavar="N", min=1, help="Take at most N views of a photograph.")] = 4,
    history: Annotated[
        HistoryName,
        typer.Option(
            help="Edits applied alike to all images of a view, after reconstruction. `light`: some resizing and blur, "
            "JPEG quality 75 to 95. `heavy`: more of each, JPEG quality from 40. `none`: no edits, saved as PNG."
        ),
    ] = HistoryName.LIGHT,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Seed for drawing views and histories.")] = 0,
    decoders_per_view: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Reconstruct each view with N randomly drawn decoders instead of all: more views in the same time.",
        ),
    ] = None,
    with_ai: Annotated[
        bool,
        typer.Option(
            "--with-ai",
            help="For a labelled dataset: also cut its AI images into views, with the same kind of history.",
        ),
    ] = False,
    align: Annotated[
        bool,
        typer.Option(
            help="Match the power spectrum of each reconstruction to that of its view, so that a detector cannot "
            "simply learn that autoencoders smooth images."
        ),
    ] = True,
    *,
    labelling: "Labelling",
) -> None:
    """Make training data from photographs alone, by pairing each with its reconstruction by an autoencoder.

    Image generators end in the decoder of an autoencoder, which leaves a trace in the pixels. A reconstructed
    photograph has that trace, and keeps its content, resolution and file type, so a detector has to learn the trace to
    tell the two apart. Views are square crops at the photograph's own resolution.

    If it is stopped, the same command continues it. `match.json` in DATA records what made each image, and what was
    left out.

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
        raise Interrupted("Interrupted. Run the same command to continue.") from None
    made = ", ".join(one.name for one in info.settings.decoders)
    by = made if decoders_per_view is None else f"{decoders_per_view} of {made}"
    stdout.print(
        f"{info.groups:,} views of {info.photographs:,} photographs, each unchanged and reconstructed by {by}: "
        f"{info.images:,} images in {out}"
    )
    if with_ai:
        stdout.print(f"Also {info.ai_groups:,} views of {info.ai_photographs:,} AI images.")
    stdout.print(f"PSNR: {', '.join(f'{name} {ratio:.1f} dB' for name, ratio in info.psnr.items())}")
    told = [
        f"{name} reconstructs photographs at only {ratio:.1f} dB. Are its inputs and outputs in [0, 1]?"
        for name, ratio in info.psnr.items()
        if ratio < _NO_AUTOENCODER
    ]
    if info.ai_images:
        told.append(f"AI images of {info.photos} left out: {info.ai_images:,}.")
    told += info.other_files
    if info.flat_views:
        told.append(f"Views left out because they equal a reconstruction: {info.flat_views:,}.")
    if info.left_out:
        counts = ", ".join(f"{code} {n:,}" for code, n in Counter(one.code for one in info.left_out).most_common())
        told.append(f"Left out: {len(info.left_out):,} ({counts}), all listed in {out / 'match.json'}.")
        told += [f"  {one.path}: {one.reason}" for one in info.left_out[:_SHOWN]]
    tell_lines(map(printable, told))
    stdout.print(f"Train on it: pyrite train {out} --recipe crops --group-column photo --out run")
    if any(one.is_unreadable for one in info.left_out):
        raise typer.Exit(1)
