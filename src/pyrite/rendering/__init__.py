"""Rendering: detections for people."""
