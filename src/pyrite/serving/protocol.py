"""What answers a connection: uvicorn's protocol, with bounds."""

import asyncio
import itertools
import math
from collections.abc import Callable
from functools import cache
from typing import Any

from pyrite.serving.middleware import Frame
from pyrite.serving.refusal import Refusal
from pyrite.serving.settings import UNIX, ServerSettings, socket_path

_HEADER_SECONDS = 10.0  # for a request's line and headers to come, at most
_HEADER_BYTES = 65_536  # of them, about, and of what stands between the pieces of a body


def connect(settings: ServerSettings, **more: Any) -> asyncio.Protocol:
    """Return what answers one connection: uvicorn's protocol, with bounds.

    Args:
        settings: The bounds.
        more: What uvicorn gives a protocol.
    """
    return _bounded_protocol(settings)(**more)


@cache
def _bounded_protocol(settings: ServerSettings) -> Callable[..., asyncio.Protocol]:
    """Return the protocol with bounds on connections, on headers, and on how long one may stay without asking."""
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    # Not a time, which is the same for all that come at once.
    order = itertools.count()
    most = math.ceil(settings.connections / settings.workers)

    class Bounded(HttpToolsProtocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if socket_path(settings.host):
                self.client = (UNIX, 0)
            self._address = self.client[0] if self.client else None
            # Around it there may be what reads a proxy's headers.
            self._frame: Frame = self.app if isinstance(self.app, Frame) else self.app.app
            self._asked = next(order)
            self._seen: object = self
            self._unread = self._unsent = 0
            self._turned_away = False
            if len(self.connections) > most:
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
                method, path = self.parser.get_method(), self.url.partition(b"?")[0]
                answer = self._frame.turn_away(method, path, self.headers, self._address, len(self.tasks))
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
            answer = self._frame.refuse_unparsed(
                Refusal(status, code, sentence, {"Connection": "close"}), self._address
            )
            # Where an answer has begun, or another request waits for its own, this one would be taken for that.
            if self._is_idle() or (self.cycle.more_body and not self.cycle.response_started):
                self.transport.write(answer)
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
            # One that waits for its next request has its own time.
            asks = self._is_idle() and self.timeout_keep_alive_task is None
            if (asks and self.cycle is self._seen) or (unsent and unsent == self._unsent):
                self.transport.abort()
                return
            self._seen, self._unsent = self.cycle, unsent
            self.loop.call_later(min(_HEADER_SECONDS, settings.upload_seconds), self._look)

    return Bounded
