"""A linear probe: logistic regression on features of a frozen backbone, which are computed once and kept on disk."""

import csv
import hashlib
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrite.bundle.calibration import calibrated_loss
from pyrite.datasets import read_images
from pyrite.datasets.decode import reserve
from pyrite.errors import Interrupted, TrainingError
from pyrite.folders import cache_folder
from pyrite.keras_backend import load_keras
from pyrite.recipe import Recipe
from pyrite.runtime import available_cpus
from pyrite.training.batches import augmented_images, balanced_weights
from pyrite.training.loop import Examples
from pyrite.writing import locked, whole_file

Floats = NDArray[np.float32]
Progress = Callable[[int, int], None]

_FORMAT = 1  # Part of the key: raise it when the same recipe comes to other features.
_TOGETHER = 64  # images that go through the backbone at once


@dataclass(frozen=True, slots=True)
class Fit:
    """One logistic regression, and how good it is on the validation images."""

    c: float
    """The inverse of the penalty's strength, as scikit-learn has it."""
    val_calibrated_loss: float
    val_auroc: float
    chosen: bool = False


def fit_probe(
    model: Any, examples: Examples, hashes: Sequence[str], recipe: Recipe, progress: Progress
) -> tuple[Fit, ...]:
    """Give the head of a model the weights of a logistic regression on what its backbone makes of the images.

    Of the recipe's strengths of the penalty, the best by its `monitor` on the validation images is taken. Features
    are brought to mean 0 and variance 1 first, which the head's weights take in.

    Args:
        model: Changed in place.
        examples: What is fitted to and chosen by.
        hashes: Each file's SHA-256, of the whole dataset, by which features of an earlier run are found again.
        recipe: Says how many augmented views of each training image there are besides itself, and which.
        progress: Called with how many images have gone through the backbone, and how many will.

    Returns:
        All that were fitted, of which one is chosen.

    Raises:
        Interrupted: on SIGINT; the features so far are kept.
        TrainingError: features cannot be kept on disk, or are not finite.
    """
    features = compute_features(model, examples, hashes, recipe, progress)
    count, labels = len(examples.validation), examples.labels
    validation, train = np.array(features[:count]), np.array(features[count:])
    if not (np.isfinite(validation).all() and np.isfinite(train).all()):
        raise TrainingError("The backbone's features are not finite: its weights do not go with these images.")
    groups = labels.astype(np.intp) if examples.groups is None else examples.groups
    weights = balanced_weights(labels, examples.train, groups)[examples.train] if recipe.balance == "weights" else None
    views = 1 + recipe.views
    mean, deviation = train.mean(0, np.float64), np.maximum(train.std(0, dtype=np.float64), 1e-6)
    scaled = ((train - mean) / deviation).astype(np.float32)
    fits: list[tuple[Fit, Any, Any]] = []
    for c in recipe.probe_c:
        kernel, bias = _fit(
            scaled,
            np.tile(labels[examples.train], views),
            None if weights is None else np.tile(weights, views),
            c / views,  # Views are no more images.
        )
        kernel = kernel / deviation
        bias -= float(kernel @ mean)
        fits.append((_judge(c, validation @ kernel + bias, labels[examples.validation]), kernel, bias))
    best = min(range(len(fits)), key=lambda i: _missing(fits[i][0], recipe))
    _, kernel, bias = fits[best]
    head = model.get_layer("logit")
    head.kernel.assign(kernel[:, None])
    head.bias.assign([bias])
    return tuple(Fit(f.c, f.val_calibrated_loss, f.val_auroc, i == best) for i, (f, _, _) in enumerate(fits))


def write_fits(path: Path, fits: Sequence[Fit]) -> None:
    """Write all that were fitted as CSV.

    Raises:
        OSError: it cannot be written.
    """
    with whole_file(path) as draft, draft.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(Fit.__dataclass_fields__))
        writer.writeheader()
        writer.writerows(asdict(fit) for fit in fits)


