"""Runs the console blocks of a page, one after the other in one folder, and holds what they print to the page.

A block with a title is a file of that name, which is written first. A block is fenced as `console`; its commands begin
with `$ `, and what they print stands below each. `…` on a line of its own stands for any lines. Below
`<!-- figures vary -->`, numbers and columns are not compared: they depend on the machine. `pyrite serve` is left
running until the page ends, at a free port in place of 8000.
"""

import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from ports import free_ports
from waiting import eventually

VARY = "<!-- figures vary -->"
_BLOCK = re.compile(
    rf"^(?P<vary>{VARY}\n)?```(?:console|\w+ title=\"(?P<file>[\w.]+)\")\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL
)
_NUMBER = re.compile(r"\b[0-9a-f]{16,}\b|[+-]?\d[\d,]*(?:\.\d+)?(?:e-\d+)?")
_PORT = "8000"


@dataclass(frozen=True)
class Shown:
    """A command of a page, and what it is said to print."""

    command: str
    printed: tuple[str, ...]
    vary: bool


@dataclass(frozen=True)
class NamedFile:
    """A file that a page shows whole."""

    name: str
    content: str


def shown_in(page: Path) -> Iterator[Shown | NamedFile]:
    """Yield the commands of a page's console blocks, and the files that it has the reader write, in their order."""
    for block in _BLOCK.finditer(page.read_text("utf-8")):
        if block["file"]:
            yield NamedFile(block["file"], block["body"])
            continue
        for part in re.split(r"^\$ ", block["body"], flags=re.MULTILINE)[1:]:
            command = re.match(r"(?:.*\\\n)*.*\n", part)
            assert command
            printed = part[command.end() :].rstrip("\n").splitlines()
            yield Shown(command[0].rstrip("\n"), tuple(printed), block["vary"] is not None)


def run_page(page: Path, folder: Path) -> None:
    """Run a page's commands in a folder, and fail where one prints something else than the page says."""
    if shutil.which("bash") is None or shutil.which("curl") is None:
        pytest.skip("The page's commands need bash and curl.")
    port = str(free_ports()[0])
    with ExitStack() as servers:
        for shown in shown_in(page):
            if isinstance(shown, NamedFile):
                (folder / shown.name).write_text(shown.content, "utf-8")
                continue
            command = shown.command.replace(_PORT, port)
            if command.startswith("pyrite serve") and "--new-key" not in command:
                log = servers.enter_context(_server(command, port, folder))
                printed = log.read_text("utf-8")
            else:
                done = subprocess.run(["bash", "-c", command], cwd=folder, env=_environment(port), **_TOGETHER)
                printed = done.stdout
            printed = printed.replace(port, _PORT)
            assert fits(printed.splitlines(), shown), f"$ {shown.command}\n{printed}"


_TOGETHER: dict[str, object] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "encoding": "utf-8"}


def _environment(port: str) -> dict[str, str]:
    """Return what a user has whose terminal is 100 columns wide, with this Python's `pyrite` first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {"PATH": path, "COLUMNS": "100", "PYTHONUNBUFFERED": "1", "PYRITE_SERVE_PORT": port}
    return {**os.environ, **own}


@contextmanager
def _server(command: str, port: str, folder: Path) -> Iterator[Path]:
    log = folder / "server.log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"], cwd=folder, env=_environment(port), stdout=stream, stderr=stream
        )
    try:
        assert eventually(lambda: process.poll() is not None or _is_ready(port)), log.read_text("utf-8")
        assert process.poll() is None, log.read_text("utf-8")
        yield log
    finally:
        process.terminate()
        process.wait()


def _is_ready(port: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz") as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def fits(printed: list[str], shown: Shown) -> bool:
    """Say whether what was printed is what a page shows."""
    lines = [_plain(line, shown.vary) for line in printed]
    parts: list[list[str]] = [[]]
    for line in shown.printed:
        if line.strip() == "…":
            parts.append([])
        else:
            parts[-1].append(_plain(line, shown.vary))
    first, *later = parts
    if not later:
        return lines == first
    start, end = len(first), len(lines) - len(later[-1])
    if lines[:start] != first or (later[-1] and lines[end:] != later[-1]) or end < start:
        return False
    for part in later[:-1]:
        found = next((i for i in range(start, end - len(part) + 1) if lines[i : i + len(part)] == part), None)
        if found is None:
            return False
        start = found + len(part)
    return True


def _plain(line: str, vary: bool) -> str:
    if not vary:
        return line.rstrip()
    return re.sub(r"[\s━─┃│┏┓┡┩├┤└┘┳╇┴╈╋┼]+", " ", _NUMBER.sub("#", line)).strip()
