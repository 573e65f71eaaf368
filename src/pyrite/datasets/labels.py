"""Which class, split, group and generator a file belongs to, told by the folders it lies in."""

import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import PurePosixPath

from pyrite.datasets.labelling import Labelling
from pyrite.datasets.tally import Tally, listed
from pyrite.datasets.vocabulary import (
    AI,
    CERTAIN_NAMES,
    REAL,
    is_collection,
    is_generator,
    label_of,
    plain,
    source_of,
    split_of,
    word_of,
)
from pyrite.errors import DatasetError

CIFAR_OBJECTS = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
_PICTURE = re.compile(r"\.(jpe?g|png|webp|avif|hei[cf]|gif|bmp|tiff?)")
_ARCHIVE = re.compile(r".*\.(zip|tar|t?gz|tar\.\w+|tgz|bz2|xz|zst|7z|rar|z\d\d|parquet)", re.IGNORECASE)
_NO_IMAGE = frozenset([
    ".avi", ".csv", ".css", ".db", ".doc", ".docx", ".h5", ".hdf5", ".html", ".ini", ".ipynb", ".js", ".json",
    ".jsonl", ".lmdb", ".log", ".lst", ".mat", ".md", ".mdb", ".mkv", ".mov", ".mp3", ".mp4", ".npy", ".npz",
    ".onnx", ".pdf", ".pkl", ".pt", ".pth", ".py", ".rtf", ".safetensors", ".sh", ".toml", ".tsv", ".txt", ".wav",
    ".webm", ".xls", ".xlsx", ".xml", ".yaml", ".yml",
])  # fmt: skip
_MASKS = frozenset({"mask", "masks"})  # Pictures of where a face was changed, as in FaceForensics++.
_ARTBENCH = re.compile(r"AI_(SD|LD)_(.+)", re.IGNORECASE)  # Of AI-ArtBench: beside AI_SD_baroque lies baroque.
_CIFAKE_NAME = re.compile(r"\d+(?: \((\d{1,2})\))?\.\w+")
_SOURCE, _CERTAIN, _PATTERN, _NAME = range(4)
"""How much a folder's name counts: a source's or an uncertain word, a certain word, what the user named."""


@dataclass(frozen=True, slots=True)
class FolderLabel:
    """What a file's folders say."""

    label: int
    split: str | None
    group: str
    generator: str = ""
    """Of an AI image, where a folder names it."""


@dataclass(frozen=True)
class Placed:
    """What the folders of a dataset's files say."""

    files: dict[str, FolderLabel]
    tally: Tally


@dataclass(frozen=True, slots=True)
class _Hit:
    """A folder whose name says something of the class."""

    folder: str
    label: int
    weight: int
    guessed: bool


def place_files(names: Sequence[str], labelling: Labelling | None = None, *, one_class: bool = False) -> Placed:
    """Sort files into classes, splits, groups and generators by the folders they lie in.

    A folder's name says a class by a usual word, or as that of a known generator or source of real images. Words like
    `real` and `fake` count more than all others, and what the user named counts most. A name that lies above or below
    folders of both classes, such as ForenSynths' `deepfake` with its `0_real` and `1_fake`, says nothing of the class.
    Folders that name neither a class nor a split become the group. Where several name a split, the innermost counts.

    Args:
        names: POSIX paths. A file that is no image by its name is left out.
        labelling: names of classes, instead of the usual ones; other folders are left out then. Where only one class
            is named, the other one is told by the usual names.
        one_class: whether one class alone will do.

    Raises:
        DatasetError: no class folders, one class only, a picture outside any, a file under folders of both, or a name
            of a class that is no folder's.
    """
    labelling = labelling or Labelling()
    tally = Tally()
    pictures = _sort_out(names, labelling, tally)
    folders = dict.fromkeys(map(posixpath.dirname, pictures))
    parts = {folder: PurePosixPath(folder).parts or (".",) for folder in folders}
    everything = {part for folder in parts.values() for part in folder}
    if labelling.names_classes:
        paths = (folder for folder in parts if folder)
        labelling.check_all_used((*everything, *paths), "folder")
    styles = {plain(match[2]) for part in everything if (match := _ARTBENCH.fullmatch(part))}
    hits = {folder: _read(inside, labelling, styles) for folder, inside in parts.items()}
    slices = _slices(hits.values())
    deciding = {folder: _deciding(found, slices) for folder, found in hits.items()}
    first = {posixpath.dirname(name): name for name in reversed(pictures)}
    places = {folder: _decide(first[folder], parts[folder], found) for folder, found in deciding.items() if found}
    guessed = {folder: found[-1].folder for folder, found in deciding.items() if found and found[-1].guessed}
    files: dict[str, FolderLabel] = {}
    outside: Counter[str] = Counter()
    for name in pictures:
        folder = posixpath.dirname(name)
        if (place := places.get(folder)) is not None:
            files[name] = place
            if taken := guessed.get(folder):
                tally.taken[place.label, taken] += 1
        elif is_picture(name):
            outside[posixpath.basename(folder) or "."] += 1
        else:
            tally.left_out["no images", _suffix(name)] += 1
    if not (one_class and files):
        _check_classes(files, names, one_class)
    if not labelling.names_classes and outside:
        raise DatasetError(
            f"{outside.total():,} pictures lie in no class folder: {_listed(outside)}. Move their folders into those "
            "of the real or the AI images, or name the folders that count with --real NAME and --ai NAME, each of "
            f"which may be given again and may be a pattern like 'gen*'.{_hint(names)}"
        )
    for folder, count in outside.items():
        tally.left_out["in folders that --real and --ai do not name", folder] += count
    return Placed(files, tally)


