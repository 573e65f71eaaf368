"""From images to detections: one file is read once, and each bundle that has it in scope judges it."""

from pyrite.detector.detector import Detector, shared_policy, too_few
from pyrite.detector.lost import crashed, timed_out
from pyrite.detector.panel import unreadable
from pyrite.detector.reader import Prepared, Reader, Unreadable, View

__all__ = [
    "Detector",
    "Prepared",
    "Reader",
    "Unreadable",
    "View",
    "crashed",
    "shared_policy",
    "timed_out",
    "too_few",
    "unreadable",
]
