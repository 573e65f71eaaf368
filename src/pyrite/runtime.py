"""Running a model: the only place that knows ONNX Runtime."""

import os
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from pyrite.errors import BundleError, PyriteError


def available_cpus() -> int:
    """Return how many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Session:
    """A model that is ready to score; safe to share between threads."""

    size: tuple[int | None, int | None]
    """Height and width that the model takes; `None` where it takes any."""

    def __init__(self, model: bytes | Path, threads: int | None = None, *, one_by_one: bool = False) -> None:
        """Load a model.

        Args:
            model: The content of an ONNX file, or where it lies: it is mapped from there.
            threads: For one batch; by default, as many as there are CPUs for this process.
            one_by_one: Whether to score one input at a time in any case, as is done where the model takes no more.

        Raises:
            BundleError: The model cannot be loaded, or its input or output is not what a bundle needs.
            PyriteError: `threads` is less than 1.
        """
        if threads is not None and threads < 1:
            raise PyriteError(f"threads must be at least 1, not {threads}.")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or available_cpus()
        options.inter_op_num_threads = 1
        # Threads that wait in a loop for more to score take the CPUs from those that decode the next images.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(
                model if isinstance(model, bytes) else str(model), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's errors share no other base.
            raise BundleError(f"The model cannot be loaded as ONNX: {error}") from error
        self._input, self.size, alone = _check_input(self._session.get_inputs())
        self._one_by_one = one_by_one or alone
        self._output = _check_output(self._session.get_outputs())

    def logits(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Score a batch.

        Args:
            batch: (n, height, width, 3), 0 to 255.

        Returns:
            (n,), finite; above 0 leans to AI.

        Raises:
            BundleError: The model fails, or gives something else.
        """
        if self._one_by_one and len(batch) > 1:
            return np.concatenate([self.logits(batch[i : i + 1]) for i in range(len(batch))])
        try:
            (output,) = self._session.run([self._output], {self._input: batch})
        except Exception as error:
            raise BundleError(f"The model failed on a batch of shape {batch.shape}: {error}") from error
        if output.size != len(batch):
            raise BundleError(f"The model gave {output.size} logits for {len(batch)} images.")
        if not np.isfinite(output).all():
            raise BundleError("The model gave a logit that is infinite or not a number.")
        logits: NDArray[np.float32] = output.reshape(-1)
        return logits


def _check_input(inputs: list[onnxruntime.NodeArg]) -> tuple[str, tuple[int | None, int | None], bool]:
    """Return the input's name, the height and width that it takes, and whether it takes a single image only."""
    if len(inputs) != 1:
        raise BundleError(f"The model must have one input, not {len(inputs)}.")
    (node,) = inputs
    shape = node.shape
    if (
        node.type != "tensor(uint8)"
        or len(shape) != 4
        or (isinstance(shape[0], int) and shape[0] != 1)
        or (isinstance(shape[3], int) and shape[3] != 3)
    ):
        raise BundleError(
            f"The model's input must be uint8 (N, height, width, 3) with any N, or 1, not {node.type} {shape}."
        )
    height, width = (side if isinstance(side, int) else None for side in shape[1:3])
    return node.name, (height, width), shape[0] == 1


def _check_output(outputs: list[onnxruntime.NodeArg]) -> str:
    if len(outputs) != 1:
        raise BundleError(f"The model must have one output, not {len(outputs)}.")
    (node,) = outputs
    shape = node.shape
    if (
        node.type != "tensor(float)"
        or len(shape) not in (1, 2)
        or (len(shape) == 2 and isinstance(shape[1], int) and shape[1] != 1)
    ):
        raise BundleError(f"The model's output must be float32 (N,) or (N, 1), not {node.type} {shape}.")
    name: str = node.name
    return name
