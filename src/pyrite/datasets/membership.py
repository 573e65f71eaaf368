"""Which images a model has seen: a few bytes of each one's hash, kept in the bundle for honest evaluations."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pyrite.errors import BundleError

_BYTES = 8  # of each SHA-256: among a billion images, two share them with a chance of one in forty.
_DTYPE = np.dtype(f">u{_BYTES}")


def remember(hashes: Sequence[str]) -> bytes:
    """Return the content of trained_on.bin: the first 8 bytes of each hexadecimal SHA-256, sorted, without repeats."""
    return np.unique(_shorten(hashes)).astype(_DTYPE).tobytes()


def recognise(content: bytes, hashes: Sequence[str]) -> NDArray[np.bool_]:
    """Say of each hexadecimal SHA-256 (n,) whether `remember` was given it; an empty one was not.

    Raises:
        BundleError: the content is not what `remember` writes.
    """
    if len(content) % _BYTES:
        raise BundleError("trained_on.bin in the bundle is damaged: it does not hold whole hashes.")
    readable = np.array([bool(value) for value in hashes], np.bool_)
    found = np.zeros(len(hashes), np.bool_)
    kept = np.frombuffer(content, _DTYPE).astype(np.uint64)  # NumPy's isin fails on other byte orders.
    found[readable] = np.isin(_shorten([value for value in hashes if value]), kept)
    return found


def _shorten(hashes: Sequence[str]) -> NDArray[np.uint64]:
    return np.array([int(value[: 2 * _BYTES], 16) for value in hashes], np.uint64)
