"""What makes and changes bundles without Keras."""

from pyrite.publishing.quantize import quantize
from pyrite.publishing.renew import renew

__all__ = ["quantize", "renew"]
