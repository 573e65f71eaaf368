"""Answers of processes that strangers' files may have taken over: plain values, and nothing else.

A pickle can name any function to be called when it is read. Here it can name those that make a value alone: see
https://docs.python.org/3/library/pickle.html#restricting-globals.
"""

import builtins
import io
import pickle
from collections.abc import Mapping
from enum import Enum
from typing import Any

_VALUES: Mapping[str, tuple[str, ...]] = {
    "pyrite.results": ("Detection", "Evidence", "Extent", "Failure", "Model", "Reason", "Strength", "Verdict"),
    "pyrite.detector.reader": ("Prepared", "Unreadable"),
    "pyrite.evidence.thumbnail": ("Match",),
    "pyrite.explanation.history": ("About", "History", "Trace"),
    "pyrite.explanation.opening": ("Seen",),
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
        if (module, name) == ("builtins", "getattr"):
            return _member
        kind = getattr(builtins, name, None) if module == "builtins" else None
        if isinstance(kind, type) and issubclass(kind, Exception):
            return kind
        if name not in _VALUES.get(module, ()):
            raise pickle.UnpicklingError(f"An answer must not hold {module}.{name}.")
        return super().find_class(module, name)


def _member(kind: object, name: str) -> Enum:
    """Return a member of an enumeration, which Python up to 3.11.3 pickles as an attribute of its class."""
    if not (isinstance(kind, type) and issubclass(kind, Enum)):
        raise pickle.UnpicklingError("An answer must not take attributes of anything but an enumeration.")
    return kind[name]


def load_answer(data: bytes) -> Any:
    """Return what a process answered.

    Raises:
        pickle.UnpicklingError: It holds something that no honest answer does.
    """
    try:
        return _Answers(io.BytesIO(data)).load()
    except pickle.UnpicklingError:
        raise
    except Exception as error:  # What is no pickle raises nearly anything.
        raise pickle.UnpicklingError(f"An answer cannot be read: {error!r}") from error
