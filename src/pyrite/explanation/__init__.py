"""Explanation: one image → what moved its score, and whether that can be trusted."""

from pyrite.explanation.explain import check_out, explain
from pyrite.explanation.spectra import ClassSpectrum, Spectra, measure_spectra
from pyrite.explanation.values import Explanation, describe

__all__ = ["ClassSpectrum", "Explanation", "Spectra", "check_out", "describe", "explain", "measure_spectra"]
