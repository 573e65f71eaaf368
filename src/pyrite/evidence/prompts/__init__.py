"""What programs write of how they made an image: a module for each form, and here the ways to all of them."""

from pyrite.evidence.prompts.made import FORMS, find_programs
from pyrite.evidence.prompts.values import Made

__all__ = ["FORMS", "Made", "find_programs"]
