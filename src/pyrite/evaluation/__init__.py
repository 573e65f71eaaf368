"""Measuring a bundle, every figure with its interval."""

from pyrite.evaluation.choose import Chosen, Part
from pyrite.evaluation.evaluate import evaluate, measure
from pyrite.evaluation.report import Report

__all__ = ["Chosen", "Part", "Report", "evaluate", "measure"]
