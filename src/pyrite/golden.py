"""Golden images: what a bundle said of a few of them where it was made, to be replayed anywhere."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from pyrite.bundle import Bundle, BundleInfo, refuse_existing
from pyrite.bundle.preprocess import Pixels
from pyrite.detector import Detector, Reader, Unreadable
from pyrite.errors import BundleError, ExportError
from pyrite.results import Verdict
from pyrite.writing import indented_json

TOLERANCE = 1e-3
"""Of a logit, for rounding; relative to logits beyond 1."""
DEVICE_TOLERANCE = 0.05
"""The same on another device than the CPU, which may compute in other precisions."""


class _Vector(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    png: bytes
    sha256: str
    logit: float
    probability: float | None = None
    verdict: Verdict


class _Golden(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    vectors: Annotated[tuple[_Vector, ...], msgspec.Meta(min_length=8, max_length=16)]


@dataclass(frozen=True, slots=True)
class GoldenCheck:
    """How a bundle does here against what was recorded when it was made."""

    vectors: int
    device: str
    """What the model ran on: one of `runtime.DEVICES`."""
    max_difference: float
    """The largest difference of a logit; relative to logits beyond 1."""
    changed_inputs: tuple[int, ...]
    """Which vectors reach the model as other bytes than before."""
    changed_verdicts: tuple[int, ...]
    """Which vectors get another verdict than before."""
    batch_difference: float
    """The largest difference that it makes to a logit what else is in a batch; as `max_difference`."""
    one_by_one: bool
    """Whether the bundle says that its model is given a single input at a time."""

    @property
    def depends_on_batch(self) -> bool:
        """Whether the model's answer depends on what else is in a batch, by more than rounding."""
        return self.batch_difference > TOLERANCE

    @property
    def passed(self) -> bool:
        """Whether nothing changed but logits, and those within the tolerance, also by what else is in a batch."""
        tolerance = TOLERANCE if self.device == "cpu" else DEVICE_TOLERANCE
        alike = self.max_difference <= tolerance and (self.one_by_one or not self.depends_on_batch)
        return alike and not self.changed_inputs and not self.changed_verdicts


def settle_batching(bundle: Bundle, images: Sequence[Pixels]) -> BundleInfo:
    """Return what bundle.json says with `one_by_one` set, where the model's answer depends on what else is in a batch.

    So it does where a model quantises activations by the range that they have in each batch, for one.

    Args:
        bundle: It need not be calibrated.
        images: As for `make_golden`.

    Raises:
        BundleError: The model cannot be used.
        ExportError: An image cannot be judged.
    """
    info = bundle.info
    detector = Detector(bundle, evidence=False)
    difference = _batch_difference(detector, [_inputs(detector.reader, image) for image in images])
    return msgspec.structs.replace(info, one_by_one=info.one_by_one or difference > TOLERANCE)


def _batch_difference(detector: Detector, inputs: Sequence[Pixels]) -> float:
    """Return the largest difference of a logit between inputs scored alone, three at a time, and all at once.

    Args:
        detector: One that scores in batches.
        inputs: Of each image (k, height, width, 3).
    """
    together = np.concatenate(inputs)

    def logits(size: int) -> NDArray[np.float32]:
        return np.concatenate([detector.logits(together[i : i + size]) for i in range(0, len(together), size)])

    alone = logits(1)
    differences = [np.abs(logits(size) - alone) / np.maximum(1, np.abs(alone)) for size in (3, len(together))]
    return float(np.max(differences))


def make_golden(
    info: BundleInfo, model: bytes, images: Sequence[Pixels], files: Mapping[str, bytes] = MappingProxyType({})
) -> bytes:
    """Return the content of golden.json: what this model says of these images.

    Args:
        info: The rest of the bundle.
        model: The content of model.onnx.
        images: 8 to 16 of (height, width, 3), 0 to 255; small ones keep the bundle small.
        files: Others of the bundle that its verdicts depend on.

    Raises:
        BundleError: The model cannot be used.
        ExportError: There are too few or too many images, or one cannot be judged.
    """
    return record_golden(Bundle(info, {**files, "model.onnx": model}), images)


def record_golden(bundle: Bundle, images: Sequence[Pixels]) -> bytes:
    """Return the content of golden.json: what a bundle says of these images; see `make_golden`."""
    if not 8 <= len(images) <= 16:
        raise ExportError(f"golden.json needs 8 to 16 images, not {len(images)}.")
    detector = Detector(bundle)
    pngs = [_to_png(image) for image in images]
    vectors = []
    for png, found in zip(pngs, detector.detect_many(pngs), strict=True):
        if found.logit is None:
            raise ExportError(f"An image for golden.json cannot be judged: {found.error}")
        vectors.append(
            _Vector(
                png=png,
                sha256=_sha256(_inputs(detector.reader, png)),
                logit=found.logit,
                probability=found.probability,
                verdict=found.verdict,
            )
        )
    return indented_json(_Golden(vectors=tuple(vectors)))