def compute_features(
    model: Any, examples: Examples, hashes: Sequence[str], recipe: Recipe, progress: Progress
) -> Floats:
    """Return features (n, d), memory-mapped: of the validation images, the training images, and each view of those.

    They are computed for as many images as an earlier run has not computed them for.

    Raises:
        Interrupted, TrainingError: see `fit_probe`.
    """
    head = model.get_layer("logit")
    backbone = load_keras().Model(model.input, head.input)
    folder = cache_folder() / f"features-{_key(model, examples, hashes, recipe)}"
    total = len(examples.validation) + (1 + recipe.views) * len(examples.train)
    shape = (total, head.kernel.shape[0])
    done_file, array_file = folder / "done", folder / "features.npy"
    done = 0
    taken = TrainingError("Another process computes the same features. Wait for it, then continue with --resume.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder, taken):
            done = _done(done_file, array_file, shape)
            if not done:
                _make_room(folder, array_file, shape)
            features = np.lib.format.open_memmap(array_file, "r+")
            for start, images in _batches(examples, recipe, done):
                features[start : start + len(images)] = backbone.predict_on_batch(images)
                features.flush()
                done = start + len(images)
                with whole_file(done_file) as draft:
                    draft.write_text(str(done))
                progress(done, total)
    except OSError as error:
        raise TrainingError(
            f"Features cannot be kept in {folder}: {error}. Point PYRITE_CACHE at a larger disk."
        ) from error
    except KeyboardInterrupt:
        raise Interrupted(
            f"Stopped after the features of {done:,} of {total:,} images, which are kept. Continue with --resume."
        ) from None
    progress(total, total)
    return np.lib.format.open_memmap(array_file, "r")


def _batches(examples: Examples, recipe: Recipe, done: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield batches of images from the first whose features are not there, and where in the order each begins."""
    source = examples.pixels if examples.canvases is None else examples.canvases
    parts = [(None, examples.validation), *((view or None, examples.train) for view in range(1 + recipe.views))]
    start = 0
    with ThreadPoolExecutor(available_cpus(), thread_name_prefix="pyrite-augment") as pool:
        for view, indices in parts:
            for first in range(0, len(indices), _TOGETHER):
                chosen = indices[first : first + _TOGETHER]
                if start >= done:
                    if view is None:
                        yield start, read_images(examples.pixels, chosen)
                    else:
                        rng = np.random.default_rng((recipe.seed, view, first))
                        yield start, augmented_images(source, chosen, slice(0, len(chosen)), recipe, rng, pool.map)
                start += len(chosen)


def _key(model: Any, examples: Examples, hashes: Sequence[str], recipe: Recipe) -> str:
    """Return a hash of all that features hang on: files, geometry, backbone and its weights, and how views are made."""
    digest = hashlib.sha256(repr((_FORMAT, load_keras().backend.backend(), recipe.precision, recipe.pooling)).encode())
    views: tuple[object, ...] = (
        recipe.seed, recipe.horizontal_flip, recipe.vertical_flip, recipe.shift, recipe.degrade, recipe.scales
    )  # fmt: skip
    if any(later := (recipe.turn, recipe.grey, recipe.border, recipe.erase)):
        views += later
    digest.update(repr((recipe.preprocess, recipe.views and (views, recipe.augmentation, recipe.canvas_side))).encode())
    digest.update(repr((recipe.enlarge, recipe.backbone, recipe.backbone_layer)).encode())
    for indices in (examples.validation, examples.train):
        digest.update("\n".join(["", *(hashes[i] for i in indices)]).encode())
    head = {id(variable) for variable in model.get_layer("logit").variables}
    for variable in model.variables:
        if id(variable) not in head:
            digest.update(repr(variable.shape).encode() + np.asarray(variable).tobytes())
    return digest.hexdigest()[:24]


def _done(done_file: Path, array_file: Path, shape: tuple[int, int]) -> int:
    """Return for how many images features are there; 0 where they cannot be used."""
    try:
        done = int(done_file.read_text())
        whole = np.load(array_file, mmap_mode="r").shape == shape
    except (OSError, ValueError, EOFError):
        return 0
    return done if whole and 0 <= done <= shape[0] else 0


def _make_room(folder: Path, array_file: Path, shape: tuple[int, int]) -> None:
    (folder / "done").unlink(missing_ok=True)
    array_file.unlink(missing_ok=True)
    size = 4 * shape[0] * shape[1]
    if shutil.disk_usage(folder).free < size:
        raise OSError(f"they take {size / 1e9:.1f} GB, more than is free there")
    reserve(array_file, shape, np.float32)


def _fit(features: Floats, labels: NDArray[np.int8], weights: Floats | None, c: float) -> tuple[Any, float]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        # Where the penalty is weakest, it may end before the optimum; validation tells how good it is all the same.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = LogisticRegression(C=c, max_iter=500).fit(features, labels, weights)
    return fitted.coef_[0].astype(np.float64), float(fitted.intercept_[0])


def _judge(c: float, logits: NDArray[np.float64], labels: NDArray[np.int8]) -> Fit:
    from sklearn.metrics import roc_auc_score

    return Fit(c, calibrated_loss(logits, labels), float(roc_auc_score(labels, logits)))


def _missing(fit: Fit, recipe: Recipe) -> float:
    return fit.val_calibrated_loss if recipe.monitor == "val_calibrated_loss" else -fit.val_auroc
