"""Pyrite tells AI-generated images from real ones, and shows its evidence."""