def certain_labels(paths: Sequence[str]) -> list[int | None]:
    """Return for each path the class that its folders name by words that mean nothing else; else `None`."""
    parts = {folder: PurePosixPath(folder).parts for folder in set(map(posixpath.dirname, paths))}
    hits = {folder: _read(inside, Labelling(), frozenset()) for folder, inside in parts.items()}
    slices = _slices(hits.values())

    def label_in(folder: str) -> int | None:
        certain = [hit for hit in hits[folder] if hit.weight == _CERTAIN]
        labels = {hit.label for hit in certain if hit.folder not in slices}
        return labels.pop() if len(labels) == 1 else None

    labels = {folder: label_in(folder) for folder in parts}
    return [labels[posixpath.dirname(path)] for path in paths]


def cifar_objects(paths: Sequence[str]) -> tuple[str, ...] | None:
    """Return each file's CIFAR-10 object where all are named as in CIFAKE, else `None`.

    CIFAKE's suffix is the object: `0000.jpg` is an airplane, `0000 (10).jpg` a truck. All ten must be there,
    since Windows names second copies alike.
    """
    objects = []
    for path in paths:
        match = _CIFAKE_NAME.fullmatch(PurePosixPath(path).name)
        number = int(match[1] or 1) if match else 0
        if not 1 <= number <= len(CIFAR_OBJECTS):
            return None
        objects.append(CIFAR_OBJECTS[number - 1])
    return tuple(objects) if set(objects) == set(CIFAR_OBJECTS) else None


def is_no_image(name: str) -> bool:
    """Say whether a file is no image by its name: text, data, or an archive."""
    return _suffix(name) in _NO_IMAGE or _ARCHIVE.fullmatch(name) is not None


def is_picture(name: str) -> bool:
    """Say whether a file's name ends like an image's."""
    return _PICTURE.fullmatch(_suffix(name)) is not None


def _sort_out(names: Sequence[str], labelling: Labelling, tally: Tally) -> list[str]:
    """Return the files that may be images, and count those that are none by their names, and pictures of masks."""
    masks = {
        folder: next((p for p in folder.split("/") if p.lower() in _MASKS and not labelling.match(p)), None)
        for folder in set(map(posixpath.dirname, names))
    }
    kept = []
    for name in names:
        suffix = _suffix(name)
        if suffix in _NO_IMAGE:
            tally.left_out["no images", suffix] += 1
        elif _ARCHIVE.fullmatch(name):
            tally.left_out["archives inside, which are not opened", posixpath.basename(name)] += 1
        elif mask := masks[posixpath.dirname(name)]:
            tally.left_out["pictures of masks", mask] += 1
        else:
            kept.append(name)
    return kept


def _suffix(name: str) -> str:
    return posixpath.splitext(name)[1].lower()


def _read(parts: Sequence[str], labelling: Labelling, styles: Iterable[str]) -> list[_Hit]:
    """Return what a folder's name and those above it say of the class, from the outside in."""
    hits = []
    for depth, folder in enumerate(parts, start=1):
        if found := labelling.match(folder, "/".join(parts[:depth])):
            hits.append(_Hit(folder, found[0], _NAME if found[1] else _PATTERN, guessed=not found[1]))
    if hits or (labelling.real and labelling.ai):
        return hits
    usual = filter(None, map(partial(_usual, styles=styles), parts))
    return [hit for hit in usual if not labelling.patterns[hit.label]]


