"""The bundle: a model with everything that is needed to run it and to know where it came from.

A bundle is a folder, or a zip of one, with these files and no others:

```
bundle.json      what `BundleInfo` describes, with the hash of each other file
model.onnx       uint8 (N, H, W, 3) in, one float32 logit per input out
model.onnx.data  its weights, where they lie outside of model.onnx (optional)
golden.json      small images with what the model must say of them
report.json      the held-out evaluation (optional)
recipe.toml      what trained the model (optional)
trained_on.bin   which images trained, chose or calibrated the model, as shortened hashes (optional)
spectra.json     the average power spectra of both classes' training images (optional)
card.md          what the model is for, and what it is not (optional)
```
"""

import difflib
import hashlib
import re
import shutil
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import msgspec

from pyrite.bundle.calibration import ALL, Calibration
from pyrite.bundle.preprocess import GEOMETRIES, Preprocess, Resize
from pyrite.decision import Policy, Scope
from pyrite.errors import BundleError
from pyrite.writing import whole_folder

FORMAT: Literal[2] = 2
MANIFEST = "bundle.json"
MODEL = "model.onnx"
WEIGHTS = "model.onnx.data"
REQUIRED = (MODEL, "golden.json")
OPTIONAL = (WEIGHTS, "report.json", "recipe.toml", "trained_on.bin", "spectra.json", "card.md")
DEFAULT = Path(__file__).parents[1] / "bundles" / "default"
"""The bundle that comes with Pyrite."""
MAX_BYTES = 4_000_000_000
"""What all files of a bundle may take together."""
LARGE = 64_000_000
"""Bytes of a model beyond which it stays on disk, and is mapped from there."""
_MAX_ZIP = 256_000_000  # bytes of a zip's files, which are unpacked into memory
_MAX_OTHERS = 64_000_000  # bytes of all files but the model, which are held in memory

