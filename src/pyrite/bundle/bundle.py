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
validated_on.bin which of these were the validation split of its training (optional)
spectra.json     the average power spectra of both classes' training images (optional)
head.json        its last layer, and the published encoder below it, where model.onnx is made of the two (optional)
novelty.json     what its calibration images look like, to tell what is foreign to it (optional)
card.md          what the model is for, and what it is not (optional)
```
"""

import hashlib
import re
import shutil
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import files as files_of
from pathlib import Path, PurePosixPath

import msgspec

from pyrite.bundle.library import bundle_named, find_named, named_place
from pyrite.bundle.manifest import MANIFEST, BundleInfo, format_manifest, parse_manifest, suggest
from pyrite.bundle.novelty import NOVELTY
from pyrite.errors import BundleError
from pyrite.writing import whole_folder

MODEL = "model.onnx"
WEIGHTS = "model.onnx.data"
VALIDATED = "validated_on.bin"
HEAD = "head.json"
REQUIRED = (MODEL, "golden.json")
OPTIONAL = (
    WEIGHTS, "report.json", "recipe.toml", "trained_on.bin", VALIDATED, "spectra.json", NOVELTY, HEAD, "card.md",
)  # fmt: skip
BUNDLES = Path(__file__).parents[1] / "bundles"
"""Those that come with Pyrite; of some, without what is fetched."""
DEFAULT = BUNDLES / "default"
"""The bundle that comes with Pyrite."""
PHOTOS = "photos"
"""The name of the bundle for photographs, which judges beside the default one once it was imported."""
MAX_BYTES = 4_000_000_000
"""What all files of a bundle may take together."""
LARGE = 64_000_000
"""Bytes of a model beyond which it stays on disk, and is mapped from there."""
_MAX_ZIP = 256_000_000  # bytes of a zip's files, which are unpacked into memory
_MAX_OTHERS = 64_000_000  # bytes of all files but the model, which are held in memory

Content = bytes | Path
"""What a file holds, or where that lies."""


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
        return self.content(MODEL)

    @property
    def model_size(self) -> int:
        """Bytes of model.onnx."""
        return _size(self.model)

    @property
    def model_sha256(self) -> str:
        """The SHA-256 of model.onnx, in hexadecimal."""
        return self.info.files.get(MODEL) or _sha256(self.model)

    @property
    def sha256(self) -> str:
        """A hash of all of it, in hexadecimal: bundle.json has those of the other files."""
        return hashlib.sha256(msgspec.json.encode(self.info, order="sorted")).hexdigest()

    @property
    def size(self) -> int:
        """Bytes of all its files but bundle.json."""
        return sum(_size(self.content(name)) for name in {*self.info.files, *self.files})

    def content(self, name: str) -> Content:
        """Return the content of one file, or where it lies.

        Raises:
            BundleError: The bundle has no such file.
        """
        if name in self.files:
            return self.files[name]
        if name not in self.info.files or self.path is None:
            raise BundleError(f"The bundle {self.info.name} has no file {name!r}.")
        return self.path / name

    def without(self, name: str) -> "Bundle":
        """Return the bundle without one of its files, if it has it; nothing on the disk changes."""
        hashes = {other: sha256 for other, sha256 in self.info.files.items() if other != name}
        files = {other: content for other, content in self.files.items() if other != name}
        return replace(self, info=msgspec.structs.replace(self.info, files=hashes), files=files)

    def read(self, name: str) -> bytes:
        """Return the content of one file.

        Raises:
            BundleError: The bundle has no such file, or it cannot be read any more.
        """
        content = self.content(name)
        try:
            return content if isinstance(content, bytes) else content.read_bytes()
        except OSError as error:
            raise BundleError(f"{name} of the bundle {self.path} cannot be read: {error.strerror}.") from error


def default_bundles() -> tuple[Path, ...]:
    """Return the bundles that judge where none is named: what comes with Pyrite, and `photos` once it was imported."""
    try:
        photos = named_place(PHOTOS)
    except BundleError:  # There is no home folder, so nothing was imported.
        return (DEFAULT,)
    return (DEFAULT, photos) if photos.is_dir() else (DEFAULT,)


def read_info(folder: Path) -> BundleInfo:
    """Return what a bundle's folder says of it, without a look at its other files.

    Raises:
        BundleError: There is no bundle, or bundle.json is not understood.
    """
    try:
        return parse_manifest((folder / MANIFEST).read_bytes(), folder)
    except OSError as error:
        raise BundleError(f"There is no bundle at {folder}: {error.strerror}.") from error


def read_headless(folder: Path) -> Bundle:
    """Read and verify a bundle that was left without model.onnx.

    Raises:
        BundleError: It is damaged, too large or not understood.
    """
    try:
        return _verified(_read_folder(folder), folder, missing=MODEL)
    except (OSError, ValueError) as error:
        raise BundleError(f"The bundle {folder} cannot be read: {error}") from error


def load_bundle(path: str | Path, *, among_others: bool = False) -> Bundle:
    """Read and verify a bundle from a folder, from a zip of one, or by name.

    A name is that of one in the user's data folder, or `default`, which comes with Pyrite.

    Args:
        path: Where it is.
        among_others: Whether a folder may hold files that no bundle has, as a repository does: they are not looked at.

    Raises:
        BundleError: The bundle is missing, damaged, too large or not understood.
    """
    path = Path(path)
    path = find_named(path) or (DEFAULT if str(path) == DEFAULT.name and not path.exists() else path)
    files: dict[str, Content]
    try:
        if path.is_dir():
            if not (path / MANIFEST).exists() and (hidden := bundle_named(path)):
                raise BundleError(
                    f"The folder {path} here is not a bundle, and hides the bundle of that name: {hidden}."
                )
            files = _read_folder(path, among_others)
        elif path.is_file() and zipfile.is_zipfile(path):
            files = dict(_read_zip(path))
        elif path.exists():
            raise BundleError(f"{path} is not a bundle: it is neither a folder nor a zip of one.")
        else:
            known = (files_of("pyrite") / "catalogue" / f"{path}.toml").is_file()
            hint = f" Get the bundle of that name with: pyrite bundle import {path}" if known else ""
            raise BundleError(f"There is no bundle at {path}.{hint}")
        return replace(_verified(files, path), path=path.absolute())
    except (OSError, ValueError) as error:
        raise BundleError(f"The bundle {path} cannot be read: {error}") from error


def refuse_existing(folder: Path) -> None:
    """Refuse a place where something is already, before any work for a bundle that is to be there.

    Raises:
        BundleError: There is.
    """
    if folder.exists() or folder.is_symlink():
        raise BundleError(f"{folder} already exists. Choose a new folder, or remove it first.")


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
    refuse_existing(folder)
    try:
        info = msgspec.structs.replace(info, files={name: _sha256(files[name]) for name in sorted(files)})
        manifest = format_manifest(info)
        _check_sizes({name: _size(content) for name, content in {MANIFEST: manifest, **files}.items()}, folder)
        _verify(parse_manifest(manifest, folder), files, folder)
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


def _read_folder(folder: Path, among_others: bool = False) -> dict[str, Content]:
    known = (MANIFEST, *REQUIRED, *OPTIONAL)
    entries = sorted(entry for entry in folder.iterdir() if entry.name in known or not among_others)
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
                if not entry.filename:
                    raise BundleError(f"{path} has a file without a name.")
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
                    f"{path} is too large to be used as a zip, or has its weights in a separate file. "
                    "Unpack it, and name the folder."
                )
            return {place.name: _read_entry(archive, entry) for place, entry in entries.items()}
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise BundleError(f"The zip {path} is damaged or unsupported: {error}") from error


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    # Other methods unpack without a bound, whatever size the entry declares.
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise NotImplementedError(f"{entry.filename} is compressed by a method other than deflate")
    with archive.open(entry) as stream:
        return stream.read(entry.file_size + 1)


def _check_sizes(sizes: Mapping[str, int], path: Path) -> None:
    if MANIFEST not in sizes:
        raise BundleError(f"{path} is not a bundle: it has no {MANIFEST}.")
    if sum(sizes.values()) > MAX_BYTES:
        raise BundleError(f"{path} is larger than the limit of {MAX_BYTES:,} bytes for a bundle.")
    if sum(size for name, size in sizes.items() if name not in (MODEL, WEIGHTS)) > _MAX_OTHERS:
        raise BundleError(f"{path} has more than {_MAX_OTHERS:,} bytes beside its model, the limit for a bundle.")


def _verified(files: dict[str, Content], path: Path, *, missing: str | None = None) -> Bundle:
    """Return what files come to as a bundle that lies nowhere yet, once they are verified."""
    manifest = files.pop(MANIFEST)
    assert isinstance(manifest, bytes)
    info = parse_manifest(manifest, path)
    _verify(info, files, path, missing=missing)
    return Bundle(info, {name: content for name, content in files.items() if isinstance(content, bytes)})


def _verify(info: BundleInfo, files: Mapping[str, Content], path: Path, *, missing: str | None = None) -> None:
    known = (*REQUIRED, *OPTIONAL)
    for name in info.files:
        if name not in known:
            raise BundleError(f"{path} lists {name!r}, which no bundle has.{suggest(name, known)}")
    for name in REQUIRED:
        if name not in info.files:
            raise BundleError(f"{path} lists no {name}, which every bundle needs.")
    for name in files:
        if name not in info.files:
            raise BundleError(f"{path} has {name}, which its {MANIFEST} does not list. Remove it.")
    for name, sha256 in info.files.items():
        if name == missing:
            continue
        if name not in files:
            raise BundleError(f"{path} has no {name}, which its {MANIFEST} lists. Download the bundle again.")
        if _sha256(files[name]) != sha256:
            raise BundleError(
                f"{name} in {path} is not what was saved: its SHA-256 differs. Download the bundle again."
            )


def _sha256(content: Content) -> str:
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with content.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size
