import errno
import http.client
import io
import json
import os
import select
import signal
import socket
import struct
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, suppress
from pathlib import Path
from unittest.mock import Mock

import psutil
import pytest
from asking import BOUNDARY, FORM, PNG, Answer, Server, command_line, form, part, picture
from hostile import SLOW
from PIL import Image, PngImagePlugin

from pyrite.serving import uploads
from pyrite.serving.uploads import upload_folder
from waiting import eventually, finish

HEAD = b"POST /v1/detect HTTP/1.1\r\nHost: localhost\r\n"
Serve = Callable[..., AbstractContextManager[Server]]


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
        began = time.process_time()  # The server is a thread of this process.
        answer = server.ask("POST", "/v1/detect", form(*[part(b"x")] * 10_000), FORM)
        assert (answer.status, answer.code) == (413, "too_many_files")
        assert time.process_time() - began < 5
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
            raw.sendall(HEAD + b"Content-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n")
            block = b"10000\r\n" + bytes(0x10000) + b"\r\n"
            for _ in range(1000):
                raw.sendall(block)
            # Whoever looks for the answer only after all is sent gets it.
            assert raw.recv(1000).startswith(b"HTTP/1.1 413 ")
        assert server.ask("POST", "/v1/detect", bytes(20_000_000), PNG).code == "too_large"


def test_a_body_that_goes_on_after_its_answer_is_cut_off(serve: Serve) -> None:
    with serve(max_bytes=100_000, upload_seconds=1.0) as server, server.connect() as raw:
        raw.sendall(HEAD + b"Content-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n")

        def cut_off() -> bool:
            try:
                raw.sendall(b"10000\r\n" + bytes(0x10000) + b"\r\n")
            except OSError:
                return True
            return False

        assert eventually(cut_off)


def test_slow_bodies_and_headers_end_while_others_are_served(serve: Serve) -> None:
    with serve(upload_seconds=1.0) as server:
        slow = [server.connect() for _ in range(20)]
        for i, one in enumerate(slow):
            head = b"POST /v1/detect HTTP/1.1\r\nHost: localhost\r\n"
            one.sendall(head if i % 2 else head + b"Content-Type: image/png\r\nContent-Length: 1000\r\n\r\nx")
        assert server.ask("POST", "/v1/detect", picture(), PNG).status == 200
        for i, one in enumerate(slow):
            said = one.recv(1000)
            assert said == b"" if i % 2 else said.startswith(b"HTTP/1.1 408 ")
            one.close()
        assert eventually(lambda: server.metric("pyrite_queue_images") == 0)


def test_the_slowest_bodies_give_way_when_there_is_no_more_room(serve: Serve) -> None:
    slow = HEAD + b"Content-Type: image/png\r\nContent-Length: 1000\r\n\r\nx"
    with serve(uploads=6, upload_seconds=600.0) as server, ExitStack() as stack:
        hanging = [stack.enter_context(server.connect()) for _ in range(4)]
        for one in hanging:
            one.sendall(slow)
        assert eventually(lambda: server.ask("POST", "/v1/detect", picture(), PNG).status == 200)
        assert [server.ask("POST", "/v1/detect", picture(), PNG).status for _ in range(3)] == [200] * 3
        ends = [one.recv(1000)[:13] for one in hanging if select.select([one], [], [], 0)[0]]
        assert ends
        assert set(ends) == {b"HTTP/1.1 408 "}


def test_connections_are_bounded_and_whoever_asks_nothing_makes_room(serve: Serve) -> None:
    with serve(connections=5) as server, ExitStack() as stack:
        idle = [stack.enter_context(server.connect()) for _ in range(5)]
        assert server.ask("GET", "/healthz").status == 200
        with suppress(ConnectionError):
            assert idle[0].recv(1) == b""
        busy = [stack.enter_context(server.connect()) for _ in range(5)]
        for one in busy:
            one.sendall(HEAD + b"Content-Type: image/png\r\nContent-Length: 1000\r\n\r\nx")
        assert eventually(lambda: is_closed(server))


def test_headers_and_trailers_are_bounded(serve: Serve) -> None:
    chunked = HEAD + b"Content-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n"
    starts = [HEAD + b"X-A: ", b"GET /" + b"a" * 100, chunked + b"0\r\nX-A: ", chunked + b"1;"]
    with serve() as server:
        for start in starts:
            with server.connect() as raw:
                raw.sendall(start)
                with suppress(OSError):
                    for _ in range(10):
                        raw.sendall(bytes(b"a" * 50_000))
                        time.sleep(0.01)
                said = raw.recv(10_000)
                assert said.startswith(b"HTTP/1.1 431 ")
                error = json.loads(said.partition(b"\r\n\r\n")[2])["error"]
                assert (error["code"], list(error)) == ("headers_too_large", ["code", "message", "request_id"])
        assert server.ask("POST", "/v1/detect", picture(), PNG).status == 200


