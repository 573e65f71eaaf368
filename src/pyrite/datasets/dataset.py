"""A dataset of real and AI images: which files there are, and what is known of each."""

import hashlib
import posixpath
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyrite.datasets.columns import TABLES, find_column
from pyrite.datasets.hub import PREFIX, fetch_from_hub
from pyrite.datasets.labelling import Labelling
from pyrite.datasets.labels import cifar_objects, place_files
from pyrite.datasets.manifest import Manifest, read_manifest
from pyrite.datasets.shards import Shards, describes_images, find_shards, open_shards
from pyrite.datasets.storage import FolderStorage, Storage, TarStorage, open_storage
from pyrite.datasets.tables import find_tables, open_tables
from pyrite.datasets.tally import Tally, listed
from pyrite.datasets.vocabulary import AI
from pyrite.errors import DatasetError, require
from pyrite.sources import encodable

CIFAKE = "cifake"
_CIFAKE_HANDLE = "birdy654/cifake-real-and-ai-generated-synthetic-images"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images, column by column; nothing is read before `read`."""

    name: str
    paths: tuple[str, ...]
    labels: NDArray[np.int8]
    """(n,), 0 for real and 1 for AI."""
    splits: tuple[str | None, ...]
    """The dataset's own `train`, `validation` or `test`, where it has them."""
    slices: Mapping[str, tuple[str, ...]]
    """Further columns that a report breaks down by, such as CIFAKE's `object`."""
    fingerprint: str
    """SHA-256 of the whole source's listing; a selection keeps it."""
    storage: Storage = field(repr=False)
    groups: tuple[str, ...] | None = None
    """What belongs together, such as one video's frames, where a column was named for it; empty for none."""
    tally: Tally = field(default_factory=Tally, repr=False)
    """What was guessed when it was opened, and what was left out."""

    @classmethod
    def open(
        cls,
        source: str | Path,
        *,
        classes: Mapping[str, int] | None = None,
        labelling: Labelling | None = None,
        one_class: bool = False,
    ) -> "Dataset":
        """Open a folder, a zip or tar of one, shards, a table of images, `hf:OWNER/NAME`, or `cifake`.

        A folder or archive with a `manifest.csv` (or `.parquet`) at its root, or in the one folder that holds
        everything, is read by that; its paths start where it lies. So is one in which folders have a `metadata.csv`,
        `.jsonl` or `.parquet` with labels.
        `cifake` fetches the Kaggle archive, unless a file or folder of that name is here. What stands on the Hub is
        fetched by `fetch_from_hub`.

        Args:
            source: what to open.
            classes: name of a class to label (0 real, 1 AI), where the names are not the usual ones.
            labelling: the same and more: patterns, and columns.
            one_class: whether images of one class alone will do.

        Raises:
            DatasetError: it cannot be read, or its classes cannot be told.
            MissingExtraError: an optional dependency is needed.
        """
        labelling = labelling or Labelling.of(classes)
        if str(source).startswith(PREFIX):
            fetched = fetch_from_hub(str(source))
            dataset = cls.open(fetched.path, labelling=labelling, one_class=one_class)
            return replace(dataset, name=fetched.name, tally=fetched.tally + dataset.tally)
        path = Path(source)
        try:
            name = encodable(path.resolve().name)
            if str(source) == CIFAKE and not path.exists():
                path, name = fetch_cifake(), CIFAKE
            if shards := find_shards(path):
                opened, manifest = open_shards(shards, labelling)
                return cls._from_manifest(name, manifest, opened, labelling)
            if path.suffix.lower() in TABLES and path.is_file():
                return cls._from_table(name, path, labelling)
            storage = open_storage(path)
            why_folders = None
            if tables := find_tables(storage):
                read = open_tables(tables, storage, path if path.is_dir() else None, labelling)
                if not isinstance(read, str):
                    return cls._from_manifest(name, read[1], read[0], labelling)
                why_folders = read
            elif isinstance(storage, TarStorage) and describes_images(storage.names):
                opened, manifest = open_shards(Shards(path.parent, (path.name,)), labelling)
                return cls._from_manifest(name, manifest, opened, labelling)
        except (OSError, RuntimeError, ValueError) as error:  # Of the path itself: link loops, null bytes.
            raise DatasetError(f"{path} cannot be read: {error}") from error
        try:
            dataset = cls._from_folders(name, storage, labelling, one_class)
        except DatasetError as error:
            raise DatasetError(f"{why_folders} {error}" if why_folders else str(error)) from error
        if why_folders:
            dataset.tally.notes[why_folders] += 1
        return dataset

    @classmethod
    def _from_folders(cls, name: str, storage: Storage, labelling: Labelling, one_class: bool) -> "Dataset":
        labelling.refuse_columns(name)
        placed = place_files(storage.names, labelling, one_class=one_class)
        paths, places = tuple(placed.files), placed.files.values()
        columns = {
            "folder": tuple(place.group for place in places),
            "generator": tuple(place.generator for place in places),
        }
        slices = {column: values for column, values in columns.items() if len(set(values)) > 1}
        if (objects := cifar_objects(paths)) is not None:
            slices["object"] = objects
        return cls(
            name=name,
            paths=paths,
            labels=np.array([place.label for place in places], np.int8),
            splits=tuple(place.split for place in places),
            slices=slices,
            fingerprint=storage.fingerprint,
            storage=storage,
            tally=placed.tally,
        )._as_told(labelling)

    @classmethod
    def open_real(
        cls, source: str | Path, *, group_column: str | None = None, group_pattern: str | None = None
    ) -> "Dataset":
        """Open a folder, or a zip or tar of one, in which every file is a real image; `folder` is where each lies.

        Args:
            source: what to open.
            group_column: `folder` for groups by where each lies.
            group_pattern: See `grouped_by`.

        Raises:
            DatasetError: it cannot be read, or holds nothing.
        """
        path = Path(source)
        try:
            storage, name = open_storage(path), encodable(path.resolve().name)
        except (OSError, RuntimeError, ValueError) as error:
            raise DatasetError(f"{path} cannot be read: {error}") from error
        if not storage.names:
            raise DatasetError(f"{path} holds no files.")
        folders = tuple(posixpath.dirname(path) or "." for path in storage.names)
        return cls(
            name=name,
            paths=tuple(storage.names),
            labels=np.zeros(len(storage.names), np.int8),
            splits=(None,) * len(storage.names),
            slices={"folder": folders} if len(set(folders)) > 1 else {},
            fingerprint=storage.fingerprint,
            storage=storage,
        ).grouped_by(group_column, group_pattern)

    @classmethod
    def _from_table(cls, name: str, path: Path, labelling: Labelling) -> "Dataset":
        manifest = read_manifest(path.name, path.read_bytes(), labelling)
        return cls._from_manifest(name, manifest, FolderStorage(path.parent, manifest.paths), labelling)

    @classmethod
    def _from_manifest(cls, name: str, manifest: Manifest, storage: Storage, labelling: Labelling) -> "Dataset":
        digest = hashlib.sha256(repr((storage.fingerprint, manifest)).encode())
        if isinstance(storage, FolderStorage) and storage.missing:
            first = f"{len(storage.missing):,}, such as {encodable(storage.missing[0])}"
            manifest.tally.notes[f"Listed but missing: {first}."] += 1
        return cls(
            name=name,
            paths=manifest.paths,
            labels=np.array(manifest.labels, np.int8),
            splits=manifest.splits,
            slices=manifest.slices,
            fingerprint=digest.hexdigest(),
            storage=storage,
            tally=manifest.tally,
        )._as_told(labelling)

    def _as_told(self, labelling: Labelling) -> "Dataset":
        named = self if labelling.generator is None else self.made_by(labelling.generator)
        return named.grouped_by(labelling.group_column, labelling.group_pattern)

    def made_by(self, generator: str) -> "Dataset":
        """Return the dataset with a name for what made its AI images, in the column `generator`.

        Images of which the dataset says it already keep their name.

        Args:
            generator: The name.

        Raises:
            DatasetError: It is empty, or there is no AI image without one.
        """
        if not (name := encodable(generator).strip()):
            raise DatasetError("The name of the generator is empty.")
        column = find_column(self.slices, "generator") or "generator"
        said = self.slices.get(column, ("",) * len(self))
        unnamed = [label == AI and not of.strip() for of, label in zip(said, self.labels, strict=True)]
        if not any(unnamed):
            why = "says of each AI image what made it" if AI in self.labels else "has no AI images"
            raise DatasetError(f"{self.name} {why}. Leave out the generator {name!r}.")
        made = tuple(name if new else of for new, of in zip(unnamed, said, strict=True))
        return replace(self, slices={**self.slices, column: made})

    def grouped_by(self, column: str | None, pattern: str | None = None) -> "Dataset":
        """Return the dataset with groups, by one of its slices or by its paths.

        Args:
            column: The slice, in any case.
            pattern: A regular expression that is searched for in each path: what its first group matches names the
                image's group, or what all of it matches. An image whose path it does not match is in no group.

        Raises:
            DatasetError: It has no such column, or both are given, or the pattern is not valid or matches no path.
        """
        if column is None and pattern is None:
            return self
        if column is not None and pattern is not None:
            raise DatasetError("Groups come from a column or from a pattern, not from both.")
        if pattern is not None:
            return replace(self, groups=_matches(pattern, self.paths, self.name))
        assert column is not None
        if (found := find_column(self.slices, column)) is None:
            there = ", ".join(self.slices) or "no column"
            raise DatasetError(f"{self.name} has no column {column!r} for groups; it has {there}.")
        return replace(self, groups=self.slices[found])

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int) -> bytes:
        """Return the bytes of one image's file.

        Raises:
            OSError: they cannot be read.
        """
        return self.storage.read(self.paths[index])

    def select(self, indices: NDArray[np.intp]) -> "Dataset":
        """Return the dataset of these images alone, in this order."""
        return replace(
            self,
            paths=tuple(self.paths[i] for i in indices),
            labels=self.labels[indices],
            splits=tuple(self.splits[i] for i in indices),
            slices={name: tuple(values[i] for i in indices) for name, values in self.slices.items()},
            groups=None if self.groups is None else tuple(self.groups[i] for i in indices),
        )

    @property
    def generators(self) -> tuple[str, ...]:
        """What made each image, where a column says so; else empty."""
        column = find_column(self.slices, "generator")
        return self.slices[column] if column else ()

    def describe(self) -> tuple[str, ...]:
        """Return what there is, by class, split and generator, and what was guessed: a sentence each."""
        told = [f"{self.name}: {len(self):,} images, {_by_class(self.labels)}."]
        if any(self.splits):
            named = np.array([split or "none" for split in self.splits])
            there = (split for split in ("train", "validation", "test", "none") if split in named)
            of_each = (f"{split} {_by_class(self.labels[named == split])}" for split in there)
            told.append(f"Splits: {'; '.join(of_each)}.")
        made = Counter(
            name or "not named" for name, label in zip(self.generators, self.labels, strict=False) if label == AI
        )
        if made:
            told.append(f"Generators: {listed(made)}.")
        if self.groups is not None:
            alone = self.groups.count("")
            told.append(
                f"Groups: {len(set(self.groups) - {''}):,}{f', and {alone:,} images in none' if alone else ''}."
            )
        return (*told, *self.tally.taken_lines())

    def sample(self, count: int, seed: int = 0) -> "Dataset":
        """Return about `count` images, each class and split in its proportion.

        The choice hangs on the paths and the seed alone, so it is the same everywhere and
        a smaller sample is a part of a larger one.
        """
        if count >= len(self):
            return self
        order = np.array(
            [hashlib.sha256(f"{seed}:{path}".encode("utf-8", "surrogatepass")).digest() for path in self.paths]
        )
        strata: dict[tuple[int, str | None], list[int]] = {}
        for i in np.argsort(order, kind="stable"):
            strata.setdefault((int(self.labels[i]), self.splits[i]), []).append(int(i))
        share = count / len(self)
        kept = [i for members in strata.values() for i in members[: max(1, round(len(members) * share))]]
        return self.select(np.sort(np.array(kept, np.intp)))


