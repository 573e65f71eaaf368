"""Keras, imported late and with the settings that it needs to be fast and quiet."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pyrite.errors import RecipeError, require

WITHOUT_BFLOAT16 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2")
"""Values of `ONEDNN_MAX_CPU_ISA` that leave oneDNN no bfloat16."""
_GREETING = rb"(WARNING: All log messages before absl::InitializeLog|I0000 )[^\n]*\n"
_FILTER = f"import os, re\nwhile data := os.read(0, 65536): os.write(2, re.sub({_GREETING!r}, b'', data))"


def load_keras() -> Any:
    """Return the `keras` module, for the backend that `KERAS_BACKEND` names (TensorFlow by default).

    TensorFlow reads these variables when it is first imported, so they are set before. It leaves
    oneDNN off on processors without AVX-512, where it makes ResNet50 about seven times as fast.

    Raises:
        MissingExtraError: without the `train` extra.
    """
    require("train", "keras")
    if "keras" not in sys.modules:
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        with _without_greeting():
            import keras

            keras.utils.set_random_seed(0)  # Where TensorFlow is installed, this imports it for any backend.
    import keras

    return keras


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
            f"ONEDNN_MAX_CPU_ISA is {limit}, which leaves no bfloat16. Unset it, or train with --set precision=float32."
        )


def copy_model(model: Any, copy_layer: Callable[[Any], Any]) -> Any:
    """Return a copy of a model and its weights, of the layers that `copy_layer` makes of its own, nested ones too."""
    copied = load_keras().models.clone_model(model, clone_function=copy_layer, recursive=True)
    for variable, value in zip(copied.variables, model.variables, strict=True):
        variable.assign(value)
    return copied


@contextmanager
def _without_greeting() -> Iterator[None]:
    """Keep what TensorFlow says on import, at any log level, off standard error.

    It writes straight to file descriptor 2, so that is led through a filter. The filter is a process of its own,
    since an import holds this one, and may abort it where the processor is too old: the reason must come through.
    """
    try:
        stderr = os.dup(2)
    except OSError:  # It is closed, so there is nothing to keep clean.
        yield
        return
    # In a session of its own, so that Ctrl-C does not end it before its work is done.
    with subprocess.Popen([sys.executable, "-ISc", _FILTER], stdin=subprocess.PIPE, start_new_session=True) as child:
        assert child.stdin is not None
        os.dup2(child.stdin.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
