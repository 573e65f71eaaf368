"""`pyrite trust`: whose signatures count as verified, and newer lists of them."""

from typing import Annotated

import typer

from pyrite.cli.shared import TRUST, TrustAnchorsOption, TrustOption, stdout

trusted = typer.Typer(no_args_is_help=True, help="Show whose signatures count as verified, or update the lists.")


@trusted.command()
def show(
    trust: TrustOption = TRUST,
    trust_anchors: TrustAnchorsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """Print the trust lists in use, with their number of certificates, dates and sources.

    Example: `pyrite trust show`
    """
    import msgspec

    from pyrite.cli.shared import read_trust
    from pyrite.evidence import describe_trust

    lists = describe_trust(read_trust(trust, trust_anchors))
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(lists), indent=2).decode())
        return
    if not lists:
        stdout.print("No trust list: no signature counts as verified.")
    for item in lists:
        dated = f"issued {item['issued']}" if item["issued"] else "frozen" if item["frozen"] else "without a date"
        due = f", next update due {item['next_update']}" if item["next_update"] else ""
        stdout.print(
            f"{item['name']}: {item['title']}, {item['certificates']:,} certificates, for {item['vouches_for']}"
        )
        stdout.print(f"  {dated}{due}{' (overdue)' if item['overdue'] else ''}", style="dim")
        stdout.print(f"  {item['source']}", style="dim")


@trusted.command()
def update(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[LIST…]", help="c2pa or c2pa-tsa. Default: both.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="FILE|URL", help="Certificates in PEM format. Default: C2PA's site."),
    ] = None,
) -> None:
    """Update trust lists from C2PA's site or a file.

    Each new list is checked before it replaces the one in use, which is kept as a backup.

    Example: `pyrite trust update c2pa --from C2PA-TRUST-LIST.pem`
    """
    from pyrite.evidence import UPDATED, update_list

    chosen = names or list(UPDATED)
    if source is not None and len(chosen) > 1:
        raise typer.BadParameter("--from needs exactly one list: " + " or ".join(UPDATED) + ".")
    for name in chosen:
        stdout.print(update_list(name, source))
