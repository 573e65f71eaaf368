"""Running a model: the only place that knows ONNX Runtime."""

import math
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from pyrite.errors import BundleError, PyriteError

# On Windows, and where it was imported before `pyrite`, whose environment variable then came too late.
onnxruntime.disable_telemetry_events()

DEVICES: Mapping[str, tuple[str, str]] = {
    "cpu": ("CPUExecutionProvider", "onnxruntime"),
    "cuda": ("CUDAExecutionProvider", "onnxruntime-gpu"),
    "tensorrt": ("TensorrtExecutionProvider", "onnxruntime-gpu"),
    "coreml": ("CoreMLExecutionProvider", "onnxruntime (on macOS)"),
    "directml": ("DmlExecutionProvider", "onnxruntime-directml"),
    "openvino": ("OpenVINOExecutionProvider", "onnxruntime-openvino"),
}
"""ONNX Runtime's provider for each device, and the package that brings it."""
AUTO = "auto"
"""The first of `cuda` and `directml` that works here, else `cpu`; others take long to start, or are less exact."""
_AUTOMATIC = ("cuda", "directml", "cpu")
FEATURES = "features"
"""The output with what a model's last layer sees of each input."""


def available_cpus() -> int:
    """Return how many CPUs this process may use: those it may run on, or as many as its cgroup's quota amounts to."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return count if quota is None else max(1, min(count, math.ceil(quota)))


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Return how many CPUs' time the control groups of this process grant it, or `None` without a limit.

    Each group above its own may limit it as well. A container may see its own group as the root of all. See
    https://docs.kernel.org/admin-guide/cgroup-v2.html (`cpu.max`) and
    https://docs.kernel.org/scheduler/sched-bwc.html (version 1).

    Args:
        root: Where `proc` and `sys` are.
    """
    limits = [_quota_of(folder) for folder in _control_groups(root, "cpu")]
    return min((limit for limit in limits if limit is not None), default=None)


