"""Decode a dataset once, in parallel, into arrays on disk that later runs on the same data find again."""

import hashlib
import math
import mmap
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import joblib
import msgspec
import numpy as np
from numpy.typing import NDArray

from pyrite.bundle.preprocess import Preprocess
from pyrite.datasets.dataset import Dataset
from pyrite.datasets.storage import Storage
from pyrite.errors import DatasetError, ImageError
from pyrite.image import open_image
from pyrite.results import Failure

_Part = TypeVar("_Part")
Progress = Callable[[int, int], None]
"""Called with how many are done and how many there are."""
Watch = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""

_CHUNK = 512
_VALUES = 4_000_000  # in a batch, which a network's first layers make several times as many of
_SERIAL_BELOW = 4096  # Starting worker processes costs more than decoding so few small images.
_FORGOTTEN_AFTER = 3600.0  # seconds without a finished chunk: whoever was decoding there has died.
_FORMAT = 4  # Part of the cache's key: raise it when decoding or preprocessing changes what it gives.


@dataclass(frozen=True)
class Decoded:
    """Every image of a dataset, as a model takes it."""

    pixels: NDArray[np.uint8]
    """(n, height, width, 3), memory-mapped; zeros where the file could not be read."""
    hashes: tuple[str, ...]
    """Each file's hexadecimal SHA-256; empty where its bytes could not be read."""
    failures: dict[int, Failure]
    """Why a file could not be read as an image, by its index."""
    sides: NDArray[np.int32]
    """(n, 2), each image's shorter and longer side in pixels before preprocessing; zeros where it was not read."""


