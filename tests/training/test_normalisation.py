import numpy as np
import pytest

from pyrite.keras_backend import load_keras
from pyrite.recipe import load_recipe
from pyrite.training.architectures import build_model
from pyrite.training.normalisation import fuse, measure_statistics
from runs import NEEDS_BFLOAT16

PIXELS = np.random.default_rng(0).integers(0, 256, (3000, 32, 32, 3), np.uint8)
TRAIN = np.arange(0, 1024, 2)  # So few that all of them are used.


def test_the_statistics_are_those_of_training_images_at_the_weights_as_they_are() -> None:
    """Also where the images of one class come first and are darker: no batch is of one class."""
    model = build_model(load_recipe("tiny"))
    for layer in model.layers:
        if hasattr(layer, "moving_mean"):
            layer.moving_mean.assign(np.full(layer.moving_mean.shape, 7.0))
    by_class = PIXELS.copy()
    by_class[: TRAIN[256]] //= 4
    measure_statistics(model, by_class, TRAIN, seed=0)
    # The first normalisation's input, worked out apart.
    seen = np.asarray(model.layers[2](by_class[TRAIN].astype(np.float32) / 255))
    normalisation = model.layers[3]
    np.testing.assert_allclose(np.asarray(normalisation.moving_mean), seen.mean(axis=(0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(np.asarray(normalisation.moving_variance), seen.var(axis=(0, 1, 2)), rtol=0.02)


def test_nothing_else_changes() -> None:
    model = build_model(load_recipe("tiny"))
    momenta = [layer.momentum for layer in model.layers if hasattr(layer, "momentum")]
    before = {variable.path: np.asarray(variable).copy() for variable in model.variables}
    measure_statistics(model, PIXELS, TRAIN, seed=0)
    changed = {v.path for v in model.variables if not np.array_equal(before[v.path], np.asarray(v))}
    assert changed
    assert all("moving_" in path for path in changed)
    assert [layer.momentum for layer in model.layers if hasattr(layer, "momentum")] == momenta


def test_normalisation_inside_a_model_that_serves_as_a_layer_is_found_and_few_images_will_do() -> None:
    keras = load_keras()
    inner = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.BatchNormalization()])
    model = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Rescaling(1 / 255), inner])
    measure_statistics(model, PIXELS, TRAIN[:50], seed=0)
    found = np.asarray(inner.layers[-1].moving_mean)
    assert found == pytest.approx((PIXELS[TRAIN[:50]] / 255).mean(axis=(0, 1, 2)), abs=1e-4)


def test_each_image_counts_alike_also_in_a_last_short_batch() -> None:
    keras = load_keras()
    normalisation = keras.layers.BatchNormalization()
    model = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Rescaling(1 / 255), normalisation])
    pixels = np.arange(257, dtype=np.uint16).clip(0, 255).astype(np.uint8)[:, None, None, None] * np.ones(
        (1, 32, 32, 3), np.uint8
    )
    for seed in range(3):
        measure_statistics(model, pixels, np.arange(257), seed)
        assert np.asarray(normalisation.moving_mean) == pytest.approx(
            pixels.mean() / 255, abs=1e-3
        )  # As exact as TensorFlow sums.


def test_a_network_without_normalisation_is_left_alone() -> None:
    keras = load_keras()
    model = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(1)])
    measure_statistics(model, PIXELS, TRAIN, seed=0)


@pytest.mark.parametrize(
    ("precision", "tolerance"),
    [("float32", 1e-5), pytest.param("mixed_bfloat16", 2e-2, marks=NEEDS_BFLOAT16), ("float64", 1e-12)],
)
def test_fused_normalisation_trains_as_that_of_keras(precision: str, tolerance: float) -> None:
    keras = load_keras()
    layers = keras.layers
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        keras.utils.set_random_seed(0)
        nested = keras.Sequential([keras.Input((7, 7, 8)), layers.Conv2D(8, 3), layers.BatchNormalization()])
        own = keras.Sequential(
            [
                *(keras.Input((9, 9, 3)), layers.Conv2D(8, 3), layers.BatchNormalization(momentum=0.5), layers.ReLU()),
                *(nested, layers.Flatten(), layers.BatchNormalization(), layers.Dense(1)),
            ]
        )
        fused = fuse(own)
        generator = np.random.default_rng(0)
        images, labels = generator.normal(3, 2, (16, 9, 9, 3)), generator.integers(0, 2, (16, 1))
        for model in (own, fused):
            model.compile(keras.optimizers.SGD(0.05), "mse")
            for _ in range(3):
                model.train_on_batch(images, labels)
    finally:
        keras.config.set_dtype_policy(before)
    changed = [type(one) is not type(other) for one, other in zip(own.layers, fused.layers, strict=True)]
    assert changed == [False, precision != "float64", False, False, False, False, False]
    for one, other in zip(own.variables, fused.variables, strict=True):
        np.testing.assert_allclose(
            np.asarray(other, np.float64), np.asarray(one, np.float64), rtol=tolerance, atol=tolerance, err_msg=one.path
        )


def test_the_average_of_one_image_of_one_pixel_has_no_variance() -> None:
    keras = load_keras()
    model = fuse(keras.Sequential([keras.Input((1, 1, 2)), keras.layers.BatchNormalization(momentum=0.0)]))
    model(np.ones((1, 1, 1, 2), np.float32), training=True)
    np.testing.assert_array_equal(np.asarray(model.layers[0].moving_mean), 1)
    np.testing.assert_array_equal(np.asarray(model.layers[0].moving_variance), 0)
