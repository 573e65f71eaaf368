"""Several workers behind one socket."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest
from asking import PNG, Server, command_line, picture

from pyrite.serving.holdings import Holdings
from pyrite.serving.refusal import Refusal
from pyrite.serving.service import Places
from waiting import eventually, finish, processes_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is one worker only")


def workers_of(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """Return the workers, which have children of their own, unlike what else the process has started."""
    found = []
    for one in psutil.Process(process.pid).children():
        with suppress(psutil.NoSuchProcess):
            found += [one] if one.children() else []
    return found


def has_another(process: "subprocess.Popen[str]", killed: psutil.Process) -> bool:
    """Say whether another worker has taken the place of one of two; one that was killed may still be seen a while."""
    return len({one.pid for one in workers_of(process)} - {killed.pid}) == 2


def all_ready(server: Server) -> bool:
    """Ask often enough that each worker is among those that answer."""
    return {server.ask("GET", "/readyz").status for _ in range(16)} == {200}


def test_workers_count_and_limit_together_and_one_that_ends_is_replaced(saved: str, extra: None) -> None:
    with command_line(saved, "--set", "workers=2", "--set", "rate_limit=5/hour") as (server, process):
        assert eventually(lambda: len(workers_of(process)) == 2, lambda: processes_of(process))
        statuses = [server.ask("POST", "/v1/detect", picture(), PNG).status for _ in range(8)]
        assert statuses == [200] * 5 + [429] * 3
        for _ in range(8):  # Whichever answers.
            assert server.metric('pyrite_requests_total{method="POST",route="/v1/detect",status="200"}') == 5
            assert server.metric('pyrite_images_total{outcome="ai"}') == 5
            assert server.metric('pyrite_stage_seconds_count{stage="decode"}') == 5
            assert server.metric("pyrite_queue_images") == 0
        assert "_created" not in server.ask("GET", "/metrics").body.decode()
        # A decoder that is only starting when its worker ends says so in the log.
        assert eventually(lambda: all_ready(server), lambda: processes_of(process))
        killed = workers_of(process)[0]
        killed.kill()
        assert eventually(lambda: has_another(process, killed), lambda: processes_of(process))
        for _ in range(8):
            assert server.ask("GET", "/healthz").status == 200
            assert server.ask("GET", "/v1/limits").status == 429
        # What the one counted that ended is not lost.
        assert server.metric('pyrite_images_total{outcome="ai"}') == 5
        assert eventually(lambda: all_ready(server), lambda: processes_of(process))
        process.send_signal(signal.SIGTERM)
        said = finish(process)[1]
        assert process.returncode == 0
    assert re.search(rf"a worker ended, and another takes its place pid={killed.pid} exit_code=-9 ", said), said
    assert "Traceback" not in said


def test_a_worker_that_dies_before_it_says_that_it_lives_is_replaced_at_once(saved: str, extra: None) -> None:
    patient = "import pyrite.serving.workers as workers; workers._PING_SECONDS = 100_000"
    with command_line(saved, "--set", "workers=2", first=patient) as (server, process):
        assert eventually(lambda: all_ready(server), lambda: processes_of(process))
        killed = workers_of(process)[0]
        killed.suspend()
        time.sleep(2)  # Every half a second, each is asked.
        killed.kill()
        assert eventually(lambda: has_another(process, killed), lambda: processes_of(process))


def test_workers_end_with_the_process_that_started_them(saved: str, extra: None) -> None:
    with command_line(saved, "--set", "workers=2") as (_, process):
        assert eventually(lambda: len(workers_of(process)) == 2, lambda: processes_of(process))
        all_of_them = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        assert eventually(lambda: not any(one.is_running() for one in all_of_them))


def test_what_a_worker_cannot_start_with_is_told_and_not_tried_again(saved: str, extra: None) -> None:
    command = [sys.executable, "-c", "from pyrite.cli import main; main()", "serve", "--port", "0", "--bundle", saved]
    command += ["--set", "workers=2", "--set", "rate_limit=often"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        said, errors = finish(process)
    assert (process.returncode, said) == (1, "")
    assert "The setting rate_limit is not valid: 'often' is not like 600/minute." in errors
    assert "Error: A worker could not start. The log says why." in errors
    assert "Traceback" not in errors


def test_places_are_those_of_all_workers_and_free_with_one_that_ends() -> None:
    holdings = Holdings(2)
    first, second = (Places(3, "queue_full", "images", holdings.claim()["images"]) for _ in range(2))
    with pytest.raises(RuntimeError, match="as many workers as there can be"):
        holdings.claim()
    with first.take("one", 2):
        with second.take("another"):
            assert first.full()
            assert second.full()
        with pytest.raises(Refusal):
            second.check("another", 2)
        assert not second.full()
        assert second.full(coming=1)
        holdings.release(os.getpid())
        assert not second.full()


def test_a_terminals_ctrl_c_reaches_the_process_that_was_started_alone(saved: str, extra: None) -> None:
    with command_line(saved, "--set", "workers=2", "--set", "drain_seconds=3600") as (server, process):
        assert eventually(lambda: all_ready(server), lambda: processes_of(process))
        for one in psutil.Process(process.pid).children(recursive=True):
            one.send_signal(signal.SIGINT)
        assert all_ready(server)
        process.send_signal(signal.SIGTERM)
        assert eventually(lambda: server.ask("GET", "/readyz").status == 503)
        process.send_signal(signal.SIGTERM)  # Else they would go on for an hour.
        finish(process)
