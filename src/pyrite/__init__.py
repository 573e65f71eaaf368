"""Pyrite tells AI-generated images from real ones, and shows its evidence.

Names are imported when they are first used, so that `import pyrite` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyrite.auditing import audit
    from pyrite.bundle import Bundle
    from pyrite.datasets import Dataset, Labelling
    from pyrite.detector import Detector
    from pyrite.errors import PyriteError
    from pyrite.evaluation import Comparison, Report, compare, evaluate
    from pyrite.explanation import Explanation, explain
    from pyrite.matching import MatchInfo, match
    from pyrite.publishing import quantize
    from pyrite.recipe import Recipe
    from pyrite.results import Detection, Evidence, Verdict
    from pyrite.scanning import ScanSettings, scan, to_table
    from pyrite.serving import ServerSettings, serve
    from pyrite.training import train

_HOMES = {
    "Bundle": "bundle",
    "Comparison": "evaluation",
    "Dataset": "datasets",
    "Detection": "results",
    "Detector": "detector",
    "Evidence": "results",
    "Explanation": "explanation",
    "Labelling": "datasets",
    "MatchInfo": "matching",
    "PyriteError": "errors",
    "Recipe": "recipe",
    "Report": "evaluation",
    "ScanSettings": "scanning",
    "ServerSettings": "serving",
    "Verdict": "results",
    "audit": "auditing",
    "compare": "evaluation",
    "evaluate": "evaluation",
    "explain": "explanation",
    "match": "matching",
    "quantize": "publishing",
    "scan": "scanning",
    "serve": "serving",
    "to_table": "scanning",
    "train": "training",
}

__all__ = [
    "Bundle",
    "Comparison",
    "Dataset",
    "Detection",
    "Detector",
    "Evidence",
    "Explanation",
    "Labelling",
    "MatchInfo",
    "PyriteError",
    "Recipe",
    "Report",
    "ScanSettings",
    "ServerSettings",
    "Verdict",
    "audit",
    "compare",
    "evaluate",
    "explain",
    "match",
    "quantize",
    "scan",
    "serve",
    "to_table",
    "train",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'pyrite' has no attribute {name!r}")
    value: object = getattr(import_module(f"pyrite.{_HOMES[name]}"), name)
    globals()[name] = value
    # Where detections are defined, nothing knows how one is drawn.
    import_module("pyrite.results").notebook_html = _draw_for_notebook  # type: ignore[attr-defined]
    return value


def _draw_for_notebook(found: "Detection") -> str:
    drawn: str = import_module("pyrite.rendering.html").notebook_html(found)
    return drawn


def __dir__() -> list[str]:
    return __all__