def _usual(folder: str, styles: Iterable[str]) -> _Hit | None:
    if (label := label_of(folder)) is not None:
        return _Hit(folder, label, _CERTAIN if word_of(folder) in CERTAIN_NAMES else _SOURCE, guessed=False)
    if _ARTBENCH.fullmatch(folder):
        return _Hit(folder, AI, _SOURCE, guessed=True)
    if (label := REAL if plain(folder) in styles else source_of(folder)) is not None:
        return _Hit(folder, label, _SOURCE, guessed=True)
    return None


def _slices(found: Iterable[Sequence[_Hit]]) -> frozenset[str]:
    """Return the names that say nothing of the class themselves.

    They lie above or below folders of both classes; or they are a source's, and folders below them are named by class,
    as `coco` with `original` beside what else was made of it.
    """
    divided = set()
    below: dict[str, set[int]] = defaultdict(set)
    above: dict[str, set[int]] = defaultdict(set)
    for hits in found:
        for i, hit in enumerate(hits):
            if hit.weight == _SOURCE and hit.guessed and any(not other.guessed for other in hits[i + 1 :]):
                divided.add(hit.folder)
            inner = {other.label for other in hits[i + 1 :] if other.weight >= hit.weight}
            outer = {other.label for other in hits[:i] if other.weight >= max(hit.weight, _CERTAIN)}
            for labels, sides in ((inner, below[hit.folder]), (outer, above[hit.folder])):
                if len(labels) == 1:
                    sides |= labels
    return frozenset(divided.union(*({name for name in side if len(side[name]) == 2} for side in (below, above))))


def _deciding(hits: Sequence[_Hit], slices: frozenset[str]) -> list[_Hit]:
    """Return the folders that count most; none where all lie above or below both classes.

    What lies in DF40 is AI even so, unless something says that it is real.
    """
    kept = [hit for hit in hits if hit.folder not in slices] or [hit for hit in hits if is_collection(hit.folder)]
    most = max((hit.weight for hit in kept), default=0)
    return [hit for hit in kept if hit.weight == most]


def _decide(path: str, parts: Sequence[str], deciding: Sequence[_Hit]) -> FolderLabel:
    labels = {hit.label for hit in deciding}
    if len(labels) > 1:
        raise DatasetError(
            f"{path} lies under folders of both classes ({', '.join(hit.folder for hit in deciding)}). "
            "Name the folders that count with --real NAME and --ai NAME."
        )
    label = labels.pop()
    own = {hit.folder for hit in deciding if hit.weight != _PATTERN}
    splits = [split for part in parts if (split := split_of(part))]
    rest = [part for part in parts if part not in own and not split_of(part) and part != "."]
    generator = _generator(parts, deciding) if label == AI else ""
    return FolderLabel(label, splits[-1] if splits else None, "/".join(rest), generator)


def _generator(parts: Sequence[str], deciding: Sequence[_Hit]) -> str:
    """Return which folder names what made AI images: a known generator's, or the one that the user named."""
    for part in reversed(parts):
        if is_generator(part):
            return part
        if match := _ARTBENCH.fullmatch(part):
            return match[1].upper()
    for part, inner in pairwise(parts):
        if is_collection(part) and not split_of(inner):
            return inner
    named = [hit.folder for hit in deciding if hit.weight >= _PATTERN]
    return next((name for name in reversed(named) if label_of(name) is None and not split_of(name)), "")


def _check_classes(files: Mapping[str, FolderLabel], names: Sequence[str], one_class: bool) -> None:
    labels = {place.label for place in files.values()}
    if labels == {REAL, AI}:
        return
    folders = Counter(PurePosixPath(name).parent.name or "." for name in names)
    lack = "no class folders" if not labels else "no AI images" if labels == {REAL} else "no real images"
    others = " --real NAME --ai '*' takes all other folders for AI." if labels == {REAL} else ""
    alone = " Where all are of one class, --real '*' or --ai '*' says so." if one_class else ""
    raise DatasetError(
        f"Found {lack}. Folders here: {_listed(folders) or 'none'}. Real images belong in a folder named like real, "
        "nature or human, AI images in one named like ai, fake or generated; or name yours with --real NAME and "
        f"--ai NAME, each of which may be repeated and may be a pattern like 'gen*'.{others}{alone}{_hint(names)}"
    )


def _hint(names: Sequence[str]) -> str:
    """Return what else is here that may have to be opened instead."""
    tables = Counter(name for name in names if name.lower().endswith((".csv", ".tsv", ".jsonl")))
    archives = Counter(name for name in names if _ARCHIVE.fullmatch(name))
    words = f" A table may be opened by its own path: {', '.join(list(tables)[:3])}." if tables else ""
    return words + (f" Unpack what is packed here: {listed(archives)}." if archives else "")


def _listed(folders: Counter[str]) -> str:
    return ", ".join(f"{folder} ({count:,} files)" for folder, count in folders.most_common(8))
