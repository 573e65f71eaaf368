"""What might give a label away without a look at the picture: facts of the file, global statistics, the spectrum."""

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL.JpegImagePlugin import JpegImageFile, get_sampling

from pyrite.bundle.preprocess import Pixels
from pyrite.datasets.dataset import Dataset
from pyrite.datasets.decode import Progress, in_parallel
from pyrite.datasets.storage import Storage
from pyrite.errors import ImageError
from pyrite.evidence.compression import find_quality
from pyrite.image import FORMATS, Image, open_image
from pyrite.runtime import available_cpus
from pyrite.spectrum import BANDS, luma, radial_spectrum

Floats = NDArray[np.float64]

CONTAINER = (
    "bytes", "width", "height", "bytes per pixel", "luma quantisation", "chroma quantisation", "subsampling",
    "progressive", "has EXIF", "has XMP", "has a colour profile", "has a comment or text",
    *(f"is {name}" for name in FORMATS),
)  # fmt: skip
STATISTICS = (
    "mean red", "mean green", "mean blue", "contrast of red", "contrast of green", "contrast of blue",
    "saturation", "share of black", "share of white", "gradient", "power near Nyquist",
)  # fmt: skip
TRAITS = (
    "format", "colour mode", "size", "shape", "grid", "JPEG tables", "JPEG subsampling", "JPEG scan", "EXIF", "XMP",
    "colour profile", "comment or text",
)  # fmt: skip
"""What a file has apart from its picture, by name rather than by number."""
_GRID = 64  # pixels: what the sides of most generators' images are multiples of
_SUBSAMPLING = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}
_COLUMNS = (1, len(CONTAINER), len(STATISTICS), BANDS)
_TOGETHER = 16  # files for each CPU, whose bytes are held while they are measured elsewhere
_Row = tuple[list[float], list[str]]
_LARGEST = 1024  # pixels a side of the central part that statistics are taken of


@dataclass(frozen=True)
class Facts:
    """What was measured of each image, all of it at its own size."""

    readable: NDArray[np.bool_]
    """(n,); the rows of what cannot be read are zeros."""
    container: Floats
    """(n, len(CONTAINER)); sizes are natural logarithms, quantisation is the mean of a JPEG's table."""
    statistics: Floats
    """(n, len(STATISTICS)), of values from 0 to 1, of the central 1,024 × 1,024 pixels at most; the power is a
    natural logarithm."""
    spectrum: Floats
    """(n, BANDS), the natural logarithm of the mean power in each band."""
    traits: NDArray[np.object_] = field(default_factory=lambda: np.empty((0, len(TRAITS)), np.object_))
    """(n, len(TRAITS)), the value of each as text, empty where there is none, as for the JPEG tables of a PNG."""


def measure_facts(
    dataset: Dataset, progress: Progress | None = None, *, apart: Callable[..., object] | None = None
) -> Facts:
    """Read every image once, in parallel where there are many, and return what is known without its content.

    Args:
        dataset: The images.
        progress: Called with how many are done, and how many there are.
        apart: Calls a function of a file's bytes elsewhere, as `Detector.open` does; what it cannot have counts as not
            readable. By default, images are opened here and in processes like this.
    """
    rows = np.zeros((len(dataset), sum(_COLUMNS)))
    traits = np.full((len(dataset), len(TRAITS)), "", np.object_)
    done = 0
    for part, texts in in_parallel(_measure_chunk, dataset) if apart is None else _measure_apart(dataset, apart):
        rows[done : done + len(part)] = part
        traits[done : done + len(part)] = texts
        done += len(part)
        if progress:
            progress(done, len(dataset))
    readable, container, statistics, spectrum = np.split(rows, np.cumsum(_COLUMNS)[:-1], axis=1)
    return Facts(readable[:, 0] > 0, container, statistics, spectrum, traits)


def _measure_chunk(storage: Storage, _start: int, names: Sequence[str]) -> tuple[Floats, NDArray[np.object_]]:
    def read(name: str) -> _Row | None:
        try:
            return _measure(None, storage.read(name))
        except OSError:
            return None

    return _as_arrays([read(name) for name in names])


def _measure_apart(dataset: Dataset, apart: Callable[..., object]) -> Iterator[tuple[Floats, NDArray[np.object_]]]:
    """Do what `_measure_chunk` does, chunk by chunk, with the images opened elsewhere: one for each CPU at a time."""
    cpus = available_cpus()

    def taken(future: Future[object] | None) -> _Row | None:
        found = None if future is None else future.result()
        return found if isinstance(found, tuple) else None

    with ThreadPoolExecutor(cpus, thread_name_prefix="pyrite-facts") as pool:
        for start in range(0, len(dataset), _TOGETHER * cpus):
            waiting: list[Future[object] | None] = []
            for index in range(start, min(start + _TOGETHER * cpus, len(dataset))):
                try:
                    waiting.append(pool.submit(apart, dataset.read(index), _measure))
                except OSError:
                    waiting.append(None)
            yield _as_arrays([taken(future) for future in waiting])


