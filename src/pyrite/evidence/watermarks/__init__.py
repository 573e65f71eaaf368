"""Invisible marks in the pixels: those that arithmetic reads, and those that take a network, once it was fetched."""

from pyrite.evidence.watermarks.known import describe_marks
from pyrite.evidence.watermarks.read import read_watermarks
from pyrite.evidence.watermarks.weights import fetch_weights, weights_folders

__all__ = ["describe_marks", "fetch_weights", "read_watermarks", "weights_folders"]
