"""What those who run a server rely on: starting, stopping, keys, sockets and figures."""

import asyncio
import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from asking import HERE, PNG, Server, command_line, picture
from starlette.testclient import TestClient

from pyrite.errors import SettingsError
from pyrite.serving import ServerSettings, create_app, make_key, serve
from pyrite.serving.decoders import Decoders
from waiting import eventually, finish, processes_of

Serve = Callable[..., AbstractContextManager[Server]]
UPLOAD = b"POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n"


@contextmanager
def uploading(server: Server) -> Iterator[socket.socket]:
    """Hold a request whose body does not come."""
    with server.connect() as raw:
        raw.sendall(UPLOAD + b"Expect: 100-continue\r\n\r\n")
        assert raw.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        yield raw


def is_closed(server: Server) -> bool:
    try:
        server.ask("GET", "/healthz")
    except (OSError, http.client.HTTPException):
        return True
    return False


def test_a_server_lives_from_its_first_moment_and_is_ready_with_its_decoders(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []
    warm = Decoders.warm

    async def wait_and_warm(decoders: Decoders) -> None:
        loops.append(asyncio.get_running_loop())
        await begin.wait()
        await warm(decoders)

    monkeypatch.setattr(Decoders, "warm", wait_and_warm)
    with serve() as server:
        assert server.ask("GET", "/healthz").status == 200
        answer = server.ask("GET", "/readyz")
        assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "not_ready", "1")
        # What comes early waits instead of being refused.
        assert server.ask("POST", "/v1/detect", picture(), PNG).status == 200
        assert eventually(lambda: loops)
        loops[0].call_soon_threadsafe(begin.set)
        assert eventually(lambda: server.ask("GET", "/readyz").status == 200)


def test_a_server_whose_decoders_do_not_start_lives_and_says_why(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_: Decoders) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(Decoders, "warm", fail)
    with serve() as server:
        assert eventually(lambda: caplog.records)
        assert server.ask("GET", "/readyz").status == 503
        assert server.ask("GET", "/healthz").status == 200
    assert "no more processes" in caplog.text


def test_a_server_that_drains_takes_work_and_says_that_it_is_not_ready(saved: str) -> None:
    with command_line(saved, "--set", "drain_seconds=3600") as (server, process):
        process.send_signal(signal.SIGTERM)
        assert eventually(lambda: server.ask("GET", "/readyz").status == 503)
        assert server.ask("GET", "/readyz").json()["error"]["message"] == "The server is stopping."
        answer = server.ask("POST", "/v1/detect", picture(), PNG)
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        # A second signal ends that.
        process.send_signal(signal.SIGTERM)
        finish(process)
        assert process.returncode == -signal.SIGTERM


