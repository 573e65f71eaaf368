"""What goes around every request: its id, the headers of the answer, the count of it, and who may ask how often."""

import asyncio
import itertools
import logging
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import lru_cache
from http import HTTPStatus
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

from pyrite.serving.fair import Asker
from pyrite.serving.keys import known_key, presented_key
from pyrite.serving.logs import log_request
from pyrite.serving.record import Record
from pyrite.serving.refusal import JSON, Refusal, busy, error_body
from pyrite.serving.service import Service
from pyrite.serving.settings import is_loopback, socket_path

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN = ("/", "/healthz", "/readyz", "/openapi.json", "/docs")
"""Paths that need no key, like those under /static/: they tell nothing of anyone's images."""

_CSP = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    b"content-security-policy": _CSP.encode(),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(self), geolocation=(), microphone=()",
}
_OWN_NAMES = ("localhost", "127.0.0.1", "[::1]")
_UPLOADING = ("/v1/detect", "/v1/explain", "/v1/history", "/v1/thumbnail")
_ROUTES = (*OPEN, *_UPLOADING, "/v1/examples", "/v1/model", "/v1/limits", "/metrics")
_METHODS = ("GET", "POST", "HEAD", "OPTIONS")
_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
# Random for each server and a number for each request: asking for random bytes each time takes as long as parsing one.
_START = secrets.token_hex(6)
_numbers = itertools.count()
EXPOSED = ("X-Request-ID", "Retry-After")
"""Headers of any answer that pages of allowed origins may read."""
GONE = 499
"""As nginx counts a client that did not wait."""
_log = logging.getLogger("pyrite.serving")


