"""A file of tensors as PyTorch wrote it before 1.6, without PyTorch."""

import io
import pickle
import sys
from collections import OrderedDict
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
import pytest

_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001
_KINDS = {"float32": "FloatStorage", "float16": "HalfStorage", "float64": "DoubleStorage", "int64": "LongStorage"}


def save_legacy(tensors: Mapping[str, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Return the content of the file; a tensor of which numpy has the axes in another order is kept as it lies."""
    torch, utils = ModuleType("torch"), ModuleType("torch._utils")

    def _rebuild_tensor_v2(*_: object) -> None: ...

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2  # type: ignore[attr-defined]
    for name in _KINDS.values():
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    storages = {}

    class Storage:
        def __init__(self, key: str, values: np.ndarray) -> None:
            self.key, self.values = key, values

    class Tensor:
        def __init__(self, key: str, values: np.ndarray) -> None:
            self.values = values
            flat = values.ravel(order="K")
            storages[key] = flat
            self.storage = Storage(key, flat)

        def __reduce__(self) -> Any:
            strides = tuple(stride // self.values.itemsize for stride in self.values.strides)
            return _rebuild_tensor_v2, (self.storage, 0, self.values.shape, strides, False, OrderedDict())

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: object) -> Any:
            if not isinstance(obj, Storage):
                return None
            kind = getattr(torch, _KINDS[str(obj.values.dtype)])
            return "storage", kind, obj.key, "cpu", obj.values.size, None

    stream = io.BytesIO()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "torch", torch)
        patch.setitem(sys.modules, "torch._utils", utils)
        content = OrderedDict((name, Tensor(str(i), values)) for i, (name, values) in enumerate(tensors.items()))
        for value in (_MAGIC, _VERSION, {"little_endian": True}, content, sorted(storages)):
            Pickler(stream, protocol=2).dump(value)
    for key in sorted(storages):
        stream.write(np.int64(storages[key].size).tobytes() + storages[key].tobytes())
    return stream.getvalue()
