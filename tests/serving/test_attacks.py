import io
import signal
import socket
import struct
import tempfile
import threading
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import pytest
from asking import BOUNDARY, FORM, PNG, Answer, Server, command_line, eventually, form, part, picture
from hostile import SLOW, Hostile
from PIL import Image, PngImagePlugin

from pyrite.serving.decoding import Plan

Serve = Callable[..., AbstractContextManager[Server]]


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let red images never come to an end, and blue ones end their process."""
    monkeypatch.setattr(
        "pyrite.serving.service.Plan",
        lambda preprocess, limits, anchors: Plan(Hostile(preprocess), limits, anchors),  # type: ignore[arg-type]
    )


def bomb(side: int) -> bytes:
    """Return a PNG of black pixels, a thousandth of their size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj()
    rows = b"".join(packer.compress(bytes(1 + side)) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_names_and_types_that_lie_are_only_told(serve: Serve, tmp_path: Path) -> None:
    names = ["../../../etc/passwd", "/etc/passwd", "C:\\windows\\x.png", "<img src=x onerror=alert(1)>.png", "a" * 200]
    parts = [part(picture(), name) for name in names]
    inner = form(part(picture())).replace(BOUNDARY.encode(), b"inner")
    parts.append(part(inner, "nested.png", kind="multipart/mixed; boundary=inner"))
    parts.append(part(b"<script>alert(1)</script>", "page.png", kind="image/png"))
    with serve() as server:
        answer = server.ask("POST", "/v1/detect", form(*parts), FORM)
    found = answer.json()["detections"]
    # A drive's letter is left out, as that of old browsers which sent it always was.
    assert [one["path"] for one in found[:5]] == [name.removeprefix("C:\\windows\\") for name in names]
    assert [one["error"] and one["error"]["code"] for one in found] == [None] * 5 + ["unsupported_format"] * 2
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_pages_in_metadata_stay_text(serve: Serve) -> None:
    text = "<script>alert(1)</script>\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 32x32, Model: <b>x</b>"
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", text)
    stream = io.BytesIO()
    Image.new("RGB", (32, 32)).save(stream, "PNG", pnginfo=info)
    with serve() as server:
        answer = server.ask("POST", "/v1/detect", stream.getvalue(), PNG)
    [found] = answer.json()["detections"]
    assert found["evidence"][0]["data"]["prompt"] == "<script>alert(1)</script>"
    assert answer.headers["content-type"] == "application/json"


def test_ten_thousand_parts_are_refused_at_once(serve: Serve) -> None:
    with serve() as server:
        began = time.monotonic()
        answer = server.ask("POST", "/v1/detect", form(*[part(b"x")] * 10_000), FORM)
        assert (answer.status, answer.code) == (413, "too_many_files")
        assert time.monotonic() - began < 10
        assert server.ask("POST", "/v1/detect", picture(), PNG).status == 200


def test_bombs_are_refused_by_their_pixels(serve: Serve) -> None:
    with serve(max_pixels=1_000_000) as server:
        answer = server.ask("POST", "/v1/detect", form(part(bomb(5000)), part(picture())), FORM)
    found = answer.json()["detections"]
    assert [one["error"] and one["error"]["code"] for one in found] == ["too_many_pixels", None]


def test_a_file_over_the_limit_is_an_error_of_its_own_and_a_body_over_it_is_cut_off(serve: Serve) -> None:
    with serve(max_bytes=100_000, max_request_bytes=400_000) as server:
        answer = server.ask("POST", "/v1/detect", form(part(bytes(200_000)), part(picture())), FORM)
        found = answer.json()["detections"]
        assert [one["error"] and one["error"]["code"] for one in found] == ["too_many_bytes", None]
        assert server.ask("POST", "/v1/detect", form(part(bytes(500_000))), FORM).code == "too_large"
        with server.connect() as raw:
            raw.sendall(
                b"POST /v1/detect HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            block, sent = b"10000\r\n" + bytes(0x10000) + b"\r\n", 0
            with suppress(OSError):
                while sent < 1000:
                    raw.sendall(block)
                    sent += 1
            assert sent < 1000  # Nobody reads 65 MB.


def test_slow_bodies_and_headers_end_while_others_are_served(serve: Serve) -> None:
    with serve(upload_seconds=1.0) as server:
        slow = [server.connect() for _ in range(20)]
        for i, one in enumerate(slow):
            head = b"POST /v1/detect HTTP/1.1\r\nHost: x\r\n"
            one.sendall(head if i % 2 else head + b"Content-Type: image/png\r\nContent-Length: 1000\r\n\r\nx")
        assert server.ask("POST", "/v1/detect", picture(), PNG).status == 200
        for i, one in enumerate(slow):
            said = one.recv(1000)
            assert said == b"" if i % 2 else said.startswith(b"HTTP/1.1 408 ")
            one.close()
        assert eventually(lambda: server.metric("pyrite_queue_images") == 0)


def test_connections_are_bounded(serve: Serve) -> None:
    with serve(connections=5) as server:
        idle = [server.connect() for _ in range(5)]
        assert eventually(lambda: all(one.fileno() >= 0 for one in idle))
        with pytest.raises(OSError):  # noqa: PT011 - reset or closed
            server.ask("GET", "/healthz")
        for one in idle:
            one.close()

        def served() -> bool:
            try:
                return server.ask("GET", "/healthz").status == 200
            except OSError:
                return False

        assert eventually(served)


def test_a_full_queue_answers_at_once(serve: Serve, hostile: None) -> None:
    with serve(queue=3, max_files=3, decode_seconds=3.0) as server, ThreadPoolExecutor(3) as pool:
        bad = picture(SLOW) + bytes(100_000)
        waiting = [pool.submit(server.ask, "POST", "/v1/detect", bad, PNG) for _ in range(3)]
        assert eventually(lambda: server.metric("pyrite_queue_images") == 3)
        began = time.monotonic()
        answer = server.ask("POST", "/v1/detect", picture(), PNG)
        assert time.monotonic() - began < 2.5
        assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "queue_full", "1")
        for one in waiting:
            assert one.result().json()["detections"][0]["error"]["code"] == "too_slow"
        assert server.ask("POST", "/v1/detect", picture(), PNG).status == 200


def test_a_request_that_takes_too_long_is_told_so(serve: Serve, hostile: None) -> None:
    with serve(request_seconds=1.0) as server:
        answer = server.ask("POST", "/v1/detect", picture(SLOW) + bytes(100_000), PNG)
        assert (answer.status, answer.code) == (504, "timed_out")
        assert server.metric("pyrite_queue_images") == 0
        # As soon as another process has begun.
        assert eventually(lambda: server.ask("POST", "/v1/detect", picture() + bytes(100_000), PNG).status == 200)


def test_who_hangs_up_frees_the_place(serve: Serve, hostile: None) -> None:
    with serve(queue=2, max_files=2) as server:
        bad = picture(SLOW) + bytes(100_000)
        head = f"POST /v1/detect HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: {len(bad)}\r\n\r\n"
        gone = [server.connect() for _ in range(2)]
        for one in gone:
            one.sendall(head.encode() + bad)
        assert eventually(lambda: server.metric("pyrite_queue_images") == 2)
        for one in gone:
            one.close()
        assert eventually(lambda: server.metric("pyrite_queue_images") == 0, 5)
        assert server.ask("POST", "/v1/detect", picture() + bytes(100_000), PNG, timeout=10).status == 200


def test_what_is_no_http_ends_its_connection_alone(serve: Serve) -> None:
    with serve() as server:
        for nonsense in (b"\x16\x03\x01\x02\x00", b"GET " + b"a" * 100_000, b"GET / HTTP/9.9\r\n\r\n"):
            with server.connect() as raw:
                raw.sendall(nonsense)
                raw.shutdown(socket.SHUT_WR)
                while raw.recv(1000):
                    pass
        assert server.ask("GET", "/healthz").status == 200


def test_a_stopped_server_finishes_what_it_accepted(saved: str) -> None:
    content = form(part(picture()))
    with command_line(saved) as (server, process), server.connect() as raw:
        head = f"POST /v1/detect HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM['Content-Type']}\r\n"
        raw.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content[:50])
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)

        def refused() -> bool:
            try:
                server.connect().close()
            except OSError:
                return True
            return False

        assert eventually(refused)
        raw.sendall(content[50:])
        said = b""
        while data := raw.recv(10_000):
            said += data
        assert said.startswith(b"HTTP/1.1 200 ")
        assert b'"verdict":"ai"' in said
        process.wait(60)
        assert process.returncode == -signal.SIGTERM


