"""Measuring a bundle, every figure with its interval."""

from pyrite.evaluation.evaluate import evaluate, measure
from pyrite.evaluation.report import Part, Report

__all__ = ["Part", "Report", "evaluate", "measure"]
