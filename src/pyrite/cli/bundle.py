"""`pyrite bundle`: look into a bundle, check it, or make a smaller one of it."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyrite.cli import published
from pyrite.cli.shared import (
    BundleArgument,
    DataArgument,
    Device,
    DeviceOption,
    HalvesOption,
    KeepOption,
    MergeOption,
    Merging,
    SeedOption,
    UnknownOption,
    labels_data,
    open_dataset,
    stderr,
    stdout,
    tell_dataset,
    tell_panel,
    tell_run,
    tell_unreadable,
)
from pyrite.errors import PyriteError

if TYPE_CHECKING:
    from pyrite.datasets import Dataset, Labelling
    from pyrite.evaluation.opinions import Scored


bundles = typer.Typer(no_args_is_help=True, help="Inspect, check, import and calibrate bundles.")


@bundles.command()
def show(bundle: BundleArgument = None) -> None:
    """Print a bundle's card and calibration.

    The card says what the bundle is for, what it is not for, how good it is, and which error budget it keeps in each
    group.

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
@labels_data
def quantize(
    bundle: Annotated[Path, typer.Argument(metavar="PATH", help="A float32 bundle: a folder or a zip of one.")],
    data: DataArgument,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Output folder for bundle/ and report/: a new one.")],
    *,
    labelling: "Labelling",
) -> None:
    """Convert a bundle to 8-bit integers: a quarter of the size, and several times faster.

    DATA is the data that it was trained on. Training images set the ranges, validation images the calibration, and test
    images the figures of the new bundle.

    Example: `pyrite bundle quantize run/bundle cifake.zip --out run-int8`
    """
    from pyrite.publishing import quantize as run
    from pyrite.training.display import TrainingDisplay

    dataset = open_dataset(data, labelling)
    with TrainingDisplay(stderr) as display:
        report = run(bundle, dataset, out, watch=display)
    tell_run(report, out)


@bundles.command()
@labels_data
def renew(
    bundle: Annotated[Path, typer.Argument(metavar="PATH", help="A bundle that was trained with Pyrite.")],
    data: DataArgument,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Output folder for bundle/ and report/: a new one.")],
    version: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The new bundle's version. Default: the old one's.")
    ] = None,
    unknown: UnknownOption = None,
    *,
    labelling: "Labelling",
) -> None:
    """Calibrate and measure a bundle again, with the same network.

    Use this for a bundle by an older Pyrite, or to measure one on generators that it does not know. DATA is the data
    that it was trained on.

    Example: `pyrite bundle renew run/bundle cifake.zip --unknown others.zip --out renewed`
    """
    from pyrite.publishing import renew as run
    from pyrite.training.display import TrainingDisplay

    dataset = open_dataset(data, labelling)
    others = None if unknown is None else open_dataset(unknown, one_class=True)
    with TrainingDisplay(stderr) as display:
        report = run(bundle, dataset, out, version=version, unknown=others, watch=display)
    tell_run(report, out)


bundles.command("import")(published.import_)
bundles.command()(published.push)
bundles.command()(published.catalogue)
bundles.command("list")(published.list_)
bundles.command()(published.remove)


@bundles.command()
@labels_data
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
    halves: HalvesOption = False,
    keep: KeepOption = 2000,
    seed: SeedOption = 0,
    *,
    labelling: "Labelling",
) -> None:
    """Calibrate a bundle on your own images, or several as a panel that keeps one error budget.

    Images that trained a bundle are left out. Real images set the error budget; with a group column, it holds in each
    group, and `folder` groups by folder. AI images let the bundle say `real` as well. Pass a panel's file to `--bundle`
    like a bundle. It refers to its bundles by path, and reports if one has changed. If the run is interrupted, the same
    command continues it: scores are kept in PATH.scores until it is done.

    Examples: `pyrite bundle calibrate organika ~/Pictures --real-only --out mine`,
    `pyrite bundle calibrate a/bundle b/bundle photos.zip --group-column source --out panel.json`
    """
    from pyrite.datasets import Dataset, Labelling
    from pyrite.evaluation.summary import unreadable_line

    *chosen, data = paths
    if not chosen:
        raise typer.BadParameter("Name a bundle, then the images.")
    if len(chosen) == 1 and (halves or merge is not Merging.FISHER):
        raise typer.BadParameter("--halves and --merge are for several bundles.")
    if real_only:
        column, pattern = labelling.group_column, labelling.group_pattern
        if labelling != Labelling(group_column=column, group_pattern=pattern):
            raise typer.BadParameter(
                "With --real-only all images are real: leave out --real, --ai, --generator and columns."
            )
        dataset = Dataset.open_real(data, group_column=column, group_pattern=pattern)
        tell_dataset(dataset)
    else:
        dataset = open_dataset(data, labelling, one_class=True)
    scored = (
        _calibrate_one(chosen[0], dataset, out, keep, seed)
        if len(chosen) == 1
        else _calibrate_panel(chosen, dataset, out, merge, halves, keep, seed)
    )
    if scored.resumed:
        stdout.print(f"Images already scored by an interrupted run: {scored.resumed:,}")
    if scored.trained:
        stdout.print(f"Images left out because they trained a bundle: {scored.trained:,}")
    if scored.copies:
        stdout.print(f"Copies of other images left out: {scored.copies:,}")
    tell_unreadable(unreadable_line(scored.unreadable, where="."))


