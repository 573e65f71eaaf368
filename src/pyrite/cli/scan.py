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
from pyrite.errors import Interrupted


class Engine(StrEnum):
    """What `scan` runs on."""

    RAY = "ray"
    LOCAL = "local"


def scan(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A path or URL: a folder, a glob, tar shards, or a Parquet or CSV table of images or their paths.",
        ),
    ],
    out: Annotated[str, typer.Option(metavar="DIR", help="Output folder: a new one, or that of the scan to continue.")],
    bundles: BundlesOption = None,
    engine: Annotated[Engine, typer.Option(help="Use Ray, or this process only.")] = Engine.RAY,
    address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="The Ray cluster to run on. Default: this machine.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Number of CPUs to use at a time. Default: all.")
    ] = None,
    keep_policy: Annotated[
        Path | None,
        typer.Option(metavar="TOML", help="Rules for what to keep, quarantine or drop: see docs/scale.md#policies."),
    ] = None,
    image_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Column of images in Parquet files. Default: `image`, `bytes`, `jpg`, `jpeg`, `png` or `webp`.",
        ),
    ] = None,
    path_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Column of a table with the images' paths. Default: `path`.")
    ] = None,
    keep_columns: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES", help="Columns to copy to the output table, separated by commas: url,caption,license."
        ),
    ] = None,
    near_duplicates: Annotated[
        bool, typer.Option("--near-duplicates", help="Group images that look alike, and give each group one verdict.")
    ] = False,
    near_distance: Annotated[
        int | None,
        typer.Option(
            metavar="BITS", help="How far hashes of near duplicates may differ: 0 to 8 of 63 bits. Default: 4."
        ),
    ] = None,
    progress: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Append a line of JSON to this file after each shard.")
    ] = None,
    max_fpr: MaxFprOption = None,
    allow_real: AllowRealOption = False,
    evidence: EvidenceOption = True,
    trust: TrustOption = TRUST,
    trust_anchors: TrustAnchorsOption = None,
    device: DeviceOption = Device.AUTO,
    max_bytes: MaxBytesOption = 100_000_000,
    max_pixels: MaxPixelsOption = 150_000_000,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="Stop decoding an image after this time.")] = 60.0,
    shard_size: Annotated[
        int, typer.Option(metavar="N", min=1, help="Images per shard, where images are separate files.")
    ] = 1024,
    batch_size: Annotated[int, typer.Option(metavar="N", min=1, help="Images scored together.")] = 64,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the shards, try a few images, and estimate time and cost.")
    ] = False,
    price_per_hour: Annotated[
        float | None,
        typer.Option(
            metavar="PRICE", min=0, help="Price of one core per hour, in any currency, for the estimate of --dry-run."
        ),
    ] = None,
) -> None:
    """Judge a corpus of any size, on one machine or many, and write a Parquet table.

    If a scan is stopped at any moment, the same command continues it, and each image is in the table once. An image
    that cannot be read gets a row with an error, and the exit code is 1.

    Example: `pyrite scan s3://corpus/images --out s3://corpus/verdicts --keep-policy policy.toml`
    """
    from pyrite.evidence import missing_readers
    from pyrite.image import Limits
    from pyrite.scanning import Columns, ScanSettings, estimate
    from pyrite.scanning import scan as run
    from pyrite.scanning.display import ScanDisplay, estimate_lines, summary_lines
    from pyrite.scanning.rules import read_rules

    if price_per_hour is not None and not dry_run:
        raise typer.BadParameter("--price-per-hour is for --dry-run. Give both, or neither.")
    if engine is Engine.LOCAL and (address is not None or (workers is not None and not dry_run)):
        raise typer.BadParameter("--address and --workers are for --engine ray.")
    if near_distance is not None and not near_duplicates:
        raise typer.BadParameter("--near-distance is for --near-duplicates. Give both, or neither.")
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
    for reader in missing_readers() if evidence else ():
        stderr.print(reader, style="dim", markup=False)
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
        raise Interrupted("Interrupted. Run the same command to continue.") from None
    for line in summary_lines(found, out):
        stdout.print(line)
    if found.total.errors:
        raise typer.Exit(1)
