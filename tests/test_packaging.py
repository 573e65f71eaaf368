"""What a checkout promises: the lock fits, versions agree, and nothing of one machine stands in it."""

import re
import shutil
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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


def test_no_tracked_file_names_a_place_on_one_machine() -> None:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True)
    if listing.returncode:
        pytest.skip("This is not a git checkout.")
    place = re.compile(rb"(?<![\w./~])/(?:home|root|tmp|work|Users|mnt)/\w")
    paths = [ROOT / name for name in listing.stdout.decode().split("\0") if (ROOT / name).is_file()]
    assert [str(path.relative_to(ROOT)) for path in paths if place.search(path.read_bytes())] == []
