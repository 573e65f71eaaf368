"""The command line: parse, make one public call, show what it gave. No logic."""

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from pyrite.errors import Interrupted, PyriteError, RecipeError, SettingsError
from pyrite.results import Detection

if TYPE_CHECKING:
    from pyrite.datasets import Dataset
    from pyrite.image import Limits

app = typer.Typer(
    name="pyrite",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
bundles = typer.Typer(no_args_is_help=True, help="Look into a bundle, or check it.")
app.add_typer(bundles, name="bundle")
_INTERRUPTED = 130  # As shells have it: 128 and the number of SIGINT.
_stdout = Console(highlight=False, soft_wrap=True)
_stderr = Console(stderr=True, highlight=False, soft_wrap=True)

DataArgument = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A folder, a .zip or .tar of one, a CSV or Parquet manifest, or `cifake` to fetch that from Kaggle.",
    ),
]
RealOption = Annotated[str | None, typer.Option("--real", metavar="NAME", help="The folder name of real images.")]
AiOption = Annotated[str | None, typer.Option("--ai", metavar="NAME", help="The folder name of AI images.")]
BundleArgument = Annotated[
    Path | None,
    typer.Argument(metavar="PATH", help="A bundle: a folder, or a zip of one. Pyrite’s own without it."),
]
BundleOption = Annotated[
    Path | None, typer.Option("--bundle", metavar="BUNDLE", help="The bundle to judge with. Pyrite’s own without it.")
]
MaxFprOption = Annotated[
    float | None,
    typer.Option(
        "--max-fpr",
        metavar="RATE",
        help="Error budget: the share of real images that may be called ai. The bundle's own without it.",
    ),
]


class Part(StrEnum):
    """Which images `evaluate` judges."""

    AUTO = "auto"
    OFFICIAL = "official"
    POOLED = "pooled"
    ALL = "all"


class FailOn(StrEnum):
    """Which verdict makes `detect` fail."""

    AI = "ai"


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"pyrite {version('pyrite')}")
        raise typer.Exit


