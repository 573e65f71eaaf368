"""Training: networks, the loop, and export to a bundle; all Keras code."""

from pyrite.training.train import train

__all__ = ["train"]
