"""From images to detections: one file is read once, and each bundle that has it in scope judges it."""

from pyrite.detector.confined import ConfinedReader
from pyrite.detector.detector import Detector
from pyrite.detector.lost import crashed, timed_out
from pyrite.detector.panel import unreadable
from pyrite.detector.reader import Prepared, Reader, Unreadable, View

__all__ = [
    "ConfinedReader",
    "Detector",
    "Prepared",
    "Reader",
    "Unreadable",
    "View",
    "crashed",
    "timed_out",
    "unreadable",
]
