"""Where a run came from: what a reader needs to make it again."""

import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import msgspec

_PACKAGES = (
    "pyrite",
    "keras",
    "tensorflow-cpu",
    "tensorflow",
    "jax",
    "torch",
    "numpy",
    "pillow",
    "onnxruntime",
    "tf2onnx",
)


class Provenance(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Written when a run begins, and kept when it is resumed."""

    command: str
    commit: str | None
    """Of the source tree, with `-dirty` where it was altered; `None` for an installed package."""
    packages: dict[str, str]


def current_provenance() -> Provenance:
    """Describe the running process."""
    program, *arguments = sys.argv
    return Provenance(
        command=shlex.join([Path(program).name, *arguments]),
        commit=_commit(Path(__file__).parent),
        packages={name: version for name in _PACKAGES if (version := _version(name))},
    )


def _commit(folder: Path) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
