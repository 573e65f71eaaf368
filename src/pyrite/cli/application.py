"""All commands, and what becomes of an error."""

import io
import os
import sys
from typing import Annotated

import typer

from pyrite.cli import (
    audit,
    bundle,
    compare,
    decoder,
    detect,
    evaluate,
    explain,
    match,
    page,
    scan,
    scores,
    serve,
    toy,
    train,
    trust,
    watermark,
)
from pyrite.cli.shared import stderr
from pyrite.errors import Interrupted, PyriteError, RecipeError, SettingsError

_INTERRUPTED = 130  # As shells have it: 128 and the number of SIGINT.

app = typer.Typer(
    name="pyrite",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    detect.detect, train.train, evaluate.evaluate, compare.compare, audit.audit, explain.explain, serve.serve,
    page.page, scan.scan, match.match, toy.toy,
):  # fmt: skip
    app.command()(command)
app.add_typer(bundle.bundles, name="bundle")
app.add_typer(decoder.decoders, name="decoder")
app.add_typer(scores.tables, name="scores")
app.add_typer(trust.trusted, name="trust")
app.add_typer(watermark.marks, name="watermark")


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

    Exit codes: 0 success, 1 something failed or could not be read, 2 wrong usage, 3 `--fail-on` matched,
    130 interrupted.
    """


def main() -> None:
    """Run the command line, and turn every expected error into one sentence."""
    from pyrite.rendering.text import printable

    for stream in (sys.stdout, sys.stderr):
        # What a terminal's encoding does not have, such as a name in another alphabet, is escaped, and ends no command.
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except PyriteError as error:
        usage = isinstance(error, RecipeError | SettingsError)
        _fail(printable(str(error)), 2 if usage else _INTERRUPTED if isinstance(error, Interrupted) else 1)
    except SystemExit as ended:
        if ended.code == _INTERRUPTED:  # Typer's word for Ctrl-C, which it leaves unsaid.
            _fail("Interrupted.", _INTERRUPTED)
        raise
    except BrokenPipeError:
        # Whoever read the output has had enough; Python would complain once more while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _fail(sentence: str, code: int) -> None:
    stderr.print("[bold red]Error:[/]", end=" ")
    stderr.print(sentence, markup=False)
    sys.exit(code)