def memory(pid: int) -> int:
    """Return the bytes that a process and those that it started hold."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
        except OSError:
            continue
        if str(pid) in (fields.get("Pid"), fields.get("PPid")):
            total += int(fields.get("VmRSS", "0 kB").split()[0]) * 1000
    return total


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is told by /proc")
def test_a_hundred_large_uploads_at_once_take_bounded_memory_and_others_are_served(saved: str) -> None:
    body = picture() + bytes(20_000_000)
    with command_line(saved) as (server, process):
        before, most, small, done = memory(process.pid), 0, [], threading.Event()

        def watch() -> None:
            nonlocal most
            while not done.wait(0.1):
                most = max(most, memory(process.pid))
                small.append(server.ask("POST", "/v1/detect", picture(), PNG).status)

        watcher = threading.Thread(target=watch)
        watcher.start()
        with ThreadPoolExecutor(100) as pool:
            answers = list(pool.map(lambda _: upload(server, body), range(100)))
        done.set()
        watcher.join()
    assert {answer.status for answer in answers} <= {200, 503}
    assert sum(answer.status == 200 for answer in answers) >= 90
    assert set(small) == {200}
    assert len(small) > 3
    assert most - before < 400_000_000


def upload(server: Server, body: bytes) -> Answer:
    return server.ask("POST", "/v1/detect", body, PNG, timeout=120)


def test_ctrl_c_ends_a_server_that_has_finished(saved: str) -> None:
    with command_line(saved) as (server, process):
        assert server.ask("POST", "/v1/detect", picture(), PNG).status == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert process.stderr
        assert process.stderr.read() == ""
    assert not list(Path(tempfile.gettempdir()).glob(f"pyrite-{process.pid}-*"))
