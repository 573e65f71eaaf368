"""What training asks of Keras's backend."""

import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyrite.errors import RecipeError
from pyrite.keras_backend import load_keras

WITHOUT_BFLOAT16 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2")
"""Values of `ONEDNN_MAX_CPU_ISA` that leave oneDNN no bfloat16."""
_BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16"})
"""What Linux calls the instructions of x86 processors for it."""


def check_precision(precision: str) -> None:
    """Refuse a precision that TensorFlow would fail at in its first step.

    It takes oneDNN's bfloat16 where the processor has AVX-512, and oneDNN has none where `ONEDNN_MAX_CPU_ISA` keeps it
    from using that.

    Raises:
        RecipeError: the precision is bfloat16, and that variable is in its way.
    """
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()
    if precision == "bfloat16" and limit in WITHOUT_BFLOAT16:
        raise RecipeError(
            f"ONEDNN_MAX_CPU_ISA={limit} switches bfloat16 off. Unset it, or train with --set precision=float32."
        )


def precision_note(precision: str, cpuinfo: Path = Path("/proc/cpuinfo")) -> str | None:
    """Return a sentence for who trains in a precision that this machine is slow at; `None` where it is not known to be.

    TensorFlow emulates bfloat16 on processors that do not compute in it. `compact` trained more than ten times as fast
    in float32 on one without AVX-512, and 2.2 times as fast on one with AVX-512 of the first generation.

    Args:
        precision: The recipe's.
        cpuinfo: What Linux says of its processors.
    """
    if precision != "bfloat16" or platform.machine() != "x86_64" or not cpuinfo.exists():
        return None
    if not _BFLOAT16.isdisjoint(cpuinfo.read_text().split()):
        return None
    keras = load_keras()
    if keras.backend.backend() != "tensorflow" or keras.distribution.list_devices("gpu"):
        return None
    return (
        "This processor does not compute in bfloat16, so float32 is at least twice as fast. Stop, and train with "
        "--set precision=float32."
    )


def copy_model(model: Any, copy_layer: Callable[[Any], Any]) -> Any:
    """Return a copy of a model and its weights, of the layers that `copy_layer` makes of its own, nested ones too."""
    copied = load_keras().models.clone_model(model, clone_function=copy_layer, recursive=True)
    for variable, value in zip(copied.variables, model.variables, strict=True):
        variable.assign(value)
    return copied
