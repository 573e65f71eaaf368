"""Training: recipes, networks, the loop, and export to a bundle."""

from pyrite.training.quantize import quantize
from pyrite.training.recipe import Recipe, load_recipe
from pyrite.training.run import train

__all__ = ["Recipe", "load_recipe", "quantize", "train"]
