"""Where Pyrite keeps files of its own: what it can make or fetch again, and what a user chose to have."""

import os
from pathlib import Path

from pyrite.errors import PyriteError


def cache_folder() -> Path:
    """Return `PYRITE_CACHE`, or `pyrite` in the user's cache folder.

    Raises:
        PyriteError: there is no home folder to have it in.
    """
    return _folder("PYRITE_CACHE", "XDG_CACHE_HOME", ".cache", "a cache")


def data_folder() -> Path:
    """Return `PYRITE_DATA`, or `pyrite` in the user's data folder.

    Raises:
        PyriteError: there is no home folder to have it in.
    """
    return _folder("PYRITE_DATA", "XDG_DATA_HOME", ".local/share", "bundles")


def _folder(chosen: str, usual: str, below_home: str, what: str) -> Path:
    # Absolute, since worker processes may have been started elsewhere.
    if place := os.environ.get(chosen):
        return Path(place).absolute()
    try:
        return Path(os.environ.get(usual) or Path.home() / below_home).absolute() / "pyrite"
    except RuntimeError as error:
        raise PyriteError(f"There is no home folder for {what}. Set {chosen} to a folder.") from error
