"""From images to detections: one file is read once, and each bundle that has it in scope judges it."""

from pyrite.detector.detector import Detector, Prepared, Unreadable, prepare, unreadable

__all__ = ["Detector", "Prepared", "Unreadable", "prepare", "unreadable"]
