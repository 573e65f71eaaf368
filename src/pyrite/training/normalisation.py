"""Batch normalisation: in one operation, and with statistics that are measured anew for the weights as they are."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrite.datasets import in_chunks
from pyrite.keras_backend import load_keras
from pyrite.training.backend import copy_model

Tensor = Any

_MOST, _LEAST, _SHARE = 2048, 512, 16
"""The statistics are of a sixteenth of the training images, but of no more and no fewer than these."""


def measure_statistics(model: Any, pixels: NDArray[np.uint8], train: NDArray[np.intp], seed: int) -> None:
    """Set the statistics that batch normalisation uses outside of training to those of some training images.

    The running averages that it keeps are of steps gone by. While the weights still move fast, they belong to a
    network that is no more, and a validation would judge by them instead of the weights (Wu and Johnson 2021,
    "Rethinking 'Batch' in BatchNorm", section 3). Training itself neither uses nor notices this.

    Args:
        model: Changed in place.
        pixels: (n, height, width, 3), of the whole dataset.
        train: Indices of the training images.
        seed: Chooses among them.
    """
    layers = list(_find_layers(model))
    if not layers:
        return
    averages = {id(variable) for layer in layers for variable in (layer.moving_mean, layer.moving_variance)}
    others = [variable for variable in model.non_trainable_variables if id(variable) not in averages]
    kept = [np.asarray(variable).copy() for variable in others]
    momenta = [layer.momentum for layer in layers]
    count = min(len(train), max(_LEAST, min(_MOST, len(train) // _SHARE)))
    # In random order: data lies class by class, and a batch of one class is unlike those of training.
    chosen = np.random.default_rng(seed).choice(train, count, replace=False)
    try:
        done = 0
        for images in in_chunks(pixels, chosen):
            for layer in layers:
                layer.momentum = done / (done + len(images))  # So that each image counts alike.
            model(images, training=True)
            done += len(images)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        for variable, value in zip(others, kept, strict=True):  # Dropout has drawn from its random state.
            variable.assign(value)


def _find_layers(model: Any) -> Iterator[Any]:
    """Yield the layers of batch normalisation, also of models that serve as layers."""
    for layer in model.layers:
        if isinstance(layer, load_keras().layers.BatchNormalization):
            yield layer
        elif hasattr(layer, "layers"):
            yield from _find_layers(layer)


def fuse(model: Any) -> Any:
    """Return a copy of a model of the same weights that normalises a batch of images in one operation.

    Keras composes it of a dozen operations in float32, each of which goes through memory once more: more than half as
    long on a CPU as all the rest of `compact`'s step (`benchmarks/training_step.py`). Other backends compile such
    chains by themselves, so for them the model is returned as it is.
    """
    if load_keras().backend.backend() != "tensorflow":
        return model

    def copy(layer: Any) -> Any:
        return (_fused_layer() if _can_be_fused(layer) else type(layer)).from_config(layer.get_config())

    return copy_model(model, copy)


def _can_be_fused(layer: Any) -> bool:
    """Say whether TensorFlow has its normalisation as one operation: channels last, of images."""
    return (
        type(layer) is load_keras().layers.BatchNormalization
        and layer.scale
        and layer.center
        and not (layer.renorm or layer.synchronized)
        and layer.input_spec.ndim == 4
        and layer.axis in (-1, 3)
        and layer.compute_dtype in ("float32", "bfloat16")
    )


@cache
def _fused_layer() -> Any:
    """Return the class of the fused layer, which only exists where Keras is loaded."""
    import tensorflow as tf

    # Of the same name, by which Keras stores weights and finds them again.
    class BatchNormalization(load_keras().layers.BatchNormalization):  # type: ignore[misc]
        def call(self, inputs: Tensor, training: bool | None = None, mask: Tensor | None = None) -> Tensor:
            if not (training and self.trainable) or mask is not None:
                return super().call(inputs, training=training, mask=mask)
            outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
                inputs, self.gamma, self.beta, epsilon=self.epsilon, is_training=True
            )
            # It returns the estimate for the population, where Keras averages the variance of the batch itself.
            count = tf.cast(tf.size(inputs) // inputs.shape[-1], variance.dtype)
            for average, value in ((self.moving_mean, mean), (self.moving_variance, variance * (count - 1) / count)):
                average.assign(average * self.momentum + value * (1 - self.momentum))
            return outputs

    return BatchNormalization
