"""The last step of making a bundle: golden images, the report on the test split, the card, and all of it saved."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyrite.bundle import Bundle, BundleInfo, save_bundle
from pyrite.datasets import Dataset, Decoded
from pyrite.errors import DatasetError, ImageError, TrainingError
from pyrite.evaluation import Part, Report, measure
from pyrite.explanation import measure_spectra
from pyrite.image import open_image
from pyrite.publishing.card import write_card
from pyrite.publishing.golden import make_golden
from pyrite.publishing.preparation import PreparedDataset, Stage

_GOLDEN_PER_CLASS = 5
_GOLDEN_SIDE = 128  # pixels, so that the bundle stays small


def publish(
    out: Path,
    info: BundleInfo,
    files: Mapping[str, bytes],
    material: PreparedDataset,
    history: Sequence[Mapping[str, float | None]] | None,
    *,
    watch: Callable[[Stage], None],
) -> Report:
    """Measure a model on the test split, and write `bundle/` and `report/` into a folder.

    A model that was trained on degraded images is measured on such as well, since whoever trains for it wants to know.

    Args:
        out: the folder, which has neither.
        info: what bundle.json will say.
        files: model.onnx, and what the bundle shall hold besides what is made here.
        material: what it was trained on.
        history: of the training; see `evaluation.measure`.
        watch: called with every stage.
    """
    dataset, decoded, parts = material.dataset, material.decoded, material.parts
    golden = make_golden(info, files["model.onnx"], _golden_images(decoded, dataset, parts.validation))
    spectra = measure_spectra(decoded.pixels, dataset.labels, parts.train)
    files = {**files, "golden.json": golden, "spectra.json": spectra}
    report = measure(
        Bundle(info, files),
        dataset,
        # Files that cannot be read are in no split; the report lists them all the same.
        np.union1d(parts.test, np.array(list(decoded.failures), np.intp)),
        decoded.hashes,
        part=Part(parts.protocol, f"The {parts.protocol} test split, which training kept back.", parts.dropped),
        history=history,
        robustness=material.recipe.degrade > 0,
        watch=lambda stage, done, total: watch(Stage(f"{stage} (test split)", done, total)),
    )
    files |= {"report.json": report.to_json(), "card.md": write_card(info, report).encode()}
    watch(Stage("Writing the bundle and the report"))
    with written(out):
        report.write(out / "report")
    save_bundle(out / "bundle", info, files)
    return report


@contextmanager
def written(out: Path) -> Iterator[None]:
    """Say what to do where the disk is full or refuses."""
    try:
        yield
    except OSError as error:
        kept = " The last checkpoint is kept: put that right, and go on with --resume."
        raise TrainingError(
            f"{error.filename or out} cannot be written: {error.strerror or error}."
            f"{kept if (out / 'checkpoint.npz').exists() else ''}"
        ) from error


def _golden_images(decoded: Decoded, dataset: Dataset, validation: NDArray[np.intp]) -> list[NDArray[np.uint8]]:
    chosen = [validation[dataset.labels[validation] == label][:_GOLDEN_PER_CLASS] for label in (0, 1)]
    return [_golden_image(dataset, int(i), decoded) for i in np.concatenate(chosen)]


def _golden_image(dataset: Dataset, index: int, decoded: Decoded) -> NDArray[np.uint8]:
    """Return an image at its own size, so that a replay goes through the resizing too, or small where it is large."""
    if decoded.sides[index].max() > _GOLDEN_SIDE:
        return np.array(decoded.pixels[index])
    try:
        return open_image(dataset.read(index)).pixels
    except (OSError, ImageError) as error:
        raise DatasetError(f"{dataset.paths[index]} could be read before, and now cannot: {error}") from error
