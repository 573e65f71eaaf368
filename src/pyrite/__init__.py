"""Pyrite tells AI-generated images from real ones, and shows its evidence.

Names are imported when they are first used, so that `import pyrite` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyrite.bundle import Bundle
    from pyrite.datasets import Dataset
    from pyrite.detector import Detector
    from pyrite.errors import PyriteError
    from pyrite.evaluation import Report, audit, evaluate
    from pyrite.explanation import Explanation, explain
    from pyrite.results import Detection, Evidence, Verdict
    from pyrite.training import Recipe, train

_HOMES = {
    "Bundle": "bundle",
    "Dataset": "datasets",
    "Detection": "results",
    "Detector": "detector",
    "Evidence": "results",
    "Explanation": "explanation",
    "PyriteError": "errors",
    "Recipe": "training",
    "Report": "evaluation",
    "Verdict": "results",
    "audit": "evaluation",
    "evaluate": "evaluation",
    "explain": "explanation",
    "train": "training",
}

__all__ = [
    "Bundle",
    "Dataset",
    "Detection",
    "Detector",
    "Evidence",
    "Explanation",
    "PyriteError",
    "Recipe",
    "Report",
    "Verdict",
    "audit",
    "evaluate",
    "explain",
    "train",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'pyrite' has no attribute {name!r}")
    value: object = getattr(import_module(f"pyrite.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
