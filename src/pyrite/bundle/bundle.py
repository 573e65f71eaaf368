"""The bundle: a model with everything that is needed to run it and to know where it came from.

A bundle is a folder, or a zip of one, with these files and no others:

```
bundle.json    what `BundleInfo` describes, with the hash of each other file
model.onnx     uint8 (N, H, W, 3) in, one float32 logit per image out
golden.json    small images with what the model must say of them
report.json    the held-out evaluation (optional)
recipe.toml    what trained the model (optional)
trained_on.bin which images trained or chose the model, as shortened hashes (optional)
spectra.json   the average power spectra of both classes' training images (optional)
card.md        what the model is for, and what it is not (optional)
```
"""

import difflib
import hashlib
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import msgspec

from pyrite.bundle.calibration import Calibration
from pyrite.bundle.preprocess import Preprocess
from pyrite.decision import Policy, Scope
from pyrite.errors import BundleError
from pyrite.writing import whole_folder

FORMAT = 1
MANIFEST = "bundle.json"
REQUIRED = ("model.onnx", "golden.json")
OPTIONAL = ("report.json", "recipe.toml", "trained_on.bin", "spectra.json", "card.md")
DEFAULT = Path(__file__).parents[1] / "bundles" / "default"
"""The bundle that comes with Pyrite."""
MAX_BYTES = 256_000_000
"""What all files of a bundle may take together, unpacked."""

Text = Annotated[str, msgspec.Meta(min_length=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]


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


class BundleInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of bundle.json."""

    format: int = FORMAT
    name: Text
    version: Text
    licence: Text
    files: dict[str, str] = {}
    """SHA-256 of each other file, in hexadecimal; `save_bundle` fills it in."""
    preprocess: Preprocess
    scope: Scope
    calibration: Calibration
    policy: Policy
    training: TrainingInfo | None = None
    quantization: Quantization | None = None
    """Of a network that computes in int8."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle in memory, verified if it came from `load_bundle` or `save_bundle`."""

    info: BundleInfo
    files: Mapping[str, bytes] = field(repr=False)
    """The content of each file but bundle.json."""
    path: Path | None = None

    def read(self, name: str) -> bytes:
        """Return the content of one file.

        Raises:
            BundleError: The bundle has no such file.
        """
        try:
            return self.files[name]
        except KeyError:
            raise BundleError(f"The bundle {self.info.name} has no file {name!r}.") from None


def load_bundle(path: str | Path) -> Bundle:
    """Read and verify a bundle from a folder, or from a zip of one.

    Raises:
        BundleError: The bundle is missing, damaged, too large or not understood.
    """
    path = Path(path)
    try:
        if path.is_dir():
            files = _read_folder(path)
        elif path.is_file() and zipfile.is_zipfile(path):
            files = _read_zip(path)
        elif path.exists():
            raise BundleError(f"{path} is not a bundle: it is neither a folder nor a zip of one.")
        else:
            raise BundleError(f"There is no bundle at {path}.")
    except (OSError, ValueError) as error:
        raise BundleError(f"The bundle {path} cannot be read: {error}") from error
    info = _parse(files.pop(MANIFEST), path)
    _verify(info, files, path)
    return Bundle(info, files, path)


def save_bundle(folder: str | Path, info: BundleInfo, files: Mapping[str, bytes]) -> Bundle:
    """Write a bundle, all of it or nothing.

    Args:
        folder: Must not exist yet.
        info: Its `files` is replaced by the hashes of `files`.
        files: The content of every file but bundle.json.

    Raises:
        BundleError: The folder exists or cannot be written, or `load_bundle` would refuse the result.
    """
    folder = Path(folder)
    if folder.exists() or folder.is_symlink():
        raise BundleError(f"{folder} exists already. Name a new folder, or remove it first.")
    info = msgspec.structs.replace(
        info, files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    )
    manifest = msgspec.json.format(msgspec.json.encode(info)) + b"\n"
    _verify(_parse(manifest, folder), files, folder)
    try:
        with whole_folder(folder) as draft:
            for name, content in {MANIFEST: manifest, **files}.items():
                (draft / name).write_bytes(content)
    except OSError as error:
        raise BundleError(f"The bundle cannot be written to {folder}: {error}") from error
    return Bundle(info, dict(files), folder)


def _read_folder(folder: Path) -> dict[str, bytes]:
    entries = sorted(folder.iterdir())
    # A device or a pipe may never end, so only regular files are opened.
    _check_listing({entry.name: entry.stat().st_size for entry in entries if entry.is_file()}, folder)
    for entry in entries:
        if not entry.is_file():
            raise BundleError(f"{folder} has {entry.name}, which is not a file of a bundle. Remove it.")
    return {entry.name: entry.read_bytes() for entry in entries}


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
            _check_listing({place.name: entry.file_size for place, entry in entries.items()}, path)
            return {place.name: _read_entry(archive, entry) for place, entry in entries.items()}
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise BundleError(f"The zip {path} is damaged or of a kind that is not read here: {error}") from error


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    # Other methods unpack without a bound, whatever size the entry declares.
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise NotImplementedError(f"{entry.filename} is packed by a method other than deflate")
    with archive.open(entry) as stream:
        return stream.read(entry.file_size + 1)


def _check_listing(sizes: Mapping[str, int], path: Path) -> None:
    if MANIFEST not in sizes:
        raise BundleError(f"{path} is not a bundle: it has no {MANIFEST}.")
    if sum(sizes.values()) > MAX_BYTES:
        raise BundleError(f"{path} is larger than the limit of {MAX_BYTES:,} bytes for a bundle.")


class _Versioned(msgspec.Struct):
    format: int


def _parse(manifest: bytes, path: Path) -> BundleInfo:
    try:
        found = msgspec.json.decode(manifest, type=_Versioned).format
        if found != FORMAT:
            raise BundleError(
                f"{path} has bundle format {found}, and this Pyrite reads format {FORMAT}. "
                "Use another version of Pyrite, or export the bundle again."
            )
        return msgspec.json.decode(manifest, type=BundleInfo)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        unknown = re.search(r"unknown field `(.*?)`", str(error))
        hint = _suggest(unknown[1], _KEYS) if unknown else ""
        raise BundleError(f"{MANIFEST} in {path} is not valid: {error}.{hint}") from error


def _verify(info: BundleInfo, files: Mapping[str, bytes], path: Path) -> None:
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
        if hashlib.sha256(files[name]).hexdigest() != sha256:
            raise BundleError(f"{name} in {path} is not what was saved: its SHA-256 differs. Fetch the bundle again.")


def _suggest(name: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


_KEYS = tuple(
    key
    for struct in (BundleInfo, Preprocess, Scope, Calibration, Policy, TrainingInfo, DataInfo, Quantization)
    for key in struct.__struct_fields__
)
