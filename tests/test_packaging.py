"""What a checkout promises: the lock fits, versions agree, it names no machine, and what it builds works."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LOCK = (ROOT / "requirements.lock").read_text("utf-8")


def locked_requirements() -> list[Requirement]:
    """Return the base dependencies, those of the extra `dev`, and those of the extras that it takes in."""
    extras = PROJECT["optional-dependencies"]
    development = list(map(Requirement, extras["dev"]))
    [own] = [requirement for requirement in development if requirement.name == "pyrite"]
    texts = [*PROJECT["dependencies"], *(text for name in own.extras for text in extras[name])]
    return [*map(Requirement, texts), *(requirement for requirement in development if requirement is not own)]


def test_the_lock_has_a_fitting_pin_for_every_requirement() -> None:
    pins: dict[str, list[str]] = {}
    for pin in map(Requirement, LOCK.splitlines()):
        assert [specifier.operator for specifier in pin.specifier] == ["=="]
        pins.setdefault(canonicalize_name(pin.name), []).append(str(pin.specifier).removeprefix("=="))
    for requirement in locked_requirements():
        found = pins.get(canonicalize_name(requirement.name), [])
        assert found, f"{requirement} is not locked: run make lock."
        assert all(requirement.specifier.contains(pin) for pin in found), f"{requirement}: run make lock."


def test_the_lock_names_no_host_and_leaves_torch_out() -> None:
    assert not re.search(r"://|--|@|^torch\b", LOCK, re.MULTILINE)


def test_the_changelog_opens_with_the_version() -> None:
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert newest
    assert newest[1] == PROJECT["version"]
    assert version("pyrite") == PROJECT["version"], "Install the checkout anew: make install."


@pytest.mark.skipif(not Path("/bin/bash").exists(), reason="needs bash")
def test_ci_runs_what_a_user_does_and_sets_nothing_for_it(tmp_path: Path) -> None:
    """On a machine without Chromium, where it installs that: whatever else it is for, the tests must not notice."""
    kept = ("bash", "dirname", "env")
    fakes = {"make": 'echo "$@" >> "$SEEN" && env >> "$SEEN"', "id": "echo 0", "apt-get": "true"}
    for name in kept:
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    for name, script in fakes.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{script}\n")
        (tmp_path / name).chmod(0o755)
    given = {"PATH": str(tmp_path), "SEEN": str(tmp_path / "seen"), "PYRITE_MARK": "1"}
    subprocess.run([ROOT / ".ci/run"], env=given, check=True, capture_output=True)
    seen = (tmp_path / "seen").read_text().splitlines()
    own_of_bash = {"_", "PWD", "OLDPWD", "SHLVL"}
    assert [line for line in seen if "=" not in line] == ["check", "test"]
    found = [line for line in seen if "=" in line and line.partition("=")[0] not in own_of_bash]
    assert sorted(found) == sorted(2 * [f"{name}={value}" for name, value in given.items()])


def tracked_files() -> list[str]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True)
    if listing.returncode:
        pytest.skip("This is not a git checkout.")
    return [name for name in listing.stdout.decode().split("\0") if (ROOT / name).is_file()]


def test_no_tracked_file_names_a_place_on_one_machine() -> None:
    place = re.compile(rb"(?<![\w./~])/(?:home|root|tmp|work|Users|mnt)/\w")
    assert [name for name in tracked_files() if place.search((ROOT / name).read_bytes())] == []


def test_the_citation_has_what_the_project_says_of_itself() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    names = ("version", "license", "keywords")
    assert {name: citation[name] for name in names} == {name: PROJECT[name] for name in names}
    assert citation["abstract"] == PROJECT["description"]
    authors = [author["name"] for author in PROJECT.get("authors", ())] or ["The authors of Pyrite"]
    assert [author["name"] for author in citation["authors"]] == authors


@dataclass(frozen=True)
class Built:
    """What `make dist` builds: the sdist, and from what is in that, the wheel."""

    sdist: Path
    source: Path
    """The sdist, unpacked."""
    wheel: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("dist")

    def build(source: Path, target: str) -> None:
        command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)]
        subprocess.run(command, cwd=source, check=True, capture_output=True)

    build(ROOT, "sdist")
    [sdist] = folder.glob("*.tar.gz")
    source = folder / sdist.name.removesuffix(".tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    build(source, "wheel")
    [wheel] = folder.glob("*.whl")
    return Built(sdist, source, wheel)


def test_the_sdist_is_the_checkout_and_nothing_that_lies_beside_it(built: Built) -> None:
    there = {str(path.relative_to(built.source)): path.stat().st_size for path in built.source.rglob("*")}
    assert sorted(set(tracked_files()) - set(there)) == []
    ours = {name.partition("/")[0] for name in tracked_files()}
    assert {name.partition("/")[0] for name in there} == ours | {"PKG-INFO"}
    assert max(there.values()) < 6_000_000
    assert built.sdist.stat().st_size < 16_000_000


def test_the_wheel_has_every_file_of_the_package_and_no_others(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    source = built.source / "src"
    assert names == {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
    assert "pyrite/py.typed" in names
    assert built.wheel.stat().st_size < 12_000_000


def run_in(folder: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command as somebody does who has no checkout."""
    given = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(list(map(str, command)), cwd=folder, env=given, capture_output=True, text=True)


@pytest.fixture(scope="module")
def clean(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and the base dependencies, at the versions of the lock, and nothing else."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder)

    def install(*what: str | Path) -> subprocess.CompletedProcess[str]:
        pip = (sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "--quiet", "--no-compile")
        return run_in(folder, *pip, "--retries", "1", "--constraint", ROOT / "requirements.lock", *what)

    if install("markupsafe").returncode:
        pytest.skip("pip cannot reach the package index, or another that has the base dependencies.")
    installed = install(built.wheel)
    assert installed.returncode == 0, installed.stderr
    return folder


@pytest.mark.slow
def test_the_wheel_alone_judges_an_image(clean: Path, tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)).save(tmp_path / "photo.jpg")
    pyrite = clean / "bin" / "pyrite"
    judged = run_in(tmp_path, pyrite, "detect", "photo.jpg", "--json")
    assert judged.returncode == 0, judged.stderr
    [found] = json.loads(judged.stdout)
    assert (found["path"], found["model"]["name"], found["error"]) == ("photo.jpg", "default", None)
    assert found["logit"] is not None
    # What is not there is named with what brings it.
    assert "pip install 'pyrite[credentials]'" in judged.stderr
    served = run_in(tmp_path, pyrite, "serve")
    assert served.returncode
    assert "pip install 'pyrite[serve]'" in served.stderr


@pytest.mark.slow
def test_the_base_install_is_light(clean: Path) -> None:
    [packages] = clean.glob("lib/python*/site-packages")
    names = {path.name for path in packages.iterdir()}
    assert not {"keras", "tensorflow", "pyarrow", "matplotlib", "fastapi", "ray"} & names
    size = sum(path.stat().st_size for path in packages.rglob("*") if path.is_file())
    assert size < 300_000_000
