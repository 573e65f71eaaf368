"""A network that takes the mean over views of its input."""

from typing import Any

import numpy as np

from pyrite.bundle.views import VIEWS, InputView
from pyrite.errors import ExportError
from pyrite.graph.surgery import VIEWED, Parts, last_product

_TO_THE_START = -(2**31)  # Where a slice that goes backwards ends.


def average_views(model: bytes, count: int) -> bytes:
    """Return a model that takes the mean over so many views of each input, at as many times the cost.

    The mean is of what the last layer sees, which gives the same logit as a mean of logits, since that layer is linear.
    So what a bundle knows of features is of all views as well.

    Args:
        model: The content of an ONNX file of one input, images (N, height, width, 3), and one output.
        count: How many views, of those in `bundle.views`; 1 changes nothing.

    Raises:
        ExportError: The model does not end in a linear layer.
    """
    import onnx

    if count == 1:
        return model
    loaded = onnx.load_model_from_string(model)
    graph, parts = loaded.graph, Parts(loaded)
    found = last_product(graph)
    if found is None:
        raise ExportError("The network does not end in a linear layer, so it has no views. Use export_views = 1.")
    seen, width = found
    image = graph.input[0].name
    views = [_add_view(parts, view, image) for view in VIEWS[count]]
    parts.add("Concat", *views, out=VIEWED, axis=0)
    before = parts.take()
    by_view = parts.add("Reshape", seen, parts.constant([count, -1, width], np.int64))
    if parts.opset >= 18:
        mean = parts.add("ReduceMean", by_view, parts.constant([0], np.int64), keepdims=0)
    else:
        mean = parts.add("ReduceMean", by_view, axes=[0], keepdims=0)
    middle = parts.take()

    nodes: list[Any] = []
    for node in graph.node:
        node.input[:] = [VIEWED if name == image else name for name in node.input]
        if seen in node.input:
            node.input[:] = [mean if name == seen else name for name in node.input]
            nodes += middle
            middle = []
        nodes.append(node)
    del graph.node[:]
    graph.node.extend([*before, *nodes])
    del graph.value_info[:]  # They tell of batches without views.
    content: bytes = loaded.SerializeToString()
    return content


def _add_view(parts: Parts, view: InputView, image: str) -> str:
    """Add what makes a view of images (N, height, width, 3), as `InputView.apply` does; return its name."""
    if view.mirrored:
        image = _slice(parts, image, 2, -1, _TO_THE_START, -1)
    if view.moved:
        size = abs(view.moved)
        for axis in (1, 2):
            if view.moved > 0:
                edges, kept = [_slice(parts, image, axis, 0, 1)] * size, _slice(parts, image, axis, 0, -size)
                image = parts.add("Concat", *edges, kept, axis=axis)
            else:
                edges, kept = [_slice(parts, image, axis, -1, 2**31)] * size, _slice(parts, image, axis, size, 2**31)
                image = parts.add("Concat", kept, *edges, axis=axis)
    return image


def _slice(parts: Parts, value: str, axis: int, start: int, end: int, step: int = 1) -> str:
    return parts.add("Slice", value, *(parts.constant([number], np.int64) for number in (start, end, axis, step)))
