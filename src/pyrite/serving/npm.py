"""Packages of npm that the page without a server takes: fetched once, known by their hashes, and no part of Pyrite."""

import hashlib
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pyrite.errors import PyriteError
from pyrite.fetching import download
from pyrite.folders import cache_folder

REGISTRY = "https://registry.npmjs.org"
"""Where packages of npm are fetched from, unless npm's own variable names another place."""
_REGISTRY_NAMES = ("NPM_CONFIG_REGISTRY", "npm_config_registry")  # npm reads either.


@dataclass(frozen=True, slots=True)
class NpmPackage:
    """One version of a package."""

    name: str
    version: str
    sha512: str
    """Of its archive: npm's `integrity`, in hexadecimal."""
    home: str
    """The folder in it that has the files."""
    option: str
    """The option of `pyrite page` that takes it from elsewhere."""

    @property
    def ways_out(self) -> str:
        """What to do where it cannot be fetched, as a sentence."""
        return f"Give the package with {self.option}: `npm pack {self.name}@{self.version}` fetches it."


def read_package(
    package: NpmPackage,
    wanted: Mapping[str, str],
    source: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, bytes]:
    """Return files of a package, by their names.

    Args:
        package: Which one.
        wanted: The names of the files, each with its SHA-256.
        source: The package, as `npm pack` gives it (a .tgz) or unpacked (a folder); by default it is fetched from the
            registry that `NPM_CONFIG_REGISTRY` names, or npm's own, into Pyrite's cache folder.
        progress: Told how many bytes of a download are here, and how many there are.

    Raises:
        PyriteError: It cannot be had or read, or is another than the one that is known.
    """
    place = source or _fetch(package, progress)
    try:
        found = dict(
            _read_folder(place, package.home, wanted) if place.is_dir() else _read_archive(place, package.home, wanted)
        )
    except (OSError, tarfile.TarError, EOFError) as error:
        raise PyriteError(f"{place} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    for name, sha256 in wanted.items():
        path = f"{package.home}/{name}"
        if name not in found:
            raise PyriteError(f"{place} has no {path}. {package.ways_out}")
        if hashlib.sha256(found[name]).hexdigest() != sha256:
            raise PyriteError(f"{path} in {place} is not that of {package.name} {package.version}. {package.ways_out}")
    return found


def _fetch(package: NpmPackage, progress: Callable[[int, int], None]) -> Path:
    registry = next((os.environ[name] for name in _REGISTRY_NAMES if os.environ.get(name)), REGISTRY)
    name = f"{package.name.rpartition('/')[2]}-{package.version}.tgz"
    place = cache_folder() / "npm" / name
    try:
        download(f"{registry.rstrip('/')}/{package.name}/-/{name}", place, sha512=package.sha512, progress=progress)
    except PyriteError as error:
        raise PyriteError(f"{error} {package.ways_out}") from error
    return place


def _read_folder(folder: Path, home: str, wanted: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    inside = folder / home if (folder / home).is_dir() else folder
    for name in wanted:
        if (inside / name).is_file():
            yield name, (inside / name).read_bytes()


def _read_archive(path: Path, home: str, wanted: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path, "r:gz") as archive:
        for entry in archive:
            name = entry.name.removeprefix(f"package/{home}/")
            if name in wanted and entry.isfile() and (stream := archive.extractfile(entry)):
                yield name, stream.read()
