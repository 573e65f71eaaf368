"""The files that say what made what: `match.json`, `photos.jsonl` and `manifest.csv`."""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from pyrite.errors import DatasetError
from pyrite.matching.views import PhotoView
from pyrite.sources import encodable
from pyrite.writing import indented_json, whole_file, whole_lines

MATCH, PHOTOS, TABLE, IMAGES = "match.json", "photos.jsonl", "manifest.csv", "images"
"""What lies in the folder of a dataset of matched fakes."""
TOO_SMALL, COPY, FLAT = "too_small", "copy", "flat"
_REAL, _AI = "real", "ai"


class DecoderInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One autoencoder."""

    name: str
    """What its images are called as a generator's."""
    given: str
    """As it was named, without folders: a name or file, and its variant."""
    sha256: str
    """Of its file."""


class MatchSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What decides every pixel, beside the photographs."""

    side: int
    views: int
    history: str
    seed: int
    grouped_by: str | None
    """The column or pattern that said what photographs belong together."""
    decoders: tuple[DecoderInfo, ...]
    decoders_per_view: int | None = None
    """How many of them reconstruct a view, drawn for it; `None` for all."""
    with_ai: bool = False
    """Whether AI images of the source were cut into views as well, which nothing reconstructs."""
    aligned: bool = False
    """Whether each reconstruction got its view's power at each spatial frequency."""


class UnusedPhoto(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A photograph that nothing was made of."""

    path: str
    code: str
    """`too_small`, `copy`, `flat`, or why it cannot be read: a code of `ImageError`."""
    reason: str
    """The same as a sentence."""

    @property
    def is_unreadable(self) -> bool:
        """Whether there is something wrong with the file."""
        return self.code not in (TOO_SMALL, COPY, FLAT)


class MatchInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`match.json`."""

    settings: MatchSettings
    photos: str
    """The name of what the photographs were in."""
    command: str
    commit: str | None
    packages: dict[str, str]
    finished: bool
    """Whether all photographs were gone through, and are in `manifest.csv`."""
    photographs: int = 0
    """How many there are views of."""
    groups: int = 0
    """How many views there are: each is one real image, and one by each of its decoders."""
    images: int = 0
    """How many images there are, real ones and reconstructions."""
    flat_views: int = 0
    """How many views of these were dropped, since a reconstruction was the same file."""
    psnr: dict[str, float] = {}
    """How close each decoder comes, in decibels: the median over photographs."""
    ai_images: int = 0
    """How many images of the source were left out for being AI."""
    ai_photographs: int = 0
    """Of how many AI images there are views."""
    ai_groups: int = 0
    """How many views of these there are."""
    other_files: tuple[str, ...] = ()
    """Sentences on what else the source had and was not taken for photographs, with counts."""
    left_out: tuple[UnusedPhoto, ...] = ()


class MatchedPhoto(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A line of `photos.jsonl`: a photograph that all was made of, or an AI image that was cut into views."""

    path: str
    """Where it lay in its source."""
    sha256: str
    """Of its file, in hexadecimal."""
    source: str
    """What it belongs to; empty where nothing said so."""
    generator: str | None = None
    """What made it, of an AI image; `None` of a photograph."""
    width: int
    height: int
    views: tuple[PhotoView, ...]
    flat_views: int = 0
    """How many more were dropped, since a reconstruction was the same file."""
    psnr: dict[str, float] = {}
    """How close each decoder comes, in decibels: the mean over the views that it reconstructed, before the history."""

    @property
    def name(self) -> str:
        """Return what it is called in the dataset."""
        return self.sha256[:16]

    def group(self, number: int) -> str:
        """Return what the images of a view are called together."""
        return f"{self.name}-{number}"

    def image(self, number: int, generator: str | None) -> str:
        """Return the path of an image of a view: the one that was cut out, or a generator's."""
        cut_out = _REAL if self.generator is None else _AI
        return f"{IMAGES}/{self.name}/{number}-{generator or cut_out}{self.views[number].history.suffix}"


def read_match(folder: Path) -> MatchInfo | None:
    """Read `match.json`; `None` where there is none.

    Raises:
        DatasetError: It is damaged.
        OSError: It cannot be read.
    """
    path = folder / MATCH
    try:
        return msgspec.json.decode(path.read_bytes(), type=MatchInfo)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} is damaged: {error}. Choose another folder, or delete this one.") from error


def write_match(folder: Path, info: MatchInfo) -> None:
    """Write `match.json`."""
    with whole_file(folder / MATCH) as draft:
        draft.write_bytes(indented_json(info, indent=1))


def read_photos(folder: Path) -> list[MatchedPhoto]:
    """Read `photos.jsonl`, and cut off a last line that was not written to its end.

    Raises:
        DatasetError: Another line is damaged.
        OSError: It cannot be read.
    """
    path = folder / PHOTOS
    found = []
    for number, line in enumerate(whole_lines(path), start=1):
        try:
            found.append(msgspec.json.decode(line, type=MatchedPhoto))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DatasetError(
                f"{path}, line {number}, is damaged: {error}. Delete that line, and the photograph is done again."
            ) from error
    return found


def add_photo(folder: Path, photo: MatchedPhoto) -> None:
    """Add a line to `photos.jsonl`."""
    with (folder / PHOTOS).open("ab") as stream:
        stream.write(msgspec.json.encode(photo) + b"\n")


def write_table(folder: Path, photos: Iterable[MatchedPhoto], settings: MatchSettings) -> None:
    """Write `manifest.csv`, with a row for each image."""
    with whole_file(folder / TABLE) as draft, draft.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, COLUMNS)
        table.writeheader()
        for photo in photos:
            table.writerows(_rows(photo, settings))


COLUMNS = (
    "path", "label", "generator", "group", "photo", "photo_path", "source", "left", "top", "cut", "side", "kernel",
    "blur", "first_quality", "quality", "subsampling", "history", "seed",
)  # fmt: skip
"""Of `manifest.csv`."""


def _rows(photo: MatchedPhoto, settings: MatchSettings) -> Iterator[dict[str, object]]:
    for number, view in enumerate(photo.views):
        shared = {
            "group": photo.group(number),
            "photo": photo.name,
            "photo_path": encodable(photo.path),
            "source": encodable(photo.source),
            "left": view.left,
            "top": view.top,
            "cut": view.cut,
            **msgspec.structs.asdict(view.history),
            "history": settings.history,
            "seed": settings.seed,
        }
        label = _REAL if photo.generator is None else _AI
        yield {"path": photo.image(number, None), "label": label, "generator": photo.generator or "", **shared}
        for decoder in view.decoders:
            yield {"path": photo.image(number, decoder), "label": "ai", "generator": decoder, **shared}