class _Index(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is kept beside the arrays, in `index.json`; see `Decoded`."""

    hashes: tuple[str, ...]
    failures: dict[int, Failure]


def cache_folder() -> Path:
    """Return where decoded datasets are kept: `PYRITE_CACHE`, or `pyrite` in the user's cache folder.

    Raises:
        DatasetError: there is no home folder to have it in.
    """
    # Absolute, since the worker processes may have been started elsewhere.
    if chosen := os.environ.get("PYRITE_CACHE"):
        return Path(chosen).absolute()
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "pyrite"
    except RuntimeError as error:
        raise DatasetError("There is no home folder for decoded images. Set PYRITE_CACHE to a folder.") from error


def decode(dataset: Dataset, preprocess: Preprocess, progress: Progress | None = None) -> Decoded:
    """Read, decode and preprocess every image, or find the arrays of an earlier run.

    Raises:
        DatasetError: the cache folder is full or cannot be written.
    """
    folder = cache_folder() / f"decoded-{_key(dataset, preprocess)}"
    shape = (len(dataset), preprocess.height, preprocess.width, 3)
    decoded = _find(folder, shape)
    if decoded is None:
        _fill(folder, dataset, preprocess, progress)
        decoded = _find(folder, shape)
    elif progress:
        progress(len(dataset), len(dataset))
    if decoded is None:
        raise DatasetError(f"The decoded images in {folder} are damaged. Delete that folder, and run this again.")
    return decoded


def read_images(pixels: NDArray[np.uint8], indices: NDArray[np.intp]) -> NDArray[np.uint8]:
    """Return some images of an array (n, height, width, 3) as one in memory.

    Where the array is memory-mapped, all of them are asked for first. Else the system reads each when its turn comes,
    with megabytes of what lies around it, and drops others for that where memory is short.
    """
    file: object = pixels.base
    if isinstance(pixels, np.memmap) and isinstance(file, mmap.mmap) and hasattr(mmap, "MADV_WILLNEED"):
        size = pixels.nbytes // len(pixels)
        for index in indices:
            start = pixels.offset % mmap.ALLOCATIONGRANULARITY + int(index) * size
            page = start - start % mmap.PAGESIZE
            file.madvise(mmap.MADV_WILLNEED, page, start + size - page)
    return np.array(pixels[indices])


def in_chunks(pixels: NDArray[np.uint8], indices: NDArray[np.intp], most: int = 256) -> Iterator[NDArray[np.uint8]]:
    """Yield some of the images (n, height, width, 3) in order, `most` at a time, or fewer where they are large."""
    size = max(1, min(most, _VALUES // math.prod(pixels.shape[1:])))
    for start in range(0, len(indices), size):
        yield read_images(pixels, indices[start : start + size])


def content_hashes(dataset: Dataset) -> tuple[str, ...]:
    """Return each file's hexadecimal SHA-256; empty where its bytes cannot be read."""
    parts = in_parallel(_hash_chunk, dataset)
    return tuple(value for part in parts for value in part)


def content_sha256(dataset: Dataset, hashes: Sequence[str]) -> str:
    """Return one hash for a dataset's content, labels and own splits, whatever its files are called."""
    rows = zip(dataset.labels, dataset.splits, hashes, strict=True)
    lines = sorted(f"{label} {value}{f' {split}' if split else ''}\n" for label, split, value in rows)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _key(dataset: Dataset, preprocess: Preprocess) -> str:
    # With pillow-heif come images that could not be read without it.
    readers = find_spec("pillow_heif") is not None
    digest = hashlib.sha256(repr((_FORMAT, readers, dataset.fingerprint, preprocess)).encode())
    for path in dataset.paths:
        digest.update(path.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()[:24]


def _find(folder: Path, shape: tuple[int, ...]) -> Decoded | None:
    try:
        index = msgspec.json.decode((folder / "index.json").read_bytes(), type=_Index)
        pixels = np.load(folder / "pixels.npy", mmap_mode="r")
        sides = np.load(folder / "sides.npy")
    except (OSError, ValueError, EOFError):
        return None
    if pixels.shape != shape or len(index.hashes) != len(pixels) or sides.shape != (len(pixels), 2):
        return None
    return Decoded(pixels, index.hashes, index.failures, sides)


def _fill(folder: Path, dataset: Dataset, preprocess: Preprocess, progress: Progress | None) -> None:
    """Write the arrays beside their place and move them in whole, so that a killed run leaves no half cache."""
    cache = folder.parent
    shape = (len(dataset), preprocess.height, preprocess.width, 3)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _remove_forgotten(cache)
        size = int(np.prod(shape, dtype=np.int64))
        if shutil.disk_usage(cache).free < size:
            raise DatasetError(
                f"Decoding needs {size / 1e9:.1f} GB in {cache}, more than is free there. "
                "Point PYRITE_CACHE at a larger disk."
            )
        work = Path(tempfile.mkdtemp(prefix="decoding-", dir=cache))
        try:
            _reserve(work / "pixels.npy", shape)
            hashes: list[str] = []
            failures: dict[int, Failure] = {}
            sides: list[tuple[int, int]] = []
            for part, failed, of_part in in_parallel(_decode_chunk, dataset, work / "pixels.npy", preprocess):
                failures |= {len(hashes) + i: failure for i, failure in failed.items()}
                hashes += part
                sides += of_part
                os.utime(work)
                if progress:
                    progress(len(hashes), len(dataset))
            np.save(work / "sides.npy", np.array(sides, np.int32).reshape(-1, 2))
            index = _Index(hashes=tuple(hashes), failures=failures)
            (work / "index.json").write_bytes(msgspec.json.encode(index))
            if _find(folder, shape) is None:  # Another run may have been faster.
                shutil.rmtree(folder, ignore_errors=True)
                work.rename(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise DatasetError(
            f"Decoded images cannot be kept in {cache}: {error}. Point PYRITE_CACHE elsewhere."
        ) from error


def _remove_forgotten(cache: Path) -> None:
    """Remove what runs that were killed outright left behind."""
    for work in cache.glob("decoding-*"):
        with suppress(OSError):
            if work.stat().st_mtime < time.time() - _FORGOTTEN_AFTER:
                shutil.rmtree(work, ignore_errors=True)


def _reserve(path: Path, shape: tuple[int, ...]) -> None:
    """Write an array of zeros, and claim its place on the disk: a full one would end the process later on."""
    np.lib.format.open_memmap(path, "w+", np.uint8, shape).flush()
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)


def in_parallel(work: Callable[..., _Part], dataset: Dataset, *arguments: object) -> Iterator[_Part]:
    """Yield what `work` makes of each chunk of the dataset, in order.

    It is called in other processes with the storage, the first index, the chunk's paths, and `arguments`.
    """
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
) -> tuple[list[str], dict[int, Failure], list[tuple[int, int]]]:
    """Fill a part of the array; return the hashes, the failures, and the sides."""
    pixels = np.lib.format.open_memmap(target, "r+")
    hashes = []
    failures = {}
    sides = [(0, 0)] * len(names)
    for i, name in enumerate(names):
        try:
            data = storage.read(name)
        except OSError as error:
            hashes.append("")
            failures[i] = Failure("unreadable", f"The file cannot be read: {error}")
            continue
        hashes.append(hashlib.sha256(data).hexdigest())
        try:
            image = open_image(data, at_least=preprocess.enough)
        except ImageError as error:
            failures[i] = Failure(error.code, str(error))
        else:
            (pixels[start + i],) = preprocess.apply(image.pixels, image.box)
            sides[i] = (min(image.width, image.height), max(image.width, image.height))
    return hashes, failures, sides
