"""Which class, split and group a file belongs to, told by the folders it lies in."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from pyrite.errors import DatasetError

REAL, AI = 0, 1

REAL_NAMES = frozenset(
    [
        "real",
        "nature",
        "natural",
        "human",
        "photo",
        "photograph",
        "authentic",
        "genuine",
        "original",
        "camera",
    ]
)
AI_NAMES = frozenset(
    [
        "ai",
        "fake",
        "synthetic",
        "generated",
        "synthesized",
        "aigenerated",
        "aigc",
        "aiart",
        "gan",
        "diffusion",
        "deepfake",
    ]
)
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}

CIFAR_OBJECTS = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
_PICTURE = re.compile(r"\.(jpe?g|png|webp|avif|hei[cf]|gif|bmp|tiff?)", re.IGNORECASE)
_CIFAKE_NAME = re.compile(r"\d+(?: \((\d{1,2})\))?\.\w+")


@dataclass(frozen=True, slots=True)
class FolderLabel:
    """What a file's folders say."""

    label: int
    split: str | None
    group: str


def label_of(name: str) -> int | None:
    """Return the class that a folder's name or a manifest's label stands for, or `None`.

    `0_real` and `1_fake` (as in ForenSynths) are read like `real` and `fake`, and so are `Real Images`.
    """
    word = re.sub(r"[^a-z]", "", name.lower()).removesuffix("s").removesuffix("image")
    return REAL if word in REAL_NAMES else AI if word in AI_NAMES else None


def place_files(
    names: Sequence[str], classes: Mapping[str, int] | None = None, *, one_class: bool = False
) -> dict[str, FolderLabel]:
    """Sort files into classes, splits and groups by the folders they lie in.

    Files outside any class folder (a README, a manifest) are left out; pictures only where the classes were named,
    since a folder of a generator's name would go missing unseen. Folders that name neither a class nor a split
    become the group. Where several name a split, the innermost counts.

    Args:
        names: POSIX paths.
        classes: folder name to label, instead of the names known in this field.
        one_class: whether one class alone will do, since these are not all files.

    Raises:
        DatasetError: no class folders, one class only, a picture outside any, or a file under folders of both.
    """
    places: dict[str, FolderLabel] = {}
    outside: Counter[str] = Counter()
    for name in names:
        folders = PurePosixPath(name).parts[:-1]
        if classes is None:
            found = {folder: label for folder in folders if (label := label_of(folder)) is not None}
        else:
            found = {folder: classes[folder] for folder in folders if folder in classes}
        if not found:
            outside[PurePosixPath(name).parent.name or "."] += bool(_PICTURE.fullmatch(PurePosixPath(name).suffix))
            continue
        if len(set(found.values())) > 1:
            raise DatasetError(
                f"{name} lies under folders of both classes ({', '.join(found)}). "
                "Name the two folders that count with --real NAME and --ai NAME."
            )
        splits = [SPLIT_NAMES[f.lower()] for f in folders if f.lower() in SPLIT_NAMES]
        rest = [f for f in folders if f not in found and f.lower() not in SPLIT_NAMES]
        places[name] = FolderLabel(next(iter(found.values())), splits[-1] if splits else None, "/".join(rest))
    if not (one_class and places):
        _check_classes(places, names)
    if classes is None and (lost := +outside):
        raise DatasetError(
            f"{lost.total():,} pictures lie in no class folder: {_listed(lost)}. Move their folders into those of "
            "the real or the AI images, or name the two folders that count with --real NAME and --ai NAME."
        )
    return places


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


def _check_classes(places: Mapping[str, FolderLabel], names: Sequence[str]) -> None:
    labels = {place.label for place in places.values()}
    if labels == {REAL, AI}:
        return
    folders = Counter(PurePosixPath(name).parent.name or "." for name in names)
    lack = "no class folders" if not labels else "no AI images" if labels == {REAL} else "no real images"
    raise DatasetError(
        f"Found {lack}. Folders here: {_listed(folders) or 'none'}. Real images belong in a folder named like real, "
        "nature or human, AI images in one named like ai, fake or generated; or name yours with --real NAME and "
        "--ai NAME."
    )


def _listed(folders: Counter[str]) -> str:
    return ", ".join(f"{folder} ({count:,} files)" for folder, count in folders.most_common(8))
