"""Decode a dataset once, in parallel, into arrays on disk that later runs on the same data find again."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import joblib
import msgspec
import numpy as np
from numpy.typing import NDArray

from pyrite.datasets.dataset import Dataset
from pyrite.datasets.storage import Storage
from pyrite.errors import DatasetError, ImageError
from pyrite.image import open_image
from pyrite.preprocess import Preprocess
from pyrite.results import Failure

_Part = TypeVar("_Part")
Progress = Callable[[int, int], None]
"""Called with how many are done and how many there are."""

_CHUNK = 512
_SERIAL_BELOW = 4096  # Starting worker processes costs more than decoding so few small images.
_FORMAT = 2  # Part of the cache's key: raise it when decoding or preprocessing changes what it gives.


@dataclass(frozen=True)
class Decoded:
    """Every image of a dataset, as a model takes it."""

    pixels: NDArray[np.uint8]
    """(n, height, width, 3), memory-mapped; zeros where the file could not be read."""
    hashes: tuple[str, ...]
    """Each file's hexadecimal SHA-256; empty where its bytes could not be read."""
    failures: dict[int, Failure]
    """Why a file could not be read as an image, by its index."""
    sides: tuple[int, int]
    """The shortest and the longest side of any image, in pixels, before preprocessing; 0 without images."""


def cache_folder() -> Path:
    """Return where decoded datasets are kept: `PYRITE_CACHE`, or `pyrite` in the user's cache folder."""
    if chosen := os.environ.get("PYRITE_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pyrite"


def decode(dataset: Dataset, preprocess: Preprocess, progress: Progress | None = None) -> Decoded:
    """Read, decode and preprocess every image, or find the arrays of an earlier run.

    Raises:
        DatasetError: the cache folder is full or cannot be written.
    """
    folder = cache_folder() / f"decoded-{_key(dataset, preprocess)}"
    if not (folder / "index.json").exists():
        _fill(folder, dataset, preprocess, progress)
    elif progress:
        progress(len(dataset), len(dataset))
    index = json.loads((folder / "index.json").read_text())
    return Decoded(
        pixels=np.load(folder / "pixels.npy", mmap_mode="r"),
        hashes=tuple(index["hashes"]),
        failures={int(i): Failure(**failure) for i, failure in index["failures"].items()},
        sides=(index["sides"][0], index["sides"][1]),
    )


def content_hashes(dataset: Dataset) -> tuple[str, ...]:
    """Return each file's hexadecimal SHA-256; empty where its bytes cannot be read."""
    parts = _in_parallel(_hash_chunk, dataset)
    return tuple(value for part in parts for value in part)


def content_sha256(dataset: Dataset, hashes: Sequence[str]) -> str:
    """Return one hash for a dataset's content and labels, whatever its files are called."""
    lines = sorted(f"{label} {value}\n" for label, value in zip(dataset.labels, hashes, strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _key(dataset: Dataset, preprocess: Preprocess) -> str:
    digest = hashlib.sha256(repr((_FORMAT, dataset.fingerprint, preprocess)).encode())
    for path in dataset.paths:
        digest.update(path.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()[:24]


def _fill(folder: Path, dataset: Dataset, preprocess: Preprocess, progress: Progress | None) -> None:
    """Write the arrays beside their place and move them in whole, so that a killed run leaves no half cache."""
    shape = (len(dataset), preprocess.height, preprocess.width, 3)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(folder.parent).free < np.prod(shape, dtype=np.int64):
            raise DatasetError(
                f"Decoding needs {np.prod(shape, dtype=np.int64) / 1e9:.1f} GB in {folder.parent}, more than is "
                "free there. Point PYRITE_CACHE at a larger disk."
            )
        work = Path(tempfile.mkdtemp(prefix="decoding-", dir=folder.parent))
        try:
            np.lib.format.open_memmap(work / "pixels.npy", "w+", np.uint8, shape).flush()
            hashes: list[str] = []
            failures: dict[int, Failure] = {}
            shortest, longest = [], []
            for part, failed, sides in _in_parallel(_decode_chunk, dataset, work / "pixels.npy", preprocess):
                failures |= {len(hashes) + i: failure for i, failure in failed.items()}
                hashes += part
                shortest += sides[:1]
                longest += sides[1:]
                if progress:
                    progress(len(hashes), len(dataset))
            extremes = (min(shortest, default=0), max(longest, default=0))
            index = {"hashes": hashes, "failures": failures, "sides": extremes}
            (work / "index.json").write_bytes(msgspec.json.encode(index))
            if not folder.exists():  # Another run may have been faster.
                work.rename(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise DatasetError(
            f"Decoded images cannot be kept in {folder.parent}: {error}. Point PYRITE_CACHE elsewhere."
        ) from error


def _in_parallel(work: Callable[..., _Part], dataset: Dataset, *arguments: object) -> Iterator[_Part]:
    """Yield what `work` makes of each chunk of the dataset, in order."""
    jobs = joblib.cpu_count() if len(dataset) > _SERIAL_BELOW else 1
    chunks = (
        joblib.delayed(work)(dataset.storage, start, dataset.paths[start : start + _CHUNK], *arguments)
        for start in range(0, len(dataset), _CHUNK)
    )
    yield from joblib.Parallel(n_jobs=jobs, return_as="generator", batch_size=8)(chunks)


def _hash_chunk(storage: Storage, _start: int, names: Sequence[str]) -> list[str]:
    hashes = []
    for name in names:
        try:
            hashes.append(hashlib.sha256(storage.read(name)).hexdigest())
        except OSError:
            hashes.append("")
    return hashes


def _decode_chunk(
    storage: Storage, start: int, names: Sequence[str], target: Path, preprocess: Preprocess
) -> tuple[list[str], dict[int, Failure], list[int]]:
    """Fill a part of the array; return the hashes, the failures, and the extreme sides if there are any."""
    pixels = np.lib.format.open_memmap(target, "r+")
    hashes = []
    failures = {}
    sides: set[int] = set()
    for i, name in enumerate(names):
        try:
            data = storage.read(name)
        except OSError as error:
            hashes.append("")
            failures[i] = Failure("unreadable", f"The file cannot be read: {error}")
            continue
        hashes.append(hashlib.sha256(data).hexdigest())
        try:
            image = open_image(data)
        except ImageError as error:
            failures[i] = Failure(error.code, str(error))
        else:
            pixels[start + i] = preprocess.apply(image.pixels)
            sides |= {image.width, image.height}
    return hashes, failures, [min(sides), max(sides)] if sides else []
