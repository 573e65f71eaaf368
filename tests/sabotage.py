"""Code that every process runs as it starts, those of a sandbox among them."""

import os
import sys
from pathlib import Path

import pytest


def sabotage(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all processes that are begun from now on run some code first.

    Args:
        code: Of a `sitecustomize` module.
        folder: Where it is written to.
        monkeypatch: Ends it.
    """
    (folder / "sabotage").mkdir()
    (folder / "sabotage/sitecustomize.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder / "sabotage"), *sys.path]))
