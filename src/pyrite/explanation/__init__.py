"""Explanation: what moved the score of an image, and whether that can be trusted."""

from pyrite.explanation.examine import Examination, examine
from pyrite.explanation.explain import check_out, explain
from pyrite.explanation.spectra import ClassSpectrum, Spectra, measure_spectra
from pyrite.explanation.values import Explanation

__all__ = [
    "ClassSpectrum",
    "Examination",
    "Explanation",
    "Spectra",
    "check_out",
    "examine",
    "explain",
    "measure_spectra",
]
