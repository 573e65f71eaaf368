"""Golden images: what a bundle said of a few of them where it was made, to be replayed anywhere."""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from PIL import Image as PillowImage

from pyrite.bundle import Bundle, BundleInfo
from pyrite.bundle.preprocess import Pixels
from pyrite.detector import Detector, Prepared, Reader
from pyrite.errors import BundleError, ExportError
from pyrite.results import Verdict


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
    max_difference: float
    """The largest difference of a logit; relative to logits beyond 1."""
    changed_inputs: tuple[int, ...]
    """Which vectors reach the model as other bytes than before."""
    changed_verdicts: tuple[int, ...]
    """Which vectors get another verdict than before."""

    @property
    def passed(self) -> bool:
        """Whether nothing changed but logits, and those by no more than 0.001."""
        return self.max_difference <= 1e-3 and not self.changed_inputs and not self.changed_verdicts


def make_golden(info: BundleInfo, model: bytes, images: Sequence[Pixels]) -> bytes:
    """Return the content of golden.json: what this model says of these images.

    Args:
        info: The rest of the bundle.
        model: The content of model.onnx.
        images: 8 to 16 of (height, width, 3), 0 to 255; small ones keep the bundle small.

    Raises:
        BundleError: The model cannot be used.
        ExportError: There are too few or too many images, or one cannot be judged.
    """
    if not 8 <= len(images) <= 16:
        raise ExportError(f"golden.json needs 8 to 16 images, not {len(images)}.")
    detector = Detector(Bundle(info, {"model.onnx": model}))
    pngs = [_to_png(image) for image in images]
    vectors = []
    for png, found in zip(pngs, detector.detect_many(pngs), strict=True):
        if found.logit is None:
            raise ExportError(f"An image for golden.json cannot be judged: {found.error}")
        vectors.append(
            _Vector(
                png=png,
                sha256=_input_sha256(detector.reader, png),
                logit=found.logit,
                probability=found.probability,
                verdict=found.verdict,
            )
        )
    return msgspec.json.format(msgspec.json.encode(_Golden(vectors=tuple(vectors)))) + b"\n"


def replay_golden(bundle: Bundle) -> GoldenCheck:
    """Judge a bundle's golden images again, and compare.

    Raises:
        BundleError: The bundle cannot be used, or its golden.json is not valid.
    """
    vectors, detector = _read(bundle), Detector(bundle)
    found = list(detector.detect_many(vector.png for vector in vectors))
    differences, changed_inputs, changed_verdicts = [], [], []
    for i, (now, then) in enumerate(zip(found, vectors, strict=True)):
        if now.logit is None:
            raise BundleError(f"Image {i} of golden.json in the bundle {bundle.info.name} cannot be read.")
        differences.append(abs(now.logit - then.logit) / max(1, abs(then.logit)))
        if _input_sha256(detector.reader, then.png) != then.sha256:
            changed_inputs.append(i)
        if now.verdict != then.verdict:
            changed_verdicts.append(i)
    return GoldenCheck(
        vectors=len(vectors),
        max_difference=max(differences),
        changed_inputs=tuple(changed_inputs),
        changed_verdicts=tuple(changed_verdicts),
    )


def write_golden(bundle: Bundle, folder: Path) -> tuple[Path, ...]:
    """Write a bundle's golden images to a new folder, each named by its number and verdict, and return their paths.

    Raises:
        BundleError: The bundle's golden.json is not valid, or the folder is there or cannot be written.
    """
    vectors = _read(bundle)
    paths = tuple(folder / f"{i}-{vector.verdict}.png" for i, vector in enumerate(vectors))
    try:
        folder.mkdir(parents=True)
        for path, vector in zip(paths, vectors, strict=True):
            path.write_bytes(vector.png)
    except OSError as error:
        raise BundleError(f"{folder} cannot be written: {error.strerror}.") from error
    return paths


def _read(bundle: Bundle) -> tuple[_Vector, ...]:
    try:
        return msgspec.json.decode(bundle.read("golden.json"), type=_Golden).vectors
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"golden.json in the bundle {bundle.info.name} is not valid: {error}.") from error


def _to_png(pixels: Pixels) -> bytes:
    stream = io.BytesIO()
    PillowImage.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def _input_sha256(reader: Reader, png: bytes) -> str:
    found = reader.read(png)
    inputs = found.inputs[0] if isinstance(found, Prepared) else None
    return hashlib.sha256(b"" if inputs is None else inputs.tobytes()).hexdigest()
