"""Servers to ask: in this process without a network, and in a thread of it."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import uvicorn
from asking import HERE, Server, eventually
from starlette.testclient import TestClient

from pyrite.bundle import Bundle
from pyrite.serving import Settings, create_app
from pyrite.serving.run import bounded_protocol

Serve = Callable[..., AbstractContextManager[Server]]


@pytest.fixture(scope="session")
def saved(bundle: Bundle) -> str:
    return str(bundle.path)


@pytest.fixture(scope="session")
def client(saved: str) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(bundle=saved)), base_url=HERE, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def serve(saved: str) -> Serve:
    """Serve in a thread of this process."""

    @contextmanager
    def serve(**settings: Any) -> Iterator[Server]:
        chosen = Settings(bundle=saved, **settings)
        listener = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(
            create_app(chosen), http=bounded_protocol(chosen), ws="none", log_config=None, access_log=False
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            assert eventually(lambda: server.started, 120)
            yield Server(listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(60)
            listener.close()

    return serve
