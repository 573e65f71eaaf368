"""Decode a dataset once, in parallel, into arrays on disk that later runs on the same data find again."""

import hashlib
import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyrite.bundle.preprocess import Crops, Preprocess, ShorterSide
from pyrite.datasets.arrays import Canvases, cut_canvas
from pyrite.datasets.dataset import Dataset
from pyrite.datasets.storage import Storage, TarStorage
from pyrite.errors import DatasetError, ImageError
from pyrite.folders import cache_folder
from pyrite.image import open_image
from pyrite.results import Failure
from pyrite.runtime import available_memory

_Result = TypeVar("_Result")
_Shapes = dict[str, tuple[int, ...]]
Progress = Callable[[int, int], None]
"""Called with how many are done and how many there are."""
Watch = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""

_PIXELS, _CANVASES, _SIDES, _EXTENTS = "pixels.npy", "canvases.npy", "sides.npy", "extents.npy"
_CHUNK, _CHUNK_BYTES, _TOGETHER = 512, 1 << 27, 8
"""Images that a worker process takes at a time, at most, and bytes of their pixels; and how many times it is given so
many at once where they are small."""
_EACH, _SERIAL_BELOW = 1 << 16, 1 << 28
"""Bytes of pixels that take as long as the rest of what each file costs, and how many of both make starting processes
worth it."""
_HASHED = 16  # times faster than pixels are decoded, a file's bytes are read and hashed
_SAMPLE = 16  # images that the others' size is judged by
_COPIES = 4  # of an image's pixels that decoding holds at once: see `open_image`
_FORGOTTEN_AFTER = 3600.0  # seconds without a finished chunk: whoever was decoding there has died.
_FORMAT = 4  # Part of the cache's key: raise it when decoding or preprocessing changes what it gives.


@dataclass(frozen=True)
class Decoded:
    """Every image of a dataset, as a model takes it."""

    pixels: NDArray[np.uint8]
    """(n, height, width, 3), memory-mapped: of crops, the one in the middle; zeros where the file could not be read."""
    hashes: tuple[str, ...]
    """Each file's hexadecimal SHA-256; empty where its bytes could not be read."""
    failures: dict[int, Failure]
    """Why a file could not be read as an image, by its index."""
    sides: NDArray[np.int32]
    """(n, 2), each image's shorter and longer side in pixels before preprocessing; zeros where it was not read."""
    canvases: Canvases | None = None
    """What random crops are taken from, where that was asked for."""


