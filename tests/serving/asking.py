"""What tests send to a server, how they ask, and a server by the command line."""

import http.client
import io
import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from PIL import Image

from waiting import eventually, processes_of

BOUNDARY = "a-boundary"
HERE = "http://localhost"


def picture(colour: str = "white", side: int = 32, form: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(stream, form)
    return stream.getvalue()


def part(content: bytes, filename: str = "a.png", name: str = "files", kind: str = "image/png") -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n'
    return f"{head}Content-Type: {kind}\r\n\r\n".encode() + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
PNG = {"Content-Type": "image/png"}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json()["error"]["code"])


@dataclass(frozen=True)
class Server:
    """A server on this machine."""

    port: int
    pid: int = 0

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = {}, *, timeout: float = 60
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, headers, answer.read())
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def metric(self, line: str) -> float:
        lines = self.ask("GET", "/metrics").body.decode().splitlines()
        return next((float(found.split()[-1]) for found in lines if found.startswith(f"{line} ")), 0)


@contextmanager
def command_line(saved: str, *arguments: str, first: str = "") -> Iterator[tuple[Server, subprocess.Popen[str]]]:
    """Serve as `pyrite serve` does, in a process of its own, after `first` was run there."""
    command = [sys.executable, "-c", f"{first}; from pyrite.cli import main; main()".lstrip("; ")]
    command += ["serve", "--port", "0", "--bundle", saved, *arguments]
    pipe = subprocess.PIPE
    # The log is read at the end, and a server whose log finds no room waits; on Linux a pipe can hold this much.
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, pipesize=2**20) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            assert line.startswith("Serving at http://127.0.0.1:"), process.stderr and process.stderr.read()
            server = Server(int(line.rsplit(":", 1)[1]), process.pid)
            assert eventually(lambda: server.ask("GET", "/readyz").status == 200, lambda: processes_of(process))
            yield server, process
        finally:
            process.kill()
