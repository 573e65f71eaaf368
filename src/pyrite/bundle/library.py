"""Bundles that are used by name: kept in the user's data folder."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from pyrite.errors import BundleError, PyriteError
from pyrite.folders import data_folder

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def library_folder() -> Path:
    """Return where named bundles lie: below `PYRITE_DATA`, or below `pyrite` in the user's data folder.

    Raises:
        BundleError: There is no home folder to have it in.
    """
    try:
        return data_folder() / "bundles"
    except PyriteError as error:
        raise BundleError(str(error)) from error


def named_place(name: str) -> Path:
    """Return where a bundle of this name lies, or would lie.

    Raises:
        BundleError: Such a name cannot be, or there is no home folder.
    """
    if not _NAME.fullmatch(name):
        raise BundleError(f"{name!r} is not a valid bundle name: use letters, digits, hyphens, dots and underscores.")
    return library_folder() / name


def find_named(path: Path) -> Path | None:
    """Return where the bundle lies whose name a path is, where there is nothing at that path; else `None`."""
    return None if path.exists() else bundle_named(path)


def bundle_named(path: Path) -> Path | None:
    """Return where the bundle lies whose name a path is, whatever is at that path; `None` where it is none."""
    if len(path.parts) != 1 or not _NAME.fullmatch(str(path)):
        return None
    place = named_place(str(path))
    return place if place.is_dir() else None


def named_bundles() -> Iterator[Path]:
    """Yield where each named bundle lies, by name."""
    folder = library_folder()
    if folder.is_dir():
        yield from sorted(path for path in folder.iterdir() if path.is_dir() and _NAME.fullmatch(path.name))


def remove_named(name: str) -> None:
    """Remove a named bundle.

    Raises:
        BundleError: There is none of this name, or it cannot be removed.
    """
    place = named_place(name)
    if not place.is_dir():
        raise BundleError(f"There is no bundle named {name}. `pyrite bundle list` shows all names.")
    try:
        shutil.rmtree(place)
    except OSError as error:
        raise BundleError(f"{place} cannot be removed: {error.strerror or error}.") from error
