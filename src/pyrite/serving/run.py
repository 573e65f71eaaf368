"""`serve`: the application on an address, until it is told to stop."""

import asyncio
import gc
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from typing import Any

from pyrite.errors import SettingsError
from pyrite.serving.app import create_app
from pyrite.serving.settings import Settings

_HEADER_SECONDS = 10.0  # for a request's line and headers to come, at most


def serve(settings: Settings, *, ready: Callable[[str], None] = lambda url: None) -> None:
    """Answer requests until the process is told to stop, and finish those that were accepted.

    Args:
        settings: How.
        ready: Called with the server's address when it can be asked.

    Raises:
        MissingExtraError: The extra `serve` is not installed.
        PyriteError: The bundle or a setting cannot be used.
        SettingsError: The address cannot be had.
    """
    app = create_app(settings)
    import uvicorn

    # Strangers' mistakes are in the metrics, and must not fill the log.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    # What is there now stays, and looking through it for garbage again and again would hold requests up.
    gc.freeze()
    listener = _listen(settings)
    config = uvicorn.Config(
        app,
        http=bounded_protocol(settings),
        ws="none",
        lifespan="on",
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_graceful_shutdown=round(settings.shutdown_seconds),
    )
    host, port = listener.getsockname()[:2]
    ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    with suppress(KeyboardInterrupt):  # Which is how a server ends, after it has finished.
        uvicorn.Server(config).run(sockets=[listener])


def is_open(settings: Settings) -> bool:
    """Say whether anyone on the network may ask: the address is not this machine's own, and no key is needed."""
    try:
        own = ip_address(settings.host).is_loopback
    except ValueError:
        own = settings.host == "localhost"
    return not own and not settings.api_keys


def _listen(settings: Settings) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        place = f"{settings.host}:{settings.port}"
        raise SettingsError(f"The address {place} cannot be had: {error.strerror or error}.") from error


def bounded_protocol(settings: Settings) -> type[asyncio.Protocol]:
    """Return uvicorn's protocol with a bound on connections, and on how long one may stay without a request."""
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

    class Bounded(AutoHTTPProtocol):  # type: ignore[valid-type,misc]
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._seen: object = self
            if len(self.connections) > settings.connections:
                transport.abort()
            else:
                self._look()

        def _look(self) -> None:
            """Close a connection that has been between requests since the last look: its headers come too slowly."""
            if self.transport.is_closing():
                return
            between = self.cycle is None or self.cycle.response_complete
            if between and self.cycle is self._seen:
                self.transport.close()
                return
            self._seen = self.cycle
            self.loop.call_later(min(_HEADER_SECONDS, settings.upload_seconds), self._look)

    return Bounded
