"""What is learnt besides the label: the loss by hand, and further targets in a run."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from pyrite.bundle import load_bundle
from pyrite.datasets import Dataset
from pyrite.errors import RecipeError
from pyrite.recipe import Recipe, load_recipe
from pyrite.training import train
from pyrite.training.architectures import build_model, in_float32, without_targets
from pyrite.training.batches import train_batches
from pyrite.training.lessons import Lessons, answers_of, classes_of, example_losses, read_targets, settle_targets
from runs import NEEDS_BFLOAT16, Run


def sigmoid(x: float) -> float:
    return 1 / (1 + np.exp(-x))


def cross_entropy(wanted: float, found: float) -> float:
    return float(-wanted * np.log(found) - (1 - wanted) * np.log(1 - found))


def test_the_loss_is_the_formula() -> None:
    recipe = load_recipe(
        "tiny",
        ["teacher=a", "distillation_weight=0.7", "distillation_temperature=3", "targets=object", "targets_weight=0.5"],
    )
    soft = sigmoid(2.4 / 3)
    answers = np.array([[1, soft, 0, 1, 0], [0, soft, 0, 0, 0]], np.float32)
    outputs = np.array([[1.2, 0.3, -0.1, 0.8], [1.2, 0.3, -0.1, 0.8]], np.float32)
    found = np.asarray(example_losses(recipe, (3,))(answers, outputs))
    of_teacher = 0.7 * 9 * cross_entropy(soft, sigmoid(1.2 / 3))
    shares = np.exp(outputs[0, 1:]) / np.exp(outputs[0, 1:]).sum()
    wanted = [
        0.3 * cross_entropy(1, sigmoid(1.2)) + of_teacher + 0.5 * -np.log(shares[1]),
        0.3 * cross_entropy(0, sigmoid(1.2)) + of_teacher,  # Its class is not known.
    ]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_an_image_without_a_class_moves_no_output_of_the_target() -> None:
    import tensorflow as tf

    recipe = load_recipe("tiny", ["targets=object", "targets_weight=0.5"])
    outputs = tf.Variable([[1.2, 2.0, 1.0, 0.0]] * 3)
    answers = np.array([[1, 0, 0, 0], [1, 0, 1, 0], [1, 0, 0.3, 0]], np.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(example_losses(recipe, (3,))(answers, outputs))
    gradient = np.asarray(tape.gradient(loss, outputs))[:, 1:]
    shares = np.exp([2.0, 1.0, 0.0]) / np.exp([2.0, 1.0, 0.0]).sum()
    wanted = [0.5 * (share * shares - share * np.eye(3)[1]) for share in (0, 1, 0.3)]
    np.testing.assert_allclose(gradient, wanted, atol=1e-6)


def test_without_lessons_it_is_the_cross_entropy_of_the_label() -> None:
    found = example_losses(load_recipe("tiny"), ())(np.array([[1.0], [0.0]]), np.array([[2.0], [2.0]]))
    np.testing.assert_allclose(found, [cross_entropy(1, sigmoid(2)), cross_entropy(0, sigmoid(2))], rtol=1e-5)


def test_answers_are_the_label_what_teachers_say_and_classes() -> None:
    recipe = load_recipe("tiny", ["teacher=a", "distillation_temperature=2"])
    logits = np.array([[1, 2, 3], [4, 800, -800]], np.float32)
    lessons = Lessons(logits=logits, draws=np.zeros(3, np.uint64), targets=(np.eye(3, 2, dtype=np.float32),))
    labels, chosen = np.array([0, 1, 1], np.int8), np.array([2, 0])
    first, second = (answers_of(labels, chosen, recipe, lessons, epoch) for epoch in (2, 3))
    np.testing.assert_allclose(first, [[1, sigmoid(1.5), 0, 0], [0, sigmoid(0.5), 1, 0]], rtol=1e-6)
    np.testing.assert_allclose(second, [[1, 0, 0, 0], [0, sigmoid(2), 1, 0]], rtol=1e-6)


def test_answers_are_mixed_as_images_are() -> None:
    pixels = np.full((8, 4, 6, 3), 100, np.uint8)
    pixels[4:] = 200
    labels = (np.arange(8) > 3).astype(np.int8)
    targets = np.stack([labels == 0, labels == 1], 1).astype(np.float32)
    recipe = load_recipe("tiny", ["batch_size=8", "height=4", "width=6", "mixup=1", "targets=object"])
    for epoch in range(5):
        [(images, answers)] = train_batches(
            pixels, labels, np.arange(8), recipe, epoch, lessons=Lessons(targets=(targets,))
        )
        share = (images[:, 0, 0, 0].astype(float) - 100) / 100
        np.testing.assert_allclose(answers, np.stack([share, 1 - share, share], 1), atol=0.01)


def test_targets_are_columns_of_the_data(toy: Path) -> None:
    dataset = Dataset.open(toy)
    recipe = load_recipe("tiny", ["targets=object"])
    [target] = read_targets(dataset, recipe, dataset)
    classes = classes_of(dataset, "object")
    assert target.shape == (160, 10)
    assert [classes[i] for i in target.argmax(1)] == list(dataset.slices["object"])
    # Part of a dataset may lack some of the classes, which are numbered alike all the same.
    chosen = np.flatnonzero([value != classes[0] for value in dataset.slices["object"]])
    [part] = read_targets(dataset.select(chosen), recipe, dataset)
    np.testing.assert_array_equal(part, target[chosen])


def test_a_target_with_a_question_mark_is_one_where_the_data_has_it(toy: Path) -> None:
    recipe = load_recipe("tiny", ["targets=object?,colour?,generator"])
    settled, lacking = settle_targets(recipe, Dataset.open(toy))
    assert (settled.targets, lacking) == (("object", "generator"), ("colour",))
    assert settle_targets(settled, Dataset.open(toy)) == (settled, ())
    data = Dataset.open(toy)
    of_one = data.select(np.flatnonzero([value == data.slices["object"][0] for value in data.slices["object"]]))
    assert settle_targets(load_recipe("default"), of_one)[1] == ("object",)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["targets=colour"], "targets names the column 'colour', which toy does not have: it has "),
        (["targets=generator"], "targets names the column 'generator', which "),
    ],
)
def test_a_column_that_is_no_target_is_refused(settings: list[str], words: str, toy: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        train(toy, load_recipe("tiny", settings), tmp_path / "out")
    assert words in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def taught(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "targets"
    train(toy, load_recipe("tiny", ["epochs=3", "batch_size=8", "targets=object", "targets_weight=2"]), out)
    return out


def test_a_bundle_has_no_trace_of_further_targets(taught: Path, unbroken: Run) -> None:
    def shapes(out: Path) -> list[tuple[int, ...]]:
        model = onnx.load_model_from_string(load_bundle(out / "bundle").read("model.onnx"))
        return sorted(tuple(value.dims) for value in model.graph.initializer)

    assert shapes(taught) == shapes(unbroken.out)


def test_further_targets_change_what_is_learnt(taught: Path, unbroken: Run) -> None:
    assert load_bundle(taught / "bundle").model_sha256 != load_bundle(unbroken.out / "bundle").model_sha256


@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=NEEDS_BFLOAT16)])
def test_what_is_exported_is_what_was_trained(precision: str) -> None:
    recipe: Recipe = load_recipe("scratch", [f"precision={precision}", "channels=4,8,8,8"])
    model = build_model(recipe, (3, 2))
    assert model.output_shape == (None, 6)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:  # Such as tell any two of one shape apart.
        variable.assign(np.asarray(variable) + 0.1 * rng.normal(size=variable.shape))
    images = rng.integers(0, 256, (16, 32, 32, 3), np.uint8)
    bare = in_float32(without_targets(model), recipe)
    assert bare.output_shape == (None, 1)
    wanted, found = (np.asarray(each.predict_on_batch(images))[:, 0] for each in (model, bare))
    assert np.ptp(wanted) > 0.1
    np.testing.assert_allclose(found, wanted, atol=0.05 * np.ptp(wanted) if precision == "bfloat16" else 1e-5)
