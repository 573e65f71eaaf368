"""SECURITY.md and docs/faults.md name tests that exist; licences and the audit of what is installed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("page", ["SECURITY.md", "docs/faults.md"])
def test_every_test_that_is_named_exists(page: str) -> None:
    rows = [line for line in (ROOT / page).read_text("utf-8").splitlines() if line.startswith("|") and "`test_" in line]
    named = {name for row in rows for name in re.findall(r"`(test_\w+)`", row)}
    there = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)", path.read_text("utf-8"))
    }
    assert len(named) > 15
    assert named <= there, sorted(named - there)


def test_every_dependency_has_a_licence_that_is_known() -> None:
    done = subprocess.run([sys.executable, ROOT / "scripts/licences.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert re.fullmatch(r"Licences: \d{2,} packages, 0 to look at\.\n", done.stdout)


FAULT = '{"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "X-1", "fix_versions": ["2"]}]}]}'
UNKNOWN = '{"dependencies": [{"name": "a", "skip_reason": "x"}, {"name": "b", "version": "1", "vulns": []}]}'


@pytest.mark.parametrize(
    ("out", "told", "code", "answer", "said"),
    [
        (UNKNOWN, "", 0, 0, "Audited 1 of 2 packages: 0 known faults.\nNot audited, since"),
        (FAULT, "", 1, 1, "a 1: X-1, fixed in 2\nAudited 1 of 1 packages: 1 known faults."),
        ("", "ConnectionError: Max retries exceeded", 1, 0, "Not audited: the service"),
        ("", "unknown option", 2, 1, "unknown option"),
    ],
)
def test_an_audit_fails_by_what_is_known_alone(
    out: str, told: str, code: int, answer: int, said: str, tmp_path: Path
) -> None:
    program = tmp_path / "pip-audit"
    program.write_text(f"#!/bin/sh\necho '{out}'\necho '{told}' >&2\nexit {code}\n")
    program.chmod(0o755)
    done = subprocess.run([sys.executable, ROOT / "scripts/audit.py", program], capture_output=True, text=True)
    assert done.returncode == answer
    assert done.stdout.startswith(said)
