"""Models that weigh every pixel, so that what moves their scores is known."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from pyrite.bundle import Bundle, BundleInfo
from pyrite.bundle.preprocess import Pixels


def _weigh(weights: NDArray[np.float32], offset: float) -> bytes:
    """Return an ONNX model whose logit is the sum of (height, width, 3) weights times pixels, plus the offset."""
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["float", "weights"], ["weighed"]),
            helper.make_node("ReduceSum", ["weighed", "axes"], ["sum"], keepdims=0),
            helper.make_node("Add", ["sum", "offset"], ["logit"]),
        ],
        "weighing",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ("N", *weights.shape))],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, ("N",))],
        [
            numpy_helper.from_array(weights.astype(np.float32), "weights"),
            numpy_helper.from_array(np.array([1, 2, 3], np.int64), "axes"),
            numpy_helper.from_array(np.float32(offset), "offset"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    content: bytes = model.SerializeToString()
    return content


@pytest.fixture
def checks() -> Pixels:
    """A chessboard of single pixels, 32 × 32: blurring leaves nothing of it."""
    light = np.indices((32, 32)).sum(0) % 2 == 0
    return np.repeat(np.where(light, 200, 50).astype(np.uint8)[..., None], 3, axis=2)


@pytest.fixture
def weigh_any() -> Callable[..., bytes]:
    """Make the model alone, of weights (height, width, 3)."""
    return _weigh


@pytest.fixture
def weigh(info: BundleInfo) -> Callable[..., Bundle]:
    """Make a bundle of a model that weighs pixels by (32, 32, 3)."""

    def make(weights: NDArray[np.float32], offset: float = 0.0, **files: bytes) -> Bundle:
        named = {name.replace("_", "."): content for name, content in files.items()}
        return Bundle(info, {"model.onnx": _weigh(weights, offset), **named})

    return make


@pytest.fixture
def corner(checks: Pixels) -> NDArray[np.float32]:
    """Weights by which `checks` scores 3 for the chessboard in its top left quarter of a quarter, and nothing else."""
    weights = np.zeros((32, 32, 3), np.float32)
    weights[:8, :8] = np.where(checks[:8, :8] > 127, 1, -1) * 3 / (8 * 8 * 3 * 75)
    return weights


@pytest.fixture
def to_corner(weigh: Callable[..., Bundle], corner: NDArray[np.float32]) -> Bundle:
    """Its model sees AI in a chessboard at the top left; its calibration adds 0.5."""
    return weigh(corner)


@pytest.fixture
def to_nothing(weigh: Callable[..., Bundle]) -> Bundle:
    """Its model says the same of every image."""
    return weigh(np.zeros((32, 32, 3), np.float32), 2.0)
