"""The command line: parse, make one public call, show what it gave. No logic."""

from pyrite.cli.main import app, main

__all__ = ["app", "main"]
