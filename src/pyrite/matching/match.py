"""`match`: native views of photographs, each with its reconstructions by autoencoders, as a dataset to train on."""

import hashlib
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyrite.datasets import Dataset, Labelling
from pyrite.errors import DatasetError, ImageError, SettingsError
from pyrite.image import open_image
from pyrite.matching.alignment import align_power
from pyrite.matching.autoencoder import Autoencoder, open_autoencoder
from pyrite.matching.histories import HISTORIES, encode_after
from pyrite.matching.photographs import open_photographs
from pyrite.matching.records import (
    COPY,
    FLAT,
    IMAGES,
    TOO_SMALL,
    DecoderInfo,
    MatchedPhoto,
    MatchInfo,
    MatchSettings,
    UnusedPhoto,
    add_photo,
    read_match,
    read_photos,
    write_match,
    write_table,
)
from pyrite.matching.views import PhotoView, draw_views
from pyrite.prefetch import prefetch
from pyrite.provenance import current_command, package_versions, source_commit
from pyrite.sources import encodable
from pyrite.writing import locked, remove_drafts, whole_file

_AT_ONCE = 64  # decoders
_MAX_SIDE = 2048
_UNNAMED = "ai"  # What made an AI image that nothing names the generator of.
_NO_DIFFERENCE = "Each of its views is the same file as a reconstruction, as where it is of one colour."


@dataclass(frozen=True, slots=True)
class _Cut:
    """A photograph whose views were cut out."""

    photo: MatchedPhoto
    views: tuple[NDArray[np.uint8], ...]


