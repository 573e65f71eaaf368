"""What several commands share: arguments, the consoles, and how a report is told."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from pyrite.errors import PyriteError

if TYPE_CHECKING:
    from pyrite.bundle import Panel, PanelInfo
    from pyrite.datasets import Dataset, Labelling
    from pyrite.decision import Policy
    from pyrite.evaluation import Report
    from pyrite.evidence import Trust
    from pyrite.scores import ScoreTable

# Without markup and emoji: names of files and of data may look like them.
stdout = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)

DataArgument = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A folder, a .zip or .tar of one, shards, a table of images (CSV, TSV, JSON lines, Parquet), "
        "`hf:OWNER/NAME` on the Hugging Face Hub, or `cifake`, which is downloaded.",
    ),
]
RealOption = Annotated[
    list[str] | None,
    typer.Option(
        "--real",
        metavar="NAME",
        help="Folder or label name of real images, or a pattern like 'coco*'. May be repeated.",
    ),
]
AiOption = Annotated[
    list[str] | None, typer.Option("--ai", metavar="NAME", help="The same for AI images. May be repeated.")
]
ImageColumnOption = Annotated[
    str | None,
    typer.Option("--image-column", metavar="NAME", help="Column of a table with the image or its path."),
]
LabelColumnOption = Annotated[
    str | None,
    typer.Option("--label-column", metavar="NAME", help="Column with the label; '' to use folder names instead."),
]
SplitColumnOption = Annotated[
    str | None, typer.Option("--split-column", metavar="NAME", help="Column with the split; '' for none.")
]
GroupColumnOption = Annotated[
    str | None,
    typer.Option(
        "--group-column",
        metavar="NAME",
        help="Column that groups related images, such as by source, video or photographer; or `folder`.",
    ),
]
GroupPatternOption = Annotated[
    str | None,
    typer.Option(
        "--group-pattern",
        metavar="REGEX",
        help="Group images whose paths have the same first match, such as of 'videos/([^/]+)/'.",
    ),
]
GeneratorOption = Annotated[
    str | None,
    typer.Option(
        "--generator",
        metavar="NAME",
        help="What made the AI images, where DATA does not say it, such as 'Stable Diffusion 1.4'.",
    ),
]
UnknownOption = Annotated[
    str | None,
    typer.Option(
        "--unknown",
        metavar="DATA",
        help="Also judge the AI images of DATA, from generators that did not train the bundle.",
    ),
]
BundleArgument = Annotated[
    Path | None,
    typer.Argument(metavar="PATH", help="A bundle: a folder, a zip of one, or a name. Default: the included bundle."),
]
_BUNDLES = (
    "The bundle to judge with: a folder, a zip of one, a name, or a panel's .json file. Repeat it to combine several "
    "bundles under one error budget. Default: "
)
BundlesOption = Annotated[
    list[Path] | None, typer.Option("--bundle", metavar="BUNDLE", help=f"{_BUNDLES}the included bundle.")
]
BundlesOrDefaultsOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--bundle", metavar="BUNDLE", help=f"{_BUNDLES}the included bundle, and `photos` once it is imported."
    ),
]


def check_budget(value: float | None) -> float | None:
    """Return an error budget, where one is given.

    Raises:
        BadParameter: It is not above 0 and below 1.
    """
    if value is not None and not 0 < value < 1:
        raise typer.BadParameter(f"{value:g} is not an error budget: it must be above 0 and below 1.")
    return value


def check_budgets(values: list[float] | None) -> list[float] | None:
    """Return error budgets, each of which `check_budget` accepts."""
    for value in values or ():
        check_budget(value)
    return values


MaxFprOption = Annotated[
    float | None,
    typer.Option(
        "--max-fpr",
        metavar="RATE",
        callback=check_budget,
        help="Error budget: the share of real images that may be called ai. Default: the bundle's.",
    ),
]
AllowRealOption = Annotated[
    bool,
    typer.Option(
        "--allow-real",
        help="Call an image real by its pixels alone, even if the bundle requires provenance for that.",
    ),
]
EvidenceOption = Annotated[
    bool, typer.Option("--evidence/--no-evidence", help="Read the evidence in files, or only their pixels.")
]
TrustOption = Annotated[
    str,
    typer.Option(
        "--trust",
        metavar="LISTS",
        help="Whose signatures count as verified: c2pa, interim or certificate files, separated by commas; or none.",
    ),
]
TrustAnchorsOption = Annotated[
    list[Path] | None,
    typer.Option("--trust-anchors", metavar="PEM", help="Certificates of more authorities to trust. May be repeated."),
]
TRUST = "c2pa,interim"


class Device(StrEnum):
    """What models run on; see `runtime.DEVICES`."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    TENSORRT = "tensorrt"
    COREML = "coreml"
    DIRECTML = "directml"
    OPENVINO = "openvino"


DeviceOption = Annotated[
    Device,
    typer.Option(
        "--device", help="What the model runs on. `auto` uses CUDA or DirectML if ONNX Runtime can, else the CPU."
    ),
]
MaxBytesOption = Annotated[int, typer.Option("--max-bytes", metavar="N", min=1, help="Reject larger files.")]
MaxPixelsOption = Annotated[
    int, typer.Option("--max-pixels", metavar="N", min=1, help="Reject images with more pixels.")
]


