"""`pyrite serve`."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from pyrite.cli.shared import AllowRealOption, BundlesOption, MaxFprOption, open_panel, stderr, stdout


def serve(
    settings: Annotated[
        Path | None,
        typer.Option("--settings", metavar="FILE", help="A settings file, in TOML: see docs/serving.md#settings."),
    ] = None,
    host: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Address to listen on. Default: 127.0.0.1, this machine only.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(metavar="N", help="Port to listen on. Default: 8000. 0 picks a free one.")
    ] = None,
    bundles: BundlesOption = None,
    max_fpr: MaxFprOption = None,
    allow_real: AllowRealOption = False,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change any setting, such as max_files=10. May be repeated."),
    ] = None,
    new_key: Annotated[bool, typer.Option("--new-key", help="Print a new API key and its hash, and exit.")] = False,
) -> None:
    """Serve a web page and an HTTP API that judge images.

    The web page is at the address that the command prints; the API's description is at /docs on the same server.
    Nothing is stored, and nothing is sent anywhere. Every setting can also come from a file, or from the environment:
    `PYRITE_SERVE_` and its name. Ctrl-C stops the server once it has finished the requests that it accepted.

    Example: `pyrite serve --port 8080 --set max_files=20`
    """
    from pyrite.evidence import missing_readers
    from pyrite.sandbox import missing
    from pyrite.serving import is_open, load_settings, make_key
    from pyrite.serving import serve as run

    if new_key:
        key, digest = make_key()
        stdout.print(f"Key, for the client: {key}\nHash, for the setting api_keys: {digest}")
        return
    several = [str(bundle) for bundle in bundles or ()] or None
    flags: dict[str, Any] = {
        "host": host,
        "port": port,
        "bundles": several,
        "max_fpr": max_fpr,
        "allow_real": allow_real or None,
    }
    load = partial(load_settings, settings, changes or (), **flags)
    chosen = load()
    if is_open(chosen):
        stderr.print(
            "Anyone who can reach this address can use the server. Set api_keys, or put it behind a proxy.", style="dim"
        )
    for lack in (*missing(), *missing_readers()):
        stderr.print(lack, style="dim", markup=False)
    panel = open_panel(chosen.bundles or ([chosen.bundle] if chosen.bundle else ()))
    run(chosen, ready=lambda url: stdout.print(f"Serving at {url}"), panel=panel, reload=load)
