"""Whether an image looks like those that calibrated a model, whatever its score.

Three distances tell how far an image lies from the calibration images of its likelier class: in the features of the
network's last layer, Mahalanobis's with one covariance for both classes (Lee et al. 2018, "A simple unified framework
for detecting out-of-distribution samples and adversarial attacks") and the cosine distance to the tenth neighbour (Sun
et al. 2022, "Out-of-distribution detection with deep nearest neighbors"); and Mahalanobis's in simple statistics of
the model's input. Fisher's statistic merges them, and other calibration images turn it into one conformal p-value.

It tells what is visibly foreign: a border, a collage, another kind of picture. It does not tell another generator's
image that looks like a photograph. Fisher's statistic hears all three distances: an image that is foreign by one of
them, and quite usual by the other two, may pass.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyrite.bundle.calibration import share_from
from pyrite.bundle.preprocess import Pixels
from pyrite.decision import Rate
from pyrite.errors import BundleError

Rows = NDArray[np.float32]

NOVELTY = "novelty.json"
RATE = 0.01
"""The share of calibration images that may be called foreign, in each group."""
NEIGHBOUR = 10
BANDS = (1 / 16, 1 / 8, 1 / 4, 3 / 8)
"""What divides spatial frequencies into bands, in cycles per pixel; the last goes up to the corners."""
STATISTICS = (
    "colourfulness",
    *(f"power of band {i + 1}" for i in range(len(BANDS) + 1)),
    "anisotropy",
    "edge contrast",
)
_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_QUIETEST = np.float32(1e-6)  # Of a flat image, whose logarithm would not be finite.


@dataclass(frozen=True, slots=True)
class Gaussians:
    """A Gaussian for each class, with one covariance."""

    means: Rows
    """(c, d)."""
    whitening: Rows
    """(d, d): what turns a difference into one whose length is Mahalanobis's distance."""

    def distance(self, rows: Rows) -> Rows:
        """Return how far each of the rows (n, d) is from the nearest mean, (n,)."""
        differences = (rows @ self.whitening)[:, None] - self.means @ self.whitening
        return np.asarray(np.sqrt((differences**2).sum(-1)).min(-1))


@dataclass(frozen=True, slots=True)
class Group:
    """How far some calibration images lie, which had no part in what that is measured from."""

    distances: Rows
    """(n, k), each column ascending."""
    merged: Rows
    """(n,), Fisher's statistics of them, ascending."""


@dataclass(frozen=True, slots=True)
class Novelty:
    """What a model's calibration images look like."""

    statistics: Gaussians
    """Of `measure_statistics`."""
    features: Gaussians | None
    """Of the network's last layer, where the model gives that."""
    neighbours: Rows | None
    """(m, d), features of length 1; with `features`."""
    groups: Mapping[str, Group]
    """By name; the p-value is the largest over them."""
    rate: float = RATE
    """The share of each group's images that may be called foreign, 0 to 1."""
    projection: Rows | None = None
    """(w, d), what brings the w numbers of a wide last layer to the d of `features`; `None` where they are the same."""

    def distances(self, statistics: Rows, features: Rows | None) -> Rows:
        """Return each image's distances (n, k), in the order of the module's text; without features, the last alone.

        Args:
            statistics: (n, len(STATISTICS)).
            features: (n, w), where `self.features` is there.
        """
        own = [self.statistics.distance(statistics)]
        if self.features is not None and self.neighbours is not None and features is not None:
            if self.projection is not None:
                features = features @ self.projection
            cosines = unit(features) @ self.neighbours.T
            nth = min(NEIGHBOUR, len(self.neighbours))
            own += [self.features.distance(features), 1 - np.partition(cosines, -nth, axis=1)[:, -nth]]
        return np.stack(own, axis=1).astype(np.float32)

    def p_typical(self, statistics: Rows, features: Rows | None) -> NDArray[np.float64]:
        """Return each image's p-value (n,): at most r at a rate of at most r, among images like those of a group."""
        distances = self.distances(statistics, features)
        shares = [share_from(group.merged, merge(group.distances, distances)) for group in self.groups.values()]
        return np.asarray(np.maximum.reduce(shares))


def merge(kept: Rows, distances: Rows, *, own: bool = False) -> Rows:
    """Return Fisher's statistic (n,) of distances (n, k): the mean of −log p over them.

    Args:
        kept: (m, k), each column ascending: what the p-values are by.
        distances: Of each image.
        own: Whether the images are those that are kept. Their p-values leave out the 1 that a new image's has for
            itself, which makes the p-value of a new image safe; see `pyrite.bundle.joint`.
    """
    shares = [share_from(kept[:, i], distances[:, i]) for i in range(kept.shape[1])]
    less = 1 / (len(kept) + 1) if own else 0.0
    # Rounded, so that equal p-values make equal statistics whatever the order of the sum.
    return np.asarray(np.round(-np.log(np.stack(shares) - less).mean(0), 6), np.float32)


def unit(rows: Rows) -> Rows:
    """Return rows (n, d) of length 1."""
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), _QUIETEST))


