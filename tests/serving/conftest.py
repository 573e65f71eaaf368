"""Servers to ask: in this process without a network, and in a thread of it."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from asking import HERE, Server
from hostile import hostile_reader

from pyrite.bundle import Bundle
from pyrite.detector import Reader
from pyrite.serving import ServerSettings, create_app
from pyrite.serving.decoders import Decoders
from pyrite.serving.process import configure
from waiting import eventually

if TYPE_CHECKING:
    from starlette.testclient import TestClient

Serve = Callable[..., AbstractContextManager[Server]]


@pytest.fixture(scope="session")
def saved(bundle: Bundle) -> str:
    return str(bundle.path)


@pytest.fixture(scope="session")
def extra() -> None:
    """Skip where the extra is not installed."""
    for package in ("fastapi", "limits", "pebble", "prometheus_client", "python_multipart", "uvicorn"):
        pytest.importorskip(package, reason=f"The extra serve is not installed: there is no {package}.")


@pytest.fixture(scope="session")
def client(extra: None, saved: str) -> Iterator["TestClient"]:
    from starlette.testclient import TestClient

    with TestClient(create_app(ServerSettings(bundle=saved)), base_url=HERE, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def hostile(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let red images never come to an end, and blue ones end their process."""

    def decoders(reader: Reader, **more: Any) -> Decoders:
        return Decoders(replace(reader, views=hostile_reader(bundle.info).views), **more)

    monkeypatch.setattr("pyrite.serving.service.Decoders", decoders)


@pytest.fixture
def serve(extra: None, saved: str) -> Serve:
    """Serve in a thread of this process."""
    import uvicorn

    @contextmanager
    def serve(**settings: Any) -> Iterator[Server]:
        chosen = ServerSettings(bundle=saved, **settings)
        listener = socket.create_server(("127.0.0.1", 0))
        app = create_app(chosen)
        server = uvicorn.Server(configure(chosen, app))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            assert eventually(lambda: server.started, time.process_time)
            yield Server(listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(60)
            listener.close()

    return serve
