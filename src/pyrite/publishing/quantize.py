"""`quantize`: a bundle's network in 8-bit integers, several times faster, and measured again."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyrite.bundle import HEAD, Bundle, Quantization, load_bundle
from pyrite.datasets import Dataset, in_chunks
from pyrite.datasets.degrade import degrade_at_random
from pyrite.errors import TrainingError, require
from pyrite.evaluation import Report
from pyrite.graph import feed_bytes
from pyrite.provenance import current_command
from pyrite.publishing.calibrate import measure_logits
from pyrite.publishing.preparation import Stage
from pyrite.publishing.renew import check_new, prepare_again, publish_again

_IMAGES = 2048
_BATCH = 64


def quantize(
    bundle: Bundle | str | Path,
    data: Dataset | str | Path,
    out: str | Path,
    *,
    watch: Callable[[Stage], None] = lambda stage: None,
) -> Report:
    """Quantise a bundle's network to int8, recalibrate it, and measure it on the test split.

    Weights are quantised by output channel, and activations by their range on some training images, half of them
    degraded at random (Jacob et al. 2018; ONNX Runtime's static quantisation). `out` will hold `bundle/` and
    `report/`, or nothing where this fails.

    Args:
        bundle: the float32 bundle, or where it lies.
        data: the images that it was trained on, or where they lie.
        out: a folder that does not exist yet or is empty.
        watch: called with every stage.

    Raises:
        PyriteError: the bundle or the data cannot be used, or are not of each other.
    """
    require("train", "onnx", "sklearn", "matplotlib")
    bundle = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
    out = Path(out)
    check_new(out)
    if bundle.info.quantization:
        raise TrainingError(f"The bundle {bundle.info.name} is already quantised.")
    material = prepare_again(bundle, data, watch)
    parts = material.parts
    watch(Stage("Quantising"))
    typical = _typical(material.decoded.pixels, parts.train, material.recipe.seed)
    onnx = quantize_onnx(bundle.read("model.onnx"), typical)
    truth = material.dataset.labels[parts.validation] == 1

    def accuracy(of: Bundle) -> float:
        logits = measure_logits(of, material.dataset, parts.validation, stage="Comparing", watch=watch)
        return float(np.mean((logits > 0) == truth))

    info = msgspec.structs.replace(
        bundle.info,
        quantization=Quantization(
            images=min(_IMAGES, len(parts.train)),
            float_accuracy=accuracy(bundle),
            int8_accuracy=accuracy(Bundle(bundle.info, {"model.onnx": onnx})),
            command=current_command(),
        ),
    )
    # With its head and the encoder, a bundle without a model would become the network in float32 again.
    return publish_again(out, bundle.without(HEAD), info, onnx, material, watch=watch)


def _typical(pixels: NDArray[np.uint8], train: NDArray[np.intp], seed: int) -> Iterator[NDArray[np.uint8]]:
    """Yield some training images in batches, every other one with a random history."""
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(train, min(_IMAGES, len(train)), replace=False))
    first = 0
    for images in in_chunks(pixels, chosen, _BATCH):
        for image in images[first % 2 :: 2]:
            image[:] = degrade_at_random(image, rng)
        first += len(images)
        yield images


def quantize_onnx(model: bytes, batches: Iterable[NDArray[np.uint8]]) -> bytes:
    """Return a model that computes in int8.

    Args:
        model: float32, as `export_onnx` gives it.
        batches: Images (n, height, width, 3), 0 to 255, of the kind that it will see.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Batches(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self, name: str) -> None:
            self._batches = ({name: images} for images in batches)

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            return next(self._batches, None)

    with tempfile.TemporaryDirectory() as folder:
        names = ("float", "prepared", "int8")
        given, prepared, made = (Path(folder) / f"{name}.onnx" for name in names)
        given.write_bytes(model)
        # It folds batch normalisation into convolutions, so that both are quantised as one.
        quant_pre_process(given, prepared, skip_symbolic_shape=True)
        graph = onnx.load(prepared).graph
        quantize_static(
            prepared,
            made,
            Batches(graph.input[0].name),
            quant_format=QuantFormat.QDQ,
            # What follows the last convolution costs nothing, and would leave 256 logits to tell apart. ReLU6
            # is a Clip.
            op_types_to_quantize=["Conv", "Relu", "Clip", "Add", "MaxPool"],
            # What scales the bytes before the first convolution stays as it is, for `feed_bytes` to take out.
            nodes_to_exclude=[node.name for node in takewhile(lambda node: node.op_type != "Conv", graph.node)],
            per_channel=True,
            # 7 bits of weight, since processors without VNNI add two products in 16 bits and would cut them off.
            # Depthwise convolutions multiply in 16 bits and add in 32 everywhere, so they have all 8.
            reduce_range=True,
            extra_options={
                "TensorQuantOverrides": {
                    name: [{"quant_type": QuantType.QInt8, "reduce_range": False, "axis": 0}]
                    for name in _depthwise_kernels(graph)
                }
            },
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        content: bytes = feed_bytes(onnx.load(made)).SerializeToString()
        return content


def _depthwise_kernels(graph: Any) -> list[str]:
    """Return the names of the weights that see one channel each."""
    shapes = {value.name: tuple(value.dims) for value in graph.initializer}
    found = []
    for node in graph.node:
        groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
        if node.op_type == "Conv" and groups > 1 and shapes.get(node.input[1], ())[:2] == (groups, 1):
            found.append(node.input[1])
    return found
