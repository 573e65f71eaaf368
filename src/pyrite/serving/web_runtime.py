"""ONNX Runtime for browsers: a package of npm, fetched once and known by its hashes. It is no part of Pyrite's own."""

import hashlib
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pyrite.cache import cache_folder
from pyrite.errors import PyriteError
from pyrite.fetching import download

PACKAGE = "onnxruntime-web"
VERSION = "1.30.0"
SHA512 = (
    "ab4cbe26baedba45d2cec05610c71c55fa97db92d19a8b171c5f8269126683ca"
    "590a5cdc57bb2f35ce2b298de32f4d956fb42644c0ecd528a0a91e025c07ca61"
)
"""Of the package's archive: npm's `integrity`, in hexadecimal."""
REGISTRY = "https://registry.npmjs.org"
"""Where packages of npm are fetched from, unless npm's own variable names another place."""
_REGISTRY_NAMES = ("NPM_CONFIG_REGISTRY", "npm_config_registry")  # npm reads either.

_CPU = {
    "ort.wasm.min.mjs": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    "ort-wasm-simd-threaded.mjs": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
_GPU = {
    "ort.webgpu.min.mjs": "3dffff71811bc13a3a3d9591c57ca5ee5735b8f5f3eaf789510b02bb040ae3a0",
    "ort-wasm-simd-threaded.asyncify.mjs": "3d1c85995364bb643302fc6fd877a0c3ba5ae72401815e0f24828a53d9191e28",
    "ort-wasm-simd-threaded.asyncify.wasm": "39f9f0894d478800487ed9f7dbe92618498db320cf55c8e3d89adff8dce658da",
}


def read_runtime(
    source: Path | None = None, *, gpu: bool = False, progress: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, bytes]:
    """Return the files that a page needs to run models, by their names.

    Args:
        source: The package, as `npm pack` gives it (a .tgz) or unpacked (a folder); by default it is fetched from the
            registry that `NPM_CONFIG_REGISTRY` names, or npm's own, into Pyrite's cache folder.
        gpu: Whether to take those for the graphics processor (WebGPU) too.
        progress: Told how many bytes of a download are here, and how many there are.

    Raises:
        PyriteError: It cannot be had or read, or is another than the one that is known.
    """
    wanted = _CPU | (_GPU if gpu else {})
    place = source or _fetch(progress)
    try:
        found = dict(_read_folder(place, wanted) if place.is_dir() else _read_archive(place, wanted))
    except (OSError, tarfile.TarError, EOFError) as error:
        raise PyriteError(f"{place} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    for name, sha256 in wanted.items():
        if name not in found:
            raise PyriteError(f"{place} has no dist/{name}. {_ways_out()}")
        if hashlib.sha256(found[name]).hexdigest() != sha256:
            raise PyriteError(f"dist/{name} in {place} is not that of {PACKAGE} {VERSION}. {_ways_out()}")
    return found


def _fetch(progress: Callable[[int, int], None]) -> Path:
    registry = next((os.environ[name] for name in _REGISTRY_NAMES if os.environ.get(name)), REGISTRY)
    name = f"{PACKAGE}-{VERSION}.tgz"
    place = cache_folder() / "npm" / name
    try:
        download(f"{registry.rstrip('/')}/{PACKAGE}/-/{name}", place, sha512=SHA512, progress=progress)
    except PyriteError as error:
        raise PyriteError(f"{error} {_ways_out()}") from error
    return place


def _ways_out() -> str:
    return f"Give the package with --runtime: `npm pack {PACKAGE}@{VERSION}` fetches it."


def _read_folder(folder: Path, wanted: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    home = folder / "dist" if (folder / "dist").is_dir() else folder
    for name in wanted:
        if (home / name).is_file():
            yield name, (home / name).read_bytes()


def _read_archive(path: Path, wanted: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path, "r:gz") as archive:
        for entry in archive:
            name = entry.name.removeprefix("package/dist/")
            if name in wanted and entry.isfile() and (stream := archive.extractfile(entry)):
                yield name, stream.read()
