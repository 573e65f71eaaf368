"""Conversion through PyTorch, in a process of its own: it and TensorFlow end each other in one.

The process is this module, run as a program. It reads a `Conversion` from standard input, and writes an `Answer` to
standard output.
"""

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyrite.converting.architecture import Architecture, read_config
from pyrite.errors import ExportError, in_one_line
from pyrite.graph import LARGE

_OPSET = 18


class Conversion(msgspec.Struct, frozen=True, kw_only=True):
    """What to convert."""

    weights: str
    path: str
    library: str
    name: str
    images: bytes
    """float32 (n, 3, height, width)."""
    shape: tuple[int, ...]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    error: str | None = None
    outputs: list[list[float]] = []
    """Of the network, (n, classes)."""


def convert_by_pytorch(
    weights: Path, path: Path, network: Architecture, images: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Write a network to an ONNX file, and return what it gives for images.

    Args:
        weights: A safetensors file, with config.json beside it where the network is of transformers.
        path: The ONNX file.
        network: What the weights are of.
        images: (n, 3, height, width), normalised.

    Returns:
        (n, classes).

    Raises:
        ExportError: The weights do not fit the network, or PyTorch cannot export it.
    """
    task = Conversion(
        weights=str(weights.absolute()), path=str(path.absolute()), library=network.library, name=network.name,
        images=images.tobytes(), shape=images.shape,
    )  # fmt: skip
    command = [sys.executable, "-m", "pyrite.converting.pytorch"]
    done = subprocess.run(command, input=msgspec.msgpack.encode(task), capture_output=True)
    try:
        answer = msgspec.msgpack.decode(done.stdout, type=Answer)
    except msgspec.DecodeError as error:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise ExportError(
            f"PyTorch ended over {network.name} (exit code {done.returncode}): {' '.join(last)[:300]}"
        ) from error
    if answer.error:
        raise ExportError(answer.error)
    return np.array(answer.outputs, np.float32)


def run(task: Conversion) -> Answer:
    """Carry out a task."""
    import torch

    images = torch.from_numpy(np.frombuffer(task.images, np.float32).reshape(task.shape).copy())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Theirs of each other; none is a user's to mend.
        try:
            module = (_of_transformers if task.library == "transformers" else _of_timm)(Path(task.weights), task.name)
        except ExportError as error:
            return Answer(error=str(error))
        try:
            torch.onnx.export(
                module,
                (images[:2],),
                task.path,
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("N")},),
                external_data=sum(parameter.nbytes for parameter in module.parameters()) > LARGE,
                input_names=["image"],
                opset_version=_OPSET,
                output_names=["classes"],
                verbose=False,
            )
        except Exception as error:  # PyTorch's own, of several kinds.
            return Answer(error=f"PyTorch cannot export {task.name} to ONNX: {in_one_line(error, 300)}")
    with torch.no_grad():
        return Answer(outputs=module(images).tolist())


def _of_transformers(weights: Path, name: str) -> Any:
    """Return a `torch.nn.Module` from images to logits."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        model, told = transformers.AutoModelForImageClassification.from_pretrained(
            weights.parent,
            attn_implementation="eager",  # Others cannot be exported for any number of images.
            dtype=torch.float32,
            local_files_only=True,
            output_loading_info=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
    except Exception as error:  # Its own, of several kinds.
        raise ExportError(f"transformers cannot load {name} from {weights.name}: {in_one_line(error, 300)}") from error
    if lacking := sorted(map(str, [*told["missing_keys"], *told["mismatched_keys"]])):
        raise ExportError(f"{weights.name} lacks {len(lacking)} weights of the network, {lacking[0]} among them.")

    class Logits(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, images: Any) -> Any:
            return self.model(pixel_values=images).logits

    return Logits().eval()


def _of_timm(weights: Path, name: str) -> Any:
    """Return a `torch.nn.Module` from images to logits."""
    import timm
    from safetensors.torch import load_file

    if not timm.is_model(name):
        raise ExportError(f"timm has no network {name}.")
    stored = {key: value.float() for key, value in load_file(weights).items()}
    last = f"{timm.get_pretrained_cfg(name).classifier}.weight"
    found = next((key for key in stored if key.endswith(last)), None)
    if found is None:
        raise ExportError(f"{weights.name} has no {last}, which {name} ends with.")
    said = read_config(weights).get("model_args") or {}
    try:
        module = timm.create_model(name, pretrained=False, **{**said, "num_classes": len(stored[found])})
        # Authors who keep the network in a field of a class of theirs have the field's name before each weight's.
        before = found.removesuffix(last)
        module.load_state_dict({key.removeprefix(before): value for key, value in stored.items()})
    except (RuntimeError, TypeError, ValueError) as error:
        raise ExportError(
            f"The weights in {weights.name} do not fit timm's {name}: {in_one_line(error, 300)}"
        ) from error
    return module.eval()


if __name__ == "__main__":
    task = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Conversion)
    answers, sys.stdout = sys.stdout.buffer, sys.stderr  # What libraries print is no answer.
    answers.write(msgspec.msgpack.encode(run(task)))
