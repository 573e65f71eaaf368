"""A dataset of real and AI images: which files there are, and what is known of each."""

import hashlib
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from pyrite.datasets.labels import cifar_objects, place_files
from pyrite.datasets.manifest import MANIFEST_NAMES, Manifest, read_manifest
from pyrite.datasets.shards import find_shards, open_shards
from pyrite.datasets.storage import FolderStorage, Storage, open_storage
from pyrite.errors import DatasetError, require
from pyrite.image import Limits
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

    @classmethod
    def open(cls, source: str | Path, *, classes: Mapping[str, int] | None = None) -> "Dataset":
        """Open a folder, a zip or tar of one, a folder of shards, a CSV or Parquet manifest, or `cifake`.

        A folder or archive with a `manifest.csv` (or `.parquet`) at its root, or in the one folder that holds
        everything, is read by that; its paths start where it lies.
        `cifake` fetches the Kaggle archive, unless a file or folder of that name is here.

        Args:
            source: what to open.
            classes: folder name to label (0 real, 1 AI), where the names are not the usual ones.

        Raises:
            DatasetError: it cannot be read, or its classes cannot be told.
            MissingExtraError: an optional dependency is needed.
        """
        path = Path(source)
        try:
            name = encodable(path.resolve().name)
            if str(source) == CIFAKE and not path.exists():
                path, name = fetch_cifake(), CIFAKE
            if path.suffix.lower() in {".csv", ".parquet"} and path.is_file():
                return cls._from_table(name, path)
            if path.is_dir() and classes is None and (found := find_shards(path)):
                shards, manifest = open_shards(*found)
                return cls._from_manifest(name, manifest, shards)
            storage = open_storage(path)
            table = _find_manifest(storage.names) if classes is None else None
            if table is not None and path.is_dir():
                return cls._from_table(name, path / table)
            if table is not None:
                return cls._from_packed_table(name, table, storage)
        except (OSError, RuntimeError, ValueError) as error:  # Of the path itself: link loops, null bytes.
            raise DatasetError(f"{path} cannot be read: {error}") from error
        places = place_files(storage.names, classes)
        paths = tuple(places)
        slices = {}
        groups = tuple(place.group for place in places.values())
        if len(set(groups)) > 1:
            slices["folder"] = groups
        if (objects := cifar_objects(paths)) is not None:
            slices["object"] = objects
        return cls(
            name=name,
            paths=paths,
            labels=np.array([place.label for place in places.values()], np.int8),
            splits=tuple(place.split for place in places.values()),
            slices=slices,
            fingerprint=storage.fingerprint,
            storage=storage,
        )

    @classmethod
    def open_real(cls, source: str | Path) -> "Dataset":
        """Open a folder, or a zip or tar of one, in which every file is a real image; `folder` is where each lies.

        Args:
            source: what to open.

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
        )

    @classmethod
    def _from_table(cls, name: str, path: Path) -> "Dataset":
        manifest = read_manifest(path.name, path.read_bytes())
        return cls._from_manifest(name, manifest, FolderStorage(path.parent, manifest.paths))

    @classmethod
    def _from_packed_table(cls, name: str, table: str, storage: Storage) -> "Dataset":
        data = storage.read(table)
        if len(data) > Limits().max_bytes:
            raise DatasetError(f"{table} in {name} is too large to be read from an archive. Unpack it, and open that.")
        manifest = read_manifest(table, data)
        folder = posixpath.dirname(table)
        paths = tuple(posixpath.normpath(posixpath.join(folder, path)) for path in manifest.paths)
        return cls._from_manifest(name, replace(manifest, paths=paths), storage)

    @classmethod
    def _from_manifest(cls, name: str, manifest: Manifest, storage: Storage) -> "Dataset":
        digest = hashlib.sha256(repr((storage.fingerprint, manifest)).encode())
        return cls(
            name=name,
            paths=manifest.paths,
            labels=np.array(manifest.labels, np.int8),
            splits=manifest.splits,
            slices=manifest.slices,
            fingerprint=digest.hexdigest(),
            storage=storage,
        )

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
        )

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
            f"CIFAKE could not be fetched from Kaggle: {error}. Download it by hand from "
            f"https://www.kaggle.com/datasets/{_CIFAKE_HANDLE} and give its path instead."
        ) from error


def _find_manifest(names: Sequence[str]) -> str | None:
    tops = {PurePosixPath(name).parts[:1] for name in names}
    folders = ("", *tops.pop()) if len(tops) == 1 else ("",)
    present = set(names)
    found = (posixpath.join(folder, name) for folder in folders for name in MANIFEST_NAMES)
    return next((name for name in found if name in present), None)
