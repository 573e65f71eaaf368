"""ONNX Runtime for browsers, as a package of npm."""

from collections.abc import Callable
from pathlib import Path

from pyrite.serving.npm import NpmPackage, read_package

PACKAGE = NpmPackage(
    name="onnxruntime-web",
    version="1.30.0",
    sha512="ab4cbe26baedba45d2cec05610c71c55fa97db92d19a8b171c5f8269126683ca"
    "590a5cdc57bb2f35ce2b298de32f4d956fb42644c0ecd528a0a91e025c07ca61",
    home="dist",
    option="--runtime",
)

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
    """Return the files that a page needs to run models, by their names; see `read_package`.

    Args:
        source: The package, where it is not to be fetched.
        gpu: Whether to take those for the graphics processor (WebGPU) too.
        progress: Told how many bytes of a download are here, and how many there are.

    Raises:
        PyriteError: It cannot be had or read, or is another than the one that is known.
    """
    return read_package(PACKAGE, _CPU | (_GPU if gpu else {}), source, progress)
