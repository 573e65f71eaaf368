"""What makes and changes bundles without Keras."""

from pyrite.publishing.quantize import quantize

__all__ = ["quantize"]
