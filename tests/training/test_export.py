import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from pyrite.bundle import load_bundle
from pyrite.errors import ExportError, RecipeError
from pyrite.evaluation import evaluate
from pyrite.keras_backend import export_onnx, load_keras
from pyrite.recipe import load_recipe
from pyrite.runtime import Session
from pyrite.training.architectures import build_model
from pyrite.training.export import MAX_WEIGHTS, check_parity, check_size
from pyrite.training.loop import predict

PIXELS = np.random.default_rng(0).integers(0, 256, (600, 32, 32, 3), np.uint8)
INDICES = np.arange(1, 600)
_JAX = """
import sys
from pyrite.recipe import load_recipe
from pyrite.training import train
train(sys.argv[1], load_recipe("tiny", ["epochs=1", "batch_size=8"]), sys.argv[2])
import keras
assert keras.backend.backend() == "jax"
"""


def test_the_export_agrees_with_the_model() -> None:
    model = build_model(load_recipe("tiny"))
    session = Session(export_onnx(model))
    assert check_parity(model, session, PIXELS, INDICES) < 1e-4
    np.testing.assert_allclose(session.logits(PIXELS[INDICES]), predict(model, PIXELS, INDICES), atol=1e-4)


def test_a_network_that_no_bundle_could_hold_is_refused() -> None:
    class Huge:
        def count_params(self) -> int:
            return MAX_WEIGHTS // 4 + 1

    check_size(build_model(load_recipe("tiny")))
    with pytest.raises(RecipeError, match=r"has 1\.9 GB of weights, .* Choose a smaller height and width, or another"):
        check_size(Huge())


def test_an_export_that_differs_is_an_error(build_model: Callable[..., bytes]) -> None:
    from pyrite.training.architectures import build_model as build_keras

    other = Session(build_model(scale=10.0))
    with pytest.raises(ExportError) as caught:
        check_parity(build_keras(load_recipe("tiny")), other, PIXELS, INDICES)
    assert "differs from the trained one by" in str(caught.value)
    assert "at most 0.001 is allowed. The checkpoint is kept" in str(caught.value)


def test_an_export_that_is_not_a_number_is_an_error() -> None:
    model = build_model(load_recipe("tiny"))
    session = Session(export_onnx(model))
    model.get_layer("logit").bias.assign([np.nan])
    with pytest.raises(ExportError, match="by nan in a logit"):
        check_parity(model, session, PIXELS, INDICES)


@pytest.mark.slow
def test_jax_trains_a_bundle_that_does_what_its_report_says(toy: Path, tmp_path: Path) -> None:
    if not find_spec("jax2onnx"):  # Importing it here would take seconds.
        pytest.skip("jax2onnx is not installed.")
    # Compiling takes longer than all that is computed.
    environment = dict(os.environ, KERAS_BACKEND="jax", JAX_PLATFORMS="cpu", JAX_DISABLE_MOST_OPTIMIZATIONS="1")
    command = [sys.executable, "-c", _JAX, toy, tmp_path / "out"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    bundle = load_bundle(tmp_path / "out" / "bundle")
    report = evaluate(bundle, toy)
    stored = (tmp_path / "out" / "report" / "report.json").read_bytes()
    assert bundle.read("report.json") == stored
    accuracy = report.as_is.headline.accuracy.value
    assert f"| Accuracy | {accuracy:.4f} |" in bundle.read("card.md").decode()
    assert f'"value": {accuracy}' in stored.decode() or f'"value":{accuracy}' in stored.decode()


def test_what_networks_that_others_trained_are_made_of_is_exported() -> None:
    """Convolutions of groups, which Keras compiles by XLA, and the exact GELU, by erfc: ConvNeXt has both."""
    keras = load_keras()
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            *(keras.Input((17, 19, 3), dtype="uint8"), layers.Rescaling(1 / 255), layers.Conv2D(8, 3)),
            *(layers.Conv2D(8, 3, groups=8, strides=2), layers.Activation("gelu")),
            *(layers.Conv2D(12, 3, groups=2, padding="same", dilation_rate=2), layers.Conv2D(24, 1, groups=12)),
            *(layers.GlobalAveragePooling2D(), layers.Dense(1)),
        ]
    )
    images = np.random.default_rng(0).integers(0, 256, (4, 17, 19, 3), np.uint8)
    wanted = model.predict_on_batch(images)[:, 0]
    np.testing.assert_allclose(Session(export_onnx(model)).logits(images), wanted, atol=1e-6)
    np.testing.assert_array_equal(model.predict_on_batch(images)[:, 0], wanted)
    assert not any("convolution_op" in vars(layer) for layer in model.layers)