def match(
    photos: str | Path,
    out: Path,
    *,
    decoders: Sequence[str] = ("taef2",),
    side: int = 256,
    views: int = 4,
    history: str = "light",
    seed: int = 0,
    decoders_per_view: int | None = None,
    with_ai: bool = False,
    align: bool = True,
    labelling: Labelling | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> MatchInfo:
    """Make a dataset of matched pairs: views of photographs at native resolution, and their reconstructions.

    All images of a view go through the same history, drawn for it, and are files of the same kind, so that only the
    trace of the autoencoder tells them apart. A photograph's views depend on its content and the settings.
    If `out` holds a part of the same dataset, the run continues there, and skips photographs that are done.

    Args:
        photos: What `open_photographs` takes.
        out: Where the dataset goes: a new folder, or that of an earlier run with the same settings.
        decoders: What `open_autoencoder` takes, for each a reconstruction of every view.
        side: Height and width of the images in pixels.
        views: At most so many of a photograph, fewer where it is small.
        history: One of `HISTORIES`.
        seed: Another seed gives other views and histories.
        decoders_per_view: How many of the decoders reconstruct a view, drawn for it; all by default.
        with_ai: Whether AI images of a source with labels are cut into views as well, with histories of the same kind.
        align: Whether each reconstruction gets its view's power at each spatial frequency; see `align_power`.
        labelling: How the source says which of its images are real, where that is not as usual, and what belongs
            together.
        progress: Called with how many photographs were gone through, and how many there are.

    Raises:
        DatasetError: The photographs cannot be read, or none can be used, or `out` cannot be written, or is another
            dataset's.
        DecoderError: A decoder cannot be used.
        SettingsError: A setting makes no sense.
        MissingExtraError: A decoder or the source needs what is not installed.
    """
    _check_settings(decoders, side, views, history, seed, decoders_per_view)
    opened = [open_autoencoder(said, side) for said in decoders]
    _check_together(opened, history)
    if Path(photos).resolve() in (out.resolve(), *out.resolve().parents):
        raise DatasetError(f"{out} lies among the photographs, and would become some of them. Choose another folder.")
    source, ai_images = open_photographs(str(photos), labelling, with_ai=with_ai)
    settings = MatchSettings(
        side=side,
        views=views,
        history=history,
        seed=seed,
        grouped_by=(labelling.group_column or labelling.group_pattern) if labelling else None,
        decoders=tuple(
            DecoderInfo(
                name=one.name, given=said if said.startswith("hf:") else encodable(Path(said).name), sha256=one.sha256
            )
            for one, said in zip(opened, decoders, strict=True)
        ),
        decoders_per_view=decoders_per_view,
        with_ai=with_ai,
        aligned=align,
    )
    with _claimed(out, settings) as done, _told(out):
        info = MatchInfo(
            settings=settings,
            photos=source.name,
            command=current_command(),
            commit=source_commit(),
            packages=package_versions(),
            finished=False,
        )
        write_match(out, info)
        multiple = math.lcm(*(one.stride for one in opened))
        left_out: list[UnusedPhoto] = []
        for count, item in enumerate(prefetch(_cut_views(source, done, settings, multiple)), start=1):
            if isinstance(item, UnusedPhoto):
                left_out.append(item)
            elif isinstance(item, _Cut):
                photo = _write_pairs(out, item, opened, settings)
                if photo.views:
                    add_photo(out, photo)
                    done[photo.sha256] = photo
                else:
                    left_out.append(UnusedPhoto(path=photo.path, code=FLAT, reason=_NO_DIFFERENCE))
            if progress:
                progress(count, len(source))
        if not done:
            first = f"{left_out[0].path}: {left_out[0].reason}"
            raise DatasetError(f"None of the {len(source):,} photographs of {source.name} can be used, such as {first}")
        # In an order that does not hang on which run did what.
        in_order = sorted(done.values(), key=lambda photo: (photo.path, photo.sha256))
        photographs = [photo for photo in in_order if photo.generator is None]
        others = [photo for photo in in_order if photo.generator is not None]
        write_table(out, in_order, settings)
        info = msgspec.structs.replace(
            info,
            finished=True,
            photographs=len(photographs),
            groups=sum(len(photo.views) for photo in photographs),
            ai_photographs=len(others),
            ai_groups=sum(len(photo.views) for photo in others),
            images=sum(1 + len(view.decoders) for photo in in_order for view in photo.views),
            flat_views=sum(photo.flat_views for photo in in_order),
            psnr=_median_psnr(in_order, [one.name for one in opened]),
            ai_images=ai_images,
            other_files=tuple(source.tally.left_out_lines()),
            left_out=tuple(left_out),
        )
        write_match(out, info)
    return info


def _check_settings(
    decoders: Sequence[str], side: int, views: int, history: str, seed: int, per_view: int | None
) -> None:
    if not 1 <= len(decoders) <= _AT_ONCE:
        raise SettingsError(f"Name from 1 to {_AT_ONCE} decoders, not {len(decoders)}.")
    if per_view is not None and not 1 <= per_view <= len(decoders):
        raise SettingsError(f"From 1 to {len(decoders)} of the decoders named can reconstruct a view, not {per_view}.")
    if not 32 <= side <= _MAX_SIDE:
        raise SettingsError(f"The side of views is from 32 to {_MAX_SIDE:,} pixels, not {side:,}.")
    if views < 1:
        raise SettingsError(f"A photograph gives at least one view, not {views}.")
    if seed < 0:
        raise SettingsError(f"The seed is 0 or more, not {seed}.")
    if history not in HISTORIES:
        raise SettingsError(f"There is no history {history!r}. There are {', '.join(HISTORIES)}.")


def _check_together(decoders: Sequence[Autoencoder], history: str) -> None:
    names = [one.name for one in decoders]
    if twice := [name for name in names if names.count(name) > 1]:
        raise SettingsError(f"Two decoders are called {twice[0]}. Leave one out, or rename its file.")
    fixed = [one.name for one in decoders if one.size != (None, None)]
    if fixed and HISTORIES[history].resized:
        raise SettingsError(
            f"The decoder {fixed[0]} takes images of one size only, and the history {history!r} resizes. Use the "
            "history 'none'."
        )


@contextmanager
def _claimed(out: Path, settings: MatchSettings) -> Iterator[dict[str, MatchedPhoto]]:
    """Hold the folder, and give the photographs that an earlier run has done in it, by the SHA-256 of their files."""
    with _told(out):
        out.mkdir(parents=True, exist_ok=True)
    with locked(out, DatasetError(f"Another process is at work in {out}.")):
        with _told(out):
            earlier = read_match(out)
            if earlier is None and (foreign := sorted(path.name for path in out.iterdir() if path.name[:1] != ".")):
                raise DatasetError(f"{out} already holds something else ({foreign[0]}). Choose a new folder.")
            if earlier and earlier.settings != settings:
                raise DatasetError(
                    f"{out} was made with {_difference(earlier.settings, settings)}. Continue with the same settings, "
                    "or choose another folder."
                )
            for folder in (out, *out.glob(f"{IMAGES}/*")):
                remove_drafts(folder)
            done = {photo.sha256: photo for photo in read_photos(out)}
        yield done


def _difference(earlier: MatchSettings, now: MatchSettings) -> str:
    """Return the first setting that differs, as a part of a sentence."""
    fields = (name for name in now.__struct_fields__ if getattr(earlier, name) != getattr(now, name))
    name = next(fields)
    if name != "decoders":
        return f"{name} {getattr(earlier, name)}, not {getattr(now, name)}"
    before, wanted = (", ".join(one.name for one in chosen.decoders) for chosen in (earlier, now))
    return f"decoders {before}, not {wanted}" if before != wanted else f"other files of the decoders {wanted}"


@contextmanager
def _told(out: Path) -> Iterator[None]:
    """Say in a sentence what kept something from being written."""
    try:
        yield
    except OSError as error:
        raise DatasetError(
            f"{error.filename or out} cannot be read or written: {error.strerror or error}. Finished work is kept: "
            "once that is fixed, run the same command to continue."
        ) from error


def _cut_views(
    source: Dataset, done: dict[str, MatchedPhoto], settings: MatchSettings, multiple: int
) -> Iterator[_Cut | UnusedPhoto | MatchedPhoto]:
    """Yield for each photograph its views, or why there are none, or that it is done already."""
    seen: dict[str, str] = {}
    for index, path in enumerate(source.paths):
        name, is_ai = encodable(path), bool(source.labels[index])
        try:
            data = source.read(index)
        except OSError as error:
            yield UnusedPhoto(path=name, code="unreadable", reason=f"The file cannot be read: {error}.")
            continue
        sha256 = hashlib.sha256(data).hexdigest()
        if first := seen.get(sha256):
            yield UnusedPhoto(path=name, code=COPY, reason=f"The file is a copy of {first}.")
            continue
        seen[sha256] = name
        if sha256 in done:
            yield done[sha256]
            continue
        try:
            image = open_image(data)
        except ImageError as error:
            yield UnusedPhoto(path=name, code=error.code, reason=str(error))
            continue
        if min(image.width, image.height) < settings.side:
            yield UnusedPhoto(
                path=name,
                code=TOO_SMALL,
                reason=f"Its {image.width:,} × {image.height:,} pixels are fewer than a view of {settings.side}.",
            )
            continue
        generator = (source.generators[index] if source.generators else "") or _UNNAMED if is_ai else None
        drawn = draw_views(
            image.height,
            image.width,
            sha256,
            views=settings.views,
            side=settings.side,
            multiple=multiple,
            chosen=HISTORIES[settings.history],
            decoders=[one.name for one in settings.decoders] if generator is None else [],
            per_view=settings.decoders_per_view,
            seed=settings.seed,
        )
        views = tuple(
            image.pixels[view.top : view.top + view.cut, view.left : view.left + view.cut].copy() for view in drawn
        )
        photo = MatchedPhoto(
            path=name,
            sha256=sha256,
            source=source.groups[index] if source.groups else "",
            generator=generator,
            width=image.width,
            height=image.height,
            views=drawn,
        )
        del image, data  # The whole photograph is not held while its views wait.
        yield _Cut(photo, views)


def _write_pairs(out: Path, cut: _Cut, decoders: Sequence[Autoencoder], settings: MatchSettings) -> MatchedPhoto:
    """Write all images of a photograph, and return it with the views that were kept.

    Where a reconstruction is the same file as the view, as that of a white wall may be, one label of the two would be
    wrong, so the view is dropped.
    """
    kept, files = list[PhotoView](), list[list[bytes]]()
    ratios: dict[str, list[float]] = {one.name: [] for one in decoders}
    for number, (pixels, view) in enumerate(zip(cut.views, cut.photo.views, strict=True)):
        key = [settings.seed, number, *bytes.fromhex(cut.photo.sha256)]
        made = {
            one.name: one.reconstruct(pixels, np.random.default_rng(key))
            for one in decoders
            if one.name in view.decoders
        }
        fakes_before = [align_power(image, pixels) if settings.aligned else image for image in made.values()]
        real, *fakes = (encode_after(view.history, image) for image in (pixels, *fakes_before))
        if real not in fakes:
            kept.append(view)
            files.append([real, *fakes])
            for name, image in made.items():
                ratios[name].append(_psnr(pixels, image))
    photo = msgspec.structs.replace(
        cut.photo,
        views=tuple(kept),
        flat_views=len(cut.views) - len(kept),
        psnr={name: round(float(np.mean(each)), 2) for name, each in ratios.items() if each},
    )
    if kept:
        (out / IMAGES / photo.name).mkdir(parents=True, exist_ok=True)
    for number, (view, contents) in enumerate(zip(kept, files, strict=True)):
        for generator, content in zip((None, *view.decoders), contents, strict=True):
            with whole_file(out / photo.image(number, generator)) as draft:
                draft.write_bytes(content)
    return photo


def _median_psnr(photos: Sequence[MatchedPhoto], names: Sequence[str]) -> dict[str, float]:
    """Return the median over photographs of each decoder that made something."""
    found = {name: [photo.psnr[name] for photo in photos if name in photo.psnr] for name in names}
    return {name: statistics.median(ratios) for name, ratios in found.items() if ratios}


def _psnr(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Return the peak signal-to-noise ratio in decibels; 100 at most."""
    error = float(np.mean((one.astype(np.float32) - other) ** 2))
    return 10 * math.log10(255**2 / max(error, 255**2 / 1e10))
