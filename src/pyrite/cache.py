"""Where Pyrite keeps what it can make or fetch again."""

import os
from pathlib import Path

from pyrite.errors import PyriteError


def cache_folder() -> Path:
    """Return `PYRITE_CACHE`, or `pyrite` in the user's cache folder.

    Raises:
        PyriteError: there is no home folder to have it in.
    """
    # Absolute, since worker processes may have been started elsewhere.
    if chosen := os.environ.get("PYRITE_CACHE"):
        return Path(chosen).absolute()
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "pyrite"
    except RuntimeError as error:
        raise PyriteError("There is no home folder for a cache. Set PYRITE_CACHE to a folder.") from error
