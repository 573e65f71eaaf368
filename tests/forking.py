"""Processes that are forked from one which has imported what they need: they start as any do, but for a tenth."""

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from waiting import eventually, processes_of

COMMANDS = "import pyrite.cli.application, pyrite.publishing, pyrite.scanning, fsspec"
"""What most commands import; huggingface_hub is none of it, since that reads the environment as it is imported."""
KERAS = """
import sys
# TensorFlow imports it where it is installed, which takes seconds, and training has no use for it.
sys.modules["jax"] = None
# As Pyrite sets them before it imports Keras.
os.environ.update(TF_ENABLE_ONEDNN_OPTS="1", TF_CPP_MIN_LOG_LEVEL="3")
# None of these starts threads, which a copy of this process does not have, and would wait for as it ends.
import keras, pyrite.training, tensorflow
"""
COMMAND = "import sys; sys.argv = ['pyrite', *sys.argv[1:]]; from pyrite.cli import main; main()"

_PARENT = """
import json, os, sys

def fork(team):
    processes = []
    for one in team:
        if not (process := os.fork()):
            return one
        processes.append(process)
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]), flush=True)

one = next(filter(None, map(fork, map(json.loads, sys.stdin))), None)
if one is None:
    sys.exit()
for name in begun - set(one["environment"]):
    del os.environ[name]
os.environ.update(one["environment"])
os.chdir(one["folder"])
for number, path in enumerate((os.devnull, one["stdout"], one["stderr"])):
    os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
sys.argv = ["-c", *one["arguments"]]
exec(one["code"])
"""


@dataclass(frozen=True)
class Ended:
    """How a process ended, and what it printed."""

    code: int
    stdout: str
    stderr: str


def run_forked(imports: str, code: str, *processes: tuple[Sequence[object], Mapping[str, str]]) -> list[Ended]:
    """Run code in processes at the same time, and say how they ended; all are killed where all stand still.

    Args:
        imports: What they have imported: `COMMANDS` or `KERAS`.
        code: What they run, as `python -c` would.
        processes: The arguments and the whole environment of each.
    """
    parent = _parent(imports)
    assert parent.stdin
    assert parent.stdout
    with tempfile.TemporaryDirectory() as folder:
        said = [{name: f"{folder}/{name}{i}" for name in ("stdout", "stderr")} for i in range(len(processes))]
        team = [
            {
                "arguments": [str(each) for each in arguments],
                "environment": dict(environment),
                "folder": str(Path.cwd()),
                "code": code,
                **files,
            }
            for (arguments, environment), files in zip(processes, said, strict=True)
        ]
        parent.stdin.write(f"{json.dumps(team)}\n")
        parent.stdin.flush()
        with ThreadPoolExecutor(1) as pool:
            codes = pool.submit(parent.stdout.readline)
            if not eventually(codes.done, lambda: processes_of(parent)):
                for process in set(processes_of(parent)) - {parent.pid}:
                    os.kill(process, signal.SIGKILL)
                raise AssertionError("The processes stand still.")
        return [
            Ended(ended, *(Path(file).read_text() for file in files.values()))
            for ended, files in zip(json.loads(codes.result()), said, strict=True)
        ]


@cache
def _parent(imports: str) -> "subprocess.Popen[str]":
    """Start the process that others are forked from; it ends with this one."""
    code = f"import os; begun = set(os.environ)\n{imports}\n{_PARENT}"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(process.communicate)
    return process
