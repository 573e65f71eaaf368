"""Surgery on ONNX graphs, and what they cost."""

from pyrite.graph.costs import Cost, measure_cost
from pyrite.graph.layers import read_layers
from pyrite.graph.surgery import (
    CUT,
    LARGE,
    Parts,
    Wrapping,
    add_features,
    expose_features,
    feed_bytes,
    fold_constants,
    keep_first_output,
    renew_opset,
    split_at,
    store,
    wrap,
)
from pyrite.graph.views import average_views

__all__ = [
    "CUT",
    "LARGE",
    "Cost",
    "Parts",
    "Wrapping",
    "add_features",
    "average_views",
    "expose_features",
    "feed_bytes",
    "fold_constants",
    "keep_first_output",
    "measure_cost",
    "read_layers",
    "renew_opset",
    "split_at",
    "store",
    "wrap",
]
