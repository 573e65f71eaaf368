"""What a model's calibration images look like, so that its bundle can recognise unusual images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyrite.bundle import NOVELTY, Bundle, Calibration, Novelty, Pixels, Resize
from pyrite.bundle.calibration import images_needed
from pyrite.bundle.novelty import RATE, Gaussians, Group, Rows, merge, unit
from pyrite.datasets import Dataset
from pyrite.datasets.clusters import MAX_COMPARED, NEAR_SIDE
from pyrite.datasets.degrade import degrade_at_random
from pyrite.datasets.duplicates import cluster, find_near_copies
from pyrite.detector import Detector, Unreadable
from pyrite.errors import DatasetError
from pyrite.image import Image
from pyrite.publishing.preparation import Stage

LEAST = 2 * images_needed(RATE / 2)
"""Pictures that it takes, of which there may be several copies: one half to measure distances from, and the other to
resolve the rate. Any image that is more unusual than all of these is level with the most unusual one of them, which
takes twice as many.
"""
_THUMBNAIL = Resize(height=NEAR_SIDE, width=NEAR_SIDE)
_NEIGHBOURS = 1000
_WIDEST = 256
"""Numbers of the last layer that distances are measured in: more would make the file large and the check slow."""
_COMPONENTS = 64
"""To which wider layers are reduced. EfficientNet-Lite0 recognises more borders and noise in 64 than in 128 or 256."""
_KEPT = 2000  # distances of each group
_BATCH = 64

Looks = tuple[Rows, Rows | None]
"""Of n images the statistics (n, s) and the features (n, d), where the model gives them."""


def calibrate_novelty(
    bundle: Bundle,
    dataset: Dataset,
    indices: NDArray[np.intp],
    *,
    seed: int,
    watch: Callable[[Stage], None],
) -> Novelty | None:
    """Measure what some of a dataset's images look like to a model, as they are and degraded; `None` if too few.

    Near copies, such as a photograph and its smaller copy, count as one picture.

    Args:
        bundle: With the model; its calibration does not matter.
        dataset: The images.
        indices: Which of them: those that did not train the model. It takes `LEAST`.
        seed: Chooses the halves, and degrades.
        watch: Called with how far it is.

    Raises:
        BundleError: The model cannot be used.
        DatasetError: An image cannot be read any more.
    """
    if len(indices) < LEAST:
        return None
    bare = bundle.without(NOVELTY)
    bare = replace(bare, info=msgspec.structs.replace(bare.info, calibration=Calibration()))
    detector, rng = Detector(bare, evidence=False), np.random.default_rng(seed)
    clean, degraded = [], []
    thumbnails = np.empty((len(indices), NEAR_SIDE, NEAR_SIDE, 3), np.uint8)
    for start in range(0, len(indices), _BATCH):
        inputs = [
            _read(detector, dataset, int(i), thumbnails[place : place + 1])
            for place, i in enumerate(indices[start : start + _BATCH], start)
        ]
        clean.append(detector.look(inputs))
        degraded.append(detector.look([_degrade(each, rng) for each in inputs]))
        watch(Stage("Measuring what is typical", start + len(inputs), len(indices)))
    pictures = _find_pictures(thumbnails)
    if len(np.unique(pictures)) < LEAST:
        return None
    looks = {"as they are": _join(clean), "degraded": _join(degraded)}
    return fit_novelty(looks, dataset.labels[indices], seed=seed, pictures=pictures)


def fit_novelty(
    looks: Mapping[str, Looks],
    labels: NDArray[np.integer],
    *,
    seed: int,
    pictures: NDArray[np.integer] | None = None,
) -> Novelty:
    """Fit what images look like: one random half to measure distances from, the other to calibrate them.

    Args:
        looks: By group, of the same n images, at least `LEAST`.
        labels: (n,), 0 for real and 1 for AI.
        seed: Chooses the halves.
        pictures: (n,), the same for near copies, which stay in one half: an image is nearer to its own copy than a new
            one is to anything. By default each image is a picture of its own.
    """
    near, far = _halve(len(labels), pictures, seed)
    far = far[:_KEPT]
    classes = np.tile(labels[near], len(looks))
    statistics = _fit_gaussians(np.concatenate([one[near] for one, _ in looks.values()]), classes)
    seen = [one[near] for _, one in looks.values() if one is not None]
    features = neighbours = projection = None
    if seen:
        rows = np.concatenate(seen)
        if rows.shape[1] > _WIDEST:
            projection = _find_components(rows)
            rows = rows @ projection
        features = _fit_gaussians(rows, classes)
        neighbours = unit(np.random.default_rng(seed).permutation(rows)[:_NEIGHBOURS])
    fitted = Novelty(statistics, features, neighbours, {}, projection=projection)

    def group(of: Looks) -> Group:
        distances = fitted.distances(of[0][far], None if of[1] is None else of[1][far])
        kept = np.sort(distances, axis=0)
        return Group(kept, np.sort(merge(kept, distances, own=True)))

    return replace(fitted, groups={name: group(of) for name, of in looks.items()})


def _find_pictures(thumbnails: Pixels) -> NDArray[np.intp]:
    """Return a number (n,) for each image, the same for near copies; too many images to compare all differ."""
    every = np.arange(len(thumbnails))
    return every if len(every) > MAX_COMPARED else cluster(len(every), [], find_near_copies(thumbnails, every))


def _halve(count: int, pictures: NDArray[np.integer] | None, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return two random halves of `count` images; near copies stay together."""
    order = np.random.default_rng(seed).permutation(count)
    if pictures is None:
        return order[: count // 2], order[count // 2 :]
    _, firsts, places = np.unique(pictures, return_index=True, return_inverse=True)
    is_near = np.isin(firsts, order[: count // 2])[places][order]
    return order[is_near], order[~is_near]


def _fit_gaussians(rows: Rows, classes: NDArray[np.integer]) -> Gaussians:
    """Fit a Gaussian to each class, with one covariance, shrunk as in Ledoit and Wolf 2004."""
    from sklearn.covariance import ledoit_wolf

    labels, places = np.unique(classes, return_inverse=True)
    means = np.stack([rows[places == place].mean(0) for place in range(len(labels))])
    scale = np.maximum(rows.std(0), 1e-6)  # Shrinkage takes every column to be of one scale.
    covariance, _ = ledoit_wolf((rows - means[places]) / scale, assume_centered=True)
    values, vectors = np.linalg.eigh(covariance)
    whitening = vectors / np.sqrt(np.maximum(values, 1e-6)) / scale[:, None]
    return Gaussians(means.astype(np.float32), whitening.astype(np.float32))


def _find_components(rows: Rows) -> Rows:
    """Return the first principal components (w, _COMPONENTS) of rows (n, w) about zero, so that angles stay."""
    _, vectors = np.linalg.eigh(rows.T.astype(np.float64) @ rows)
    return np.asarray(vectors[:, : -_COMPONENTS - 1 : -1], np.float32)


def _read(detector: Detector, dataset: Dataset, index: int, thumbnail: Pixels) -> Pixels:
    """Return an image's model inputs, and fill in its thumbnail (1, 32, 32, 3)."""

    def draw(image: Image) -> None:
        thumbnail[:] = _THUMBNAIL.apply(image.pixels, image.box)

    try:
        found = detector.reader.read(dataset.read(index), look=draw)
    except OSError as error:
        raise DatasetError(f"{dataset.paths[index]} could be read before, and now cannot: {error}") from error
    if isinstance(found, Unreadable) or found.inputs[0] is None:
        why = f": {found.error.message}" if isinstance(found, Unreadable) else "."
        raise DatasetError(f"{dataset.paths[index]} could be read before, and now cannot{why}")
    return found.inputs[0]


def _degrade(inputs: Pixels, rng: np.random.Generator) -> Pixels:
    return np.stack([degrade_at_random(pixels, rng) for pixels in inputs])


def _join(looks: Sequence[Looks]) -> Looks:
    features = [one for _, one in looks if one is not None]
    return np.concatenate([one for one, _ in looks]), np.concatenate(features) if features else None
