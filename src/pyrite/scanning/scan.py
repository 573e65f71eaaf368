"""`pyrite scan`: a source of any size to a table with each image once, however often it was interrupted."""

import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from uuid import uuid4

import msgspec

from pyrite.bundle import Bundle, Panel
from pyrite.detector import Detector
from pyrite.errors import ScanError, require
from pyrite.golden import check_device
from pyrite.provenance import JUDGING, installed_versions
from pyrite.results import Model
from pyrite.scanning.engines import run_here, run_on_ray
from pyrite.scanning.hamming import MAX_DISTANCE
from pyrite.scanning.listing import Source, find_inputs, write_listing
from pyrite.scanning.near_duplicates import write_copies
from pyrite.scanning.remote import is_url, join, list_names, read, remove, remove_partial, write
from pyrite.scanning.shipping import as_folders, send
from pyrite.scanning.table import FOLDER, check_keep
from pyrite.scanning.task import Done, ScanSettings, Task, packages_differ
from pyrite.scanning.worker import ATTEMPTS, LISTING
from pyrite.sources import encodable
from pyrite.writing import PARTIAL, indented_json, locked

if TYPE_CHECKING:
    from pyrite.scanning.summary import Summary

MANIFEST = "manifest.json"
SUMMARY = "summary.json"
SHEET = "sample.html"
_PART = re.compile(r"part-(\d{8,})\.parquet")


class ScanManifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a table of results is of; the content of `manifest.json`."""

    format: Literal[1] = 1
    source: str
    bundle: str
    bundle_version: str
    bundle_sha256: str
    settings: dict[str, object]
    settings_sha256: str
    shards: int
    inputs: int
    """Images and containers of images that were listed."""
    listing_sha256: str
    set_aside: dict[str, int] = {}
    """How many files are no inputs, by what they are."""
    packages: dict[str, str]
    """The versions of those that verdicts depend on."""
    begun: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a scan is, each time that a shard is done."""

    shards: int
    """Done, with those of earlier runs."""
    of_shards: int
    images: int
    """In this run, like what follows."""
    errors: int
    flagged: int
    """With the verdict `ai`."""
    seconds: float
    images_per_second: float
    seconds_left: float | None
    """As the shards went so far; `None` before the first."""


def scan(
    source: str,
    out: str | Path,
    bundle: Bundle | Panel | str | Path | None = None,
    *,
    bundles: Sequence[Bundle | str | Path] = (),
    settings: ScanSettings = ScanSettings(),
    engine: Literal["ray", "local"] = "ray",
    address: str | None = None,
    workers: int | None = None,
    watch: Callable[[Progress], None] = lambda progress: None,
) -> "Summary":
    """Judge everything in a source, and write a table with a row for each image.

    The source is listed once and cut into shards, each of which has a file of results that appears as a whole. So the
    same call goes on where an earlier one was killed, and what it gives does not depend on the number of workers.

    Args:
        source: A folder, glob, tar, or Parquet or CSV table; a path, or a URL of anything that fsspec reads.
        out: A folder or URL: a new one, or that of the same scan.
        bundle: The bundle to judge with, or a panel's file; by default, the bundle that comes with Pyrite.
        bundles: Several of them instead, as `Detector` has them.
        settings: What the results depend on.
        engine: `ray`, or `local` for this process alone.
        address: Of a Ray cluster; by default, Ray runs on this machine.
        workers: How many judge at the same time; by default, as many as there are CPUs.
        watch: Called whenever a shard is done.

    Raises:
        BundleError: The bundle cannot be used.
        MissingExtraError: The extra `scale` is not installed.
        ScanError: The source holds nothing, `out` is of another scan or cannot be written, or the engine fails.
        PyriteError: A setting cannot be used.
    """
    require("scale", "fsspec", "pyarrow", *(("ray",) if engine == "ray" else ()))
    out = str(out)
    out = out if is_url(out) else str(Path(out).absolute())
    check_settings(settings, workers)
    detector = open_detector(bundle, bundles, settings)
    settings = replace(settings, device=detector.device)
    panel, model, policy = detector.panel, detector.model, detector.policy
    if settings.max_fpr is None and (why := panel.why_no_budget()):
        raise ScanError(why)
    del detector  # And what its models take of the memory, which the workers need.
    with as_folders(panel.bundles) as folders, _claimed(out):
        panel = replace(panel, bundles=folders)
        manifest = _begin(source, out, panel.sha256, model, settings)
        done = _done(out)
        waiting = [shard for shard in range(manifest.shards) if shard not in done]
        task = Task(
            out=out,
            bundles=send(folders),
            calibration=panel.calibration,
            model=model,
            policy=policy,
            settings=settings,
            packages=manifest.packages,
            run=uuid4().hex,
        )
        if waiting:
            found = (
                run_here(task, waiting)
                if engine == "local"
                else run_on_ray(task, waiting, address=address, workers=workers)
            )
            _follow(found, len(done), manifest.shards, watch)
            if missing := manifest.shards - len(_done(out)):
                raise ScanError(f"{missing:,} shards left no results in {out}. All workers must reach the same --out.")
            remove(join(out, ATTEMPTS))
            for folder in (out, join(out, FOLDER)):
                remove_partial(folder)
        copies = write_copies(out, manifest.shards, settings.near_distance) if settings.near_duplicates else None
        # Late, for processes that judge and import this module.
        from pyrite.scanning.sample import make_sheet
        from pyrite.scanning.summary import summarize

        summary = summarize(
            out, manifest.shards, folders, policy.max_fpr, copies, manifest.set_aside, settings.columns.keep
        )
        write(join(out, SUMMARY), summary.to_json())
        page = make_sheet(
            out,
            manifest.shards,
            settings.limits,
            settings.columns,
            title=manifest.source,
            seconds=settings.timeout,
        )
        write(join(out, SHEET), page.encode("utf-8", "replace"))
    return summary


