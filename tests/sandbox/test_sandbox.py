"""Processes for what strangers sent: what they cannot do, and what becomes of those that end."""

import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attacks
import pytest

from pyrite.errors import ImageError
from pyrite.sandbox import AnswersContext, Ended, Process, kernel, load_answer, missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=" ".join(missing()) or "everything is there")


@pytest.fixture
def process() -> Iterator[Process]:
    process = Process()
    yield process
    process.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "victim").write_text("kept")
    return tmp_path


def test_a_process_in_the_sandbox_has_no_network_and_changes_no_file(process: Process, folder: Path) -> None:
    tried = process.call(attacks.try_all, str(folder), seconds=60)
    assert set(tried.values()) == {"PermissionError"}, tried
    assert [path.name for path in folder.iterdir()] == ["victim"]
    assert (folder / "victim").read_text() == "kept"


def test_without_it_all_of_that_is_done(folder: Path) -> None:
    process = Process(confined=False)
    try:
        tried = process.call(attacks.try_all, str(folder), seconds=60)
    finally:
        process.close()
    assert {tried[name] for name in ("tcp", "udp", "unix", "write", "append", "program", "process", "signal")} == {
        "done"
    }


def test_it_still_does_what_decoders_do(process: Process) -> None:
    assert process.call(attacks.work, seconds=60) == "done"
    assert process.call(attacks.read, __file__, seconds=60) == "done"


@pytest.mark.parametrize("function", [attacks.leave, attacks.fail, attacks.trap])
def test_a_process_that_ends_or_answers_with_code_is_told_as_ended(process: Process, function: object) -> None:
    with pytest.raises(Ended) as caught:
        process.call(function, seconds=60)  # type: ignore[arg-type]
    assert not caught.value.late


def test_a_process_that_takes_no_signal_is_killed_in_time(process: Process) -> None:
    with pytest.raises(Ended) as caught:
        process.call(attacks.hang, seconds=2)
    assert caught.value.late
    assert caught.value.how == "SIGKILL"


def test_errors_of_our_own_come_back_as_they_are(process: Process) -> None:
    from pyrite.image import Limits, open_image

    with pytest.raises(ImageError, match="no such file") as caught:
        process.call(open_image, "/nowhere", Limits(), seconds=60)
    assert caught.value.code == "not_found"


def test_an_answer_holds_plain_values_alone() -> None:
    import pickle

    assert load_answer(pickle.dumps({"a": (1, b"x", None)})) == {"a": (1, b"x", None)}
    with pytest.raises(pickle.UnpicklingError, match=r"must not hold posix\.system"):
        load_answer(attacks.packed_trap())


def test_enumerations_are_values_as_every_python_pickles_them() -> None:
    import pickle

    from pyrite.results import Verdict

    def by_attribute(kind: str, name: str) -> bytes:
        module, _, place = kind.rpartition(".")
        return f"cbuiltins\ngetattr\n(c{module}\n{place}\nV{name}\ntR.".encode()

    assert load_answer(pickle.dumps(Verdict.AI)) is Verdict.AI
    assert load_answer(by_attribute("pyrite.results.Verdict", "AI")) is Verdict.AI
    with pytest.raises(pickle.UnpicklingError, match="attributes"):
        load_answer(by_attribute("pyrite.results.Detection", "__init__"))
    with pytest.raises(pickle.UnpicklingError):
        load_answer(by_attribute("pyrite.results.Verdict", "__class__"))


def test_a_file_in_the_current_folder_is_not_taken_for_a_module(tmp_path: Path) -> None:
    for name in ("numpy", "pickle", "ctypes", "pyrite"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(9)")
    script = "import attacks; from pyrite.sandbox import Process; print(Process().call(attacks.work, seconds=60))"
    path = ":".join([str(Path(__file__).parent), *filter(None, sys.path)])
    command = [sys.executable, "-P", "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": path}, capture_output=True, text=True)
    assert done.stdout.strip() == "done", done.stderr


def _attack(context_folder: str, end: object) -> None:
    from pyrite.sandbox import confine

    confine([])
    end.send({**attacks.try_all(context_folder), "read": attacks.read(f"{context_folder}/victim")})  # type: ignore[attr-defined]


def test_a_process_of_the_server_reads_only_what_it_is_given(folder: Path) -> None:
    context = AnswersContext()
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=_attack, args=(str(folder), writer))
    process.start()
    writer.close()
    tried = reader.recv()
    process.join()
    assert set(tried.values()) == {"PermissionError"}, tried


OWNER_GONE = """
from pyrite.sandbox import AnswersContext

class Gone:
    def __reduce__(self):
        return open, ("none",)

if __name__ == "__main__":
    process = AnswersContext().Process(target=print, args=(Gone(),))
    process.start()
    process.join()
    print(process.exitcode)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked off another one on Linux alone")
def test_a_process_whose_owner_ends_as_it_begins_says_nothing(tmp_path: Path) -> None:
    """What it was given is gone then, such as locks."""
    (tmp_path / "owner.py").write_text(OWNER_GONE)
    done = subprocess.run([sys.executable, tmp_path / "owner.py"], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("1\n", "")


@pytest.mark.parametrize(
    ("system", "machine", "landlock", "said"),
    [
        ("darwin", "arm64", 0, "keep network and files"),
        ("linux", "x86_64", -1, "could write files"),
        ("linux", "riscv64", 7, "could use the network"),
    ],
)
def test_what_a_system_lacks_is_said(
    monkeypatch: pytest.MonkeyPatch, system: str, machine: str, landlock: int, said: str
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(kernel, "_landlock_version", lambda: landlock)
    [told] = missing()
    assert said in told