def available_memory(root: Path = Path("/")) -> int | None:
    """Return how many bytes of memory this process can still have without swapping; `None` where that cannot be told.

    That is what the system has, or what the control groups of this process leave of their limits: see
    https://docs.kernel.org/admin-guide/cgroup-v2.html (`memory.max`) and
    https://docs.kernel.org/admin-guide/cgroup-v1/memory.html (version 1).

    Args:
        root: Where `proc` and `sys` are.
    """
    found: list[int] = []
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        found += [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    except (OSError, ValueError, IndexError):
        pass
    found += [left for folder in _control_groups(root, "memory") if (left := _memory_left_of(folder)) is not None]
    return min(found, default=None)


def _memory_left_of(folder: Path) -> int | None:
    """Return what one control group, of either version, leaves of its limit; files that are kept in memory may go."""
    names = ("memory.max", "memory.current", "inactive_file")
    if not (folder / names[0]).exists():
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    try:
        limit, used = (int((folder / name).read_text()) for name in names[:2])
        rows = (line.split() for line in (folder / "memory.stat").read_text().splitlines())
        kept = next((int(value) for name, value in rows if name == names[2]), 0)
    except (OSError, ValueError):  # There is none, or it is `max`.
        return None
    return max(0, limit - used + kept)


def _control_groups(root: Path, controller: str) -> list[Path]:
    """Return the folders of the control groups that limit this process, its own and those above, of either version."""
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    folders: list[Path] = []
    for line in groups:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / controllers
        group = mount / path.lstrip("/")
        folders += [folder for folder in (group, *group.parents) if folder.is_relative_to(mount)]
    return folders


def _quota_of(folder: Path) -> float | None:
    """Return the limit of one control group, of either version."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return float(quota) / float(period) if float(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):  # There is none, or it is `max`.
        return None


class Session:
    """A model that is ready to score; safe to share between threads."""

    size: tuple[int | None, int | None]
    """Height and width that the model takes; `None` where it takes any."""
    device: str
    """What it runs on, one of `DEVICES`."""
    has_features: bool
    """Whether the model gives what its last layer sees, in an output named `features`."""

    def __init__(
        self, model: bytes | Path, threads: int | None = None, *, one_by_one: bool = False, device: str = "cpu"
    ) -> None:
        """Load a model.

        Args:
            model: The content of an ONNX file, or where it lies: it is mapped from there.
            threads: For one batch; by default, as many as there are CPUs for this process.
            one_by_one: Whether to score one input at a time in any case, as is done where the model takes no more.
            device: One of `DEVICES`, or `AUTO`.

        Raises:
            BundleError: The model cannot be loaded, or its input or output is not what a bundle needs.
            PyriteError: `threads` is less than 1, or the device is not available.
        """
        if threads is not None and threads < 1:
            raise PyriteError(f"threads must be at least 1, not {threads}.")
        options = _options(threads or available_cpus())
        self.device, self._session = _open(model if isinstance(model, bytes) else str(model), options, device)
        self._input, self.size, alone = _check_input(self._session.get_inputs())
        self._one_by_one = one_by_one or alone
        self._output, self._width = _check_outputs(self._session.get_outputs())
        self.has_features = self._width is not None

    def logits(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Score a batch.

        Args:
            batch: (n, height, width, 3), 0 to 255.

        Returns:
            (n,), finite; above 0 leans to AI.

        Raises:
            BundleError: The model fails, or gives something else.
        """
        return self._run(batch, [self._output])[0].reshape(-1)

    def score(self, batch: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Score a batch; return the logits (n,) with the features (n, d), where the model gives them.

        Args:
            batch: (n, height, width, 3), 0 to 255.

        Raises:
            BundleError: The model fails, or gives something else.
        """
        if not self.has_features:
            return self.logits(batch), None
        logits, features = self._run(batch, [self._output, FEATURES])
        return logits.reshape(-1), features

    def _run(self, batch: NDArray[np.uint8], names: list[str]) -> list[NDArray[np.float32]]:
        """Return the outputs of these names, of which the first is the logits."""
        if self._one_by_one and len(batch) > 1:
            alone = [self._run(batch[i : i + 1], names) for i in range(len(batch))]
            return [np.concatenate(each) for each in zip(*alone, strict=True)]
        if not len(batch):
            return [np.empty(0, np.float32), np.empty((0, self._width or 0), np.float32)][: len(names)]
        try:
            outputs: list[NDArray[np.float32]] = self._session.run(names, {self._input: batch})
        except Exception as error:
            raise BundleError(f"The model failed on a batch of shape {batch.shape}: {error}") from error
        if outputs[0].size != len(batch):
            raise BundleError(f"The model gave {outputs[0].size} logits for {len(batch)} images.")
        if not all(np.isfinite(output).all() for output in outputs):
            raise BundleError("The model gave a value that is infinite or not a number.")
        return outputs


class Network:
    """A network that is no bundle's: of one float32 input and output. It may be shared between threads."""

    shapes: tuple[tuple[int | None, ...], tuple[int | None, ...]]
    """Of its input and its output; `None` for a side that may have any length."""
    metadata: Mapping[str, str]
    """What the file says of itself beside the network."""

    def __init__(self, model: bytes, threads: int = 1) -> None:
        """Load a network onto the CPU.

        Args:
            model: The content of an ONNX file.
            threads: One, for a network that is run where images are read, since others are read beside it.

        Raises:
            BundleError: It cannot be loaded.
            PyriteError: It has other inputs or outputs.
        """
        _, self._session = _open(model, _options(threads), "cpu")
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if [node.type for node in (*inputs, *outputs)] != ["tensor(float)"] * 2:
            raise PyriteError("The network must have one float32 input and one float32 output.")
        self._input, self._output = inputs[0].name, outputs[0].name
        taken, given = (
            tuple(side if isinstance(side, int) else None for side in node.shape) for node in (inputs[0], outputs[0])
        )
        self.shapes = taken, given
        self.metadata = self._session.get_modelmeta().custom_metadata_map

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what the network makes of a batch, of the shape that it takes.

        Raises:
            PyriteError: It fails.
        """
        try:
            (output,) = self._session.run([self._output], {self._input: batch})
        except Exception as error:
            raise PyriteError(f"The network failed on an input of shape {batch.shape}: {error}") from error
        made: NDArray[np.float32] = output
        return made


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that wait in a loop for more to score take the CPUs from those that decode the next images.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    return options


def _open(
    model: bytes | str, options: onnxruntime.SessionOptions, device: str
) -> tuple[str, onnxruntime.InferenceSession]:
    """Return a session on a device, and which that is."""
    if device not in (AUTO, *DEVICES):
        raise PyriteError(f"There is no device {device!r}. There are {', '.join((AUTO, *DEVICES))}.")
    here = onnxruntime.get_available_providers()
    for name in _AUTOMATIC if device == AUTO else (device,):
        provider, package = DEVICES[name]
        if provider not in here:
            if device == AUTO:
                continue
            raise PyriteError(
                f"This ONNX Runtime cannot use {name}. Install {package} in place of onnxruntime; "
                "only one package of that kind can be installed at a time."
            )
        try:
            session = onnxruntime.InferenceSession(model, options, providers=[provider])
        except Exception as error:  # ONNX Runtime's errors share no other base.
            if device == AUTO and name != "cpu":
                continue
            raise BundleError(f"The model cannot be loaded as ONNX: {error}") from error
        # Where a driver is missing, ONNX Runtime takes the CPU without a word.
        if provider in session.get_providers():
            return name, session
        if device != AUTO:
            raise PyriteError(f"ONNX Runtime has support for {name}, and cannot start it: is its driver installed?")
    raise AssertionError("ONNX Runtime without a CPU")


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


def _check_outputs(outputs: list[onnxruntime.NodeArg]) -> tuple[str, int | None]:
    """Return the logit's name, and how many features there are, where the model gives them."""
    others = [node for node in outputs if node.name != FEATURES]
    if len(others) != 1:
        raise BundleError(f"The model must have one output beside its features, not {len(others)}.")
    (node,) = others
    shape = node.shape
    if (
        node.type != "tensor(float)"
        or len(shape) not in (1, 2)
        or (len(shape) == 2 and isinstance(shape[1], int) and shape[1] != 1)
    ):
        raise BundleError(f"The model's output must be float32 (N,) or (N, 1), not {node.type} {shape}.")
    name: str = node.name
    features = next((node for node in outputs if node.name == FEATURES), None)
    if features is None:
        return name, None
    if features.type != "tensor(float)" or len(features.shape) != 2 or not isinstance(features.shape[1], int):
        raise BundleError(f"The model's features must be float32 (N, d), not {features.type} {features.shape}.")
    return name, features.shape[1]