def check_settings(settings: ScanSettings, workers: int | None) -> None:
    """Refuse settings that cannot be used.

    Raises:
        ScanError: One of them; the sentence says which.
    """
    for name, value in (
        ("workers", workers),
        ("shard_size", settings.shard_size),
        ("batch_size", settings.batch_size),
        ("timeout", settings.timeout),
    ):
        if value is not None and not 0 < value < math.inf:
            raise ScanError(f"{name} must be a number greater than 0, not {value:g}.")
    if not 0 <= settings.near_distance <= MAX_DISTANCE:
        raise ScanError(f"near_distance must be 0 to {MAX_DISTANCE}, not {settings.near_distance}.")
    check_keep(settings.columns.keep)


def open_detector(
    bundle: Bundle | Panel | str | Path | None, bundles: Sequence[Bundle | str | Path], settings: ScanSettings
) -> Detector:
    """Return what judges: whatever is wrong with it is better said now than by a worker.

    Raises:
        PyriteError: A bundle or setting cannot be used, or they do not go with each other.
    """
    detector = Detector(
        bundle,
        bundles=bundles,
        max_fpr=settings.max_fpr,
        trust=settings.trust,
        threads=1,
        device=settings.device,
        allow_real=settings.allow_real,
    )
    check_device(detector)
    if (
        settings.rules
        and settings.rules.need_probability
        and not any(bundle.info.calibration.slope is not None for bundle in detector.bundles)
    ):
        raise ScanError(f"A rule of the policy needs a probability, which {detector.model.name} never gives.")
    return detector


@contextmanager
def _claimed(out: str) -> Iterator[None]:
    """Say so where files cannot be read or written, and hold a local folder against other scans.

    It is made unless it is there, and removed if it stays empty.
    """
    try:
        if is_url(out):
            yield
            return
        folder = Path(out)
        folder.mkdir(parents=True, exist_ok=True)
        taken = ScanError(f"Another process is scanning to {out}. Wait for it, or choose another --out.")
        with locked(folder, taken):
            try:
                yield
            finally:
                with suppress(OSError):  # Something is in it, as a rule.
                    folder.rmdir()
    except OSError as error:
        raise ScanError(f"{error.filename or out} cannot be read or written: {error.strerror or error}.") from error


def _begin(source: str, out: str, bundles: str, model: Model, settings: ScanSettings) -> ScanManifest:
    """Return the manifest of the scan in `out`: that of an earlier run, or one of a new listing."""
    source = source if is_url(source) else str(Path(source).absolute())
    wanted = {"source": encodable(source), "bundle_sha256": bundles, "settings_sha256": settings.fingerprint()}
    names = set(list_names(out))
    if MANIFEST in names:
        manifest = _read_manifest(join(out, MANIFEST))
        if other := [name for name, value in wanted.items() if getattr(manifest, name) != value]:
            what = ", ".join(name.removesuffix("_sha256") for name in other)
            raise ScanError(f"{out} holds a scan with another {what}. Choose another --out.")
        if difference := packages_differ(manifest.packages):
            raise ScanError(f"{out} holds a scan with {difference}. Install that, or choose another --out.")
        return manifest
    if foreign := sorted(name for name in names if name != LISTING and not name.startswith(PARTIAL)):
        raise ScanError(f"{out} already holds something else ({foreign[0]}). Choose a new folder.")
    found = Source(source, settings.columns)
    listing = write_listing(find_inputs(found), join(out, LISTING), settings.shard_size)
    manifest = ScanManifest(
        source=wanted["source"],
        bundle_sha256=bundles,
        settings_sha256=wanted["settings_sha256"],
        bundle=model.name,
        bundle_version=model.version,
        settings=settings.record(),
        shards=listing.shards,
        inputs=listing.inputs,
        listing_sha256=listing.sha256,
        set_aside=dict(sorted(found.set_aside.items())),
        packages=installed_versions(JUDGING),
        begun=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    # Only now is the scan begun: without this file, the source is listed anew.
    write(join(out, MANIFEST), indented_json(manifest, indent=1))
    return manifest


def _read_manifest(name: str) -> ScanManifest:
    try:
        return msgspec.json.decode(read(name), type=ScanManifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ScanError(f"{name} is not understood: {error}. Choose another --out.") from error


def _done(out: str) -> set[int]:
    found = (_PART.fullmatch(name) for name in list_names(join(out, FOLDER)))
    return {int(match[1]) for match in found if match}


def _follow(results: Iterator[Done], before: int, shards: int, watch: Callable[[Progress], None]) -> None:
    """Pass on how far the scan is, and stop it where results cannot be written."""
    began = time.monotonic()
    images = errors = flagged = 0
    for number, result in enumerate(results, start=1):
        if result.problem:
            raise ScanError(f"{result.problem}. Finished work is kept; run the same command to continue.")
        images, errors, flagged = images + result.images, errors + result.errors, flagged + result.flagged
        seconds = time.monotonic() - began
        watch(
            Progress(
                shards=before + number,
                of_shards=shards,
                images=images,
                errors=errors,
                flagged=flagged,
                seconds=seconds,
                images_per_second=images / seconds if seconds else 0.0,
                seconds_left=seconds / number * (shards - before - number),
            )
        )
