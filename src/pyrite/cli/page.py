"""`pyrite page`."""

from pathlib import Path
from typing import Annotated

import typer

from pyrite.cli.shared import (
    TRUST,
    AllowRealOption,
    BundlesOption,
    MaxFprOption,
    TrustAnchorsOption,
    TrustOption,
    read_trust,
    stderr,
    stdout,
)


def page(
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where the page goes: a new folder.")],
    bundles: BundlesOption = None,
    max_fpr: MaxFprOption = None,
    allow_real: AllowRealOption = False,
    runtime: Annotated[
        Path | None,
        typer.Option(
            "--runtime",
            metavar="PATH",
            help="The npm package onnxruntime-web, a .tgz or a folder. Fetched without it, once.",
        ),
    ] = None,
    credentials: Annotated[
        Path | None,
        typer.Option(
            "--credentials",
            metavar="PATH",
            help="The npm package @contentauth/c2pa-wasm, a .tgz or a folder. Fetched without it, once.",
        ),
    ] = None,
    metadata: Annotated[
        Path | None,
        typer.Option(
            "--metadata",
            metavar="PATH",
            help="The npm package exifreader, a .tgz or a folder. Fetched without it, once.",
        ),
    ] = None,
    xml: Annotated[
        Path | None,
        typer.Option(
            "--xml",
            metavar="PATH",
            help="The npm package sax, a .tgz or a folder. Fetched without it, once.",
        ),
    ] = None,
    trust: TrustOption = TRUST,
    trust_anchors: TrustAnchorsOption = None,
) -> None:
    """Write the page as a folder that needs no server: the browser itself judges, and no image leaves the device.

    Copy the folder to any static host, under any path, over HTTPS; to look at it here, run
    `python -m http.server --directory site`. It works without a network after the first visit.

    The page judges the pixels, content credentials and other metadata, and says what it does not read. What runs the
    model (33 MB) and what reads the credentials (3 MB) and metadata (0.3 MB) is fetched from npm and kept in Pyrite's
    cache folder; `NPM_CONFIG_REGISTRY` names another registry.

    Example: `pyrite page --out site`
    """
    from pyrite.bundle import DEFAULT, Panel
    from pyrite.rendering.progress import progress_bar
    from pyrite.serving import write_page

    panel = Panel.open(bundles or [DEFAULT])
    with progress_bar(stderr, "Fetching from npm") as show:
        size = write_page(
            out,
            panel,
            runtime=runtime,
            credentials=credentials,
            metadata=metadata,
            xml=xml,
            trust=read_trust(trust, trust_anchors),
            max_fpr=max_fpr,
            allow_real=allow_real,
            progress=show,
        )
    stdout.print(f"Page: {out} ({size / 1e6:.0f} MB). To look at it here: python -m http.server --directory {out}")