class Merging(StrEnum):
    """How the p-values of several detectors become one."""

    FISHER = "fisher"
    BONFERRONI = "bonferroni"


MergeOption = Annotated[
    Merging,
    typer.Option(
        help="`fisher` combines all detectors and finds more AI images. `bonferroni` uses the lowest p-value only."
    ),
]
HalvesOption = Annotated[
    bool,
    typer.Option(
        "--halves",
        help="With fisher: exact p-values from half of the images. Without it, p-values are conservative: slightly too "
        "large.",
    ),
]
KeepOption = Annotated[int, typer.Option(metavar="N", min=2, help="Use at most N images of each group.")]
SeedOption = Annotated[
    int, typer.Option(metavar="N", min=0, help="Seed for choosing the halves and the images to use.")
]


def read_bytes(path: Path) -> bytes:
    """Return the content of a file that an option names."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise PyriteError(f"{path} cannot be read: {error.strerror}.") from error


def read_trust(lists: str, anchors: list[Path] | None) -> "Trust":
    """Return the trust lists that --trust and --trust-anchors name, and tell of those that are overdue."""
    from pyrite.evidence import load_trust

    trust = load_trust([name.strip() for name in lists.split(",") if name.strip()], anchors or ())
    for item in trust.overdue:
        stderr.print(
            f"A newer {item.title} has been due since {item.next_update}. Update it with: pyrite trust update",
            style="dim",
        )
    return trust


def open_panel(bundles: Sequence[str | Path]) -> "Panel":
    """Load bundles or a panel, by default Pyrite's own, and tell of budgets with too few calibration images."""
    from pyrite.bundle import DEFAULT, Panel

    panel = Panel.open(bundles or (DEFAULT,))
    tell_lines(panel.too_few())
    return panel


def tell_lines(lines: Iterable[str]) -> None:
    """Tell of what a user should know of."""
    for line in lines:
        stderr.print(line, style="yellow", markup=False)


def tell_panel(panel: "PanelInfo", table: "ScoreTable", out: Path, policy: "Policy | None" = None) -> None:
    """Tell what calibrated a panel, and what it can keep: of its bundles' own policy, or of the usual one."""
    from pyrite.decision import Policy
    from pyrite.scores import describe_panel, describe_scores

    for line in describe_panel(panel, table):
        stdout.print(line, markup=False)
    tell_lines(describe_scores(table))
    tell_lines(panel.calibration.too_few(policy or Policy()))
    stdout.print(f"Smallest error budget it can keep: {panel.calibration.smallest_p_real:.2%}")
    stdout.print(f"Panel: {out}", markup=False)


def labels_data(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say what the images of DATA are; it gets them as one `labelling`."""
    options = {
        "real": RealOption,
        "ai": AiOption,
        "image_column": ImageColumnOption,
        "label_column": LabelColumnOption,
        "split_column": SplitColumnOption,
        "group_column": GroupColumnOption,
        "group_pattern": GroupPatternOption,
        "generator": GeneratorOption,
    }

    @wraps(command)
    def with_options(**arguments: Any) -> None:
        from pyrite.datasets import Labelling

        said = {name: arguments.pop(name) for name in options}
        real, ai = (tuple(said.pop(name) or ()) for name in ("real", "ai"))
        if twice := sorted(set(real) & set(ai)):
            raise typer.BadParameter(f"--real and --ai must not both be {twice[0]}.")
        command(**arguments, labelling=Labelling(real, ai, **said))

    keyword = inspect.Parameter.KEYWORD_ONLY
    own = inspect.signature(command).parameters.values()
    shown = [parameter.replace(kind=keyword) for parameter in own if parameter.name != "labelling"]
    shown += [inspect.Parameter(name, keyword, default=None, annotation=option) for name, option in options.items()]
    with_options.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    return with_options


def open_dataset(data: str | Path, labelling: "Labelling | None" = None, *, one_class: bool = False) -> "Dataset":
    """Open DATA, and tell what was found and what was left out."""
    from pyrite.datasets import Dataset

    dataset = Dataset.open(data, labelling=labelling, one_class=one_class)
    tell_dataset(dataset)
    return dataset


def tell_dataset(dataset: "Dataset") -> None:
    """Tell how many images there are of what, and what was guessed and left out."""
    from pyrite.rendering.text import printable

    for line in dataset.describe():
        stderr.print(printable(line), style="dim", markup=False)
    tell_lines(map(printable, dataset.tally.left_out_lines()))


def tell_run(report: "Report", out: Path) -> None:
    """Tell what a run in `out` made, and how good it is."""
    open_panel([out / "bundle"])
    tell(report, f"Bundle: {out / 'bundle'}", f"Report: {out / 'report' / 'report.html'}")


def tell(report: "Report", *places: str) -> None:
    """Tell a report, and where things are."""
    from pyrite.evaluation.summary import robustness_lines, summarize, transfer_line, unreadable_line, withheld_line

    stdout.print(summarize(report))
    for line in (withheld_line(report), *robustness_lines(report), transfer_line(report), *places):
        if line:
            stdout.print(line)
    tell_unreadable(unreadable_line(report.unreadable))


def tell_unreadable(line: str | None) -> None:
    """Tell of unreadable images, which end the command with 1."""
    if line:
        stderr.print(line, markup=False)
        raise typer.Exit(1)
