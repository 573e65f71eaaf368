"""What breaks costs what it touches, in bounded time, and is reported."""

import os
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from corpora import COMMAND, PICTURES, read_rows

from pyrite.bundle import Bundle
from pyrite.provenance import JUDGING, installed_versions
from pyrite.results import Model
from pyrite.scanning import ScanSettings, scan
from pyrite.scanning.isolated import IsolatedDetector
from pyrite.scanning.shipping import send
from pyrite.scanning.task import Task
from pyrite.scanning.worker import Worker
from sabotage import sabotage

# Put into the process that decodes, and into no other: what a broken decoder does at some files.
SABOTAGE = """
import sys
if "pyrite.sandbox" in sys.orig_argv:
    import os, signal, time
    # Opened before the process is confined, since afterwards it can make no file.
    slow, once = (open(os.path.join(os.path.dirname(__file__), name), "a+") for name in ("slow", "once"))
    import pyrite.detector.reader as reader
    inner = reader.open_image
    def open_image(source, *args, **kwargs):
        name = os.path.basename(source) if isinstance(source, str) else ""
        if "hang" in name:
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM])
            time.sleep(1000)
        if "slow" in name:
            time.sleep(1)
            print(name, end="", file=slow, flush=True)
        if "crash" in name:
            os.kill(os.getpid(), signal.SIGSEGV)
        if "leave" in name:
            os._exit(3)
        if "once" in name and not os.fstat(once.fileno()).st_size:
            print(name, file=once, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        if "greedy" in name:
            bytearray(20_000_000_000)
        return inner(source, *args, **kwargs)
    reader.open_image = open_image
"""


