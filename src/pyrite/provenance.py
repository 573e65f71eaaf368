"""Where a figure came from: what a reader needs to measure it again."""

import importlib.metadata
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from pyrite.sources import encodable

JUDGING = ("c2pa-python", "numpy", "onnxruntime", "pillow", "pillow-heif", "pyrite")
"""What verdicts depend on."""
_MEASURING = (
    "pyrite", "numpy", "pillow", "onnxruntime", "scikit-learn", "keras", "tensorflow-cpu", "tensorflow", "jax", "torch",
    "tf2onnx", "jax2onnx",
)  # fmt: skip


def current_command() -> str:
    """Return the command line of this process, as text for JSON, without the folder that its program lies in."""
    program, *arguments = sys.argv
    return encodable(shlex.join([Path(program).name, *arguments]))


def source_commit() -> str | None:
    """Return the commit that Pyrite runs from, `-dirty` where files differ; `None` outside a checkout."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        command = ("git", "-C", str(here), *arguments)
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        # An installed package may lie within a repository that is not Pyrite's.
        git("ls-files", "--error-unmatch", Path(__file__).name)
        return git("describe", "--always", "--abbrev=40", "--dirty", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return None


def package_versions() -> dict[str, str]:
    """Return the version of Python and of each package that can change a figure, where it is installed."""
    return {"python": platform.python_version()} | installed_versions(_MEASURING)


def installed_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of these packages, without those that are not installed."""
    versions = {}
    for name in names:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions
