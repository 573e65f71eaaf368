"""Measuring bundles, every figure with its interval."""

from pyrite.evaluation.choose import Chosen, Part
from pyrite.evaluation.compare import compare
from pyrite.evaluation.comparison import Comparison
from pyrite.evaluation.evaluate import evaluate, measure
from pyrite.evaluation.report import Report

__all__ = ["Chosen", "Comparison", "Part", "Report", "compare", "evaluate", "measure"]
