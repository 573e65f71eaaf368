"""Published weights in safetensors as ONNX."""

from pyrite.converting.convert import Converted, convert

__all__ = ["Converted", "convert"]
