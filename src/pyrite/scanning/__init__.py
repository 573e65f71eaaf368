"""Scanning a corpus of any size on any number of workers, to the same table."""

from pyrite.scanning.columns import Columns
from pyrite.scanning.estimate import estimate
from pyrite.scanning.scan import scan
from pyrite.scanning.table import to_table
from pyrite.scanning.task import ScanSettings

__all__ = ["Columns", "ScanSettings", "estimate", "scan", "to_table"]
