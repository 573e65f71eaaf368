"""Networks of the real ones' signatures that give back what is in the first row of an image, and what fetches them."""

import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from pyrite.evidence.watermarks import weights
from pyrite.evidence.watermarks.weights import Package, Weights


def build_network(shape: tuple[int, ...], bits: int) -> bytes:
    """Return an ONNX file of a network whose outputs are 10 times the first row of the first channel."""
    from onnx import TensorProto, checker, helper

    def ints(name: str, *values: int) -> object:
        return helper.make_tensor(name, TensorProto.INT64, [len(values)], values)

    graph = helper.make_graph(
        [
            helper.make_node("Slice", ["image", "starts", "ends", "axes"], ["row"]),
            helper.make_node("Reshape", ["row", "flat"], ["small"]),
            helper.make_node("Mul", ["small", "ten"], ["output"]),
        ],
        "first_row",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, bits])],
        [
            ints("starts", *[0] * (len(shape) - 1)),
            ints("ends", *[1] * (len(shape) - 2), bits),
            ints("axes", *range(1, len(shape))),
            ints("flat", 1, bits),
            helper.make_tensor("ten", TensorProto.FLOAT, [], [10.0]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    return model.SerializeToString()


@dataclass
class Published:
    """What there is to fetch: each file's bytes by name, and the package of one of them."""

    files: dict[str, bytes]
    package: bytes


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Published:
    """Put small networks in the place of the real ones, which nobody has fetched."""
    monkeypatch.setenv("PYRITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    files = {
        "rivagan_decoder.onnx": build_network((1, 3, 1, 256, 256), 32),
        "decoder_Q.onnx": build_network((1, 3, 256, 256), 100),
        "decoder_P.onnx": build_network((1, 3, 224, 224), 100),
    }
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as package:
        package.writestr("imwatermark/rivagan_decoder.onnx", files["rivagan_decoder.onnx"])
    made = Published(files, stream.getvalue())

    def changed(known: Weights) -> Weights:
        content = files[known.file]
        source = known.source
        if isinstance(source, Package):
            source = Package(source.url, _hash(made.package), len(made.package), source.member)
        return Weights(known.mark, known.file, _hash(content), len(content), source)

    monkeypatch.setattr(weights, "WEIGHTS", tuple(changed(known) for known in weights.WEIGHTS))
    return made


@pytest.fixture(params=["rivagan", "trustmark"])
def fetched(request: pytest.FixtureRequest, published: Published, tmp_path: Path) -> str:
    """The networks of one mark, or of that which `parametrize` names, fetched."""
    for known in weights.weights_of(request.param):
        (tmp_path / known.file).write_bytes(published.files[known.file])
        weights.fetch_weights(known.mark, str(tmp_path / known.file))
    return str(request.param)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
