"""Answers of processes that strangers' files may have taken over: plain values, and nothing else.

A pickle can name any function to be called when it is read. Here it can name those that make a value alone: see
https://docs.python.org/3/library/pickle.html#restricting-globals.
"""

import builtins
import io
import pickle
from collections.abc import Mapping
from typing import Any

_VALUES: Mapping[str, tuple[str, ...]] = {
    "pyrite.results": ("Detection", "Evidence", "Extent", "Failure", "Model", "Reason", "Strength", "Verdict"),
    "pyrite.detector.reader": ("Prepared", "Unreadable"),
    "pyrite.serving.explaining": ("Explained",),
    "pyrite.errors": (
        *("PyriteError", "ImageError", "DatasetError", "RecipeError", "TrainingError", "Interrupted"),
        *(
            "ExportError",
            "DecoderError",
            "BundleError",
            "EvaluationError",
            "ScanError",
            "SettingsError",
            "MissingExtraError",
        ),
    ),
    "pathlib": ("Path", "PosixPath", "PurePath", "PurePosixPath"),
    "builtins": ("bytearray", "frozenset", "set"),
    "numpy": ("dtype", "ndarray"),
    "numpy._core.multiarray": ("_reconstruct", "scalar"),
    "numpy._core.numeric": ("_frombuffer",),
    "numpy.core.multiarray": ("_reconstruct", "scalar"),
    "numpy.core.numeric": ("_frombuffer",),
    "pebble.common.types": ("RemoteException.rebuild_exception", "Result", "ResultStatus"),
    "pebble.pool.process": ("Acknowledgement", "TaskProblem", "TaskResult"),
}
"""By module, what makes the values that decoders answer, and what carries them."""


class _Answers(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        kind = getattr(builtins, name, None) if module == "builtins" else None
        if isinstance(kind, type) and issubclass(kind, Exception):
            return kind
        if name not in _VALUES.get(module, ()):
            raise pickle.UnpicklingError(f"An answer must not hold {module}.{name}.")
        return super().find_class(module, name)


def load_answer(data: bytes) -> Any:
    """Return what a process answered.

    Raises:
        pickle.UnpicklingError: It holds something that no honest answer does.
    """
    return _Answers(io.BytesIO(data)).load()
