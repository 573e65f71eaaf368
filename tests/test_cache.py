import os
from pathlib import Path

import pytest

from pyrite.cache import cache_folder
from pyrite.errors import PyriteError


def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("PYRITE_CACHE", str(tmp_path / "chosen"))
    assert cache_folder() == tmp_path / "chosen"
    monkeypatch.setenv("PYRITE_CACHE", "")
    assert cache_folder() == tmp_path / "xdg" / "pyrite"
    monkeypatch.delenv("PYRITE_CACHE")
    assert cache_folder() == tmp_path / "xdg" / "pyrite"
    monkeypatch.delenv("XDG_CACHE_HOME")
    if os.name != "nt":
        assert cache_folder() == tmp_path / "home" / ".cache" / "pyrite"


def test_without_a_home_the_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYRITE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(PyriteError, match="Set PYRITE_CACHE to a folder"):
        cache_folder()
