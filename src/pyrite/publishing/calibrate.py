"""Calibration with images that did not train a model, judged by the `Detector` that users run."""

from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyrite.bundle import Bundle, BundleInfo, Calibration, fit_calibration
from pyrite.datasets import Dataset
from pyrite.datasets.degrade import Change
from pyrite.detector import Detector
from pyrite.errors import DatasetError
from pyrite.evaluation.judge import judge, judge_changed
from pyrite.publishing.preparation import Stage
from pyrite.results import Failure


def measure_logits(
    bundle: Bundle,
    dataset: Dataset,
    indices: NDArray[np.intp],
    *,
    stage: str,
    watch: Callable[[Stage], None],
) -> NDArray[np.float64]:
    """Return a bundle's logits (len(indices),) for some of a dataset's images.

    Args:
        bundle: It need not be calibrated.
        dataset: The images.
        indices: Which of them; all could be read before.
        stage: What to call this.
        watch: Called with it as it goes.

    Raises:
        BundleError: The bundle cannot be used.
        DatasetError: An image cannot be read any more.
    """
    logits = np.zeros(len(dataset), np.float64)
    for done, (index, found) in enumerate(judge(Detector(bundle, evidence=False), dataset, indices), start=1):
        if isinstance(found, Failure) or found.logit is None:
            why = f": {found.message}" if isinstance(found, Failure) else "."
            raise DatasetError(f"{dataset.paths[index]} could be read before, and now cannot{why}")
        logits[index] = found.logit
        watch(Stage(stage, done, len(indices)))
    return logits[indices]


def calibrate(
    info: BundleInfo,
    model: bytes,
    dataset: Dataset,
    indices: NDArray[np.intp],
    *,
    change: Change | None,
    seed: int,
    watch: Callable[[Stage], None],
) -> Calibration:
    """Calibrate a model with some of a dataset's images.

    The probability is that of images as they are. With `change`, the p-values are those of a mixture, in which a
    random half of the images are changed. AI images that were resized or blurred have lower logits, and real ones that
    were made grey or turned have higher ones: by p-values of images as they are, several times as many are misjudged as
    the budget says.

    Args:
        info: The rest of the bundle; its own calibration does not matter.
        model: The content of model.onnx.
        dataset: The images.
        indices: Which of them: those that did not train the model.
        change: What half of the images go through, if error budgets are to be for such a mixture.
        seed: Chooses which logits are kept, and degrades.
        watch: Called with how far it is.

    Raises:
        BundleError: The model cannot be used.
        DatasetError: An image cannot be read any more.
        EvaluationError: The logits allow no calibration.
    """
    bundle = Bundle(msgspec.structs.replace(info, calibration=Calibration()), {"model.onnx": model})
    logits = measure_logits(bundle, dataset, indices, stage="Calibrating", watch=watch)
    calibration = fit_calibration(logits, dataset.labels[indices], seed=seed)
    if change is None:
        return calibration
    mixed = logits.copy()
    half = np.random.default_rng((seed, 1)).permutation(len(indices))[: len(indices) // 2]
    changed = judge_changed(Detector(bundle, evidence=False), dataset, indices[half].tolist(), [change], seed=seed)
    for done, (_, place, found) in enumerate(changed, start=1):
        # An image that is too large to be saved as JPEG stays as it is.
        if not isinstance(found, Failure) and found.logit is not None:
            mixed[half[place]] = found.logit
        watch(Stage("Calibrating for degraded images", done, len(half)))
    of_mixed = fit_calibration(mixed, dataset.labels[indices], seed=seed)
    return msgspec.structs.replace(calibration, real=of_mixed.real, ai=of_mixed.ai)