def test_who_takes_nothing_of_an_answer_is_cut_off(serve: Serve) -> None:
    with serve(upload_seconds=1.0) as server, socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1000)
        raw.connect(("127.0.0.1", server.port))
        raw.sendall(b"GET /docs HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000)
        opened = server.metric("process_open_fds")
        assert eventually(lambda: server.metric("process_open_fds") < opened)


def test_a_full_queue_answers_at_once(serve: Serve, hostile: None) -> None:
    with serve(queue=4, max_files=3, decode_seconds=4.0) as server, ThreadPoolExecutor(3) as pool:
        bad = picture(SLOW) + bytes(300_000)
        waiting = [pool.submit(server.ask, "POST", "/v1/detect", bad, PNG) for _ in range(3)]
        assert eventually(lambda: server.metric("pyrite_queue_images") == 3)
        answer = server.ask("POST", "/v1/detect", picture(), PNG)
        assert not any(one.done() for one in waiting)
        assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "queue_full", "1")
        assert answer.headers["x-content-type-options"] == "nosniff"
        with closing(http.client.HTTPConnection("127.0.0.1", server.port)) as kept:
            kept.connect()
            sock = kept.sock
            for _ in range(3):
                kept.request("POST", "/v1/detect", picture() + bytes(200_000), {**PNG, "X-Request-ID": "mine"})
                response = kept.getresponse()
                assert (response.status, response.headers["X-Request-ID"]) == (503, "mine")
                response.read()
            for one in waiting:
                assert one.result().json()["detections"][0]["error"]["code"] == "timed_out"
            kept.request("POST", "/v1/detect", picture(), PNG)
            assert kept.getresponse().status == 200
            assert kept.sock is sock
        assert server.metric('pyrite_requests_total{method="POST",route="/v1/detect",status="503"}') == 4


@pytest.mark.parametrize("path", ["/v1/explain", "/v1/history"])
def test_an_image_that_takes_long_to_decode_holds_up_no_explanation(serve: Serve, hostile: None, path: str) -> None:
    with serve(decode_seconds=1.0) as server:
        answer = server.ask("POST", path, picture(SLOW) + bytes(300_000), PNG)
        assert (answer.status, answer.code) == (422, "timed_out")


def test_a_request_that_takes_too_long_is_told_so(serve: Serve, hostile: None) -> None:
    with serve(request_seconds=1.0) as server:
        answer = server.ask("POST", "/v1/detect", picture(SLOW) + bytes(300_000), PNG)
        assert (answer.status, answer.code) == (504, "timed_out")
        assert server.metric("pyrite_queue_images") == 0
        # As soon as another process has begun.
        assert eventually(lambda: server.ask("POST", "/v1/detect", picture() + bytes(300_000), PNG).status == 200)


def test_who_hangs_up_frees_the_place(serve: Serve, hostile: None) -> None:
    with serve(queue=3, max_files=2, decode_seconds=600.0, request_seconds=600.0) as server:
        bad = picture(SLOW) + bytes(300_000)
        head = HEAD.decode() + f"Content-Type: image/png\r\nContent-Length: {len(bad)}\r\n\r\n"
        gone = [server.connect() for _ in range(2)]
        for one in gone:
            one.sendall(head.encode() + bad)
        assert eventually(lambda: server.metric("pyrite_queue_images") == 2)
        for one in gone:
            one.close()
        assert eventually(lambda: server.metric("pyrite_queue_images") == 0)
        assert server.ask("POST", "/v1/detect", picture() + bytes(300_000), PNG).status == 200
        assert server.metric('pyrite_requests_total{method="POST",route="/v1/detect",status="499"}') == 2
        assert "pyrite_rejections_total{" not in server.ask("GET", "/metrics").body.decode()


@pytest.mark.parametrize(
    "nonsense",
    [b"\x16\x03\x01\x02\x00\r\n", b"GET / HTTP/9.9\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
     b"POST /v1/detect HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
     b"POST /v1/detect HTTP/1.1\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"],
)  # fmt: skip
def test_what_is_no_http_is_told_in_the_one_shape_and_ends_its_connection_alone(serve: Serve, nonsense: bytes) -> None:
    with serve() as server:
        with server.connect() as raw:
            raw.sendall(nonsense)
            said = b""
            while data := raw.recv(10_000):
                said += data
        head, _, body = said.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"\r\ncontent-type: application/json\r\n" in head
        error = json.loads(body)["error"]
        assert (error["code"], error["message"][-1]) == ("bad_request", ".")
        assert f"x-request-id: {error['request_id']}".encode() in head
        assert server.ask("GET", "/healthz").status == 200


