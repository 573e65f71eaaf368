"""Scanning a corpus of any size on any number of workers, to the same table."""

from pyrite.scale.run import scan
from pyrite.scale.task import Settings

__all__ = ["Settings", "scan"]
