"""Measuring a bundle: every figure with its interval, and a report that can be published."""

from pyrite.evaluation.report import Part, Report
from pyrite.evaluation.run import evaluate, measure

__all__ = ["Part", "Report", "evaluate", "measure"]
