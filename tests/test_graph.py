from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from pyrite.bundle.views import VIEWS
from pyrite.errors import ExportError
from pyrite.graph import average_views, expose_features, measure_cost, read_layers, split_at
from pyrite.keras_backend import export_onnx
from pyrite.recipe import load_recipe
from pyrite.runtime import FEATURES, Network, Session
from pyrite.training.architectures import build_model

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), np.uint8)
WEIGHTS = np.random.default_rng(1).normal(size=(48, 1)).astype(np.float32)


def network(end: str) -> bytes:
    """Return a network whose last layer sees all 48 values of an image, divided by 255."""
    from onnx import TensorProto, helper, numpy_helper

    ends: dict[str, list[Any]] = {
        "Gemm": [helper.make_node("Gemm", ["flat", "weights", "bias"], ["logit"])],
        "Gemm of transposed weights": [helper.make_node("Gemm", ["flat", "turned", "bias"], ["logit"], transB=1)],
        "MatMul and a bias": [
            helper.make_node("MatMul", ["flat", "weights"], ["product"]),
            helper.make_node("Add", ["product", "bias"], ["logit"]),
        ],
        "a product that quantises its input": [
            helper.make_node("DynamicQuantizeLinear", ["flat"], ["whole", "step", "zero"]),
            helper.make_node("MatMulInteger", ["whole", "whole weights", "zero"], ["counted"]),
            helper.make_node("Cast", ["counted"], ["counts"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["step", "weight step"], ["steps"]),
            helper.make_node("Mul", ["counts", "steps"], ["product"]),
            helper.make_node("Add", ["product", "bias"], ["logit"]),
        ],
        "MatMul of a cube": [
            helper.make_node("Reshape", ["flat", "cube"], ["cubic"]),
            helper.make_node("MatMul", ["cubic", "weights"], ["product"]),
            helper.make_node("Reshape", ["product", "column"], ["logit"]),
        ],
        "two products": [
            helper.make_node("MatMul", ["flat", "weights"], ["one"]),
            helper.make_node("MatMul", ["flat", "weights"], ["other"]),
            helper.make_node("Add", ["one", "other"], ["logit"]),
        ],
        "a mean": [helper.make_node("ReduceMean", ["flat", "axes"], ["logit"])],
    }
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("Div", ["float", "most"], ["scaled"]),
            helper.make_node("Reshape", ["scaled", "row"], ["flat"]),
            *ends[end],
        ],
        "network",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ("N", 4, 4, 3))],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, ("N", 1))],
        [
            numpy_helper.from_array(np.array(value), name)
            for name, value in {
                "most": np.float32(255),
                "row": np.array([-1, 48], np.int64),
                "cube": np.array([-1, 1, 48], np.int64),
                "column": np.array([-1, 1], np.int64),
                "axes": np.array([1], np.int64),
                "weights": WEIGHTS,
                "whole weights": np.round(WEIGHTS * 32).astype(np.int8),
                "weight step": np.float32(1 / 32),
                "turned": WEIGHTS.T.copy(),
                "bias": np.array([2], np.float32),
            }.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return model.SerializeToString()


@pytest.mark.parametrize(
    "end", ["Gemm", "Gemm of transposed weights", "MatMul and a bias", "a product that quantises its input"]
)
def test_what_the_last_layer_sees_is_exposed(end: str) -> None:
    pytest.importorskip("onnx")
    model = network(end)
    session = Session(expose_features(model))
    logits, features = session.score(IMAGES)
    assert features == pytest.approx(IMAGES.reshape(5, 48) / 255, abs=1e-6)
    assert (logits == Session(model).logits(IMAGES)).all()
    assert (session.logits(IMAGES) == logits).all()
    assert expose_features(expose_features(model)) == expose_features(model)


@pytest.mark.parametrize("end", ["MatMul of a cube", "two products", "a mean"])
def test_a_network_without_such_a_layer_stays_as_it_is(end: str) -> None:
    pytest.importorskip("onnx")
    model = network(end)
    assert expose_features(model) == model
    assert Session(model).score(IMAGES)[1] is None


def test_features_come_in_any_batch(build_model: Callable[..., bytes]) -> None:
    pytest.importorskip("onnx")
    model = expose_features(network("Gemm"))
    together = Session(model).score(IMAGES)[1]
    alone = Session(model, one_by_one=True).score(IMAGES)[1]
    nothing = Session(model).score(IMAGES[:0])[1]
    assert together is not None
    assert alone is not None
    assert nothing is not None
    assert alone == pytest.approx(together)
    assert nothing.shape == (0, 48)


def test_features_of_another_kind_are_refused() -> None:
    onnx = pytest.importorskip("onnx")
    from pyrite.errors import BundleError

    model = onnx.load_model_from_string(network("Gemm"))
    model.graph.node.append(onnx.helper.make_node("Identity", ["image"], [FEATURES]))
    kind = onnx.helper.make_tensor_value_info(FEATURES, onnx.TensorProto.UINT8, ("N", 4, 4, 3))
    model.graph.output.append(kind)
    with pytest.raises(BundleError, match=r"features must be float32 \(N, d\)"):
        Session(model.SerializeToString())


def autoencoder(*, aside: bool = False) -> bytes:
    """Return a network that adds 2 and multiplies by 3, or with `aside` adds its input once more."""
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Constant", [], ["two"], value_float=2.0),
        helper.make_node("Constant", [], ["three"], value_float=3.0),
        helper.make_node("Add", ["x", "two"], ["between"]),
        helper.make_node("Mul", ["between", "three"], ["product"]),
        helper.make_node("Add", ["product", "x"], ["y"]) if aside else helper.make_node("Identity", ["product"], ["y"]),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ("N", 2)) for name in "xy"]
    graph = helper.make_graph(nodes, "network", values[:1], values[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


def test_a_model_is_divided_at_a_value() -> None:
    before, after = map(Network, split_at(autoencoder(), "between"))
    x = np.array([[1, 2]], np.float32)
    assert before(x).tolist() == [[3, 4]]
    assert after(before(x)).tolist() == [[9, 12]] == Network(autoencoder())(x).tolist()


@pytest.mark.parametrize(("aside", "value"), [(False, "latents"), (False, "x"), (True, "between")])
def test_a_model_that_cannot_be_divided_is_told(aside: bool, value: str) -> None:
    with pytest.raises(ExportError, match=f"{value}'"):
        split_at(autoencoder(aside=aside), value)


@pytest.mark.parametrize("count", VIEWS)
def test_a_network_of_views_gives_the_mean_of_what_it_gives_for_each(count: int) -> None:
    plain, viewed = (Session(expose_features(average_views(network("Gemm"), n))) for n in (1, count))
    views = [plain.score(np.ascontiguousarray(view.apply(IMAGES))) for view in VIEWS[count]]
    logits, features = viewed.score(IMAGES)
    np.testing.assert_allclose(logits, np.mean([found for found, _ in views], 0), atol=1e-5)
    assert features is not None
    np.testing.assert_allclose(features, np.mean([found for _, found in views], 0), atol=1e-6)
    np.testing.assert_allclose(viewed.logits(IMAGES[2:3]), logits[2:3], atol=1e-6)
    assert len({view.apply(IMAGES).tobytes() for view in VIEWS[count]}) == count


@pytest.mark.parametrize("count", [2, 6])
def test_views_of_a_mirror_image_are_those_of_the_image(count: int) -> None:
    """So that a mean over them is the same to the digit of rounding, which distillation relies on."""
    seen, mirrored = (
        {view.apply(images).tobytes() for view in VIEWS[count]} for images in (IMAGES, IMAGES[:, :, ::-1])
    )
    assert seen == mirrored


def test_a_network_without_a_last_layer_has_no_views() -> None:
    with pytest.raises(ExportError, match="does not end in a linear layer"):
        average_views(network("a mean"), 2)


@pytest.mark.parametrize("count", VIEWS)
def test_the_cost_counts_convolutions_and_products_of_all_views(count: int) -> None:
    model = export_onnx(build_model(load_recipe("tiny")))
    convolutions = 16 * 16 * 27 * 8 + 8 * 8 * 72 * 16 + 4 * 4 * 144 * 16
    cost = measure_cost(expose_features(average_views(model, count)))
    assert cost is not None
    assert cost.multiplications == count * convolutions + 16
    assert cost.weights == pytest.approx(27 * 8 + 72 * 16 + 144 * 16 + 17 + 2 * 40, abs=50)  # And normalisation's.


def test_a_cost_that_cannot_be_told_is_not_told() -> None:
    import onnx

    model = onnx.load_model_from_string(network("Gemm"))
    model.graph.input[0].type.tensor_type.shape.dim[1].ClearField("dim_value")
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "any"
    model.graph.node.insert(0, onnx.helper.make_node("Conv", ["image", "unknown"], ["unseen"]))
    assert measure_cost(model.SerializeToString()) is None


@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("with_zero", [False, True])
def test_weights_in_8_bits_are_read_as_a_runtime_reads_them(axis: int | None, with_zero: bool) -> None:
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(2)
    count = 1 if axis is None else (3, 4)[axis]
    values = {
        "stored": rng.integers(-127, 128, (3, 4), np.int8),
        "scale": rng.uniform(0.1, 1, count).astype(np.float32).reshape(() if axis is None else (-1,)),
        "zero": rng.integers(-9, 9, count).astype(np.int8).reshape(() if axis is None else (-1,)),
    }
    inputs = ["stored", "scale", *(["zero"] if with_zero else [])]
    nodes = [
        helper.make_node("DequantizeLinear", inputs, ["weights"], **({} if axis is None else {"axis": axis})),
        helper.make_node("Gemm", ["x", "weights"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "weights",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 4])],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10).SerializeToString()
    [(kernel, bias)] = read_layers(content)
    found = ort.InferenceSession(content).run(None, {"x": np.eye(3, dtype=np.float32)})[0]
    np.testing.assert_allclose(kernel, found, rtol=1e-6)
    np.testing.assert_array_equal(bias, np.zeros(4))
