"""The average spectra of a bundle's training images, for each class."""

from collections.abc import Iterator
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyrite.bundle import Bundle
from pyrite.datasets import read_images
from pyrite.errors import BundleError
from pyrite.spectrum import BANDS, luma, radial_spectrum
from pyrite.writing import indented_json

FILE = "spectra.json"
_IMAGES = 2000  # Of each class: the mean's error is then a fortieth of what images differ by.

LogPower = Annotated[float, msgspec.Meta(ge=-100, le=100)]  # A pixel's 0 to 1 allows no more than 12.
Deviation = Annotated[float, msgspec.Meta(ge=0, le=100)]


class ClassSpectrum(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Mean and standard deviation of one class's log power (natural) per band, over images."""

    images: Annotated[int, msgspec.Meta(ge=1)]
    mean: tuple[LogPower, ...]
    deviation: tuple[Deviation, ...]

    def __post_init__(self) -> None:
        if not len(self.mean) == len(self.deviation) == BANDS:
            raise ValueError(f"mean and deviation must hold {BANDS} bands each")


class Spectra(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of spectra.json: `radial_spectrum` of training images as the model takes them."""

    real: ClassSpectrum
    ai: ClassSpectrum


def measure_spectra(
    pixels: NDArray[np.uint8], labels: NDArray[np.int8], indices: NDArray[np.intp], *, seed: int = 0
) -> bytes:
    """Return the content of spectra.json.

    Args:
        pixels: (n, height, width, 3), model inputs, 0 to 255.
        labels: (n,), 0 for real and 1 for AI.
        indices: Which of them to measure; both classes must be there. At most 2,000 of each are drawn.
        seed: Chooses them.
    """
    random = np.random.default_rng(seed)

    def measure() -> Iterator[ClassSpectrum]:
        for label in (0, 1):
            chosen = indices[labels[indices] == label]
            if len(chosen) > _IMAGES:
                chosen = np.sort(random.choice(chosen, _IMAGES, replace=False))
            images = (read_images(pixels, chosen[i : i + 1])[0] for i in range(len(chosen)))
            powers = np.stack([radial_spectrum(luma(image)) for image in images])
            yield ClassSpectrum(
                images=len(chosen),
                mean=tuple(powers.mean(0).round(4).tolist()),
                deviation=tuple(powers.std(0).round(4).tolist()),
            )

    real, ai = measure()
    return indented_json(Spectra(real=real, ai=ai))


def distance(spectrum: NDArray[np.float64], of: ClassSpectrum) -> float:
    """Return how many standard deviations a spectrum (BANDS,) is from a class's mean: root mean square over bands.

    For an image of the class, 1 is usual.
    """
    deviation = np.maximum(of.deviation, 0.01)  # It may be 0, of a single image.
    return float(np.sqrt(np.mean(((spectrum - of.mean) / deviation) ** 2)))


def read_spectra(bundle: Bundle) -> Spectra | None:
    """Return the average spectra of both classes; `None` if the bundle has none.

    Raises:
        BundleError: Its spectra.json is not valid.
    """
    if FILE not in bundle.files:
        return None
    try:
        return msgspec.json.decode(bundle.read(FILE), type=Spectra)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{FILE} in the bundle {bundle.info.name} is not valid: {error}.") from error