Text = Annotated[str, msgspec.Meta(min_length=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Content = bytes | Path
"""What a file holds, or where that lies."""


class DataInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The data a model was trained, chosen and tested on, with the images in each split."""

    name: Text
    sha256: str
    fingerprint: str
    protocol: Literal["official", "pooled"]
    fractions: tuple[float, float, float]
    train: Count
    validation: Count
    test: Count


class TrainingInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a model was trained: enough to do it again."""

    recipe: Text
    recipe_sha256: str
    data: DataInfo
    seed: int
    command: str
    commit: str | None
    packages: dict[str, str]
    epochs: Count
    parity: float | None = None
    """The largest difference of a logit between the trained network and model.onnx, over validation images."""


class Quantization(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a float32 network was brought to int8, and what that cost on the validation images."""

    images: Count
    """Training images that the ranges of the activations are of."""
    float_accuracy: float
    int8_accuracy: float
    command: str


class ModelOrigin(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a model came from that was not trained here."""

    source: Text
    """Its address: a URL, a repository, a package, a file."""
    revision: str | None = None
    """The commit or version of it."""
    sha256: str
    """Of the original file, in hexadecimal."""
    authors: str | None = None
    paper: str | None = None
    allows: Literal["free", "non-commercial", "unclear"] = "unclear"
    """What its licence allows, in a word."""
    threshold: float | None = None
    """The logit above which its authors call an image AI."""


class BundleInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of bundle.json."""

    format: Literal[2] = FORMAT
    name: Text
    version: Text
    licence: Text
    files: dict[str, str] = {}
    """SHA-256 of each other file, in hexadecimal; `save_bundle` fills it in."""
    preprocess: Preprocess
    scope: Scope
    calibration: Calibration
    policy: Policy
    knows: tuple[Text, ...] = ()
    """The generators whose images trained the model, where that is known."""
    one_by_one: bool = False
    """Whether the model is given a single input at a time, since its answer depends on what else is in a batch."""
    training: TrainingInfo | None = None
    """Of a model that was trained here."""
    origin: ModelOrigin | None = None
    """Of a model that was not."""
    quantization: Quantization | None = None
    """Of a network that computes in int8."""


class _Calibration1(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    slope: float
    intercept: float
    real_logits: tuple[float, ...]
    ai_logits: tuple[float, ...]

    def __post_init__(self) -> None:
        self.grouped()  # What is wrong with the logits is wrong in either form.

    def grouped(self) -> Calibration:
        """Return what format 2 has of it."""
        return Calibration(
            slope=self.slope, intercept=self.intercept, real={ALL: self.real_logits}, ai={ALL: self.ai_logits}
        )


class _BundleInfo1(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of bundle.json in format 1, which had one geometry, and one group of either class."""

    format: Literal[1]
    name: Text
    version: Text
    licence: Text
    files: dict[str, str] = {}
    preprocess: Resize
    scope: Scope
    calibration: _Calibration1
    policy: Policy
    training: TrainingInfo | None = None
    quantization: Quantization | None = None


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle, verified if it came from `load_bundle` or `save_bundle`; a large model stays on disk."""

    info: BundleInfo
    files: Mapping[str, bytes] = field(repr=False)
    """The content of each file but bundle.json, and but the model's where that stays on disk."""
    path: Path | None = None

    @property
    def model(self) -> Content:
        """The model's content, or where it lies."""
        if MODEL in self.files:
            return self.files[MODEL]
        if self.path is None:
            raise BundleError(f"The bundle {self.info.name} has no file {MODEL!r}.")
        return self.path / MODEL

    @property
    def model_sha256(self) -> str:
        """The SHA-256 of model.onnx, in hexadecimal."""
        return self.info.files.get(MODEL) or _sha256(self.model)

    def read(self, name: str) -> bytes:
        """Return the content of one file.

        Raises:
            BundleError: The bundle has no such file, or it cannot be read any more.
        """
        if name in self.files:
            return self.files[name]
        if name not in self.info.files or self.path is None:
            raise BundleError(f"The bundle {self.info.name} has no file {name!r}.")
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise BundleError(f"{name} of the bundle {self.path} cannot be read: {error.strerror}.") from error


def load_bundle(path: str | Path) -> Bundle:
    """Read and verify a bundle from a folder, or from a zip of one.

    Raises:
        BundleError: The bundle is missing, damaged, too large or not understood.
    """
    path = Path(path)
    files: dict[str, Content]
    try:
        if path.is_dir():
            files = _read_folder(path)
        elif path.is_file() and zipfile.is_zipfile(path):
            files = dict(_read_zip(path))
        elif path.exists():
            raise BundleError(f"{path} is not a bundle: it is neither a folder nor a zip of one.")
        else:
            raise BundleError(f"There is no bundle at {path}.")
        manifest = files.pop(MANIFEST)
        assert isinstance(manifest, bytes)
        info = _parse(manifest, path)
        _verify(info, files, path)
    except (OSError, ValueError) as error:
        raise BundleError(f"The bundle {path} cannot be read: {error}") from error
    held = {name: content for name, content in files.items() if isinstance(content, bytes)}
    return Bundle(info, held, path.absolute())


def save_bundle(folder: str | Path, info: BundleInfo, files: Mapping[str, Content]) -> Bundle:
    """Write a bundle, all of it or nothing.

    Args:
        folder: Must not exist yet.
        info: Its `files` is replaced by the hashes of `files`.
        files: The content of every file but bundle.json, or where it lies.

    Raises:
        BundleError: The folder exists or cannot be written, or `load_bundle` would refuse the result.
    """
    folder = Path(folder)
    if folder.exists() or folder.is_symlink():
        raise BundleError(f"{folder} exists already. Name a new folder, or remove it first.")
    try:
        info = msgspec.structs.replace(info, files={name: _sha256(files[name]) for name in sorted(files)})
        manifest = msgspec.json.format(msgspec.json.encode(info)) + b"\n"
        _check_sizes({name: _size(content) for name, content in {MANIFEST: manifest, **files}.items()}, folder)
        _verify(_parse(manifest, folder), files, folder)
        with whole_folder(folder) as draft:
            for name, content in {MANIFEST: manifest, **files}.items():
                if isinstance(content, bytes):
                    (draft / name).write_bytes(content)
                else:
                    shutil.copyfile(content, draft / name)
        written = _read_folder(folder.absolute())
    except OSError as error:
        raise BundleError(f"The bundle cannot be written to {folder}: {error}") from error
    held = {name: content for name, content in written.items() if isinstance(content, bytes) and name != MANIFEST}
    return Bundle(info, held, folder.absolute())


def _read_folder(folder: Path) -> dict[str, Content]:
    entries = sorted(folder.iterdir())
    # A device or a pipe may never end, so only regular files are opened.
    sizes = {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
    _check_sizes(sizes, folder)
    for entry in entries:
        if not entry.is_file():
            raise BundleError(f"{folder} has {entry.name}, which is not a file of a bundle. Remove it.")
    return {
        entry.name: entry.absolute() if _stays_on_disk(entry.name, sizes) else entry.read_bytes() for entry in entries
    }


def _stays_on_disk(name: str, sizes: Mapping[str, int]) -> bool:
    """Say whether a file is left where it is: a large model, and one whose weights lie beside it."""
    return name in (MODEL, WEIGHTS) and (WEIGHTS in sizes or sizes[name] > LARGE)


def _read_zip(path: Path) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {}
            for entry in archive.infolist():
                if entry.is_dir():
                    continue
                place = PurePosixPath(entry.filename)
                if place.is_absolute() or ".." in place.parts or re.search(r"[\\:]", entry.filename):
                    raise BundleError(f"{path} has an unsafe file name: {entry.filename!r}.")
                if place in entries:
                    raise BundleError(f"{path} has two files named {entry.filename!r}.")
                entries[place] = entry
            if len({place.parent for place in entries}) > 1:
                raise BundleError(f"{path} is not a bundle: its files must all be in the same folder.")
            sizes = {place.name: entry.file_size for place, entry in entries.items()}
            _check_sizes(sizes, path)
            if sum(sizes.values()) > _MAX_ZIP or WEIGHTS in sizes:
                raise BundleError(
                    f"{path} is too large to be used as a zip, or has its weights in a file of their own. "
                    "Unpack it, and name the folder."
                )
            return {place.name: _read_entry(archive, entry) for place, entry in entries.items()}
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise BundleError(f"The zip {path} is damaged or of a kind that is not read here: {error}") from error


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    # Other methods unpack without a bound, whatever size the entry declares.
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise NotImplementedError(f"{entry.filename} is packed by a method other than deflate")
    with archive.open(entry) as stream:
        return stream.read(entry.file_size + 1)


def _check_sizes(sizes: Mapping[str, int], path: Path) -> None:
    if MANIFEST not in sizes:
        raise BundleError(f"{path} is not a bundle: it has no {MANIFEST}.")
    if sum(sizes.values()) > MAX_BYTES:
        raise BundleError(f"{path} is larger than the limit of {MAX_BYTES:,} bytes for a bundle.")
    if sum(size for name, size in sizes.items() if name not in (MODEL, WEIGHTS)) > _MAX_OTHERS:
        raise BundleError(f"{path} has more than {_MAX_OTHERS:,} bytes beside its model, the limit for a bundle.")


class _Versioned(msgspec.Struct):
    format: int


def _parse(manifest: bytes, path: Path) -> BundleInfo:
    try:
        found = msgspec.json.decode(manifest, type=_Versioned).format
        if found == 1:
            return _from_format_1(msgspec.json.decode(manifest, type=_BundleInfo1))
        if found != FORMAT:
            raise BundleError(
                f"{path} has bundle format {found}, and this Pyrite reads formats 1 to {FORMAT}. "
                "Use another version of Pyrite, or export the bundle again."
            )
        return msgspec.json.decode(manifest, type=BundleInfo)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        unknown = re.search(r"unknown field `(.*?)`", str(error))
        hint = _suggest(unknown[1], _KEYS) if unknown else ""
        raise BundleError(f"{MANIFEST} in {path} is not valid: {error}.{hint}") from error


def _from_format_1(old: _BundleInfo1) -> BundleInfo:
    same = {name: getattr(old, name) for name in old.__struct_fields__ if name not in ("format", "calibration")}
    return BundleInfo(**same, calibration=old.calibration.grouped())


def _verify(info: BundleInfo, files: Mapping[str, Content], path: Path) -> None:
    known = (*REQUIRED, *OPTIONAL)
    for name in info.files:
        if name not in known:
            raise BundleError(f"{path} lists {name!r}, which no bundle has.{_suggest(name, known)}")
    for name in REQUIRED:
        if name not in info.files:
            raise BundleError(f"{path} lists no {name}, which every bundle needs.")
    for name in files:
        if name not in info.files:
            raise BundleError(f"{path} has {name}, which its {MANIFEST} does not list. Remove it.")
    for name, sha256 in info.files.items():
        if name not in files:
            raise BundleError(f"{path} has no {name}, which its {MANIFEST} lists. Fetch the bundle again.")
        if _sha256(files[name]) != sha256:
            raise BundleError(f"{name} in {path} is not what was saved: its SHA-256 differs. Fetch the bundle again.")


def _sha256(content: Content) -> str:
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with content.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _suggest(name: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


_STRUCTS = (BundleInfo, *GEOMETRIES, Scope, Calibration, Policy, TrainingInfo, DataInfo, Quantization, ModelOrigin)
_KEYS = tuple(key for struct in _STRUCTS for key in struct.__struct_fields__)