class _Index(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is kept beside the arrays, in `index.json`; see `Decoded`."""

    hashes: tuple[str, ...]
    failures: dict[int, Failure]


@dataclass(frozen=True)
class _Part:
    """What decoding a chunk of a dataset gives beside pixels: see `Decoded` and `Canvases`."""

    hashes: list[str]
    failures: dict[int, Failure]
    sides: list[tuple[int, int]]
    extents: list[tuple[int, int]]


def decode(
    dataset: Dataset, preprocess: Preprocess, progress: Progress | None = None, *, canvas: int | None = None
) -> Decoded:
    """Read, decode and preprocess every image, or find the arrays of an earlier run.

    Args:
        dataset: the images.
        preprocess: how one becomes a model input; of crops, whatever their number, the one in the middle does.
        progress: called with how many are done.
        canvas: keep as well so many pixels a side of each image, for random crops: as it is, or of `ShorterSide` as
            that resizes it. `Resize` has none.

    Raises:
        DatasetError: the cache folder is full or cannot be written.
    """
    if isinstance(preprocess, Crops):
        preprocess = Crops(height=preprocess.height, width=preprocess.width, most=1)
    folder = cache_folder() / f"decoded-{_key(dataset, preprocess, canvas)}"
    shapes: _Shapes = {_PIXELS: (len(dataset), preprocess.height, preprocess.width, 3)}
    if canvas:
        shapes[_CANVASES] = (len(dataset), canvas, canvas, 3)
    decoded = _find(folder, shapes)
    if decoded is None:
        _fill(folder, dataset, preprocess, shapes, progress)
        decoded = _find(folder, shapes)
    elif progress:
        progress(len(dataset), len(dataset))
    if decoded is None:
        raise DatasetError(f"The decoded images in {folder} are damaged. Delete that folder, and run this again.")
    return decoded


def content_hashes(dataset: Dataset) -> tuple[str, ...]:
    """Return each file's hexadecimal SHA-256; empty where its bytes cannot be read."""
    parts = in_parallel(_hash_chunk, dataset, decoding=False)
    return tuple(value for part in parts for value in part)


def content_sha256(dataset: Dataset, hashes: Sequence[str]) -> str:
    """Return one hash for a dataset's content, labels and own splits, whatever its files are called."""
    rows = zip(dataset.labels, dataset.splits, hashes, strict=True)
    lines = sorted(f"{label} {value}{f' {split}' if split else ''}\n" for label, split, value in rows)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _key(dataset: Dataset, preprocess: Preprocess, canvas: int | None) -> str:
    # With pillow-heif come images that could not be read without it.
    readers = find_spec("pillow_heif") is not None
    digest = hashlib.sha256(repr((_FORMAT, readers, dataset.fingerprint, preprocess, canvas)).encode())
    for path in dataset.paths:
        digest.update(path.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()[:24]


def _find(folder: Path, shapes: _Shapes) -> Decoded | None:
    """Return what lies in a folder, if it is whole."""
    try:
        index = msgspec.json.decode((folder / "index.json").read_bytes(), type=_Index)
        sides, *extents = (np.load(folder / name) for name in (_SIDES, _EXTENTS)[: len(shapes)])
        pixels, *canvases = (np.load(folder / name, mmap_mode="r") for name in shapes)
    except (OSError, ValueError, EOFError):
        return None
    count = len(index.hashes)
    if [array.shape for array in (pixels, *canvases)] != list(shapes.values()) or count != len(pixels):
        return None
    if any(array.shape != (count, 2) for array in (sides, *extents)):
        return None
    kept = Canvases(canvases[0], extents[0]) if canvases else None
    return Decoded(pixels, index.hashes, index.failures, sides, kept)


def _fill(folder: Path, dataset: Dataset, preprocess: Preprocess, shapes: _Shapes, progress: Progress | None) -> None:
    """Write the arrays beside their place and move them in whole, so that a killed run leaves no half cache."""
    cache = folder.parent
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _remove_forgotten(cache)
        size = sum(math.prod(shape) for shape in shapes.values())
        if shutil.disk_usage(cache).free < size:
            less = ", or set a smaller canvas" if _CANVASES in shapes else ""
            raise DatasetError(
                f"Decoding needs {size / 1e9:.1f} GB in {cache}, more than is free there. "
                f"Point PYRITE_CACHE at a larger disk{less}."
            )
        work = Path(tempfile.mkdtemp(prefix="decoding-", dir=cache))
        try:
            for name, shape in shapes.items():
                reserve(work / name, shape)
            parts: list[_Part] = []
            for part in in_parallel(_decode_chunk, dataset, work, preprocess, _CANVASES in shapes):
                parts.append(part)
                os.utime(work)
                if progress:
                    progress(sum(len(part.hashes) for part in parts), len(dataset))
            for name, pairs in ((_SIDES, [p.sides for p in parts]), (_EXTENTS, [p.extents for p in parts])):
                np.save(work / name, np.array([*chain(*pairs)], np.int32).reshape(-1, 2))
            index = _Index(
                hashes=tuple(chain(*(part.hashes for part in parts))),
                failures={i: failure for part in parts for i, failure in part.failures.items()},
            )
            (work / "index.json").write_bytes(msgspec.json.encode(index))
            if _find(folder, shapes) is None:  # Another run may have been faster.
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


def reserve(path: Path, shape: tuple[int, ...], dtype: type[np.generic] = np.uint8) -> None:
    """Write an array of zeros, and claim its place on the disk: a full one would end the process later on."""
    np.lib.format.open_memmap(path, "w+", dtype, shape).flush()
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)


def in_parallel(
    work: Callable[..., _Result], dataset: Dataset, *arguments: object, decoding: bool = True
) -> Iterator[_Result]:
    """Yield what `work` makes of each chunk of the dataset, in order.

    It is called in other processes with the storage, the first index, the chunk's paths, and `arguments`. How many
    images make a chunk, and whether and in how many processes they are worked on, follows from their bytes: a few
    photographs are as much work as thousands of small images, and only as many are decoded at once as half of the free
    memory holds.

    Args:
        work: What makes something of a chunk.
        dataset: The images.
        arguments: For `work`.
        decoding: Whether it decodes images, or only reads their files.
    """
    import joblib  # Late, for processes that import this module and decode one image after the other.

    mean, largest = _sizes(dataset, decoding=decoding)
    size = max(1, min(_CHUNK, int(_CHUNK_BYTES / (mean + 1))))
    memory = available_memory()
    room = math.inf if memory is None else memory / 2 / (_COPIES * largest + 1)
    worthwhile = len(dataset) > size and len(dataset) * (mean + _EACH) > _SERIAL_BELOW
    jobs = max(1, min(joblib.cpu_count(), int(min(room, len(dataset))))) if worthwhile else 1
    chunks = (
        joblib.delayed(work)(dataset.storage, start, dataset.paths[start : start + size], *arguments)
        for start in range(0, len(dataset), size)
    )
    together = _TOGETHER if size == _CHUNK else 1
    yield from joblib.Parallel(n_jobs=jobs, return_as="generator", batch_size=together)(chunks)


def _sizes(dataset: Dataset, *, decoding: bool) -> tuple[float, int]:
    """Return of some images how many bytes their pixels have, in the mean and at most; of files, what costs as much."""
    # The first of a tar, since reading a compressed one at other places takes as long as reading it all.
    step = 1 if isinstance(dataset.storage, TarStorage) else max(1, len(dataset) // _SAMPLE)
    sizes = [0]
    for path in dataset.paths[::step][:_SAMPLE]:
        with suppress(OSError, ImageError):
            data = dataset.storage.read(path)
            image = open_image(data, at_least=(1, 1)) if decoding else None
            sizes.append(3 * image.width * image.height if image else len(data) // _HASHED)
    return sum(sizes) / max(1, len(sizes) - 1), max(sizes)


def _hash_chunk(storage: Storage, _start: int, names: Sequence[str]) -> list[str]:
    hashes = []
    for name in names:
        try:
            hashes.append(hashlib.sha256(storage.read(name)).hexdigest())
        except OSError:
            hashes.append("")
    return hashes


def _decode_chunk(
    storage: Storage, start: int, names: Sequence[str], work: Path, preprocess: Preprocess, with_canvases: bool
) -> _Part:
    """Fill a part of the arrays; return the rest."""
    pixels = np.lib.format.open_memmap(work / _PIXELS, "r+")
    canvases = np.lib.format.open_memmap(work / _CANVASES, "r+") if with_canvases else None
    part = _Part([], {}, [(0, 0)] * len(names), [(0, 0)] * len(names))
    for i, name in enumerate(names):
        try:
            data = storage.read(name)
        except OSError as error:
            part.hashes.append("")
            part.failures[start + i] = Failure("unreadable", f"The file cannot be read: {error}")
            continue
        part.hashes.append(hashlib.sha256(data).hexdigest())
        try:
            image = open_image(data, at_least=preprocess.enough)
        except ImageError as error:
            part.failures[start + i] = Failure(error.code, str(error))
            continue
        (pixels[start + i],) = preprocess.apply(image.pixels, image.box)
        part.sides[i] = (min(image.width, image.height), max(image.width, image.height))
        if canvases is not None:
            side, sha256 = canvases.shape[1], part.hashes[i]
            if isinstance(preprocess, ShorterSide):
                kept = cut_canvas(preprocess.resize(image.pixels, image.box), sha256, side)
            else:
                assert isinstance(preprocess, Crops)
                kept = cut_canvas(image.pixels, sha256, side, preprocess)
            height, width = part.extents[i] = kept.shape[:2]
            canvases[start + i, :height, :width] = kept
    return part