@app.callback()
def callback(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Tell AI-generated images from real ones, and see the evidence.

    Exit codes: 0 done, 1 something could not be read or done, 2 wrong usage, 3 with `--fail-on`, 130 interrupted.
    """


@app.command()
def detect(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH…", help="Images, with -r folders of them, or - for a list on stdin.")
    ],
    bundle: BundleOption = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Go through folders.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the evidence under each image.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
    as_jsonl: Annotated[bool, typer.Option("--jsonl", help="Print one JSON object a line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page with pictures and evidence as well.")
    ] = None,
    max_fpr: MaxFprOption = None,
    fail_on: Annotated[FailOn | None, typer.Option(help="Exit with 3 if an image gets this verdict.")] = None,
    evidence: Annotated[
        bool, typer.Option("--evidence/--no-evidence", help="Read what files say of themselves, or only their pixels.")
    ] = True,
    trust_anchors: Annotated[
        Path | None,
        typer.Option(metavar="PEM", help="Certificates of authorities whose signatures count as verified."),
    ] = None,
    max_bytes: Annotated[int, typer.Option(metavar="N", min=1, help="Refuse larger files.")] = 100_000_000,
    max_pixels: Annotated[int, typer.Option(metavar="N", min=1, help="Refuse images of more pixels.")] = 150_000_000,
) -> None:
    """Judge images: ai, real or uncertain.

    Each with its calibrated probability of ai, and the evidence that its file holds. Results are printed as they
    are made, in the order of the paths. A file that cannot be read is a result of its own, and makes the exit
    code 1.

    Example: `pyrite detect photo.jpg -v`
    """
    from pyrite.bundle import DEFAULT
    from pyrite.detector import Detector
    from pyrite.evidence import missing_readers
    from pyrite.image import Limits
    from pyrite.rendering.formats import write_csv, write_json, write_jsonl
    from pyrite.rendering.text import outcome, summary_line, write_text
    from pyrite.sources import find_files

    chosen = [
        write for write, wanted in ((write_json, as_json), (write_jsonl, as_jsonl), (write_csv, as_csv)) if wanted
    ]
    if len(chosen) > 1:
        raise typer.BadParameter("Choose one of --json, --jsonl and --csv.")
    limits = Limits(max_bytes, max_pixels)
    detector = Detector(
        bundle or DEFAULT,
        max_fpr=max_fpr,
        evidence=evidence,
        trust_anchors=_read_bytes(trust_anchors) if trust_anchors else None,
        limits=limits,
    )
    for reader in missing_readers() if evidence else ():
        _stderr.print(reader, style="dim")
    files = find_files(_with_lists(paths), recursive=recursive)
    counts: Counter[str] = Counter()
    with _page(html, limits) as add:

        def detections() -> Iterator[Detection]:
            for detection in detector.detect_many(files):
                counts[outcome(detection)] += 1
                add(detection)
                yield detection

        if chosen:
            chosen[0](detections(), sys.stdout)
        else:
            write_text(detections(), _stdout, verbose=verbose)
            _stderr.print(summary_line(counts, detector.policy.max_fpr))
    if fail_on and counts[fail_on]:
        raise typer.Exit(3)
    if counts["error"]:
        raise typer.Exit(1)


@app.command()
def train(
    data: DataArgument,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the run goes: a new folder, unless resuming.")],
    recipe: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="A shipped recipe (resnet50, tiny) or a .toml file.")
    ] = "resnet50",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the recipe; may be given again."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    real: RealOption = None,
    ai: AiOption = None,
) -> None:
    """Train a detector on labelled images.

    What comes out is a bundle, and the report of how good it is on images kept back. A run that was stopped, by
    Ctrl-C or worse, goes on from its last checkpoint with the same command and `--resume`.

    Example: `pyrite train cifake.zip --recipe resnet50 --set epochs=5 --out run`
    """
    from pyrite.evaluation.summary import summarize, unreadable_line
    from pyrite.training import load_recipe
    from pyrite.training import train as run
    from pyrite.training.display import Display

    chosen = load_recipe(recipe, settings or ())  # Before the data, which may take a while to open.
    try:
        with Display(_stderr) as display:
            report = run(_open(data, real, ai), chosen, out, resume=resume, watch=display)
    except KeyboardInterrupt:
        how = " Go on with --resume." if (out / "checkpoint.npz").exists() else ""
        raise Interrupted(f"Interrupted.{how}") from None
    _stdout.print(summarize(report))
    _stdout.print(f"Bundle: {out / 'bundle'}\nReport: {out / 'report' / 'report.html'}")
    _tell_unreadable(unreadable_line(report.unreadable))


@app.command()
def evaluate(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle: a folder, or a zip of one.")],
    data: DataArgument,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where report.html, report.json and figures go.")],
    protocol: Annotated[
        Part,
        typer.Option(
            help="Which images: the data's own test split, a pooled one, or all. `auto` takes what the bundle's "
            "training kept back if it was trained on this data, else the official test split, else all."
        ),
    ] = Part.AUTO,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="Judge at most N, drawn at random.")] = None,
    robustness: Annotated[
        bool, typer.Option("--robustness", help="Judge them saved again, blurred, resized and so on as well.")
    ] = False,
    max_fpr: MaxFprOption = None,
    real: RealOption = None,
    ai: AiOption = None,
) -> None:
    """Measure a bundle on labelled images.

    The report has figures with intervals, plots, a table per slice, and the worst mistakes. With `--robustness`, every
    image is judged under each of a grid of degradations too, which takes that many times longer.

    Example: `pyrite evaluate run/bundle cifake.zip --out report`
    """
    from pyrite.evaluation import evaluate as run
    from pyrite.evaluation.summary import robustness_lines, summarize, unreadable_line
    from pyrite.rendering.progress import progress_bar

    with progress_bar(_stderr, "Judging") as advance:
        report = run(
            bundle, _open(data, real, ai), out=out, protocol=protocol.value, limit=limit, max_fpr=max_fpr,
            robustness=robustness, progress=advance,
        )  # fmt: skip
    _stdout.print(summarize(report))
    for line in robustness_lines(report):
        _stdout.print(line, markup=False)
    _stdout.print(f"Report: {out / 'report.html'}")
    _tell_unreadable(unreadable_line(report.unreadable))


@app.command()
def audit(
    data: DataArgument,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where audit.html and audit.json go.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print audit.json instead of the summary.")] = False,
    real: RealOption = None,
    ai: AiOption = None,
) -> None:
    """Find what could make a score on labelled images a lie, before training.

    Copies, identical and near, within and between splits and under both labels; and how well the label is told
    without a look at the picture: by facts of the files, global statistics and the spectrum.

    Example: `pyrite audit cifake.zip --out audit`
    """
    from pyrite.evaluation import audit as run
    from pyrite.evaluation.summary import summarize_audit, unreadable_line
    from pyrite.rendering.progress import stage_bar

    with stage_bar(_stderr) as show:
        found = run(_open(data, real, ai), out=out, watch=show)
    if as_json:
        print(found.to_json().decode(), end="")
    else:
        _stdout.print(summarize_audit(found))
        if out:
            _stdout.print(f"Page: {out / 'audit.html'}")
    _tell_unreadable(unreadable_line(found.unreadable, where="; see audit.json" if out else ""))


@app.command()
def explain(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="The image.")],
    out: Annotated[Path, typer.Option(metavar="PNG", help="Where the picture goes: a file that ends with .png.")],
    bundle: BundleOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Show what moved an image's score, and whether that can be trusted.

    The picture has a map of the parts that speak for ai and for real, if it does better than random ones (otherwise it
    says that it does not), and the image's spectrum beside the average one of each class.

    Example: `pyrite explain photo.jpg --out photo-explained.png`
    """
    from pyrite.bundle import DEFAULT
    from pyrite.explanation import check_out, describe
    from pyrite.explanation import explain as run
    from pyrite.rendering.progress import progress_bar
    from pyrite.rendering.text import detection_line

    try:
        check_out(out, image)
    except PyriteError as error:
        raise typer.BadParameter(str(error)) from None
    with progress_bar(_stderr, "Scoring") as advance:
        found = run(image, bundle or DEFAULT, out=out, progress=advance)
    if as_json:
        print(found.to_json().decode(), end="")
        return
    _stdout.print(detection_line(found.detection))
    for line in (*describe(found), f"Picture: {out}"):
        _stdout.print(line, markup=False)


@app.command()
def serve(
    settings: Annotated[Path | None, typer.Option("--settings", metavar="FILE", help="Settings, in TOML.")] = None,
    host: Annotated[str | None, typer.Option(metavar="ADDRESS", help="127.0.0.1 without it: this machine.")] = None,
    port: Annotated[int | None, typer.Option(metavar="N", help="8000 without it; 0 takes a free one.")] = None,
    bundle: BundleOption = None,
    max_fpr: MaxFprOption = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change any setting; may be given again."),
    ] = None,
    new_key: Annotated[bool, typer.Option("--new-key", help="Print a new API key and its hash, and end.")] = False,
) -> None:
    """Judge images for a web page and for programs, over HTTP.

    The page is at the address that is printed, and the API's description at /docs below it. Nothing is stored, and
    nothing is sent anywhere. Every setting can also be in a file, or in the environment: `PYRITE_SERVE_` and its name.
    Ctrl-C ends the server, after it has finished what it accepted.

    Example: `pyrite serve --port 8080 --set max_files=20`
    """
    from pyrite.serving import is_open, load_settings, make_key
    from pyrite.serving import serve as run

    if new_key:
        key, digest = make_key()
        _stdout.print(f"Key, for whoever asks: {key}\nHash, for the setting api_keys: {digest}")
        return
    chosen = load_settings(
        settings, changes or (), host=host, port=port, bundle=str(bundle) if bundle else None, max_fpr=max_fpr
    )
    if is_open(chosen):
        _stderr.print(
            "Anyone who reaches this address can use it. Set api_keys, or put it behind a proxy.", style="dim"
        )
    run(chosen, ready=lambda url: _stdout.print(f"Serving at {url}", markup=False))


