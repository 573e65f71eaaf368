"""Faults that are no command's own; docs/faults.md has the table of all."""

import json
import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

from pyrite.bundle import Bundle

# Half of all looks at the clock are three hours off.
JUMPING = """
import time
real, looks = time.time, [0]
def jump():
    looks[0] += 1
    return real() + 10_800 * (looks[0] % 2)
time.time = jump
"""


def test_a_clock_that_jumps_changes_no_verdict(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock/sitecustomize.py").write_text(JUMPING)
    source = tmp_path / "source"
    source.mkdir()
    for level in range(0, 250, 50):
        Image.new("L", (40, 40), level).save(source / f"{level:03}.png")
    found = []
    for clock in ([], [str(tmp_path / "clock")]):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*clock, *sys.path])}

        def run(*words: object, environment: dict[str, str] = environment) -> str:
            command = [sys.executable, "-c", "from pyrite.cli import main; main()", *map(str, words)]
            return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

        found.append(json.loads(run("detect", "-r", source, "--bundle", bundle.path, "--json")))
        out = tmp_path / f"out{len(found)}"
        run("scan", source, "--out", out, "--bundle", bundle.path, "--engine", "local")
        assert len(list((out / "detections").iterdir())) == 1
    assert found[0] == found[1]
    assert len(found[0]) == 5