class Frame:
    """The outermost layer. Nothing leaves without an id, the headers and a count; an error of ours is a plain 500."""

    def __init__(self, app: "ASGIApp", service: Service) -> None:
        """Take the application inside, and whose metrics count."""
        self._app, self._service, self._metrics = app, service, service.metrics

    def turn_away(
        self,
        method: bytes,
        path: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        address: str | None,
        requests: int,
    ) -> bytes | None:
        """Return the whole answer to images that there is no room for; `None` to what may come in.

        It takes a fraction of the time of what comes in, which a server with too much to do needs for the others.

        Args:
            method: Of the request.
            path: Of it.
            headers: Of it, with their names in lower case.
            address: Where it comes from.
            requests: How many are in already.
        """
        # Pages of other origins could not read it.
        settings = self._service.settings
        if method != b"POST" or path != b"/v1/detect" or settings.origins:
            return None
        client = key = None
        if settings.trusted_proxies:
            address = None  # Behind a proxy, only what comes in is told apart.
        else:
            client, key = _identify(headers, address, self._service)
        lacking = self._service.lacking(client, requests)
        if lacking is None:
            return None
        record = Record(_request_id(headers), key=key)
        return self._refuse_whole(lacking.refusal(client), record, "POST", "/v1/detect", address)

    def refuse_unparsed(self, refusal: Refusal, address: str | None) -> bytes:
        """Return the whole answer to what is no request as this server understands it.

        Args:
            refusal: What to say of it.
            address: Where it comes from.
        """
        return self._refuse_whole(refusal, Record(_request_id(())), None, None, address)

    def _readable_by(self, headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Return what lets a page of an allowed origin read what goes wrong outside of the layer for origins."""
        origin = next((value for name, value in headers if name == b"origin"), b"")
        if origin.decode("latin-1") not in self._service.settings.origins:
            return []
        return [
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", ", ".join(EXPOSED).encode()),
            (b"vary", b"Origin"),
        ]

    def _refuse_whole(
        self, refusal: Refusal, record: Record, method: str | None, path: str | None, address: str | None
    ) -> bytes:
        head, body = _whole_answer(refusal, record.request_id)
        record.code, record.bytes_out = refusal.code, len(body)
        self._metrics.rejection(refusal.code)
        self._conclude(record, method, path, refusal.status, address)
        return head + body

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = Record(_request_id(scope["headers"]))
        request_id = record.request_id
        scope.setdefault("state", {}).update(request_id=request_id, record=record)
        scope["app"] = self  # Without which routes answer what they do not have in plain text, instead of raising it.
        status = 0

        async def counted() -> "Message":
            message = await receive()
            record.bytes_in += len(message.get("body", b""))
            return message

        async def framed(message: "Message") -> None:
            nonlocal status
            if message["type"] == "http.response.body":
                record.bytes_out += len(message.get("body", b""))
            elif message["type"] == "http.response.start":
                status = message["status"]
                headers = list(message.get("headers", ()))
                has = {name for name, _ in headers}
                headers += [(name, value) for name, value in _HEADERS.items() if name not in has]
                if status >= 500 and b"access-control-allow-origin" not in has:
                    headers += self._readable_by(scope["headers"])
                if b"cache-control" not in has:
                    # The page's parts may be kept, if they are asked for whether they changed.
                    static = scope["path"].startswith("/static/")
                    headers.append((b"cache-control", b"no-cache" if static else b"no-store"))
                if self._service.draining:
                    # The next request of this client is for a server that stays.
                    headers.append((b"connection", b"close"))
                message = {**message, "headers": [*headers, (b"x-request-id", request_id.encode())]}
            await send(message)

        task = asyncio.current_task()
        assert task is not None
        self._service.requests.add(task)
        try:
            # Whatever can be got has a head, and the server sends no more than that of an answer to HEAD.
            await self._app({**scope, "method": "GET"} if scope["method"] == "HEAD" else scope, counted, framed)
        except Refusal as refusal:
            self._service.note(refusal.code, record)
            await refuse(refusal, request_id, framed)
        except asyncio.CancelledError:
            if not self._service.draining:
                raise
            # A server that ends cancels what it gives up. When a client hangs up, only the work is cancelled.
            task.uncancel()
            if not status:
                stopped = busy("not_ready", "The server was stopped before this was answered.")
                self._service.note(stopped.code, record)
                await refuse(stopped, request_id, framed)
        except Exception:
            _log.exception("request failed", extra={"fields": {"request_id": request_id}})
            if not status:
                failure = Refusal(500, "internal_server_error", "Something failed here. It is in the server's log.")
                self._service.note(failure.code, record)
                await refuse(failure, request_id, framed)
        finally:
            self._service.requests.discard(task)
            client = scope.get("client")
            self._conclude(record, scope["method"], scope["path"], status or GONE, client[0] if client else None)

    def _conclude(self, record: Record, method: str | None, path: str | None, status: int, client: str | None) -> None:
        seconds = time.perf_counter() - record.began
        route = path if path in _ROUTES else "/static" if (path or "").startswith("/static/") else "other"
        self._metrics.request(str(route), str(method) if method in _METHODS else "other", status, seconds)
        for stage, spent in record.stages.items():
            self._metrics.stage(stage, spent)
        log_request(record, method=method, path=path, status=status, seconds=seconds, client=client)


class Gate:
    """Who may come in: by key, by rate, and while there is room."""

    def __init__(self, app: "ASGIApp", service: Service) -> None:
        """Take the application inside, and whose settings decide."""
        self._app, self._service = app, service
        settings = service.settings
        # No page can lead to a socket file.
        local = is_loopback(settings.host) and not socket_path(settings.host)
        self._hosts = frozenset(settings.hosts or ((*_OWN_NAMES, settings.host) if local else ()))

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Let one request in, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with ExitStack() as held:
            try:
                self._check(scope)
                if scope["method"] == "POST" and scope["path"] in _UPLOADING:
                    held.enter_context(self._service.uploads.take(scope["state"]["asker"].client))
            except Refusal as refusal:
                self._service.note(refusal.code, scope["state"]["record"])
                await refuse(refusal, scope["state"]["request_id"], self._telling(scope, send))
                return
            await self._app(scope, receive, self._telling(scope, send))

    def _telling(self, scope: "Scope", send: "Send") -> "Send":
        """Return what sends an answer with what is left of the rate limits, where they count."""
        asker = scope["state"].get("asker")

        async def tell(message: "Message") -> None:
            if message["type"] == "http.response.start":
                told = self._service.rates.headers(asker.client)
                message = {**message, "headers": [*message.get("headers", ()), *told]}
            await send(message)

        return send if asker is None or not scope["path"].startswith("/v1/") else tell

    def _check(self, scope: "Scope") -> None:
        path, settings = scope["path"], self._service.settings
        if path in OPEN or path.startswith("/static/"):
            return
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1").lower()
        # Whoever scrapes pods asks by their addresses.
        named = self._hosts and not (path == "/metrics" and settings.hosts)
        if named and host and re.sub(r":\d*$", "", host) not in self._hosts:
            # Else any page could have its own name lead here, and read what it gets.
            sentence = f"This server does not answer for {host!r}. Its setting hosts can change that."
            raise Refusal(421, "misdirected_request", sentence)
        if scope["method"] == "POST" and not _is_own(headers, host, settings.origins):
            sentence = "Pages of other sites may not use this server. Its setting origins can change that."
            raise Refusal(403, "cross_origin", sentence)
        client, key = _identify(scope["headers"], scope["client"][0] if scope.get("client") else None, self._service)
        if client is None:
            sentence = "This needs an API key, as Authorization: Bearer KEY or X-API-Key: KEY."
            raise Refusal(401, "unauthorized", sentence, {"WWW-Authenticate": "Bearer"})
        scope["state"]["asker"], scope["state"]["record"].key = Asker(client), key
        if path.startswith("/v1/"):
            self._service.rates.count(client, requests=1)
        if path == "/v1/detect":
            self._service.places.check(client)


def _is_own(headers: Mapping[bytes, bytes], host: str, origins: Sequence[str]) -> bool:
    """Say whether a request comes from a page of this server or an allowed one, or from no page at all.

    By what browsers send, as Go's `http.CrossOriginProtection` does.
    """
    origin = headers.get(b"origin", b"").decode("latin-1")
    site = headers.get(b"sec-fetch-site")
    if origin in origins:
        return True
    return site in (b"same-origin", b"none") if site else not origin or origin.partition("://")[2] == host


def _identify(
    headers: Sequence[tuple[bytes, bytes]], address: str | None, service: Service
) -> tuple[str | None, str | None]:
    """Return whose request it is, and the name of its key: the key's, or the address's where there are no keys.

    Without a known key, where there are keys, it is nobody's.
    """
    if not service.keys:
        return "unknown" if address is None else _network(address), None
    key = known_key(presented_key(headers) or "", service.keys)
    return (key.sha256, key.name) if key else (None, None)


@lru_cache(maxsize=1000)
def _network(who: str) -> str:
    """Return an address of IPv6 as its network: whoever has one has all of them."""
    try:
        address = ip_address(who)
    except ValueError:
        return who
    return str(ip_network((who, 64), strict=False)) if address.version == 6 and not address.ipv4_mapped else who


async def refuse(refusal: Refusal, request_id: str, send: "Send") -> None:
    """Answer with an error."""
    head, body = _told(refusal, request_id)
    await send({"type": "http.response.start", "status": refusal.status, "headers": list(head.items())})
    await send({"type": "http.response.body", "body": body})


def _whole_answer(refusal: Refusal, request_id: str) -> tuple[bytes, bytes]:
    """Return the head and the body of an answer, byte by byte."""
    head, body = _told(refusal, request_id)
    head |= {**_HEADERS, b"cache-control": b"no-store", b"x-request-id": request_id.encode()}
    lines = [f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}".encode()]
    return b"\r\n".join([*lines, *(name + b": " + value for name, value in head.items()), b"", b""]), body


def _told(refusal: Refusal, request_id: str) -> tuple[dict[bytes, bytes], bytes]:
    """Return an error's own headers and its body."""
    body = error_body(refusal.code, refusal.message, request_id)
    headers = {"Content-Type": JSON, "Content-Length": str(len(body)), **refusal.headers}
    return {name.lower().encode(): value.encode("latin-1") for name, value in headers.items()}, body


def _request_id(headers: Sequence[tuple[bytes, bytes]]) -> str:
    """Return the id that a proxy gave the request, or a new one."""
    given: Any = next((value for name, value in headers if name == b"x-request-id"), b"")
    return given.decode() if _ID.fullmatch(given) else f"{_START}{next(_numbers):08x}"
