"""Calibration with images that neither trained nor chose a model, judged by the `Detector` that users run."""

from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyrite.bundle import Bundle, BundleInfo, Calibration, fit_calibration
from pyrite.bundle.calibration import ALL
from pyrite.datasets import Dataset
from pyrite.datasets.degrade import RandomHistory
from pyrite.detector import Detector
from pyrite.errors import DatasetError
from pyrite.evaluation.judge import judge, judge_changed
from pyrite.publishing.preparation import Stage
from pyrite.results import Failure

AS_THEY_ARE, DEGRADED = "as they are", "degraded"
"""The groups of calibration images, where there are degraded ones; of novelty as well."""


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
    degraded: bool,
    seed: int,
    watch: Callable[[Stage], None],
) -> Calibration:
    """Calibrate a model with some of a dataset's images.

    The probability is that of images as they are. With `degraded`, the p-values are also those of the same images after
    a random history each, as a group of its own: one threshold does not fit all, since AI images that were resized or
    blurred have lower logits.

    Args:
        info: The rest of the bundle; its own calibration does not matter.
        model: The content of model.onnx.
        dataset: The images.
        indices: Which of them: those that did not train the model.
        degraded: Whether error budgets are to hold for degraded images too.
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
    if not degraded:
        return calibration
    kept, logits = _measure_degraded(bundle, dataset, indices, seed, watch)
    if len(np.unique(dataset.labels[kept])) < 2:
        return calibration
    of_degraded = fit_calibration(logits, dataset.labels[kept], seed=seed)
    return msgspec.structs.replace(
        calibration,
        real={AS_THEY_ARE: calibration.real[ALL], DEGRADED: of_degraded.real[ALL]},
        ai={AS_THEY_ARE: calibration.ai[ALL], DEGRADED: of_degraded.ai[ALL]},
    )


def _measure_degraded(
    bundle: Bundle, dataset: Dataset, indices: NDArray[np.intp], seed: int, watch: Callable[[Stage], None]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return which images could be judged after a random history each, and the logits of those."""
    found = {}
    changed = judge_changed(Detector(bundle, evidence=False), dataset, indices.tolist(), [RandomHistory()], seed=seed)
    for done, (_, place, detection) in enumerate(changed, start=1):
        # An image can be too large to be saved as JPEG. The card says how many images a group has.
        if not isinstance(detection, Failure) and detection.logit is not None:
            found[place] = detection.logit
        watch(Stage("Calibrating for degraded images", done, len(indices)))
    places = np.array(sorted(found), np.intp)
    return indices[places], np.array([found[place] for place in places.tolist()], np.float64)
