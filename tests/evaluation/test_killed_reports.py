"""`evaluate`, `compare` and `audit`, ended by `kill -9` at a moment of our choice, and begun again."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from painting import paint
from pyrite.bundle import Bundle
from pyrite.errors import EvaluationError
from pyrite.evaluation import evaluate
from pyrite.writing import PARTIAL, locked
from sabotage import sabotage
from waiting import eventually

# An event of Python's own, and what its first argument ends with: before that happens, the command is killed.
# https://docs.python.org/3/library/audit_events.html
KILLING = """
import os, signal, sys
event, end = os.environ.get("KILLED_AT", ":").split(":")
def watch(name, arguments):
    if event and name == event and str(arguments[0]).endswith(end) and "pyrite.sandbox" not in sys.orig_argv:
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
"""
COMMANDS = {
    "evaluate": ("report.html", "report.json", "scores.parquet", "figures/roc.png"),
    "compare": ("compare.html", "compare.json", "roc.png"),
    "audit": ("audit.html", "audit.json"),
}
"""Of each command the files that belong together, the page first."""
MOMENTS = {
    "evaluate": ("open:b.png", "os.rename:scores.parquet", "os.rename:report.html"),
    "compare": ("open:b.png", "os.rename:compare.html"),
    "audit": ("open:b.png", "os.rename:audit.html"),
}
"""While images are read, while files take their places, and before the page does."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for i, name in enumerate("abcdefgh"):
        paint(tmp_path / "data/REAL" / f"{name}.png", 60 + 20 * i)
        paint(tmp_path / "data/FAKE" / f"{name}.png", 90 + 20 * i)
    return tmp_path / "data"


def run(killed_at: str, *words: object) -> int:
    command = [sys.executable, "-c", "from pyrite.cli import main; main()", *map(str, words)]
    return subprocess.run(command, env={**os.environ, "KILLED_AT": killed_at}, capture_output=True).returncode


def figures(page: Path) -> dict[str, Any]:
    """Return what a run found, without what tells of that run alone."""
    found: dict[str, Any] = json.loads(page.with_suffix(".json").read_bytes())
    for one in (found, found.get("provenance", {}), *found.get("competitors", ())):
        for name in ("command", "seconds", "images_per_second"):
            one.pop(name, None)
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal.")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_report_whose_run_was_killed_is_whole_or_has_no_page_and_the_next_run_makes_it(
    command: str,
    bundle: Bundle,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run_pyrite: Callable[..., tuple[int, str, str]],
) -> None:
    names, out, unbroken = set(COMMANDS[command]), tmp_path / "out", tmp_path / "unbroken"
    page = COMMANDS[command][0]
    sabotage(KILLING, tmp_path, monkeypatch)
    words = [command, *[bundle.path] * {"evaluate": 1, "compare": 2, "audit": 0}[command], data, "--out"]
    assert run_pyrite(*words, unbroken)[0] == 0
    for moment in MOMENTS[command]:
        for name in names:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_text("of an earlier run")
        assert run(moment, *words, out) == -signal.SIGKILL, moment
        there = {name for name in names if (out / name).exists()}
        earlier = {name for name in there if (out / name).read_bytes() == b"of an earlier run"}
        # Either all is as it was, or nothing of that is left, and there is no page that would pass the rest for whole.
        assert earlier == names if moment.startswith("open") else not earlier and page not in there
        assert eventually(lambda: not processes_with(str(tmp_path)))
    assert run_pyrite(*words, out)[0] == 0
    assert figures(out / page) == figures(unbroken / page)
    assert [path.relative_to(out) for path in sorted(out.rglob("*"))] == [
        path.relative_to(unbroken) for path in sorted(unbroken.rglob("*"))
    ]


def processes_with(text: str) -> list[int]:
    """Return the processes whose modules are found in a folder of this test."""
    found = []
    for one in psutil.process_iter():
        try:
            if text in one.environ().get("PYTHONPATH", "") and one.pid != os.getpid():
                found.append(one.pid)
        except psutil.Error:
            continue
    return found


def test_two_reports_do_not_share_a_folder(bundle: Bundle, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / f"{PARTIAL}0").mkdir()
    with locked(out, AssertionError()), pytest.raises(EvaluationError, match="Another process is at work in"):
        evaluate(bundle, data, out=out)
    assert [path.name for path in out.iterdir()] == [f"{PARTIAL}0"]