@pytest.mark.skipif(sys.platform != "linux", reason="decoders are forked off another process on Linux alone")
@pytest.mark.parametrize(
    ("how", "workers", "stays"),
    [(signal.SIGTERM, 1, ""), (signal.SIGTERM, 2, ""), (signal.SIGKILL, 1, "pyrite-uploads-*")],
)
def test_no_socket_is_left_behind(
    saved: str, how: int, workers: int, stays: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a killed server held is for the next one to remove."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with command_line(saved, "--set", f"workers={workers}") as (_, process):
        assert list(tmp_path.glob("*/listener-*"))
        process.send_signal(how)
        assert "Traceback" not in finish(process)[1]
    assert eventually(lambda: all(stays and path.match(stays) for path in tmp_path.iterdir()))


@pytest.mark.parametrize("workers", [1, 2])
def test_another_ctrl_c_gives_up_what_is_not_answered_without_a_traceback(saved: str, workers: int) -> None:
    settings = ["--set", f"workers={workers}", "--set", "upload_seconds=3600", "--set", "shutdown_seconds=3600"]
    with command_line(saved, *settings) as (server, process), uploading(server) as raw:
        process.send_signal(signal.SIGINT)
        assert eventually(lambda: is_closed(server), lambda: processes_of(process))
        process.send_signal(signal.SIGINT)
        head, _, body = raw.recv(10_000).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert json.loads(body or raw.recv(10_000))["error"]["code"] == "not_ready"
        said = finish(process)[1]
        assert "Traceback" not in said
        assert "stopped before all was answered requests=1" in said
        assert process.returncode == 0


def test_what_is_not_finished_in_time_is_given_up_without_a_traceback(saved: str) -> None:
    settings = ["--set", "upload_seconds=3600", "--set", "shutdown_seconds=1"]
    with command_line(saved, *settings) as (server, process), uploading(server) as raw:
        process.send_signal(signal.SIGTERM)
        assert raw.recv(10_000).startswith(b"HTTP/1.1 503 ")
        assert "Traceback" not in finish(process)[1]
        assert process.returncode == -signal.SIGTERM


@pytest.mark.parametrize("workers", [1, 2])
def test_keys_are_read_again_and_the_old_ones_stay_where_that_fails(saved: str, tmp_path: Path, workers: int) -> None:
    (first, one), (second, two), (third, three) = make_key(), make_key(), make_key()
    file = tmp_path / "serve.toml"

    def write(*entries: str) -> None:
        file.write_text(f"workers = {workers}\napi_keys = {json.dumps(entries)}\n")

    def asked(key: str) -> set[int]:
        """Ask often enough that each worker is among those that answer."""
        return {server.ask("GET", "/v1/limits", headers={"X-API-Key": key}).status for _ in range(8 * workers)}

    write(f"newsroom:{one}")
    with command_line(saved, "--settings", str(file)) as (server, process):
        assert asked(first) == {200}
        assert asked(second) == {401}
        write(f"newsroom:{two}")
        process.send_signal(signal.SIGHUP)
        assert eventually(lambda: asked(second) == {200})
        assert asked(first) == {401}
        for broken in ("api_keys = [", "api_keys = []"):
            file.write_text(broken)
            process.send_signal(signal.SIGHUP)
            assert asked(second) == {200}
        write(three)
        process.send_signal(signal.SIGHUP)
        assert eventually(lambda: asked(third) == {200})
        process.send_signal(signal.SIGTERM)
        said = finish(process)[1]
    assert "key=newsroom" in said
    assert f"key={three[:8]}" in said
    assert one not in said
    assert "keys were read again" in said


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no socket files here")
def test_a_socket_file_is_served_and_gone_afterwards(saved: str, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))  # As a server leaves it that was killed.
    command = [sys.executable, "-c", "from pyrite.cli import main; main()", "serve", "--bundle", saved]
    command += ["--host", f"unix:{path}", "--set", "trusted_proxies=unix", "--set", "rate_limit=1/minute"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == f"Serving at unix:{path}\n"

            def ask(client: str) -> int:
                with closing(_Connection(path)) as connection:
                    connection.request("GET", "/v1/limits", headers={"X-Forwarded-For": client, "Host": "any.example"})
                    return connection.getresponse().status

            assert [ask("192.0.2.1"), ask("192.0.2.1"), ask("192.0.2.2")] == [200, 429, 200]
            with pytest.raises(SettingsError, match="another server listens there"):
                serve(ServerSettings(bundle=saved, host=f"unix:{path}"))
            process.send_signal(signal.SIGTERM)
            said = finish(process)[1]
        finally:
            process.kill()
    assert "client=192.0.2.2" in said
    assert not path.exists()


def test_a_connection_waits_for_its_next_request_as_long_as_it_is_told_to(serve: Serve) -> None:
    def ask(raw: socket.socket) -> None:
        raw.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        said = b""
        while not said.endswith(b'{"status":"ok"}'):
            data = raw.recv(10_000)
            assert data, "The connection was closed."
            said += data

    with serve(keep_alive_seconds=3600.0, upload_seconds=1.0) as server, server.connect() as kept:
        ask(kept)
        for _ in range(3):
            with server.connect() as silent:  # Which is ended after a second.
                assert silent.recv(1) == b""
        ask(kept)
    with serve(keep_alive_seconds=1.0) as server, server.connect() as short:
        ask(short)
        assert short.recv(1) == b""


@pytest.mark.parametrize(
    ("settings", "host", "statuses"),
    [
        ({"hosts": ("pyrite.example",)}, "10.1.2.3:8000", (421, 200)),
        ({"hosts": ("pyrite.example",), "api_keys": ("1" * 64,)}, "10.1.2.3:8000", (421, 401)),
        ({}, "10.1.2.3:8000", (421, 421)),
    ],
)
def test_metrics_are_had_by_the_address_of_a_pod(
    saved: str, settings: dict[str, Any], host: str, statuses: tuple[int, int]
) -> None:
    client = TestClient(create_app(ServerSettings(bundle=saved, **settings)), raise_server_exceptions=False)
    found = tuple(client.get(path, headers={"Host": host}).status_code for path in ("/v1/model", "/metrics"))
    assert found == statuses


def test_metrics_tell_of_stages_versions_bundles_and_processes_and_of_nothing_twice(serve: Serve) -> None:
    with serve() as server:
        server.ask("POST", "/v1/detect", picture(), PNG)
        with uploading(server):
            assert eventually(lambda: server.metric("pyrite_uploads") == 1)
        page = server.ask("GET", "/metrics").body.decode()
    for stage in ("receive", "decode", "score"):
        assert f'pyrite_stage_seconds_count{{stage="{stage}"}} ' in page
    assert 'name="brightness"' in page
    assert "pyrite_build_info{" in page
    figures = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    assert float(figures['pyrite_processes{role="children"}']) >= 2
    assert float(figures['pyrite_processes_resident_bytes{role="children"}']) > 10e6
    assert float(figures['pyrite_processes_cpu_seconds_total{role="children"}']) > 0
    assert "_created" not in page


def test_a_bundle_is_loaded_once(saved: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyrite.bundle.panel as panels
    from pyrite.bundle import Panel

    panel = Panel.open([saved])
    monkeypatch.setattr(panels, "load_bundle", None)
    app = create_app(ServerSettings(bundle=saved), panel=panel)
    assert TestClient(app, base_url=HERE).get("/v1/model").json()["name"] == "brightness"