def test_nothing_of_an_upload_is_left_when_the_disk_is_full(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr("pyrite.serving.uploads._append", Mock(side_effect=full))
    folders = Path(tempfile.gettempdir())
    with serve() as server:
        answer = server.ask("POST", "/v1/detect", picture() + bytes(3_000_000), PNG)
        assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "no_space", "1")
        assert not list(folders.glob(f"pyrite-uploads-{os.getpid()}-*/upload-*"))
        assert server.ask("POST", "/v1/detect", picture(), PNG).status == 200


def test_an_upload_that_is_too_slow_for_its_disk_leaves_nothing(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    answered, written = threading.Event(), threading.Event()

    def append(path: Path, data: bytes) -> None:
        answered.wait()
        try:
            whole(path, data)
        finally:
            written.set()

    whole = uploads._append
    monkeypatch.setattr("pyrite.serving.uploads._append", append)
    with serve(upload_seconds=1.0) as server:
        try:
            assert server.ask("POST", "/v1/detect", picture() + bytes(3_000_000), PNG).code == "timed_out"
        finally:
            answered.set()
        assert eventually(written.is_set)
        assert eventually(
            lambda: not list(Path(tempfile.gettempdir()).glob(f"pyrite-uploads-{os.getpid()}-*/upload-*"))
        )


@pytest.mark.skipif(sys.platform == "win32", reason="no folder is held there")
def test_what_a_killed_server_left_is_gone_with_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left, other = tmp_path / "pyrite-uploads-1-a", tmp_path / "pyrite-other"
    for folder in (left, other):
        folder.mkdir()
        (folder / "upload-1").write_bytes(b"x")
        os.utime(folder, (0, 0))
    with upload_folder() as held:
        os.utime(held, (0, 0))
        assert not left.exists()
        assert other.exists()
        with upload_folder():
            assert held.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["pyrite-other"]


def test_a_server_that_is_stopped_with_all_its_processes_finishes_what_it_accepted(saved: str) -> None:
    content = form(part(picture()), part(picture() + bytes(300_000)))
    with command_line(saved) as (server, process), server.connect() as raw:
        begin(raw, len(content))
        raw.sendall(content[:50])
        for one in (*children(process.pid), process):
            with suppress(psutil.NoSuchProcess):  # As where what it was forked off was faster to end.
                one.send_signal(signal.SIGTERM)
        assert eventually(lambda: is_closed(server))
        raw.sendall(content[50:])
        said = b""
        while data := raw.recv(10_000):
            said += data
        assert said.startswith(b"HTTP/1.1 200 ")
        assert said.count(b'"verdict":"ai"') == 2


def begin(raw: socket.socket, size: int) -> None:
    """Send a request without its body, and wait until the server asks for that."""
    kind = f"Content-Type: {FORM['Content-Type']}\r\nContent-Length: {size}\r\nExpect: 100-continue\r\n\r\n"
    raw.sendall(HEAD + kind.encode())
    assert raw.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"


def is_closed(server: Server) -> bool:
    """Say whether a server takes no more connections, or resets them at once."""
    try:
        server.ask("GET", "/healthz")
    except (OSError, http.client.HTTPException):
        return True
    return False


def children(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def test_a_stopped_server_finishes_what_it_accepted(saved: str) -> None:
    content = form(part(picture()))
    with command_line(saved) as (server, process), server.connect() as raw:
        begin(raw, len(content))
        raw.sendall(content[:50])
        process.send_signal(signal.SIGTERM)
        assert eventually(lambda: is_closed(server))
        raw.sendall(content[50:])
        said = b""
        while data := raw.recv(10_000):
            said += data
        assert said.startswith(b"HTTP/1.1 200 ")
        assert b'"verdict":"ai"' in said
        finish(process)
        assert process.returncode == -signal.SIGTERM


def memory(pid: int) -> int:
    """Return the bytes that a process and those that it started hold."""
    total = 0
    for process in (psutil.Process(pid), *children(pid)):
        with suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is told by /proc")
def test_a_hundred_large_uploads_at_once_take_bounded_memory_and_others_are_served(saved: str) -> None:
    body = picture() + bytes(20_000_000)
    with command_line(saved, "--set", "uploads=200") as (server, process):
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
    with command_line(saved, "--set", "log_level=warning") as (server, process):
        assert server.ask("POST", "/v1/detect", picture(), PNG).status == 200
        process.send_signal(signal.SIGINT)
        assert finish(process)[1] == ""
        assert process.returncode == 0
    assert not list(Path(tempfile.gettempdir()).glob(f"pyrite-uploads-{process.pid}-*"))