def _calibrate_one(bundle: Path, dataset: "Dataset", out: Path, keep: int, seed: int) -> "Scored":
    from pyrite.bundle.calibration import images_needed
    from pyrite.publishing import recalibrate
    from pyrite.publishing.card import describe_calibration
    from pyrite.training.display import TrainingDisplay

    with TrainingDisplay(stderr) as display:
        found = recalibrate(bundle, dataset, out, keep=keep, seed=seed, watch=display)
    info = found.bundle.info
    stdout.print(f"Calibrated on {found.real:,} real and {found.ai:,} AI images.")
    if found.out_of_scope:
        stdout.print(f"Images left out because of their size: {found.out_of_scope:,}")
    stdout.print(describe_calibration(info).partition("\n\n")[2])
    stdout.print(f"Smallest error budget it can keep: {info.calibration.smallest_p_real:.2%}")
    stdout.print(
        f"1% needs {images_needed(0.01):,} real images of each group, and 0.1% needs {images_needed(0.001):,}."
    )
    stdout.print(f"Bundle: {out}")
    return found.scored


def _calibrate_panel(
    bundles: list[Path],
    dataset: "Dataset",
    out: Path,
    merge: Merging,
    halves: bool,
    keep: int,
    seed: int,
) -> "Scored":
    from pyrite.bundle import Panel
    from pyrite.rendering.progress import stage_bar
    from pyrite.scores import calibrate_bundles

    with stage_bar(stderr) as show:
        panel, table, scored = calibrate_bundles(
            bundles, dataset, out, merge=merge.value, halves=halves, keep=keep, seed=seed,
            progress=partial(show, "Judging"),
        )  # fmt: skip
    tell_panel(panel, table, out, Panel.open([out]).policy)
    return scored


@bundles.command()
def verify(bundle: BundleArgument = None, device: DeviceOption = Device.AUTO) -> None:
    """Check that a bundle's files are unchanged, and that its model answers here as where it was made.

    Its files must match their hashes. Its golden images must get the same scores as where the bundle was made, one at a
    time and also in batches, unless the bundle says that its model takes one image at a time.

    Example: `pyrite bundle verify run/bundle`
    """
    from pyrite.bundle import DEFAULT, load_bundle
    from pyrite.golden import replay_golden

    loaded = load_bundle(bundle or DEFAULT)
    check = replay_golden(loaded, device.value)
    stdout.print(f"{len(loaded.info.files)} files match their hashes.")
    stdout.print(
        f"{check.vectors} golden images on {check.device}: the largest difference in a logit is "
        f"{check.max_difference:.2g}, {len(check.changed_inputs)} inputs and "
        f"{len(check.changed_verdicts)} verdicts changed."
    )
    if check.one_by_one:
        stdout.print("Its model gets one input at a time.")
    if check.depends_on_batch:
        stdout.print(f"Other images in a batch change a logit of its model by up to {check.batch_difference:.2g}.")
        if not check.one_by_one:
            raise PyriteError(
                f"The answers of {loaded.path} depend on the other images in a batch, and it does not set one_by_one."
            )
    if not check.passed:
        raise PyriteError(f"{loaded.path} gives different results here than where it was made.")


@bundles.command()
def examples(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Output folder for the images: a new one.")],
    bundle: BundleArgument = None,
) -> None:
    """Write a bundle's golden images as PNG files, to try things on.

    Each file name has a number and the verdict that the image got where the bundle was made.

    Example: `pyrite bundle examples --out examples`
    """
    from pyrite.bundle import DEFAULT, load_bundle
    from pyrite.golden import write_golden

    paths = write_golden(load_bundle(bundle or DEFAULT), out)
    stdout.print(f"{len(paths)} images in {out}")
