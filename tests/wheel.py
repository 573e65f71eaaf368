"""A wheel that pip finds, and no other."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest


def serve_wheel(files: Mapping[str, bytes], index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make version 1.0 of a package `published`, with files in `published/models`, and let pip look there alone."""
    index.mkdir()
    with zipfile.ZipFile(index / "published-1.0-py3-none-any.whl", "w") as wheel:
        for name, content in files.items():
            wheel.writestr(f"published/models/{name}", content)
        wheel.writestr("published-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: published\nVersion: 1.0\n")
        wheel.writestr(
            "published-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("published-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
