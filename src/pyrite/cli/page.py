"""`pyrite page`."""

from pathlib import Path
from typing import Annotated, Any

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


def _package(option: str, name: str) -> Any:
    return typer.Option(
        option,
        metavar="PATH",
        help=f"A copy of the npm package {name}: a .tgz file or a folder. Default: downloaded from npm once.",
    )


def page(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Output folder for the page: a new one.")],
    bundles: BundlesOption = None,
    max_fpr: MaxFprOption = None,
    allow_real: AllowRealOption = False,
    runtime: Annotated[Path | None, _package("--runtime", "onnxruntime-web")] = None,
    credentials: Annotated[Path | None, _package("--credentials", "@contentauth/c2pa-wasm")] = None,
    metadata: Annotated[Path | None, _package("--metadata", "exifreader")] = None,
    xml: Annotated[Path | None, _package("--xml", "sax")] = None,
    trust: TrustOption = TRUST,
    trust_anchors: TrustAnchorsOption = None,
) -> None:
    """Write the page as a folder that needs no server: the browser itself judges, and no image leaves the device.

    Copy the folder to any static host, under any path, over HTTPS; to look at it here, run
    `python -m http.server --directory site`. It works without a network after the first visit.

    The page judges the pixels, content credentials and other metadata, and says what it does not read. The
    runtime of the model (33 MB) and the readers of credentials (3 MB) and metadata (0.3 MB) are downloaded from npm
    once and kept in Pyrite's cache folder; `NPM_CONFIG_REGISTRY` names another registry.

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
