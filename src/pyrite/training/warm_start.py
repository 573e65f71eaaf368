"""A warm start: training goes on from the weights of a network that was trained before."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrite.bundle import Bundle
from pyrite.datasets import in_chunks
from pyrite.errors import RecipeError
from pyrite.graph import read_layers
from pyrite.keras_backend import load_keras
from pyrite.runtime import Session
from pyrite.training.checkpoint import load_checkpoint
from pyrite.training.loop import predict
from pyrite.training.normalisation import measure_statistics

_IMAGES = 2048
_LEAST_CORRELATION = 0.97
"""Of the logits, between the bundle and the network that got its weights. Quantised activations leave 0.999 of images
that the network knows, and 0.99 of noise."""
_LEAST_OF_MEAN = 0.9
"""The same between the mean of the logits and the network with the mean of the weights."""


def start_from(
    model: Any,
    names: Sequence[str],
    origins: Sequence[Bundle],
    pixels: NDArray[np.uint8],
    train: NDArray[np.intp],
    seed: int,
) -> None:
    """Give a model the weights of a run that is complete, or of a bundle; of several, their mean.

    The mean of networks that come from the same one is often better than each of them (Wortsman et al. 2022, "Model
    soups: averaging weights of multiple fine-tuned models improves accuracy without increasing inference time").

    A run's checkpoint has every weight as it was. A bundle's graph has batch normalisation inside of the convolution
    before it, and may be quantised. So the convolution gets the graph's weights, and the normalisation the mean and
    variance that some training images have there, and the scale and offset that undo both.

    Args:
        model: Changed in place. A layer of a further target keeps its weights.
        names: The runs' folders, or where the bundles are.
        origins: The bundles.
        pixels: (n, height, width, 3), of the whole dataset, 0 to 255.
        train: Indices of the training images.
        seed: Chooses among them.

    Raises:
        RecipeError: One does not fit the model, or they do not fit each other.
        TrainingError: A checkpoint cannot be read.
    """
    chosen = np.sort(np.random.default_rng(seed).choice(train, min(len(train), _IMAGES), replace=False))
    weights, logits = [], []
    for name, origin in zip(names, origins, strict=True):
        _take(model, name, origin, pixels, chosen)
        weights.append([np.asarray(variable).copy() for variable in model.weights])
        if len(names) > 1:
            logits.append(predict(model, pixels, chosen))
    if len(names) == 1:
        return
    for variable, values in zip(model.weights, zip(*weights, strict=True), strict=True):
        variable.assign(np.mean(values, 0))
    measure_statistics(model, pixels, train, seed)
    # Of networks that were trained apart, the mean computes nothing.
    if not np.corrcoef(predict(model, pixels, chosen), np.mean(logits, 0))[0, 1] > _LEAST_OF_MEAN:
        raise RecipeError(
            f"start_from: the mean of {' and '.join(names)} does not do what they do. Name networks that were trained "
            "from the same one."
        )


def _take(model: Any, name: str, origin: Bundle, pixels: NDArray[np.uint8], chosen: NDArray[np.intp]) -> None:
    """Give a model the weights of a run that is complete, or of a bundle, with the statistics of some images."""
    other = RecipeError(
        f"start_from: {name} does not fit the network {model.name} of the recipe. Set the architecture, its settings "
        "and the input size that it was trained with, or give the folder of its run."
    )
    checkpoint = Path(name) / "checkpoint.npz"
    if checkpoint.is_file():
        own = [variable for variable in model.variables if not variable.path.startswith("target")]
        # Layers of the run's further targets come last.
        weights = load_checkpoint(checkpoint)[1].get("best", [])[: len(own)]
        if [value.shape for value in weights] != [tuple(variable.shape) for variable in own]:
            raise other
        for variable, value in zip(own, weights, strict=True):
            variable.assign(value)
        return
    if origin.info.preprocess.size != model.input_shape[1:3]:
        raise other
    _take_graph(model, origin, other)
    session = Session(origin.model)
    expected = np.concatenate([session.logits(images) for images in in_chunks(pixels, chosen)])
    # Layers of other places in the network may have the same shapes.
    if not np.corrcoef(predict(model, pixels, chosen), expected)[0, 1] >= _LEAST_CORRELATION:
        raise other
    _normalise(model, pixels, chosen)


def mix_weights(
    model: Any,
    started: Sequence[NDArray[Any]],
    share: float,
    pixels: NDArray[np.uint8],
    train: NDArray[np.intp],
    seed: int,
) -> None:
    """Bring trained weights back towards those that training started from, and measure normalisation anew.

    As in Wortsman et al. 2022, "Robust fine-tuning of zero-shot models".

    Args:
        model: Changed in place.
        started: The values of its trainable variables that training started from.
        share: Of these in the mean of both, 0 to 1.
        pixels: (n, height, width, 3), of the whole dataset, 0 to 255.
        train: Indices of the training images.
        seed: Chooses those that normalisation is measured on.
    """
    for variable, before in zip(model.trainable_variables, started, strict=True):
        variable.assign(share * before + (1 - share) * np.asarray(variable))
    measure_statistics(model, pixels, train, seed)


def _take_graph(model: Any, origin: Bundle, other: RecipeError) -> None:
    """Give layers the weights of a graph in the same order, and have normalisation only add the graph's bias."""
    keras = load_keras()
    depthwise = keras.layers.DepthwiseConv2D
    layers = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D | depthwise | keras.layers.Dense)
        and not layer.name.startswith("target")
    ]
    weights = read_layers(origin.read("model.onnx"))
    if len(layers) != len(weights):
        raise other
    after = dict(zip(model.layers, model.layers[1:], strict=False))
    for layer, (kernel, bias) in zip(layers, weights, strict=True):
        # Keras has the channels of a depthwise kernel as its inputs, ONNX as its outputs.
        own = kernel.swapaxes(2, 3) if isinstance(layer, depthwise) and kernel.ndim == 4 else kernel
        if tuple(layer.kernel.shape) != own.shape:
            raise other
        layer.kernel.assign(own)
        if layer.use_bias:
            layer.bias.assign(bias)
        elif isinstance(normalisation := after.get(layer), keras.layers.BatchNormalization):
            ones = np.ones_like(bias)
            normalisation.set_weights([ones, bias, 0 * ones, ones - normalisation.epsilon])
        else:
            raise other


def _normalise(model: Any, pixels: NDArray[np.uint8], chosen: NDArray[np.intp]) -> None:
    """Set each normalisation to the statistics that it would see, without a change of what the model computes."""
    keras = load_keras()
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    inputs = keras.Model(model.inputs, [layer.input for layer in layers])
    sums = [np.zeros((2, layer.input.shape[-1])) for layer in layers]
    for images in in_chunks(pixels, chosen):
        for total, values in zip(sums, map(np.asarray, inputs.predict_on_batch(images)), strict=True):
            flat = values.astype(np.float64).reshape(-1, values.shape[-1])
            total += [flat.sum(0), (flat**2).sum(0)]
    for layer, total in zip(layers, sums, strict=True):
        count = len(chosen) * np.prod(layer.input.shape[1:-1])
        mean, square = total / count
        variance = np.maximum(square - mean**2, 0)
        _, bias, _, _ = layer.get_weights()
        layer.set_weights([np.sqrt(variance + layer.epsilon), bias + mean, mean, variance])
