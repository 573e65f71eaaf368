"""Files and addresses, by a server on this machine."""

import hashlib
import http.client
import socket
import threading
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from pyrite.errors import PyriteError
from pyrite.fetching import HubAddress, download, fetch, read_hub_address
from web import redirect, send, web


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


def test_a_file_and_an_address_give_their_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"abc")
    assert fetch(str(tmp_path / "a.bin"), max_bytes=3) == b"abc"
    steps = []
    with web(send(b"x" * 200_000)) as address:
        assert fetch(address, max_bytes=200_000, progress=lambda *step: steps.append(step)) == b"x" * 200_000
    assert steps[-1] == (200_000, 200_000)
    assert steps == sorted(steps)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("hf:owner/name", HubAddress("owner/name", None, None)),
        ("hf:owner/name@refs/pr/1#onnx/model.onnx", HubAddress("owner/name", "refs/pr/1", "onnx/model.onnx")),
    ],
)
def test_an_address_on_the_hub_is_read_and_written(source: str, expected: HubAddress) -> None:
    assert read_hub_address(source) == expected
    assert str(expected) == source


@pytest.mark.parametrize("source", ["owner/name", "hf:name", "hf:owner/name#", "hf://owner/name", "hf:a/b/c"])
def test_what_is_no_address_on_the_hub_is_told_from_one(source: str) -> None:
    assert read_hub_address(source) is None


def test_an_address_that_leads_elsewhere_is_followed() -> None:
    with web(send(b"there")) as there, web(redirect(there)) as address:
        assert fetch(address, max_bytes=10) == b"there"


@pytest.mark.parametrize("length", [None, -1], ids=["with its length", "without"])
def test_what_is_too_large_is_refused(length: int | None, tmp_path: Path) -> None:
    with web(send(b"x" * 11, length=length)) as address, pytest.raises(PyriteError, match="more than 10 bytes"):
        fetch(address, max_bytes=10)
    (tmp_path / "a.bin").write_bytes(b"x" * 11)
    with pytest.raises(PyriteError, match="more than 10 bytes"):
        fetch(str(tmp_path / "a.bin"), max_bytes=10)


def test_what_ends_early_is_refused() -> None:
    with web(send(b"half", length=8)) as address, pytest.raises(PyriteError, match="ended after 4 of 8 bytes"):
        fetch(address, max_bytes=10)


def test_an_answer_that_is_none_of_http_is_told() -> None:
    def nonsense(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"\0\0\0\0 nonsense\r\n\r\n")

    with web(nonsense) as address, pytest.raises(PyriteError, match=r"cannot be fetched: .*--from"):
        fetch(address, max_bytes=10)


@pytest.mark.parametrize(("status", "said"), [(404, "404 Not Found"), (503, "503 Service Unavailable")])
def test_a_refusal_is_told_with_its_status(status: int, said: str) -> None:
    with web(send(b"", status=status)) as address, pytest.raises(PyriteError, match=f"the server answered {said}"):
        fetch(address, max_bytes=10)


def test_without_a_network_the_way_out_is_told() -> None:
    with socket.socket() as closed:  # A port where nobody listens.
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        with pytest.raises(PyriteError, match=r"cannot be fetched: .*Without a network, give a file of it with --from"):
            fetch(address, max_bytes=10)


def test_a_server_that_is_silent_or_never_ends_is_given_up() -> None:
    enough = threading.Event()

    def silent(handler: BaseHTTPRequestHandler) -> None:
        enough.wait(60)

    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while not enough.wait(0.01):
                handler.wfile.write(b"x")
        except OSError:
            pass

    for answer in (silent, endless):
        enough.clear()
        with web(answer) as address:
            with pytest.raises(PyriteError, match="the server took too long"):
                fetch(address, max_bytes=1 << 30, seconds=0.2)
            enough.set()


def test_https_never_leads_to_http(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_tls(handler: urllib.request.HTTPSHandler, request: urllib.request.Request) -> http.client.HTTPResponse:
        return handler.do_open(http.client.HTTPConnection, request)  # type: ignore[arg-type]

    monkeypatch.setattr(urllib.request.HTTPSHandler, "https_open", without_tls)
    with web(send(b"there")) as there:
        secure = there.replace("http:", "https:")
        with web(redirect(there)) as address, pytest.raises(PyriteError, match="it redirects from https to http://127"):
            fetch(address.replace("http:", "https:"), max_bytes=10)
        with web(redirect(secure)) as address:
            assert fetch(address.replace("http:", "https:"), max_bytes=10) == b"there"


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    for source in (str(tmp_path), str(tmp_path / "gone"), "a\0b", "https://"):
        with pytest.raises(PyriteError, match=r"cannot be (read|fetched)"):
            fetch(source, max_bytes=10)


def ranges(content: bytes, *, cut: int | None = None, ignore: bool = False) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answer with a part where one is asked for; `cut` ends each answer early, and `ignore` knows no ranges."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked = None if ignore else handler.headers.get("Range")
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if asked and start >= len(content):
            handler.send_response(416)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        part = content[start:]
        handler.send_response(206 if asked else 200)
        handler.send_header("Content-Length", str(len(part)))
        handler.end_headers()
        handler.wfile.write(part[:cut])

    return answer


DATA = bytes(range(256)) * 1000
DIGEST = hashlib.sha256(DATA).hexdigest()


def test_a_large_file_is_fetched_once(tmp_path: Path) -> None:
    place, steps = tmp_path / "models" / "a.onnx", []
    with web(ranges(DATA)) as address:
        download(address, place, sha256=DIGEST, progress=lambda *step: steps.append(step))
    assert place.read_bytes() == DATA
    assert steps[-1] == (len(DATA), len(DATA))
    download("http://127.0.0.1:9/nobody", place, sha256=DIGEST)  # It is there.
    assert [path.name for path in place.parent.iterdir()] == ["a.onnx"]


def test_a_download_that_broke_off_goes_on(tmp_path: Path) -> None:
    place = tmp_path / "a.onnx"
    with web(ranges(DATA, cut=100_000)) as address:
        for have in (100_000, 200_000):
            with pytest.raises(
                PyriteError, match=f"ended after {have:,} of 256,000 bytes\\. Run the same command to continue"
            ):
                download(address, place, sha256=DIGEST)
        download(address, place, sha256=DIGEST)
    assert place.read_bytes() == DATA


def test_a_server_without_ranges_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "a.onnx.part").write_bytes(b"x" * 1000)
    with web(ranges(DATA, ignore=True)) as address:
        download(address, tmp_path / "a.onnx", sha256=DIGEST)
    assert (tmp_path / "a.onnx").read_bytes() == DATA


def test_what_was_all_there_is_only_checked(tmp_path: Path) -> None:
    (tmp_path / "a.onnx.part").write_bytes(DATA)
    with web(ranges(DATA)) as address:
        download(address, tmp_path / "a.onnx", sha256=DIGEST)
    assert (tmp_path / "a.onnx").read_bytes() == DATA


def test_another_file_than_was_meant_is_not_kept(tmp_path: Path) -> None:
    with web(ranges(DATA)) as address, pytest.raises(PyriteError, match=f"has the SHA-256 {DIGEST}, not 0000"):
        download(address, tmp_path / "a.onnx", sha256="0" * 64)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with web(ranges(DATA)) as address, pytest.raises(PyriteError, match="cannot be written"):
        download(address, tmp_path / "file" / "a.onnx", sha256=DIGEST)
