"""Tensors of a file that PyTorch wrote, without PyTorch, and without a run of what a pickle may hold."""

import math
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from pyrite.errors import ExportError

_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {"FloatStorage": "<f4", "HalfStorage": "<f2", "DoubleStorage": "<f8", "LongStorage": "<i8"}

_DAMAGE = (
    *(pickle.UnpicklingError, EOFError, LookupError, TypeError, ValueError, AttributeError),
    *(MemoryError, OverflowError),  # Of a number of bytes that no file has.
)

Tensors = dict[str, NDArray[Any]]


def read_pickled(path: Path) -> Tensors:
    """Return the tensors by name of a dictionary that `torch.save` wrote, as it did before PyTorch 1.6.

    Such a file is three pickles of numbers, one of what each tensor is, one of the storages' names, and their bytes
    (`torch.serialization._legacy_save`). Of the names that a pickle may call, only those are known here that a tensor
    needs.

    Raises:
        ExportError: It is no such file, is cut short, or holds something else.
    """
    try:
        with path.open("rb") as stream:
            return _read(stream)
    except _DAMAGE as error:
        raise ExportError(f"{path.name} does not hold tensors as PyTorch saved them before 1.6: {error}.") from error


def _read(stream: BinaryIO) -> Tensors:
    magic, _version, _system = (_Unpickler(stream).load() for _ in range(3))
    if magic != _MAGIC:
        raise ValueError("it begins with other bytes")
    tensors = _Unpickler(stream).load()
    kinds = {storage[2]: storage[1] for storage, *_ in tensors.values()}
    storages = {}
    for key in _Unpickler(stream).load():
        count = int(np.frombuffer(stream.read(8), "<i8")[0])
        dtype = np.dtype(_DTYPES[kinds[key]])
        storages[key] = np.frombuffer(stream.read(count * dtype.itemsize), dtype, count)
    return {name: _tensor(storages[storage[2]], *place) for name, (storage, *place) in tensors.items()}


def _tensor(storage: NDArray[Any], offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> NDArray[Any]:
    """Return the tensor that lies in a storage from an offset on; a stride is how far the next along an axis is."""
    last = offset + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
    sizes = (*shape, *strides, offset)
    if min(sizes) < 0 or max(last, math.prod(shape) - 1) >= len(storage):
        raise ValueError("a tensor lies outside of its storage")
    steps = [stride * storage.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps).copy()


class _Unpickler(pickle.Unpickler):
    """Knows an ordered dictionary, tensors and storages, and refuses all else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: (storage, offset, shape, strides)
        if module == "torch" and name in _DTYPES:
            return name
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        return pid