def fetch_cifake() -> Path:
    """Download CIFAKE (Bird and Lotfi 2024) from Kaggle, once, and return its folder.

    Raises:
        MissingExtraError: without the `kaggle` extra.
        DatasetError: Kaggle cannot be reached, or refuses.
    """
    require("kaggle", "kagglehub")
    import kagglehub

    try:
        return Path(kagglehub.dataset_download(_CIFAKE_HANDLE))
    except Exception as error:  # kagglehub passes on whatever its HTTP client raises.
        raise DatasetError(
            f"CIFAKE could not be downloaded from Kaggle: {error}. Download it manually from "
            f"https://www.kaggle.com/datasets/{_CIFAKE_HANDLE} and give its path instead."
        ) from error


def _by_class(labels: NDArray[np.int8]) -> str:
    return f"{int(np.sum(labels == 0)):,} real and {int(np.sum(labels == AI)):,} AI"


def _matches(pattern: str, paths: tuple[str, ...], name: str) -> tuple[str, ...]:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise DatasetError(f"--group-pattern {pattern} is not a regular expression: {error}.") from error
    found = [expression.search(path) for path in paths]
    groups = tuple("" if one is None else (one[1] if expression.groups else one[0]) or "" for one in found)
    if not any(groups):
        raise DatasetError(f"--group-pattern {pattern} matches no path of {name}, such as {paths[0]}.")
    return groups