def check_device(detector: Detector) -> None:
    """Judge the golden images of a detector's bundles on its device, unless that is the CPU.

    Raises:
        BundleError: A bundle does not say there what it said where it was made.
    """
    for bundle in detector.bundles if detector.device != "cpu" else ():
        check = replay_golden(bundle, detector.device)
        if not check.passed:
            raise BundleError(
                f"On {check.device}, {bundle.info.name} gives other results than where it was made. A logit differs "
                f"by {check.max_difference:.2g}, and {len(check.changed_verdicts)} of {check.vectors} verdicts. "
                "Use --device cpu."
            )


def replay_golden(bundle: Bundle, device: str = "cpu") -> GoldenCheck:
    """Judge a bundle's golden images again, and compare.

    Args:
        bundle: The bundle.
        device: What to run it on: `auto`, or one of `runtime.DEVICES`.

    Raises:
        BundleError: The bundle cannot be used, or its golden.json is not valid.
        PyriteError: The device is not available.
    """
    vectors, detector = _read(bundle), Detector(bundle, device=device)
    found = list(detector.detect_many(vector.png for vector in vectors))
    # What is run one by one is scored in batches here all the same, to tell whether it needs to be.
    alike = msgspec.structs.replace(bundle.info, one_by_one=False)
    batched = (
        Detector(replace(bundle, info=alike), evidence=False, device=device) if bundle.info.one_by_one else detector
    )
    differences, inputs, changed_inputs, changed_verdicts = [], [], [], []
    for i, (now, then) in enumerate(zip(found, vectors, strict=True)):
        if now.logit is None:
            raise BundleError(f"Image {i} of golden.json in the bundle {bundle.info.name} cannot be read.")
        differences.append(abs(now.logit - then.logit) / max(1, abs(then.logit)))
        inputs.append(_inputs(detector.reader, then.png))
        if _sha256(inputs[i]) != then.sha256:
            changed_inputs.append(i)
        if now.verdict != then.verdict:
            changed_verdicts.append(i)
    return GoldenCheck(
        vectors=len(vectors),
        device=detector.device,
        max_difference=max(differences),
        changed_inputs=tuple(changed_inputs),
        changed_verdicts=tuple(changed_verdicts),
        batch_difference=_batch_difference(batched, inputs),
        one_by_one=bundle.info.one_by_one,
    )


def golden_images(bundle: Bundle, side: int | None = None) -> list[Pixels]:
    """Return a bundle's golden images, (height, width, 3), 0 to 255: images at hand where no others are.

    Args:
        bundle: The bundle.
        side: What to resize each to, pixels a side; by default, they stay as they are.

    Raises:
        BundleError: The bundle's golden.json is not valid.
    """
    images = (PillowImage.open(io.BytesIO(vector.png)).convert("RGB") for vector in _read(bundle))
    sized = (image if side is None else image.resize((side, side), PillowImage.Resampling.BICUBIC) for image in images)
    return [np.asarray(image) for image in sized]


def write_golden(bundle: Bundle, folder: Path) -> tuple[Path, ...]:
    """Write a bundle's golden images to a new folder, each named by its number and verdict, and return their paths.

    Raises:
        BundleError: The bundle's golden.json is not valid, or the folder is there or cannot be written.
    """
    files = golden_files(bundle)
    refuse_existing(folder)
    try:
        folder.mkdir(parents=True)
        for name, png in files.items():
            (folder / name).write_bytes(png)
    except OSError as error:
        raise BundleError(f"{folder} cannot be written: {error.strerror}.") from error
    return tuple(folder / name for name in files)


def golden_files(bundle: Bundle) -> dict[str, bytes]:
    """Return a bundle's golden images as PNG, each by a name of its number and verdict.

    Raises:
        BundleError: The bundle's golden.json is not valid.
    """
    return {f"{i}-{vector.verdict}.png": vector.png for i, vector in enumerate(_read(bundle))}


def _read(bundle: Bundle) -> tuple[_Vector, ...]:
    try:
        return msgspec.json.decode(bundle.read("golden.json"), type=_Golden).vectors
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"golden.json in the bundle {bundle.info.name} is not valid: {error}.") from error


def _to_png(pixels: Pixels) -> bytes:
    stream = io.BytesIO()
    PillowImage.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def _inputs(reader: Reader, image: Pixels | bytes) -> Pixels:
    """Return the model inputs of an image."""
    found = reader.read(image)
    if isinstance(found, Unreadable) or found.inputs[0] is None:
        why = found.error.message if isinstance(found, Unreadable) else "It is out of scope."
        raise ExportError(f"An image for golden.json cannot be judged: {why}")
    return found.inputs[0]


def _sha256(inputs: Pixels) -> str:
    return hashlib.sha256(inputs.tobytes()).hexdigest()
