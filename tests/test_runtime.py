import numpy as np
import pytest

from pyrite.errors import BundleError, PyriteError
from pyrite.runtime import Session

RANDOM = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), np.uint8)
EXPECTED = (RANDOM.mean((1, 2, 3)) - 127.5) * 0.1


@pytest.mark.parametrize("column", [False, True])
def test_logits(build_model, column):
    model = build_model(axes=(2, 3), shape=("N", 1, 32 * 32, 3)) if column else build_model()
    batch = RANDOM.reshape(7, 1, 32 * 32, 3) if column else RANDOM
    logits = Session(model).logits(batch)
    assert logits.shape == (7,)
    assert logits.dtype == np.float32
    assert logits == pytest.approx(EXPECTED, abs=1e-4)


def test_an_image_scores_the_same_in_any_batch(model):
    session = Session(model, threads=1)
    alone = np.concatenate([session.logits(RANDOM[i : i + 1]) for i in range(7)])
    assert alone == pytest.approx(session.logits(RANDOM), abs=1e-6)


def test_size_is_what_the_model_fixes(build_model):
    assert Session(build_model()).size == (32, 32)
    assert Session(build_model(shape=("N", "H", 8, 3))).size == (None, 8)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dtype": "FLOAT"}, "input must be uint8"),
        ({"shape": (2, 32, 32, 3)}, "with any N, or 1"),
        ({"shape": ("N", 32, 32, 4)}, "input must be uint8"),
        ({"shape": ("N", 32, 3), "axes": (1, 2)}, "input must be uint8"),
        ({"axes": (1, 2)}, "output must be float32"),
        ({"axes": (2,)}, "output must be float32"),
        ({"outputs": 2}, "one output"),
    ],
)
def test_models_of_another_kind_are_refused(build_model, settings, message):
    with pytest.raises(BundleError, match=message):
        Session(build_model(**settings))


@pytest.mark.parametrize("cut", [0, 1, 100])
def test_what_is_no_model_is_refused_without_noise(model, cut, capfd):
    with pytest.raises(BundleError, match="cannot be loaded as ONNX"):
        Session(model[:cut])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("scale", [float("nan"), float("inf")])
def test_logits_that_are_no_number_are_refused(build_model, scale):
    with pytest.raises(BundleError, match="not a number"):
        Session(build_model(scale=scale)).logits(RANDOM)


def test_a_batch_that_does_not_fit_is_refused(model):
    with pytest.raises(BundleError, match=r"\(7, 8, 8, 3\)"):
        Session(model).logits(RANDOM[:, :8, :8])


def test_a_model_that_mixes_images_is_refused(build_model):
    with pytest.raises(BundleError, match="32 logits for 7 images"):
        Session(build_model(axes=(0, 2, 3))).logits(RANDOM)


@pytest.mark.parametrize("threads", [0, -1])
def test_threads_must_be_positive(model, threads):
    with pytest.raises(PyriteError, match="threads"):
        Session(model, threads)