@app.command()
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
    _stdout.print(f"{count:,} images in {out}")


@bundles.command()
def show(bundle: BundleArgument = None) -> None:
    """Print a bundle's card.

    It says what the bundle is for, what it is not for, and how good it is.

    Example: `pyrite bundle show run/bundle`
    """
    from rich.markdown import Markdown

    from pyrite.bundle import DEFAULT, load_bundle

    loaded = load_bundle(bundle or DEFAULT)
    card = loaded.files.get("card.md", b"").decode("utf-8", "replace")
    card = card or f"# {loaded.info.name} {loaded.info.version}\n\nThis bundle has no card.\n"
    if _stdout.is_terminal:
        _stdout.print(Markdown(card))
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
    from pyrite.evaluation.summary import summarize, unreadable_line
    from pyrite.training import quantize as run
    from pyrite.training.display import Display

    with Display(_stderr) as display:
        report = run(bundle, _open(data, real, ai), out, watch=display)
    _stdout.print(summarize(report))
    _stdout.print(f"Bundle: {out / 'bundle'}\nReport: {out / 'report' / 'report.html'}")
    _tell_unreadable(unreadable_line(report.unreadable))


@bundles.command()
def verify(bundle: BundleArgument = None) -> None:
    """Check a bundle, file by file and by replay.

    Its files must match their hashes, and its golden images get the scores that they got where it was made.

    Example: `pyrite bundle verify run/bundle`
    """
    from pyrite.bundle import DEFAULT, load_bundle
    from pyrite.golden import replay_golden

    loaded = load_bundle(bundle or DEFAULT)
    check = replay_golden(loaded)
    _stdout.print(f"{len(loaded.files)} files match their hashes.")
    _stdout.print(
        f"{check.vectors} golden images: the largest difference of a logit is {check.max_difference:.2g}, "
        f"{len(check.changed_inputs)} inputs and {len(check.changed_verdicts)} verdicts changed."
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
    _stdout.print(f"{len(paths)} images in {out}")


def main() -> None:
    """Run the command line, and turn every expected error into one sentence."""
    from pyrite.rendering.text import printable

    try:
        app()
    except PyriteError as error:
        code = (
            2
            if isinstance(error, RecipeError | SettingsError)
            else _INTERRUPTED
            if isinstance(error, Interrupted)
            else 1
        )
        _fail(printable(str(error)), code)
    except SystemExit as ended:
        if ended.code == _INTERRUPTED:  # Typer's word for Ctrl-C, which it leaves unsaid.
            _fail("Interrupted.", _INTERRUPTED)
        raise
    except BrokenPipeError:
        # Whoever read the output has had enough; Python would complain once more while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _fail(sentence: str, code: int) -> None:
    _stderr.print("[bold red]Error:[/]", end=" ")
    _stderr.print(sentence, markup=False)
    sys.exit(code)


def _open(data: str, real: str | None, ai: str | None) -> "Dataset":
    from pyrite.datasets import Dataset

    if (real is None) != (ai is None):
        raise typer.BadParameter("--real and --ai go together.")
    if real is not None and real == ai:
        raise typer.BadParameter("--real and --ai must name two folders.")
    return Dataset.open(data, classes=None if real is None or ai is None else {real: 0, ai: 1})


def _with_lists(paths: list[str]) -> Iterator[str]:
    """Yield the paths, and where one is `-` those that standard input lists."""
    from pyrite.sources import read_list

    for path in paths:
        if path == "-":
            # Not sys.stdin: a thread that waits for its next line would hold up the end of the process.
            yield from read_list(open(0, "rb", closefd=False))  # noqa: SIM115 - it stays open
        else:
            yield path


def _tell_unreadable(line: str | None) -> None:
    if line:
        _stderr.print(line, markup=False)
        raise typer.Exit(1)


@contextmanager
def _page(path: Path | None, limits: "Limits") -> Iterator[Callable[[Detection], None]]:
    if path is None:
        yield lambda detection: None
        return
    from pyrite.rendering.html import html_page

    with html_page(path, limits) as add:
        yield add


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PyriteError(f"{path} cannot be read: {error.strerror}.") from error