def measure_statistics(inputs: Pixels) -> Rows:
    """Return simple statistics of images, (n, len(STATISTICS)).

    Colourfulness is that of Hasler and Süsstrunk 2003 ("Measuring colourfulness in natural images"). The powers are
    logarithms of the mean power of the luma in bands of spatial frequency, under a Hann window. Anisotropy is the
    logarithm of how much more the luma changes along rows than along columns. Edge contrast is that of how much it
    varies along the image's outermost pixels, against all of it.

    Args:
        inputs: (n, height, width, 3), 0 to 255.
    """
    values = inputs.astype(np.float32) / np.float32(255)
    luma = np.asarray(values @ _WEIGHTS, np.float32)
    red_green = values[..., 0] - values[..., 1]
    yellow_blue = (values[..., 0] + values[..., 1]) / 2 - values[..., 2]
    spread = np.hypot(red_green.std((1, 2)), yellow_blue.std((1, 2)))
    colourfulness = spread + 0.3 * np.hypot(red_green.mean((1, 2)), yellow_blue.mean((1, 2)))
    along, down = (np.log((np.diff(luma, axis=axis) ** 2).sum((1, 2)) + _QUIETEST) for axis in (2, 1))
    edge = np.concatenate([luma[:, 0], luma[:, -1], luma[:, 1:-1, 0], luma[:, 1:-1, -1]], axis=1)
    contrast = np.log(edge.std(1) + 1e-3) - np.log(luma.std((1, 2)) + 1e-3)
    return np.stack([colourfulness, *_powers(luma), along - down, contrast], axis=1).astype(np.float32)


def _powers(luma: Rows) -> list[Rows]:
    window, bands = _bands(*luma.shape[1:])
    power = np.abs(np.fft.rfft2((luma - luma.mean((1, 2), keepdims=True)) * window)) ** 2
    means = [power[:, band].mean(1) if band.any() else np.ones(len(luma)) for band in bands]
    return [np.log(mean + _QUIETEST).astype(np.float32) for mean in means]


@lru_cache(maxsize=16)
def _bands(height: int, width: int) -> tuple[Rows, tuple[NDArray[np.bool_], ...]]:
    """Return the window of an image, and which frequencies are in each band; small images leave some empty."""
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1]).astype(np.float32)
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    edges = (0.0, *BANDS, 1.0)
    return window, tuple((radius > low) & (radius <= high) for low, high in pairwise(edges))


class _Matrix(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    shape: tuple[int, ...]
    values: bytes
    """Little-endian float32, row by row."""


class _Gaussians(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    means: _Matrix
    whitening: _Matrix


class _Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    distances: _Matrix
    merged: _Matrix


class _Novelty(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The content of novelty.json."""

    statistics: _Gaussians
    groups: dict[str, _Group]
    rate: Rate
    features: _Gaussians | None = None
    neighbours: _Matrix | None = None
    projection: _Matrix | None = None


def write_novelty(novelty: Novelty) -> bytes:
    """Return the content of novelty.json."""

    def gaussians(of: Gaussians) -> _Gaussians:
        return _Gaussians(_to_matrix(of.means), _to_matrix(of.whitening))

    return msgspec.json.encode(
        _Novelty(
            gaussians(novelty.statistics),
            {name: _Group(_to_matrix(g.distances), _to_matrix(g.merged)) for name, g in novelty.groups.items()},
            novelty.rate,
            None if novelty.features is None else gaussians(novelty.features),
            None if novelty.neighbours is None else _to_matrix(novelty.neighbours),
            None if novelty.projection is None else _to_matrix(novelty.projection),
        )
    )


def read_novelty(content: bytes, bundle: str) -> Novelty:
    """Return what novelty.json says.

    Args:
        content: The file's bytes.
        bundle: Its name, for errors.

    Raises:
        BundleError: It is not valid.
    """
    try:
        found = msgspec.json.decode(content, type=_Novelty)
        kinds = len(STATISTICS)
        statistics = _read_gaussians(found.statistics, kinds)
        features = neighbours = projection = None
        if found.features is not None and found.neighbours is not None:
            features = _read_gaussians(found.features)
            width = features.means.shape[1]
            neighbours = _from_matrix(found.neighbours, None, width)
            projection = None if found.projection is None else _from_matrix(found.projection, None, width)
        elif found.features is not None or found.neighbours is not None:
            raise ValueError("features and neighbours go together")
        elif found.projection is not None:
            raise ValueError("it has a projection of features, and no features")
        if not found.groups:
            raise ValueError("it has no group")
        columns = 1 if features is None else 3
        groups = {}
        for name, group in found.groups.items():
            distances = _from_matrix(group.distances, None, columns)
            groups[name] = Group(distances, _from_matrix(group.merged, len(distances)))
            if (np.diff(distances, axis=0) < 0).any() or (np.diff(groups[name].merged) < 0).any():
                raise ValueError(f"the group {name!r} is not in ascending order")
        return Novelty(statistics, features, neighbours, groups, found.rate, projection)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{NOVELTY} in the bundle {bundle} is not valid: {error}.") from error


def _to_matrix(values: Rows) -> _Matrix:
    return _Matrix(values.shape, values.astype("<f4").tobytes())


def _from_matrix(matrix: _Matrix, *shape: int | None) -> Rows:
    """Return a matrix, of this shape, where `None` is any length but 0."""
    fits = len(matrix.shape) == len(shape) and all(
        have > 0 and want in (None, have) for have, want in zip(matrix.shape, shape, strict=True)
    )
    if not fits:
        raise ValueError(f"a matrix has the shape {matrix.shape}, not {shape}")
    values = np.frombuffer(matrix.values, "<f4").reshape(matrix.shape)
    if not np.isfinite(values).all():
        raise ValueError("a matrix has values that are infinite or not a number")
    return values


def _read_gaussians(found: _Gaussians, width: int | None = None) -> Gaussians:
    means = _from_matrix(found.means, None, width)
    return Gaussians(means, _from_matrix(found.whitening, means.shape[1], means.shape[1]))
