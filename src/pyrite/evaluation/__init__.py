"""Measuring a bundle, every figure with its interval, and the data that it is measured on."""

from pyrite.evaluation.audit import Audit, audit
from pyrite.evaluation.report import Part, Report
from pyrite.evaluation.run import evaluate, measure

__all__ = ["Audit", "Part", "Report", "audit", "evaluate", "measure"]
