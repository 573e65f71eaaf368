"""What training teaches besides the label, and the loss that it comes to.

An answer has, for each image, the label; with teachers, the probability of AI that they give at the temperature; and
for each further target one number a class, 1 for the image's own. All are mixed where images are. A network's output
has, likewise, its logit, and a logit for each class of each target.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyrite.datasets import Dataset
from pyrite.errors import RecipeError
from pyrite.keras_backend import load_keras
from pyrite.recipe import Recipe

Tensor = Any

_LEAST_CLASSES = 2


@dataclass(frozen=True)
class Lessons:
    """What there is to learn of a dataset's images besides their labels."""

    logits: NDArray[np.float32] | None = None
    """(variants, n), the mean of the teachers' for each variant of an image; NaN where they were not asked."""
    draws: NDArray[np.uint64] | None = None
    """(n,), what an image's variants are drawn with."""
    targets: tuple[NDArray[np.float32], ...] = ()
    """(n, classes) each: 1 for the class that an image is of, or zeros where the data does not say."""

    @property
    def variants(self) -> int:
        """How many variants of each image there are; 0 without teachers."""
        return 0 if self.logits is None else len(self.logits)

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many classes each target has."""
        return tuple(target.shape[1] for target in self.targets)


NO_LESSONS = Lessons()


def settle_targets(recipe: Recipe, data: Dataset) -> tuple[Recipe, tuple[str, ...]]:
    """Return a recipe with the targets that this data has, and the columns that it might have had.

    Args:
        recipe: May name a column with a question mark after it, to be learnt where the data has two classes of it.
        data: The whole of it.
    """
    optional = [name.removesuffix("?") for name in recipe.targets if name.endswith("?")]
    lacking = tuple(name for name in optional if len(_classes(data, name)) < _LEAST_CLASSES)
    targets = tuple(name for name in (name.removesuffix("?") for name in recipe.targets) if name not in lacking)
    return msgspec.structs.replace(recipe, targets=targets), lacking


def read_targets(dataset: Dataset, recipe: Recipe, whole: Dataset) -> tuple[NDArray[np.float32], ...]:
    """Return the recipe's further targets of a dataset's images: see `Lessons.targets`.

    Args:
        dataset: Whose images they are.
        recipe: Names the columns.
        whole: What it was taken from, whose columns have all of the classes.

    Raises:
        RecipeError: There is no such column, or it does not have two classes.
    """
    return tuple(_one_hot(dataset, column, classes_of(whole, column)) for column in recipe.targets)


def classes_of(dataset: Dataset, column: str) -> tuple[str, ...]:
    """Return the classes that a column of a dataset has, in order; what is empty is none.

    Raises:
        RecipeError: There is no such column, or it has no two classes.
    """
    if column not in dataset.slices:
        has = f"it has {', '.join(dataset.slices)}" if dataset.slices else "it has no columns"
        raise RecipeError(f"targets names the column {column!r}, which {dataset.name} does not have: {has}.")
    classes = _classes(dataset, column)
    if len(classes) < _LEAST_CLASSES:
        raise RecipeError(f"targets names the column {column!r}, which has {len(classes)} classes: it takes two.")
    return classes


def _classes(dataset: Dataset, column: str) -> tuple[str, ...]:
    return tuple(sorted({value.strip() for value in dataset.slices.get(column, ())} - {""}))


def _one_hot(dataset: Dataset, column: str, classes: Sequence[str]) -> NDArray[np.float32]:
    values = np.array([value.strip() for value in dataset.slices[column]])
    return np.asarray(values[:, None] == np.array(classes), np.float32)


def answers_of(
    labels: NDArray[np.int8], chosen: NDArray[np.intp], recipe: Recipe, lessons: Lessons, epoch: int
) -> NDArray[np.float32]:
    """Return the answers (len(chosen), k) for some images in an epoch: see above.

    Args:
        labels: (n,), 0 or 1.
        chosen: Which images.
        recipe: Has the temperature.
        lessons: What there is besides the labels.
        epoch: From 0, which decides the variant that the teachers were asked of.
    """
    columns = [labels[chosen, None].astype(np.float32)]
    if lessons.logits is not None:
        logits = lessons.logits[epoch % lessons.variants, chosen, None].astype(np.float64)
        columns.append(np.exp(-np.logaddexp(0, -logits / recipe.distillation_temperature)).astype(np.float32))
    columns += [target[chosen] for target in lessons.targets]
    return np.concatenate(columns, 1)


def example_losses(recipe: Recipe, sizes: Sequence[int]) -> Callable[[Tensor, Tensor], Tensor]:
    """Return what training minimises: from answers (n, k) and outputs (n, 1 + all classes), the loss (n,) in nats.

    With w and T the weight and temperature of distillation, it is (1 - w) CE(label, z) + w T² CE(σ(t/T), σ(z/T)), with
    the teachers' logit t and the network's z (Hinton et al. 2015, section 2), and the weighted cross-entropy of each
    further target; one that an image has none of counts nothing.

    Args:
        recipe: Has the weights.
        sizes: How many classes each target has.
    """
    losses, ops = load_keras().losses, load_keras().ops

    def compute(answers: Tensor, outputs: Tensor) -> Tensor:
        logit = outputs[:, :1]
        loss = losses.binary_crossentropy(
            answers[:, :1], logit, from_logits=True, label_smoothing=recipe.label_smoothing
        )
        first = 1
        if recipe.teacher:
            weight, temperature = recipe.distillation_weight, recipe.distillation_temperature
            of_teacher = losses.binary_crossentropy(answers[:, 1:2], logit / temperature, from_logits=True)
            loss = (1 - weight) * loss + weight * temperature**2 * of_teacher
            first = 2
        for size, place in zip(sizes, np.cumsum([0, *sizes]).tolist(), strict=False):
            wanted = answers[:, first + place : first + place + size]
            found = outputs[:, 1 + place : 1 + place + size]
            # Not Keras's: where a row has no class, TensorFlow's gradient is not zero as the loss is.
            log_likelihood = ops.cast(wanted, found.dtype) * ops.log_softmax(found, axis=-1)
            loss -= recipe.targets_weight * ops.sum(log_likelihood, axis=-1)
        return loss

    return compute
