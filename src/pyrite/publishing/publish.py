"""The last step of making a bundle: calibration, golden images, the report on the test split, and the card."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np

from pyrite.bundle import NOVELTY, Bundle, BundleInfo, Crops, Panel, Pixels, Preprocess, save_bundle, write_novelty
from pyrite.datasets import Dataset
from pyrite.datasets.augment import RandomHistory
from pyrite.datasets.clusters import caution_of_clusters
from pyrite.errors import DatasetError, ImageError, TrainingError
from pyrite.evaluation import Chosen, Part, Report, measure
from pyrite.explanation import measure_spectra
from pyrite.golden import make_golden, settle_batching
from pyrite.graph import expose_features, measure_cost
from pyrite.image import open_image
from pyrite.image.thumbnail import SIDE, shrink
from pyrite.publishing.calibrate import calibrate
from pyrite.publishing.card import write_card
from pyrite.publishing.novelty import calibrate_novelty
from pyrite.publishing.preparation import PreparedDataset, Stage

_GOLDEN_PER_CLASS = 5
_GOLDEN_PIXELS = 250_000  # of a golden image, at most, for large crops


def publish(
    out: Path,
    info: BundleInfo,
    files: Mapping[str, bytes],
    material: PreparedDataset,
    history: Sequence[Mapping[str, float | None]] | None,
    *,
    unknown: Dataset | None = None,
    cautions: Sequence[str] = (),
    watch: Callable[[Stage], None],
) -> Report:
    """Calibrate a model, measure it on the test split, and write `bundle/` and `report/` into a folder.

    A model that was trained on degraded or augmented images is also calibrated on such ones, of which as many are
    turned, grey or in a border as in training, and measured on degraded ones. A model
    whose output depends on what else is in a batch runs on one input at a time from here on.

    Args:
        out: the folder, which has neither.
        info: what bundle.json will say, but for the calibration.
        files: model.onnx, and what the bundle shall hold besides what is made here.
        material: what it was trained on.
        history: of the training; see `evaluation.measure`.
        unknown: AI images by generators that the model does not know; see `evaluation.measure`.
        cautions: what else speaks against taking its figures at face value.
        watch: called with every stage.
    """
    dataset, decoded, parts, recipe = material.dataset, material.decoded, material.parts, material.recipe
    seed = recipe.seed
    model, examples = expose_features(files["model.onnx"]), _golden_images(material)
    info = settle_batching(Bundle(info, {"model.onnx": model}), examples)
    degraded = recipe.is_augmented
    change = RandomHistory(turn=recipe.turn, grey=recipe.grey, border=recipe.border) if degraded else None
    calibration = calibrate(info, model, dataset, parts.validation, change=change, seed=seed, watch=watch)
    info = msgspec.structs.replace(info, calibration=calibration)
    novelty = calibrate_novelty(Bundle(info, {"model.onnx": model}), dataset, parts.validation, seed=seed, watch=watch)
    looks = {NOVELTY: write_novelty(novelty)} if novelty else {}
    golden = make_golden(info, model, examples, looks)
    spectra = measure_spectra(decoded.pixels, dataset.labels, parts.train)
    files = {**files, **looks, "model.onnx": model, "golden.json": golden, "spectra.json": spectra}
    report = measure(
        Panel((Bundle(info, files),)),
        Chosen(
            dataset,
            decoded.hashes,
            # Files that cannot be read are in no split; the report lists them all the same.
            np.union1d(parts.test, np.array(list(decoded.failures), np.intp)),
            _describe(material, cautions),
        ),
        history,
        robustness=degraded,
        unknown=unknown,
        watch=lambda stage, done, total: watch(Stage(f"{stage} (test split)", done, total)),
    )
    files |= {
        "report.json": report.to_json(),
        "card.md": write_card(info, report, novelty, measure_cost(model)).encode(),
    }
    watch(Stage("Writing the bundle and the report"))
    with written(out):
        report.write(out / "report")
    save_bundle(out / "bundle", info, files)
    return report


def _describe(material: PreparedDataset, more: Sequence[str]) -> Part:
    """Describe the test split for readers of the report."""
    parts, clusters = material.parts, material.clusters
    why = f"The {parts.protocol} test split, which training held out."
    cautions = list(more)
    if clusters is not None and clusters.searched:
        why += " None of its images has a copy or near copy in training."
    elif clusters is not None:
        cautions.append(
            "The search for near copies was incomplete, so test images may have near copies in training. Group related "
            "images with --group-column or --group-pattern."
        )
    if clusters is not None:
        count = len(np.unique(clusters.numbers[parts.test]))
        cautions += [few for few in [caution_of_clusters(len(parts.test), count)] if few]
    return Part(parts.protocol, why, parts.dropped, " ".join(cautions) or None)


@contextmanager
def written(out: Path) -> Iterator[None]:
    """Turn errors of writing into one that says what to do."""
    try:
        yield
    except OSError as error:
        kept = " The last checkpoint is kept: fix this, then continue with --resume."
        raise TrainingError(
            f"{error.filename or out} cannot be written: {error.strerror or error}."
            f"{kept if (out / 'checkpoint.npz').exists() else ''}"
        ) from error


def _golden_images(material: PreparedDataset) -> list[Pixels]:
    """Return some validation images of each class, shrunk to keep the bundle small."""
    labels, validation = material.dataset.labels, material.parts.validation
    chosen = np.concatenate([validation[labels[validation] == label][:_GOLDEN_PER_CLASS] for label in (0, 1)])
    return [_shrink(_read(material.dataset, int(i)), material.preprocess) for i in chosen]


def _read(dataset: Dataset, index: int) -> Pixels:
    try:
        return open_image(dataset.read(index)).pixels
    except (OSError, ImageError) as error:
        raise DatasetError(f"{dataset.paths[index]} could be read before, and now cannot: {error}") from error


def _shrink(pixels: Pixels, preprocess: Preprocess) -> Pixels:
    """Return a small image that still exercises the whole geometry: resizing, or several crops."""
    if isinstance(preprocess, Crops):
        height, width = pixels.shape[:2]
        across = min(width, max(SIDE, preprocess.width * 5 // 4))
        down = min(height, max(SIDE, preprocess.height * 5 // 4), _GOLDEN_PIXELS // across)
        top, left = (height - down) // 2, (width - across) // 2
        return pixels[top : top + down, left : left + across]
    return np.asarray(shrink(pixels))
