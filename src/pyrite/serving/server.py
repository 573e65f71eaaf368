"""`serve`: the application on an address, until it is told to stop."""

import asyncio
import gc
import itertools
import logging
import math
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pyrite.errors import SettingsError
from pyrite.serving.app import create_app
from pyrite.serving.middleware import whole_answer
from pyrite.serving.refusal import Refusal
from pyrite.serving.settings import ServerSettings, is_loopback

_FILES = 1000  # open at a time beside connections, at most
_HEADER_SECONDS = 10.0  # for a request's line and headers to come, at most
_HEADER_BYTES = 65_536  # of them, about, and of what stands between the pieces of a body


def serve(settings: ServerSettings, *, ready: Callable[[str], None] = lambda url: None) -> None:
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
    _allow_files(settings.connections + _FILES)
    config = uvicorn.Config(
        app,
        http=bounded_protocol(settings, app.turn_away),
        ws="none",
        lifespan="on",
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_graceful_shutdown=math.ceil(settings.shutdown_seconds),
    )
    host, port = listener.getsockname()[:2]
    ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    with suppress(KeyboardInterrupt):  # Which is how a server ends, after it has finished.
        uvicorn.Server(config).run(sockets=[listener])


def is_open(settings: ServerSettings) -> bool:
    """Say whether anyone on the network may ask: the address is not this machine's own, and no key is needed."""
    return not is_loopback(settings.host) and not settings.api_keys


def _allow_files(number: int) -> None:
    """Have as many files and connections open at a time as the system allows this process, up to what is needed."""
    if sys.platform != "win32":
        import resource

        now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(now, min(number, most)), most))


def _listen(settings: ServerSettings) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except (OSError, UnicodeError) as error:
        place = f"{settings.host}:{settings.port}"
        raise SettingsError(
            f"The address {place} cannot be had: {getattr(error, 'strerror', None) or error}."
        ) from error


def bounded_protocol(settings: ServerSettings, turn_away: Callable[..., bytes | None]) -> type[asyncio.Protocol]:
    """Return uvicorn's protocol with bounds on connections, on headers, and on how long one may stay without asking.

    Args:
        settings: The bounds.
        turn_away: `Frame.turn_away`.
    """
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    # Not a time, which is the same for all that come at once.
    order = itertools.count()

    class Bounded(HttpToolsProtocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._asked = next(order)
            self._seen: object = self
            self._unread = self._unsent = 0
            self._turned_away = False
            if len(self.connections) > settings.connections:
                # Whoever has asked for nothing for longest makes room; this one does where all others are at work.
                idle = [one for one in self.connections if isinstance(one, Bounded) and one._is_waiting()]
                min(idle, key=lambda one: one._asked).transport.abort()
            self.loop.call_later(min(_HEADER_SECONDS, settings.upload_seconds), self._look)

        def data_received(self, data: bytes) -> None:
            self._unread += len(data)
            super().data_received(data)
            if self._unread > _HEADER_BYTES and not self.transport.is_closing():
                self._refuse(431, "headers_too_large", f"Headers may have {_HEADER_BYTES:,} bytes at most.")

        def on_headers_complete(self) -> None:
            self._unread, self._asked = 0, next(order)
            answer = None
            # One that has others before it, or after which the connection ends, takes the usual way.
            if self._is_idle() and self.parser.should_keep_alive() and not self.expect_100_continue:
                path, address = self.url.partition(b"?")[0], self.client[0] if self.client else None
                answer = turn_away(self.parser.get_method(), path, self.headers, address, len(self.tasks))
            self._turned_away = answer is not None
            if answer is None:
                super().on_headers_complete()
            else:
                self._seen = self
                self.transport.write(answer)

        def on_body(self, body: bytes) -> None:
            self._unread = 0
            if not self._turned_away:
                super().on_body(body)

        def on_message_complete(self) -> None:
            if not self._turned_away:
                super().on_message_complete()

        def send_400_response(self, msg: str) -> None:
            self._refuse(400, "bad_request", "This is not HTTP as this server understands it.")

        def _refuse(self, status: int, code: str, sentence: str) -> None:
            # Where an answer has begun, or another request waits for its own, this one would be taken for that.
            if self._is_idle() or (self.cycle.more_body and not self.cycle.response_started):
                self.transport.write(whole_answer(Refusal(status, code, sentence, {"Connection": "close"})))
            self.transport.close()

        def _is_waiting(self) -> bool:
            return self._is_idle() and not self.transport.is_closing()

        def _is_idle(self) -> bool:
            return self.cycle is None or self.cycle.response_complete

        def _look(self) -> None:
            """End a connection whose headers come too slowly, or which takes nothing of its answer."""
            if self not in self.connections:
                return
            unsent = self.transport.get_write_buffer_size()
            if (self._is_idle() and self.cycle is self._seen) or (unsent and unsent == self._unsent):
                self.transport.abort()
                return
            self._seen, self._unsent = self.cycle, unsent
            self.loop.call_later(min(_HEADER_SECONDS, settings.upload_seconds), self._look)

    return Bounded