def _as_arrays(found: Sequence[_Row | None]) -> tuple[Floats, NDArray[np.object_]]:
    rows = np.zeros((len(found), sum(_COLUMNS)))
    traits = np.full((len(found), len(TRAITS)), "", np.object_)
    for row, texts, one in zip(rows, traits, found, strict=True):
        if one is not None:
            row[:], texts[:] = one
    return rows, traits


def _measure(_reader: object, data: bytes) -> _Row | None:
    """Return a row of facts and one of traits; `None` where the image cannot be read."""
    try:
        image = open_image(data)
    except ImageError:
        return None
    top, left = (max(0, (side - _LARGEST) // 2) for side in image.pixels.shape[:2])
    pixels = np.ascontiguousarray(image.pixels[top : top + _LARGEST, left : left + _LARGEST])
    brightness = luma(pixels)
    bands = radial_spectrum(brightness)
    coding = _read_coding(data) if image.format == "JPEG" else _NO_JPEG
    container = _container(image, data, coding)
    row = [1.0, *map(float, container), *_statistics(pixels, brightness, bands[-1]), *bands.tolist()]
    return row, _traits(image, coding, dict(zip(CONTAINER, container, strict=True)))


@dataclass(frozen=True, slots=True)
class _Coding:
    """How a JPEG is coded."""

    luma: float
    """The mean of its table for brightness."""
    chroma: float
    subsampling: int
    """As Pillow has it: -1 for none of the usual, or no JPEG."""
    progressive: bool
    table: tuple[int, ...]
    """For brightness, row by row."""


_NO_JPEG = _Coding(0, 0, -1, False, ())


def _container(image: Image, data: bytes, coding: _Coding) -> list[float]:
    info = image.info
    return [
        float(np.log(len(data))),
        float(np.log(image.width)),
        float(np.log(image.height)),
        float(np.log(len(data) / (image.width * image.height))),
        coding.luma, coding.chroma, coding.subsampling, coding.progressive,
        "exif" in info,
        "xmp" in info or "XML:com.adobe.xmp" in info,
        "icc_profile" in info,
        "comment" in info or any(isinstance(value, str) for name, value in info.items() if name != "compression"),
        *(image.format == name for name in FORMATS),
    ]  # fmt: skip


def _read_coding(data: bytes) -> _Coding:
    with JpegImageFile(io.BytesIO(data)) as image:
        tables = [tuple(table) for _, table in sorted(image.quantization.items())]
        means = [float(np.mean(table)) for table in tables] or [0.0]
        return _Coding(
            means[0], means[1] if len(means) > 1 else means[0], get_sampling(image), "progressive" in image.info,
            tables[0] if tables else (),
        )  # fmt: skip


def _traits(image: Image, coding: _Coding, container: dict[str, float]) -> list[str]:
    """Return what `TRAITS` names."""
    jpeg = image.format == "JPEG"
    return [
        image.format or "",
        image.mode or "",
        f"{image.width} × {image.height}",
        "square" if image.width == image.height else "",
        str(_GRID) if image.width % _GRID == image.height % _GRID == 0 else "",
        _name_table(coding.table) if jpeg else "",
        _SUBSAMPLING.get(coding.subsampling, "another") if jpeg else "",
        "progressive" if coding.progressive else "",
        *(
            name if container[f"has {article}{name}"] else ""
            for article, name in (("", "EXIF"), ("", "XMP"), ("a ", "colour profile"), ("a ", "comment or text"))
        ),
    ]


@lru_cache(maxsize=1024)
def _name_table(table: tuple[int, ...]) -> str:
    """Return the quality that libjpeg has this table at, or the table's own name."""
    quality = find_quality(np.array(table).reshape(8, 8)) if len(table) == 64 else None
    return f"quality {quality}" if quality else f"tables {hashlib.sha256(repr(table).encode()).hexdigest()[:6]}"


def _statistics(pixels: Pixels, brightness: NDArray[np.float32], nyquist: float) -> list[float]:
    """Return what `STATISTICS` names.

    Means, contrasts and shares are those of the channels' histograms: of a large image, a hundredth of the work.
    """
    picture = PillowImage.fromarray(pixels)
    counts = np.array(picture.histogram(), np.float64).reshape(3, 256)
    values, size = np.arange(256.0), brightness.size
    means = counts @ values / size
    contrasts = np.sqrt((counts * (values - means[:, None]) ** 2).sum(axis=1) / size)
    red, green, blue = (np.asarray(channel) for channel in picture.split())
    highest, lowest = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    gradient = np.abs(np.diff(brightness, axis=0)).sum() + np.abs(np.diff(brightness, axis=1)).sum()
    return [
        *(means / 255),
        *(contrasts / 255),
        float(np.mean(highest - lowest) / 255),
        float(counts[:, 0].sum() / (3 * size)),
        float(counts[:, 255].sum() / (3 * size)),
        float(gradient / size),
        nyquist,
    ]