@pytest.fixture
def saboteur(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sabotage(SABOTAGE, tmp_path, monkeypatch)


def fill(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for number, name in enumerate(names):
        (folder / name).write_bytes(PICTURES[number])
    return folder


def make_task(out: Path, bundle: Bundle, settings: ScanSettings, packages: dict[str, str]) -> Task:
    return Task(
        out=str(out),
        bundles=send([bundle]),
        model=Model(bundle.info.name, bundle.info.version),
        policy=bundle.info.policy,
        settings=settings,
        packages=packages,
        run="this",
    )


def judge(source: Path, out: Path, bundle: Bundle, **settings: Any) -> list[dict[str, Any]]:
    scan(str(source), out, bundle, settings=ScanSettings(**settings), engine="local")
    return read_rows(out)


@pytest.fixture(scope="module")
def expected(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What is said of four images of which nothing breaks."""
    folder = tmp_path_factory.mktemp("whole")
    plain = fill(folder / "plain", "0.png", "1.png", "2.png", "3.png", "4.png")
    (plain / "2.png").unlink()
    return judge(plain, folder / "out", bundle)


@pytest.mark.usefixtures("saboteur")
@pytest.mark.parametrize(
    ("name", "code", "sentence"),
    [
        ("2-hang.png", "timed_out", "took more than 2 seconds"),
        ("2-crash.png", "crashed", "crashed the decoder (SIGSEGV)"),
        ("2-leave.png", "crashed", "crashed the decoder (code 3)"),
    ],
)
def test_a_decoder_that_hangs_or_crashes_costs_one_image(
    name: str, code: str, sentence: str, expected: list[dict[str, Any]], bundle: Bundle, tmp_path: Path
) -> None:
    broken = fill(tmp_path / "broken", "0.png", "1.png", name, "3.png", "4.png")
    rows = judge(broken, tmp_path / "out", bundle, timeout=2.0)
    bad = rows.pop(2)
    assert bad["error_code"] == code
    assert sentence in bad["error_message"]
    # To the last bit: they were scored as the batch that they would have been without it.
    assert [(row["sha256"], row["logit"], row["verdict"]) for row in rows] == [
        (row["sha256"], row["logit"], row["verdict"]) for row in expected
    ]


@pytest.mark.usefixtures("saboteur")
def test_the_limit_of_time_is_that_of_an_image_and_not_of_its_batch(bundle: Bundle, tmp_path: Path) -> None:
    source = fill(tmp_path / "source", "0-slow.png", "1-slow.png", "2-slow.png")
    rows = judge(source, tmp_path / "out", bundle, timeout=2.5)
    assert [row["error_code"] for row in rows] == [None] * 3
    assert (tmp_path / "sabotage/slow").read_text() == "0-slow.png1-slow.png2-slow.png"  # Each was decoded once.


@pytest.mark.usefixtures("saboteur")
def test_a_decoder_that_eats_memory_costs_one_image(bundle: Bundle, tmp_path: Path) -> None:
    source = fill(tmp_path / "source", "0.png", "1-greedy.png", "2.png")
    rows = judge(source, tmp_path / "out", bundle)
    assert [row["error_code"] is None for row in rows] == [True, False, True]
    assert rows[1]["error_code"] in ("crashed", "out_of_memory")


@pytest.mark.usefixtures("saboteur")
def test_a_decoder_that_others_end_costs_nothing(bundle: Bundle, tmp_path: Path) -> None:
    rows = judge(fill(tmp_path / "source", "0.png", "1-once.png", "2.png"), tmp_path / "out", bundle, batch_size=2)
    assert [row["error_code"] for row in rows] == [None] * 3


def test_a_bundle_that_cannot_be_run_is_no_fault_of_the_images(bundle: Bundle, tmp_path: Path) -> None:
    decoder = IsolatedDetector(send([bundle]), ScanSettings(max_fpr=1e-9))
    with pytest.raises(Exception, match=r"Choose max_fpr of at least 0\.01"):
        decoder.judge([str(fill(tmp_path / "source", "0.png") / "0.png")])


def test_a_shard_that_kills_its_workers_is_given_up_with_a_row_for_each_input(
    corpus: Path, bundle: Bundle, tmp_path: Path
) -> None:
    settings = ScanSettings(shard_size=20)
    scan(str(corpus), tmp_path / "out", bundle, settings=settings, engine="local")
    (tmp_path / "out/detections/part-00000001.parquet").unlink()
    task = make_task(tmp_path / "out", bundle, settings, installed_versions(JUDGING))
    attempts = tmp_path / "out/attempts/this/00000001"
    attempts.mkdir(parents=True)
    for number in range(3):
        (attempts / str(number)).touch()
    worker = Worker(task)
    assert worker.judge(1).errors == 20
    worker.close()
    rows = read_rows(tmp_path / "out")
    assert len(rows) == 61
    assert {row["error_code"] for row in rows if row["shard"] == 1} == {"worker_died"}
    assert len({row["path"] for row in rows}) == 61


def test_a_worker_with_other_packages_stops_the_scan(corpus: Path, bundle: Bundle, tmp_path: Path) -> None:
    scan(str(corpus), tmp_path / "out", bundle, engine="local")
    (tmp_path / "out/detections/part-00000000.parquet").unlink()
    task = make_task(tmp_path / "out", bundle, ScanSettings(), {"pillow": "1"})
    worker = Worker(task)
    assert worker.judge(0).problem.startswith("A worker has other packages than those that the scan started with: no ")
    worker.close()
    assert not list((tmp_path / "out/detections").iterdir())


@pytest.fixture
def small_disk(tmp_path: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run shell commands where the folder `disk` has 100 kB; it is gone afterwards."""
    (tmp_path / "disk").mkdir()
    alone = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec"]
    mount = "mount -t tmpfs -o size=100k none disk"

    def run(commands: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        script = f"{mount}; {commands}"
        return subprocess.run(
            [*alone, script], cwd=tmp_path, env=os.environ | environment, capture_output=True, text=True
        )

    try:
        mounted = run("true").returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("needs a system that lets a user mount a disk")
    return run


def test_a_full_disk_stops_the_scan_and_keeps_what_was_done(
    corpus: Path, bundle: Bundle, tmp_path: Path, small_disk: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    source = corpus / "dark"
    command = [*COMMAND, "scan", source, "--out", "disk/out", "--bundle", bundle.path, "--engine", "local"]
    done = small_disk(
        'if eval "$SCAN"; then exit 9; fi; cp -r disk/out full;'
        'mount -o remount,size=10m disk; eval "$SCAN"; cp -r disk/out whole',
        SCAN=shlex.join(map(str, [*command, "--shard-size", "2"])),
    )
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"Error: .*No space left on device.* Finished work is kept; run the same command to continue\.", done.stderr
    )
    kept = read_rows(tmp_path / "full")
    assert 0 < len(kept) < 30
    wanted = judge(source, tmp_path / "roomy", bundle, shard_size=2)
    assert kept == wanted[: len(kept)]
    assert read_rows(tmp_path / "whole") == wanted


def test_storage_that_fails_for_a_while_costs_nothing(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    tried: dict[str, int] = {}
    inner = MemoryFileSystem.cat_file

    def cat_file(self: Any, path: str, *args: Any, **kwargs: Any) -> bytes:
        tried[path] = tried.get(path, 0) + 1
        if path.endswith("3.png") or tried[path] == 1:
            raise OSError("The store is busy.")
        return bytes(inner(self, path, *args, **kwargs))

    monkeypatch.setattr(MemoryFileSystem, "cat_file", cat_file)
    monkeypatch.setattr("pyrite.scanning.remote.WAITS", (0.01, 0.01))
    for number in range(6):
        MemoryFileSystem().pipe_file(f"/busy/{number}.png", PICTURES[number])
    scan("memory://busy", tmp_path / "out", bundle, engine="local")
    rows = read_rows(tmp_path / "out")
    assert [row["path"] for row in rows] == [f"memory:///busy/{number}.png" for number in range(6)]
    assert [row["error_code"] for row in rows] == [None, None, None, "unreadable", None, None]
    assert rows[3]["error_message"] == "The file cannot be read: The store is busy."
    assert tried["/busy/3.png"] == 3


def test_the_exit_code_and_the_summary_tell_of_errors(
    corpus: Path, bundle: Bundle, tmp_path: Path, run_pyrite: Callable[..., tuple[int, str, str]]
) -> None:
    options = ("--engine", "local", "--bundle", bundle.path)
    code, printed, _ = run_pyrite("scan", corpus, "--out", tmp_path / "out", *options)
    assert code == 1
    assert "1 could not be read" in printed
    assert "Not read: 1 unsupported_format" in printed
    code, _, _ = run_pyrite("scan", corpus / "dark", "--out", tmp_path / "dark", *options)
    assert code == 0
