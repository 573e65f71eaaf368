import os
from pathlib import Path

import pytest

from pyrite.bundle.library import library_folder
from pyrite.errors import PyriteError
from pyrite.evidence import trust
from pyrite.folders import cache_folder, data_folder


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


def test_what_a_user_chose_to_have_is_kept_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYRITE_DATA", str(tmp_path / "chosen"))
    monkeypatch.delenv("PYRITE_TRUST", raising=False)
    assert data_folder() == tmp_path / "chosen"
    assert library_folder() == tmp_path / "chosen" / "bundles"
    assert trust.folder() == tmp_path / "chosen" / "trust"
