"""`pyrite scan`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pyrite.cli.shared import (
    TRUST,
    AllowRealOption,
    BundlesOption,
    Device,
    DeviceOption,
    EvidenceOption,
    MaxBytesOption,
    MaxFprOption,
    MaxPixelsOption,
    TrustAnchorsOption,
    TrustOption,
    open_panel,
    read_bytes,
    read_trust,
    stderr,
    stdout,
)
from pyrite.errors import Interrupted, ScanError


class Engine(StrEnum):
    """What `scan` runs on."""

    RAY = "ray"
    LOCAL = "local"


def scan(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A folder, a glob, tar shards, or a Parquet or CSV table of images or their paths: a path or URL.",
        ),
    ],
    out: Annotated[str, typer.Option(metavar="DIR", help="Where the table goes: a new folder, or that of this scan.")],
    bundles: BundlesOption = None,
    engine: Annotated[Engine, typer.Option(help="Ray, or this process alone.")] = Engine.RAY,
    address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="The Ray cluster to run on. This machine without it.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Judge on so many CPUs at a time. On all without it.")
    ] = None,
    keep_policy: Annotated[
        Path | None, typer.Option(metavar="TOML", help="Rules for what to keep, quarantine or drop.")
    ] = None,
    image_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="The column of images in Parquet files, if it has another name.")
    ] = None,
    path_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="The column of a table that names images, instead of `path`.")
    ] = None,
    keep_columns: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES", help="Pass these through to the table, with commas between: url,caption,license."
        ),
    ] = None,
    near_duplicates: Annotated[
        bool, typer.Option("--near-duplicates", help="Group images that look alike; one verdict serves a group.")
    ] = False,
    near_distance: Annotated[
        int | None,
        typer.Option(metavar="BITS", help="How far the hashes of near duplicates may differ: 0 to 8 of 63 bits, or 4."),
    ] = None,
    progress: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Append a line of JSON here whenever a shard is done.")
    ] = None,
    max_fpr: MaxFprOption = None,
    allow_real: AllowRealOption = False,
    evidence: EvidenceOption = True,
    trust: TrustOption = TRUST,
    trust_anchors: TrustAnchorsOption = None,
    device: DeviceOption = Device.AUTO,
    max_bytes: MaxBytesOption = 100_000_000,
    max_pixels: MaxPixelsOption = 150_000_000,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="End what takes longer to decode.")] = 60.0,
    shard_size: Annotated[int, typer.Option(metavar="N", min=1, help="Single images in a shard.")] = 1024,
    batch_size: Annotated[int, typer.Option(metavar="N", min=1, help="Images scored at a time.")] = 64,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the shards, try a few images, and say what it would take.")
    ] = False,
    price_per_hour: Annotated[
        float | None, typer.Option(metavar="PRICE", min=0, help="Of one core, for the cost that --dry-run tells.")
    ] = None,
) -> None:
    """Judge a corpus of any size, on one machine or many, to a table in Parquet.

    Killed at any moment, the same command goes on where it was; each image is in the table once. An image that cannot
    be read is a row of its own, and makes the exit code 1.

    Example: `pyrite scan s3://corpus/images --out s3://corpus/verdicts --keep-policy policy.toml`
    """
    from pyrite.image import Limits
    from pyrite.scanning import Columns, ScanSettings, estimate
    from pyrite.scanning import scan as run
    from pyrite.scanning.display import ScanDisplay, estimate_lines, summary_lines
    from pyrite.scanning.rules import read_rules

    if price_per_hour is not None and not dry_run:
        raise ScanError("--price-per-hour is for --dry-run. Give both, or neither.")
    if near_distance is not None and not near_duplicates:
        raise ScanError("--near-distance is for --near-duplicates. Give both, or neither.")
    settings = ScanSettings(
        max_fpr=max_fpr,
        allow_real=allow_real,
        evidence=evidence,
        trust=read_trust(trust, trust_anchors),
        limits=Limits(max_bytes, max_pixels),
        device=device.value,
        timeout=timeout,
        batch_size=batch_size,
        shard_size=shard_size,
        columns=Columns(
            image=image_column,
            path=path_column,
            keep=tuple(name.strip() for name in keep_columns.split(",")) if keep_columns is not None else (),
        ),
        near_duplicates=near_duplicates,
        near_distance=ScanSettings().near_distance if near_distance is None else near_distance,
        rules=read_rules(read_bytes(keep_policy), str(keep_policy)) if keep_policy else None,
    )
    panel = open_panel(bundles or ())
    if dry_run:
        would = estimate(source, panel, settings=settings, workers=workers, price=price_per_hour)
        for line in estimate_lines(would):
            stdout.print(line)
        return
    try:
        with ScanDisplay(stderr, progress) as display:
            found = run(
                source, out, panel, settings=settings, engine=engine.value, address=address,
                workers=workers, watch=display,
            )  # fmt: skip
    except KeyboardInterrupt:
        raise Interrupted("Interrupted. The same command goes on.") from None
    for line in summary_lines(found, out):
        stdout.print(line)
    if found.total.errors:
        raise typer.Exit(1)
